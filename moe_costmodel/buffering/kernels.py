"""The compiled replays behind :mod:`moe_costmodel.replay`, one stream at a time.

What an access misses is kept as bits, one a capacity (64 at most), since most accesses hit in most
buffers.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Bools, Ints

__all__ = ["column_sums", "compress", "events", "sum_by_step", "unpack"]

# Codes of the policies, in the order of moe_costmodel.POLICIES.
_PAPER, _FIFO, _LRU, _LFU, _INACTIVE_LFU, _MIN = range(6)
_ONE, _ALL = np.uint64(1), np.uint64(2**64 - 1)


@numba.njit(cache=True, nogil=True)
def compress(active: Bools, members: Ints) -> tuple[Ints, Ints]:
    """Return local ids and bounds of the members' active entries."""
    n_steps = active.shape[0]
    bounds = np.zeros(n_steps + 1, dtype=np.int64)
    ids = np.empty(n_steps * len(members), dtype=np.int64)
    n = 0
    for step in range(n_steps):
        for local in range(len(members)):
            if active[step, members[local]]:
                ids[n] = local
                n += 1
        bounds[step + 1] = n
    return ids[:n].copy(), bounds


@numba.njit(cache=True, nogil=True)
def unpack(missed: NDArray[np.uint64], n_capacities: int) -> Bools:
    """Return flags (n_accesses, n_capacities) of bits an access."""
    out = np.zeros((len(missed), n_capacities), dtype=np.bool_)
    for i in range(len(missed)):
        bits, c = missed[i], 0
        while bits:
            out[i, c] = bits & _ONE
            bits >>= _ONE
            c += 1
    return out


@numba.njit(cache=True, nogil=True)
def sum_by_step(missed: NDArray[np.uint64], bounds: Ints, out: NDArray[np.int32]) -> None:
    """Add the misses of each step to `out` (n_steps, n_capacities), of bits an access."""
    for step in range(len(bounds) - 1):
        for i in range(bounds[step], bounds[step + 1]):
            bits, c = missed[i], 0
            while bits:
                out[step, c] += bits & _ONE
                bits >>= _ONE
                c += 1


@numba.njit(cache=True, nogil=True)
def column_sums(missed: NDArray[np.uint64], n_capacities: int) -> Ints:
    """Return the misses at each capacity, (n_capacities,), of bits an access."""
    out = np.zeros(n_capacities, dtype=np.int64)
    for i in range(len(missed)):
        bits, c = missed[i], 0
        while bits:
            out[c] += bits & _ONE
            bits >>= _ONE
            c += 1
    return out


@numba.njit(cache=True, nogil=True)
def events(
    ids: Ints,
    bounds: Ints,
    n_experts: int,
    capacities: Ints,
    policy: int,
    missed: NDArray[np.uint64],
) -> None:
    """Write into `missed` (n_accesses,) the capacities, as bits, at which each access misses."""
    if policy in (_LRU, _LFU, _MIN):
        _stack_events(ids, n_experts, capacities, policy, missed)
    elif policy == _INACTIVE_LFU:
        _frequency_events(ids, bounds, n_experts, capacities, missed)
    else:
        _queue_events(ids, bounds, n_experts, capacities, policy, missed)


@numba.njit(cache=True, nogil=True)
def _stack_events(
    ids: Ints,
    n_experts: int,
    capacities: Ints,
    policy: int,
    missed: NDArray[np.uint64],
) -> None:
    """LRU, LFU and MIN by one priority stack: a buffer of c experts holds the stack's first c.

    An accessed expert goes to the top; going down to its old place, each level keeps the expert of
    higher priority and passes the other on (what each capacity would evict).
    """
    n = len(ids)
    following = np.empty(n, dtype=np.int64)
    if policy == _MIN:
        position = np.full(n_experts, n, dtype=np.int64)
        for i in range(n - 1, -1, -1):
            following[i] = position[ids[i]]
            position[ids[i]] = i
    # Bits of the capacities that miss an expert found at each depth; the last is for a new one.
    bits_at = np.zeros(n_experts + 1, dtype=np.uint64)
    for depth in range(n_experts + 1):
        for c in range(len(capacities)):
            if depth == n_experts or depth >= capacities[c]:
                bits_at[depth] |= _ONE << np.uint64(c)
    stack = np.empty(n_experts, dtype=np.int64)
    depth = 0
    count = np.zeros(n_experts, dtype=np.int64)
    # A key orders experts by priority; MIN's are unique but for those never needed again, which
    # tie. A tie may go either way, since neither of the two is accessed again.
    key = np.zeros(n_experts, dtype=np.int64)
    for i in range(n):
        expert = ids[i]
        carried, found = expert, n_experts
        for place in range(depth):
            held = stack[place]
            if held == expert:
                stack[place], found = carried, place
                break
            if place == 0 or key[held] < key[carried]:
                stack[place], carried = carried, held
        if found == n_experts:
            stack[depth] = carried
            depth += 1
        missed[i] = bits_at[found]
        count[expert] += 1
        if policy == _LRU:
            key[expert] = i
        elif policy == _LFU:
            key[expert] = count[expert] * n + i
        else:
            key[expert] = -following[i]


@numba.njit(cache=True, nogil=True)
def _queue_events(
    ids: Ints,
    bounds: Ints,
    n_experts: int,
    capacities: Ints,
    policy: int,
    missed: NDArray[np.uint64],
) -> None:
    """FIFO and the paper's policy: each capacity keeps a line in the order of loading."""
    n_capacities = len(capacities)
    # Bit c of an expert: whether the buffer of the c-th capacity holds it.
    resident = np.zeros(n_experts, dtype=np.uint64)
    everywhere = _ALL >> np.uint64(64 - n_capacities)
    line_of = np.zeros((n_capacities, min(n_experts, capacities.max())), dtype=np.int64)
    filled = np.zeros(n_capacities, dtype=np.int64)
    oldest = np.zeros(n_capacities, dtype=np.int64)
    needed_in = np.full(n_experts, -1, dtype=np.int64)
    for step in range(len(bounds) - 1):
        for i in range(bounds[step], bounds[step + 1]):
            needed_in[ids[i]] = step
        for i in range(bounds[step], bounds[step + 1]):
            expert = ids[i]
            bits = everywhere & ~resident[expert]
            missed[i] = bits
            resident[expert] = everywhere
            c = -1
            while bits:
                c += 1
                here = bits & _ONE
                bits >>= _ONE
                if not here:
                    continue
                line = line_of[c]
                if filled[c] < capacities[c]:
                    line[filled[c]] = expert
                    filled[c] += 1
                    continue
                absent = ~(_ONE << np.uint64(c))
                if policy == _FIFO:
                    # Once full, the line is a ring whose oldest entry is the next to go.
                    place = oldest[c]
                    oldest[c] = place + 1 if place + 1 < capacities[c] else 0
                    resident[line[place]] &= absent
                    line[place] = expert
                    continue
                top = capacities[c] - 1
                place = top
                while place >= 0 and needed_in[line[place]] == step:
                    place -= 1
                if place < 0:
                    place = top
                resident[line[place]] &= absent
                for moved in range(place, top):
                    line[moved] = line[moved + 1]
                line[top] = expert


@numba.njit(cache=True, nogil=True)
def _frequency_events(
    ids: Ints,
    bounds: Ints,
    n_experts: int,
    capacities: Ints,
    missed: NDArray[np.uint64],
) -> None:
    """Inactive-first LFU. Of the order of loading only the newest matters, which is the last slot.

    Whoever makes room is replaced at once, so that the newest is still there when the next comes.
    """
    n_capacities = len(capacities)
    resident = np.zeros(n_experts, dtype=np.uint64)
    everywhere = _ALL >> np.uint64(64 - n_capacities)
    slots_of = np.zeros((n_capacities, min(n_experts, capacities.max())), dtype=np.int64)
    filled = np.zeros(n_capacities, dtype=np.int64)
    newest = np.zeros(n_capacities, dtype=np.int64)
    # Ranks by frequency, then recency; those of the experts that the step needs are out of reach.
    out_of_reach = np.iinfo(np.int64).max
    rank = np.zeros(n_experts, dtype=np.int64)
    count = np.zeros(n_experts, dtype=np.int64)
    n = len(ids)
    for step in range(len(bounds) - 1):
        for i in range(bounds[step], bounds[step + 1]):
            rank[ids[i]] = out_of_reach
        for i in range(bounds[step], bounds[step + 1]):
            expert = ids[i]
            bits = everywhere & ~resident[expert]
            missed[i] = bits
            resident[expert] = everywhere
            c = -1
            while bits:
                c += 1
                here = bits & _ONE
                bits >>= _ONE
                if not here:
                    continue
                slots = slots_of[c]
                if filled[c] < capacities[c]:
                    slot = filled[c]
                    filled[c] += 1
                else:
                    slot, lowest = newest[c], out_of_reach
                    for other in range(capacities[c]):
                        found = rank[slots[other]]
                        if found < lowest:
                            slot, lowest = other, found
                    resident[slots[slot]] &= ~(_ONE << np.uint64(c))
                slots[slot] = expert
                newest[c] = slot
        for i in range(bounds[step], bounds[step + 1]):
            count[ids[i]] += 1
            rank[ids[i]] = count[ids[i]] * n + i
