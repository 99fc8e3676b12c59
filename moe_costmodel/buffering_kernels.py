"""The compiled replays behind :mod:`moe_costmodel.buffering`, one stream at a time."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["column_sums", "compress", "events", "sum_by_step"]

# Codes of the policies, in the order of moe_costmodel.buffering.POLICIES.
_PAPER, _FIFO, _LRU, _LFU, _INACTIVE_LFU, _MIN = range(6)


@numba.njit(cache=True)
def compress(
    active: NDArray[np.bool_], members: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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


@numba.njit(cache=True)
def sum_by_step(missed: NDArray[np.bool_], bounds: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the misses of each step, (n_steps, n_capacities), of flags an access."""
    out = np.zeros((len(bounds) - 1, missed.shape[1]), dtype=np.int32)
    for step in range(len(bounds) - 1):
        for i in range(bounds[step], bounds[step + 1]):
            for c in range(missed.shape[1]):
                out[step, c] += missed[i, c]
    return out


@numba.njit(cache=True)
def column_sums(missed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the misses at each capacity, (n_capacities,), of flags an access."""
    out = np.zeros(missed.shape[1], dtype=np.int64)
    for i in range(missed.shape[0]):
        for c in range(missed.shape[1]):
            out[c] += missed[i, c]
    return out


@numba.njit(cache=True)
def events(
    ids: NDArray[np.int64],
    bounds: NDArray[np.int64],
    n_experts: int,
    capacities: NDArray[np.int64],
    policy: int,
    missed: NDArray[np.bool_],
) -> None:
    """Write into `missed` (n_accesses, n_capacities) whether each access misses."""
    if policy in (_LRU, _LFU, _MIN):
        _stack_events(ids, n_experts, capacities, policy, missed)
    else:
        _queue_events(ids, bounds, n_experts, capacities, policy, missed)


@numba.njit(cache=True)
def _stack_events(
    ids: NDArray[np.int64],
    n_experts: int,
    capacities: NDArray[np.int64],
    policy: int,
    missed: NDArray[np.bool_],
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
    stack = np.empty(n_experts, dtype=np.int64)
    depth = 0
    count = np.zeros(n_experts, dtype=np.int64)
    # A key orders experts by priority; MIN's are unique but for those never needed again, which
    # tie. A tie may go either way, since neither of the two is accessed again.
    key = np.zeros(n_experts, dtype=np.int64)
    for i in range(n):
        expert = ids[i]
        found = depth
        for place in range(depth):
            if stack[place] == expert:
                found = place
                break
        for c in range(len(capacities)):
            missed[i, c] = found == depth or found >= capacities[c]
        if found == depth:
            depth += 1
        carried = expert
        for place in range(found + 1 if found < depth else depth):
            held = stack[place]
            if place == 0:
                stack[0], carried = expert, held
            elif place == found:
                stack[place] = carried
            elif key[held] < key[carried]:
                stack[place], carried = carried, held
        count[expert] += 1
        if policy == _LRU:
            key[expert] = i
        elif policy == _LFU:
            key[expert] = count[expert] * n + i
        else:
            key[expert] = -following[i]


@numba.njit(cache=True)
def _queue_events(
    ids: NDArray[np.int64],
    bounds: NDArray[np.int64],
    n_experts: int,
    capacities: NDArray[np.int64],
    policy: int,
    missed: NDArray[np.bool_],
) -> None:
    """Replay the policies that look at the order of loading, all capacities side by side."""
    n_capacities = len(capacities)
    widest = min(n_experts, capacities.max())
    resident = np.zeros((n_experts, n_capacities), dtype=np.bool_)
    queue = np.zeros((n_capacities, widest), dtype=np.int64)
    filled = np.zeros(n_capacities, dtype=np.int64)
    oldest = np.zeros(n_capacities, dtype=np.int64)
    needed_in = np.full(n_experts, -1, dtype=np.int64)
    count = np.zeros(n_experts, dtype=np.int64)
    last = np.zeros(n_experts, dtype=np.int64)
    n = len(ids)
    for step in range(len(bounds) - 1):
        for i in range(bounds[step], bounds[step + 1]):
            needed_in[ids[i]] = step
        for i in range(bounds[step], bounds[step + 1]):
            expert = ids[i]
            count[expert] += 1
            for c in range(n_capacities):
                hit = resident[expert, c]
                missed[i, c] = not hit
                if hit:
                    continue
                resident[expert, c] = True
                line = queue[c]
                if filled[c] < capacities[c]:
                    line[filled[c]] = expert
                    filled[c] += 1
                    continue
                if policy == _FIFO:
                    # Once full, the line is a ring whose oldest entry is the next to go.
                    victim = oldest[c]
                    oldest[c] = victim + 1 if victim + 1 < capacities[c] else 0
                    resident[line[victim], c] = False
                    line[victim] = expert
                    continue
                top = capacities[c] - 1
                victim = -1
                if policy == _PAPER:
                    for place in range(top, -1, -1):
                        if needed_in[line[place]] != step:
                            victim = place
                            break
                else:
                    lowest = np.int64(0)
                    for place in range(top + 1):
                        held = line[place]
                        if needed_in[held] != step:
                            rank = count[held] * n + last[held]
                            if victim < 0 or rank < lowest:
                                victim, lowest = place, rank
                if victim < 0:
                    victim = top
                resident[line[victim], c] = False
                for place in range(victim, top):
                    line[place] = line[place + 1]
                line[top] = expert
            last[expert] = i
