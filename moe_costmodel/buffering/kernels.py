"""Compiled replays of expert buffers, one stream at a time, for up to 64 capacities at once.

The misses of an access are kept as the bits of an integer, one bit per capacity, because most
accesses hit in most buffers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Ints
from moela.compilation.jit import cached_njit

__all__ = ["events", "sum_by_step"]

# Codes of the policies, in the order of moe_costmodel.POLICIES.
_PAPER, _FIFO, _LRU, _LFU, _INACTIVE_LFU, _MIN = range(6)
_ONE, _ALL = np.uint64(1), np.uint64(2**64 - 1)


@cached_njit(nogil=True)
def sum_by_step(missed: NDArray[np.uint64], bounds: Ints, out: NDArray[np.integer]) -> None:
    """Add the bits of the accesses of each step to `out` (n_steps, n_capacities)."""
    for step in range(len(bounds) - 1):
        for i in range(bounds[step], bounds[step + 1]):
            bits, c = missed[i], 0
            while bits:
                out[step, c] += bits & _ONE
                bits >>= _ONE
                c += 1


@cached_njit(nogil=True)
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


@cached_njit(nogil=True)
def _stack_events(
    ids: Ints,
    n_experts: int,
    capacities: Ints,
    policy: int,
    missed: NDArray[np.uint64],
) -> None:
    """LRU, LFU and MIN by one priority stack, of which a buffer of c experts holds the first c.

    An accessed expert goes to the top. From there down to its old place, each level keeps the
    expert of higher priority and passes the other one on, which that capacity evicts.
    """
    n = len(ids)
    following = np.empty(n, dtype=np.int64)
    if policy == _MIN:
        position = np.full(n_experts, n, dtype=np.int64)
        for i in range(n - 1, -1, -1):
            following[i] = position[ids[i]]
            position[ids[i]] = i
    # Bits of the capacities that miss an expert at each depth; the last entry is for new experts.
    bits_at = np.zeros(n_experts + 1, dtype=np.uint64)
    for depth in range(n_experts + 1):
        for c in range(len(capacities)):
            if depth == n_experts or depth >= capacities[c]:
                bits_at[depth] |= _ONE << np.uint64(c)
    stack = np.empty(n_experts, dtype=np.int64)
    depth = 0
    count = np.zeros(n_experts, dtype=np.int64)
    # Keys order experts by priority. Those of MIN tie only for experts that are not needed again,
    # so that ties may be broken in any way.
    key = np.zeros(n_experts, dtype=np.int64)
    for i in range(n):
        expert = ids[i]
        carried, old_place = expert, n_experts
        for place in range(depth):
            held = stack[place]
            if held == expert:
                stack[place], old_place = carried, place
                break
            if place == 0 or key[held] < key[carried]:
                stack[place], carried = carried, held
        if old_place == n_experts:
            stack[depth] = carried
            depth += 1
        missed[i] = bits_at[old_place]
        count[expert] += 1
        if policy == _LRU:
            key[expert] = i
        elif policy == _LFU:
            key[expert] = count[expert] * n + i
        else:
            key[expert] = -following[i]


@cached_njit(nogil=True)
def _queue_events(
    ids: Ints,
    bounds: Ints,
    n_experts: int,
    capacities: Ints,
    policy: int,
    missed: NDArray[np.uint64],
) -> None:
    """FIFO and the paper's policy: each buffer is a queue in the order of loading."""
    n_capacities = len(capacities)
    # Bit c of an expert: whether the buffer of the c-th capacity holds it.
    resident = np.zeros(n_experts, dtype=np.uint64)
    everywhere = _ALL >> np.uint64(64 - n_capacities)
    queue_of = np.zeros((n_capacities, min(n_experts, int(capacities.max()))), dtype=np.int64)
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
                misses = bits & _ONE
                bits >>= _ONE
                if not misses:
                    continue
                queue = queue_of[c]
                if filled[c] < capacities[c]:
                    queue[filled[c]] = expert
                    filled[c] += 1
                    continue
                absent = ~(_ONE << np.uint64(c))
                if policy == _FIFO:
                    # A full queue is a ring, and its oldest entry leaves next.
                    place = oldest[c]
                    oldest[c] = place + 1 if place + 1 < capacities[c] else 0
                    resident[queue[place]] &= absent
                    queue[place] = expert
                    continue
                top = capacities[c] - 1
                place = top
                while place >= 0 and needed_in[queue[place]] == step:
                    place -= 1
                if place < 0:
                    place = top
                resident[queue[place]] &= absent
                for moved in range(place, top):
                    queue[moved] = queue[moved + 1]
                queue[top] = expert


@cached_njit(nogil=True)
def _frequency_events(
    ids: Ints,
    bounds: Ints,
    n_experts: int,
    capacities: Ints,
    missed: NDArray[np.uint64],
) -> None:
    """Inactive-first LFU: the order of loading matters only for the newest entry of a buffer.

    An entry that leaves is replaced in its slot at once, so that the newest entry keeps its slot.
    """
    n_capacities = len(capacities)
    resident = np.zeros(n_experts, dtype=np.uint64)
    everywhere = _ALL >> np.uint64(64 - n_capacities)
    slots_of = np.zeros((n_capacities, min(n_experts, int(capacities.max()))), dtype=np.int64)
    filled = np.zeros(n_capacities, dtype=np.int64)
    newest = np.zeros(n_capacities, dtype=np.int64)
    # Ranks by frequency, then recency; the experts that the step needs are out of reach.
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
                misses = bits & _ONE
                bits >>= _ONE
                if not misses:
                    continue
                slots = slots_of[c]
                if filled[c] < capacities[c]:
                    slot = filled[c]
                    filled[c] += 1
                else:
                    slot, lowest = newest[c], out_of_reach
                    for other in range(capacities[c]):
                        if rank[slots[other]] < lowest:
                            slot, lowest = other, rank[slots[other]]
                    resident[slots[slot]] &= ~(_ONE << np.uint64(c))
                slots[slot] = expert
                newest[c] = slot
        for i in range(bounds[step], bounds[step + 1]):
            count[ids[i]] += 1
            rank[ids[i]] = count[ids[i]] * n + i
