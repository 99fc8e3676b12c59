"""The compiled parts of a deployment's evaluation: what is kept, where it goes, what it takes."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from moe_costmodel.layer_table import _interpolate

__all__ = [
    "kept_choices",
    "layer_times",
    "remote_nodes",
    "step_counts",
    "step_entries",
    "step_statistics",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
# Codes of the policies, in the order of moe_costmodel.buffering.POLICIES; "min" is none of these.
_PAPER, _FIFO, _LRU, _LFU, _INACTIVE_LFU = range(5)
# Rows of what is known about each slot: the buffers as they were loaded, the tokens that a slot has
# in the step, how often it was used, and when last.
_LINE, _HERE, _USED, _LAST = range(4)


@numba.njit(cache=True)
def kept_choices(
    weights: NDArray[np.float32],
    total: NDArray[np.float32],
    code: int,
    value: float,
    k_min: int,
    kept: NDArray[np.uint8],
    mass: NDArray[np.float32],
) -> None:
    """Write how many of its heaviest choices each token keeps, and their weight.

    The rules of :func:`moe_costmodel.gate_rules.keep_mask`, all of which keep the heaviest.

    Parameters
    ----------
    weights : ndarray of shape (n_tokens, k)
        Heaviest first.
    total : ndarray of shape (n_tokens,)
        Sum of each token's weights, added in the trace's order (as keep_mask does).
    code : int
        Of the rule, in the order of :data:`moe_costmodel.gate_rules.RULES`.
    kept, mass : ndarray of shape (n_tokens,)
    """
    n, k = weights.shape
    threshold = np.float32(value)
    for token in range(n):
        before = np.float32(0.0)
        rank = 0
        while rank < k:
            weight = weights[token, rank]
            if rank >= k_min:
                if code == 0:
                    if weight < threshold * weights[token, 0]:
                        break
                elif code == 1:
                    if before >= threshold * total[token]:
                        break
                elif rank >= value:
                    break
            before += weight
            rank += 1
        kept[token] = rank
        mass[token] = before


@numba.njit(cache=True)
def step_counts(
    ids: NDArray[Any], kept: NDArray[np.uint8], size: int, out: NDArray[np.int32]
) -> None:
    """Add up the tokens of each expert in each step, [n_steps, n_experts].

    Parameters
    ----------
    ids : ndarray of shape (n_steps * size, k)
        Choices of the tokens, step by step.
    kept : ndarray of shape (n_steps * size,)
        How many of the first choices count.
    size : int
        Tokens of a step.
    out : ndarray of shape (n_steps, n_experts)
        Starts as zeros.
    """
    k = ids.shape[1]
    for step in range(len(out)):
        for token in range(step * size, (step + 1) * size):
            n = kept[token]
            # Adding 0 is quicker than guessing where to stop.
            for rank in range(k):
                out[step, ids[token, rank]] += 1 if rank < n else 0


@numba.njit(cache=True)
def step_entries(
    ids: NDArray[Any], kept: NDArray[np.uint8], size: int, n_experts: int
) -> tuple[IntArray, NDArray[np.int32], NDArray[np.int32]]:
    """List the active experts of each step, ascending, and their tokens.

    Parameters
    ----------
    ids, kept, size
        As for :func:`step_counts`.
    n_experts : int

    Returns
    -------
    bounds : ndarray of shape (n_steps + 1,)
    experts, tokens : ndarray
        Step s has the entries ``bounds[s]`` to ``bounds[s + 1]``.
    """
    n_steps = len(ids) // size
    bounds = np.zeros(n_steps + 1, dtype=np.int64)
    experts = np.empty(ids.size, dtype=np.int32)
    tokens = np.empty(ids.size, dtype=np.int32)
    counts = np.zeros(n_experts, dtype=np.int32)
    n = 0
    for step in range(n_steps):
        first = n
        for token in range(step * size, (step + 1) * size):
            for rank in range(kept[token]):
                expert = ids[token, rank]
                if counts[expert] == 0:
                    place = n
                    while place > first and experts[place - 1] > expert:
                        experts[place] = experts[place - 1]
                        place -= 1
                    experts[place] = expert
                    n += 1
                counts[expert] += 1
        for i in range(first, n):
            tokens[i] = counts[experts[i]]
            counts[experts[i]] = 0
        bounds[step + 1] = n
    return bounds, experts[:n].copy(), tokens[:n].copy()


@numba.njit(cache=True)
def layer_times(
    counts: NDArray[np.int32],
    entries: tuple[IntArray, NDArray[np.int32], NDArray[np.int32]],
    windows: IntArray,
    slots: IntArray,
    n_devices: int,
    n_nodes: int,
    capacities: IntArray,
    policy: int,
    axes: tuple[FloatArray, FloatArray, FloatArray],
    memo: FloatArray,
    cost: tuple[float, float, float, float],
    links: tuple[float, float, float, float],
    width: tuple[float, float],
    out: FloatArray,
) -> int:
    """Write one layer's steps, and return the most rows that a device has in one.

    Parameters
    ----------
    counts : ndarray of shape (n_steps, n_experts)
        Tokens of each expert; unused where there are entries.
    entries : tuple
        From :func:`step_entries` where few experts are active, which is quicker then; else empty.
    windows : ndarray of shape (n_windows + 1,)
        Where each window's steps begin; buffers are empty there.
    slots : ndarray of shape (n_slots,)
        Expert of each slot, ascending on each device.
    capacities : ndarray of shape (n_devices,)
        Experts that each device keeps.
    policy : int
        -1 where the layer is not buffered.
    axes : tuple
        `active`, `rows` and `log_seconds` of the LayerTable.
    memo : ndarray of shape (n_local + 1, most rows + 1, most of one expert + 1)
        Times already looked up, NaN where not; empty to do without. A table's time depends on
        these three alone, so that a time from here is that of the table to the bit.
    cost : tuple
        Scale, seconds a step, seconds an active expert, seconds a miss.
    links : tuple
        Latency and bandwidth between devices, and between nodes.
    width : tuple
        Width of a token and bytes of an element.
    out : ndarray of shape (3, n_steps)
        Seconds, those of them that wait for copies, and the largest share of tokens on a device.
    """
    n_slots = len(slots)
    n_local = n_slots // n_devices
    bounds, experts, n_tokens = entries
    sparse = len(bounds) > 0
    first = np.zeros(counts.shape[1] + 1, dtype=np.int64)
    for slot in range(n_slots):
        first[slots[slot] + 1] += 1
    for expert in range(counts.shape[1]):
        first[expert + 1] += first[expert]
    # The slots of expert e are own[first[e]:first[e + 1]]; each is the rank-th of them.
    own = np.empty(n_slots, dtype=np.int64)
    rank = np.zeros(n_slots, dtype=np.int64)
    copies = np.zeros(counts.shape[1], dtype=np.int64)
    for slot in range(n_slots):
        expert = slots[slot]
        rank[slot] = copies[expert]
        own[first[expert] + copies[expert]] = slot
        copies[expert] += 1
    replicated = n_slots > counts.shape[1]

    buffered = policy >= 0
    resident = np.zeros(n_slots, dtype=np.bool_)
    state = np.zeros((4, n_slots), dtype=np.int64)
    filled = np.zeros(n_devices, dtype=np.int64)
    oldest = np.zeros(n_devices, dtype=np.int64)
    clock = 0

    accessed = np.empty(n_slots + 1, dtype=np.int64)
    n_accessed = np.zeros(n_devices, dtype=np.int64)
    seconds = np.zeros(n_devices)
    rows = np.zeros(n_devices, dtype=np.int64)
    missed = np.zeros(n_devices, dtype=np.int64)
    one, part = np.empty(1), np.empty((1, n_local), dtype=np.int64)
    most_rows = 0
    window = 0
    start = 0
    for step in range(out.shape[1]):
        if step == windows[window + 1]:
            window += 1
            start = step
            resident[:] = False
            filled[:] = 0
            oldest[:] = 0
            state[_USED] = 0
        if sparse:
            for device in range(n_devices):
                for i in range(n_accessed[device]):
                    state[_HERE, accessed[device * n_local + i]] = 0
                n_accessed[device] = 0
            for i in range(bounds[step], bounds[step + 1]):
                expert = experts[i]
                for place in range(first[expert], first[expert + 1]):
                    slot = own[place]
                    device = slot // n_local if n_devices > 1 else 0
                    state[_HERE, slot] = n_tokens[i]
                    accessed[device * n_local + n_accessed[device]] = slot
                    n_accessed[device] += 1
        fullest = 0.0
        all_rows = 0
        for device in range(n_devices):
            begin = device * n_local
            n, total, largest = 0, 0, 0
            load = 0.0
            for i in range(n_accessed[device] if sparse else n_local):
                slot = accessed[begin + i] if sparse else begin + i
                expert = slots[slot]
                tokens = state[_HERE, slot] if sparse else int(counts[step, expert])
                if replicated:
                    load += tokens / copies[expert]
                    if copies[expert] > 1:
                        # As many each, to one token; which get the one more goes round.
                        turn = (rank[slot] - (step - start)) % copies[expert]
                        more = 1 if turn < tokens % copies[expert] else 0
                        tokens = tokens // copies[expert] + more
                state[_HERE, slot] = tokens
                accessed[begin + n] = slot
                n += 1 if tokens > 0 else 0
                total += tokens
                largest = max(largest, tokens)
            n_accessed[device] = n
            rows[device] = total
            all_rows += total
            most_rows = max(most_rows, total)
            fullest = max(fullest, load if replicated else float(total))
            known = 0.0
            if n > 0:
                known = np.nan
                if memo.size:
                    known = memo[n, total, largest]
                if np.isnan(known):
                    for local in range(n_local):
                        part[0, local] = state[_HERE, begin + local]
                    _interpolate(part, axes[0], axes[1], axes[2], one)
                    known = one[0]
                    if memo.size:
                        memo[n, total, largest] = known
            if buffered:
                if n > 0:
                    known = cost[0] * known + cost[1] + cost[2] * n
                end = begin + capacities[device]
                misses = 0
                for i in range(n):
                    slot = accessed[begin + i]
                    state[_USED, slot] += 1
                    if not resident[slot]:
                        misses += 1
                        resident[slot] = True
                        if begin + filled[device] < end:
                            place = begin + filled[device]
                            filled[device] += 1
                        else:
                            if policy == _FIFO:
                                # A full line is a ring whose oldest entry is the next to go.
                                place = begin + oldest[device]
                                oldest[device] = oldest[device] + 1 if place + 1 < end else 0
                            else:
                                place = _victim(policy, begin, end, state)
                            resident[state[_LINE, place]] = False
                            if policy != _FIFO:
                                for later in range(place, end - 1):
                                    state[_LINE, later] = state[_LINE, later + 1]
                                place = end - 1
                        state[_LINE, place] = slot
                    state[_LAST, slot] = clock
                    clock += 1
                missed[device] = misses
            seconds[device] = known

        exchange = 0.0
        if n_devices > 1:
            busiest = 0
            for device in range(n_devices):
                busiest = max(busiest, rows[device])
            sent = float(busiest) * (1 - 1 / n_devices)
            exchange = links[0] + sent * width[0] * width[1] / links[1]
        if n_nodes > 1:
            per_node = n_devices // n_nodes
            busiest = 0
            for node in range(n_nodes):
                on_node = 0
                for device in range(node * per_node, (node + 1) * per_node):
                    on_node += rows[device]
                busiest = max(busiest, on_node)
            sent = float(busiest) * (1 - 1 / n_nodes)
            exchange = max(exchange, links[2] + sent * width[0] * width[1] / links[3])
        slowest, without = 0.0, 0.0
        for device in range(n_devices):
            known = seconds[device]
            without = max(without, known)
            if buffered:
                known = known + max(missed[device] * cost[3] - exchange, 0.0)
            slowest = max(slowest, known)
        out[0, step] = slowest + 2 * exchange
        out[1, step] = slowest - without
        out[2, step] = fullest / all_rows if all_rows else 1.0 / n_devices
    return most_rows


@numba.njit(cache=True)
def _victim(policy: int, begin: int, end: int, state: IntArray) -> int:
    """Return where in ``state[_LINE, begin:end]``, a full buffer as it was loaded, to evict.

    One array, since every array handed over costs as much as the search.
    """
    if policy == _PAPER:
        for place in range(end - 1, begin - 1, -1):
            if state[_HERE, state[_LINE, place]] == 0:
                return place
        return end - 1
    victim = -1
    for place in range(begin, end):
        held = state[_LINE, place]
        if policy == _INACTIVE_LFU and state[_HERE, held] > 0:
            continue
        if victim >= 0:
            best = state[_LINE, victim]
            sooner = state[_LAST, held] < state[_LAST, best]
            if policy != _LRU and state[_USED, held] != state[_USED, best]:
                sooner = state[_USED, held] < state[_USED, best]
            if not sooner:
                continue
        victim = place
    return victim if victim >= 0 else end - 1


@numba.njit(cache=True)
def step_statistics(step: FloatArray, bounds: IntArray, out: FloatArray) -> None:
    """Write steps a second, mean, median and 99th percentile, of each window, [4, n_windows].

    A percentile is the smallest value that so large a share of the steps do not exceed.
    """
    for w in range(len(bounds) - 1):
        part = step[bounds[w] : bounds[w + 1]]
        n = len(part)
        half, high = int(np.ceil(0.5 * n)) - 1, int(np.ceil(0.99 * n)) - 1
        total = 0.0
        for value in part:
            total += value
        out[0, w] = n / total if total > 0 else np.inf
        out[1, w] = total / n
        out[2, w] = np.partition(part, half)[half]
        out[3, w] = np.partition(part, high)[high]


@numba.njit(cache=True)
def remote_nodes(
    ids: NDArray[Any],
    kept: NDArray[np.uint8],
    window: IntArray,
    per_node: NDArray[np.bool_],
    out: FloatArray,
) -> None:
    """Add up the other nodes that tokens are sent to, window by window, over all homes.

    As :func:`moe_costmodel.placement.cross_node_traffic` for one layer, of the kept choices.
    """
    n_nodes = per_node.shape[1]
    primary = np.zeros(per_node.shape[0], dtype=np.int64)
    for expert in range(per_node.shape[0]):
        for node in range(n_nodes - 1, -1, -1):
            if per_node[expert, node]:
                primary[expert] = node
    visited = np.zeros(n_nodes, dtype=np.bool_)
    for token in range(len(ids)):
        for home in range(n_nodes):
            visited[:] = False
            for rank in range(kept[token]):
                expert = ids[token, rank]
                if not per_node[expert, home] and not visited[primary[expert]]:
                    visited[primary[expert]] = True
                    out[window[token]] += 1
