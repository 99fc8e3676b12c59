"""The compiled parts of a deployment's evaluation: what is kept, where it goes, what it takes."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from moe_costmodel.layer_table import _interpolate

__all__ = ["kept_choices", "layer_times", "remote_nodes", "step_entries", "step_statistics"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
# Codes of the policies, in the order of moe_costmodel.buffering.POLICIES; "min" is none of these.
_PAPER, _FIFO, _LRU, _LFU, _INACTIVE_LFU = range(5)


@numba.njit(cache=True)
def kept_choices(
    weights: NDArray[np.float32],
    total: NDArray[np.float32],
    window: IntArray,
    code: int,
    value: float,
    k_min: int,
    kept: NDArray[np.uint8],
    mass: FloatArray,
) -> None:
    """Write how many of its heaviest choices each token keeps, and the mass kept and in all.

    The rules of :func:`moe_costmodel.gate_rules.keep_mask`, all of which keep the heaviest.

    Parameters
    ----------
    weights : ndarray of shape (n_tokens, k)
        Heaviest first.
    total : ndarray of shape (n_tokens,)
        Sum of each token's weights, added in the trace's order (as keep_mask does).
    window : ndarray of shape (n_tokens,)
    code : int
        Of the rule, in the order of :data:`moe_costmodel.gate_rules.RULES`.
    kept : ndarray of shape (n_tokens,)
    mass : ndarray of shape (2, n_windows)
        Kept, and in all; starts as zeros.
    """
    n, k = weights.shape
    threshold = np.float32(value)
    for token in range(n):
        row = weights[token]
        going = True
        before = np.float32(0.0)
        for rank in range(k):
            if going:
                if code == 0:
                    keep = row[rank] >= threshold * row[0]
                elif code == 1:
                    keep = before < threshold * total[token]
                else:
                    keep = rank < value
                going = keep or rank < k_min
                if going:
                    kept[token] = rank + 1
                    mass[0, window[token]] += row[rank]
            before += row[rank]
            mass[1, window[token]] += row[rank]


@numba.njit(cache=True)
def step_entries(
    ids: NDArray[Any], kept: NDArray[np.uint8], order: IntArray, starts: IntArray, n_experts: int
) -> tuple[IntArray, NDArray[np.int32], NDArray[np.int32]]:
    """List the active experts of each step, ascending, and their tokens.

    Parameters
    ----------
    ids : ndarray of shape (n_tokens, k)
    kept : ndarray of shape (n_tokens,)
        How many of the first choices count.
    order : ndarray
        Tokens in the order of their steps.
    starts : ndarray of shape (n_steps + 1,)
        Step s has the tokens ``order[starts[s]:starts[s + 1]]``.

    Returns
    -------
    bounds : ndarray of shape (n_steps + 1,)
    experts, tokens : ndarray
        Step s has the entries ``bounds[s]`` to ``bounds[s + 1]``.
    """
    n_steps = len(starts) - 1
    bounds = np.zeros(n_steps + 1, dtype=np.int64)
    experts = np.empty(len(order) * ids.shape[1], dtype=np.int32)
    tokens = np.empty(len(order) * ids.shape[1], dtype=np.int32)
    counts = np.zeros(n_experts, dtype=np.int32)
    n = 0
    for step in range(n_steps):
        first = n
        for i in range(starts[step], starts[step + 1]):
            token = order[i]
            for rank in range(kept[token]):
                expert = ids[token, rank]
                if counts[expert] == 0:
                    experts[n] = expert
                    n += 1
                counts[expert] += 1
        if 8 * (n - first) < n_experts:
            for i in range(first + 1, n):
                expert, place = experts[i], i
                while place > first and experts[place - 1] > expert:
                    experts[place] = experts[place - 1]
                    place -= 1
                experts[place] = expert
        else:
            n = first
            for expert in range(n_experts):
                if counts[expert] > 0:
                    experts[n] = expert
                    n += 1
        for i in range(first, n):
            tokens[i] = counts[experts[i]]
            counts[experts[i]] = 0
        bounds[step + 1] = n
    return bounds, experts[:n].copy(), tokens[:n].copy()


@numba.njit(cache=True)
def layer_times(
    entries: tuple[IntArray, NDArray[np.int32], NDArray[np.int32]],
    windows: IntArray,
    slots: IntArray,
    n_experts: int,
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
    entries : tuple
        From :func:`step_entries`.
    windows : ndarray of shape (n_windows + 1,)
        Where each window's steps begin; buffers are empty there.
    slots : ndarray of shape (n_slots,)
        Expert of each slot, ascending on each device.
    capacities : ndarray of shape (n_devices,)
        Experts that each device keeps.
    policy : int
        -1 where the layer is not buffered.
    axes : tuple
        `active`, `each` and `log_seconds` of the LayerTable.
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
    bounds, experts, counts = entries
    n_slots = len(slots)
    n_local = n_slots // n_devices
    first = np.zeros(n_experts + 1, dtype=np.int64)
    for slot in range(n_slots):
        first[slots[slot] + 1] += 1
    for expert in range(n_experts):
        first[expert + 1] += first[expert]
    own = np.empty(n_slots, dtype=np.int64)
    filling = first[:-1].copy()
    for slot in range(n_slots):
        own[filling[slots[slot]]] = slot
        filling[slots[slot]] += 1

    buffered = policy >= 0
    resident = np.zeros(n_slots, dtype=np.bool_)
    lines = np.zeros((n_devices, n_local), dtype=np.int64)
    filled = np.zeros(n_devices, dtype=np.int64)
    oldest = np.zeros(n_devices, dtype=np.int64)
    needed_in = np.full(n_slots, -1, dtype=np.int64)
    used = np.zeros(n_slots, dtype=np.int64)
    last = np.zeros(n_slots, dtype=np.int64)
    clock = 0

    here = np.empty(n_slots, dtype=np.int32)  # tokens of a slot, where it is needed in the step
    active = np.empty(n_devices, dtype=np.int64)
    rows = np.empty(n_devices, dtype=np.int64)
    largest = np.empty(n_devices, dtype=np.int64)
    missed = np.empty(n_devices, dtype=np.int64)
    load = np.empty(n_devices)
    one, part = np.empty(1), np.empty((1, n_local), dtype=np.int32)
    most_rows = 0
    window, start = 0, 0
    for step in range(len(bounds) - 1):
        while step == windows[window + 1]:
            window += 1
        if step == windows[window]:
            start = step
            resident[:] = False
            filled[:] = 0
            oldest[:] = 0
            used[:] = 0
        active[:] = 0
        rows[:] = 0
        largest[:] = 0
        missed[:] = 0
        load[:] = 0.0
        all_rows = 0
        for i in range(bounds[step], bounds[step + 1]):
            expert, n = experts[i], counts[i]
            copies = first[expert + 1] - first[expert]
            all_rows += n
            for rank in range(copies):
                slot = own[first[expert] + rank]
                device = slot // n_local
                load[device] += n / copies
                tokens = n
                if copies > 1:
                    # As many each, to one token; which get the one more goes round.
                    more = 1 if (rank - (step - start)) % copies < n % copies else 0
                    tokens = n // copies + more
                    if tokens == 0:
                        continue
                active[device] += 1
                rows[device] += tokens
                largest[device] = max(largest[device], tokens)
                needed_in[slot] = step
                here[slot] = tokens
        if buffered:
            for i in range(bounds[step], bounds[step + 1]):
                expert = experts[i]
                for j in range(first[expert], first[expert + 1]):
                    slot = own[j]
                    if needed_in[slot] != step:
                        continue
                    device = slot // n_local
                    used[slot] += 1
                    if not resident[slot]:
                        missed[device] += 1
                        _load(
                            slot,
                            step,
                            capacities[device],
                            policy,
                            lines[device],
                            device,
                            resident,
                            filled,
                            oldest,
                            needed_in,
                            used,
                            last,
                        )
                    last[slot] = clock
                    clock += 1

        exchange = 0.0
        if n_devices > 1:
            busiest = float(rows.max()) * (1 - 1 / n_devices)
            exchange = links[0] + busiest * width[0] * width[1] / links[1]
        if n_nodes > 1:
            per_node = n_devices // n_nodes
            on_node = 0
            for node in range(n_nodes):
                on_node = max(on_node, rows[node * per_node : (node + 1) * per_node].sum())
            between = float(on_node) * (1 - 1 / n_nodes) * width[0] * width[1]
            exchange = max(exchange, links[2] + between / links[3])
        slowest, waiting = 0.0, 0.0
        for device in range(n_devices):
            n = active[device]
            known = 0.0
            if n > 0:
                known = np.nan
                if memo.size:
                    known = memo[n, rows[device], largest[device]]
                if np.isnan(known):
                    for local in range(n_local):
                        slot = device * n_local + local
                        part[0, local] = here[slot] if needed_in[slot] == step else 0
                    _interpolate(part, axes[0], axes[1], axes[2], one)
                    known = one[0]
                    if memo.size:
                        memo[n, rows[device], largest[device]] = known
            if buffered:
                if n > 0:
                    known = cost[0] * known + cost[1] + cost[2] * n
                waiting = max(waiting, known)
                known = known + max(missed[device] * cost[3] - exchange, 0.0)
            slowest = max(slowest, known)
            most_rows = max(most_rows, rows[device])
        out[0, step] = slowest + 2 * exchange
        out[1, step] = slowest - waiting if buffered else 0.0
        out[2, step] = load.max() / all_rows if all_rows else 1.0 / n_devices
    return most_rows


@numba.njit(cache=True)
def _load(
    slot: int,
    step: int,
    capacity: int,
    policy: int,
    line: IntArray,
    device: int,
    resident: NDArray[np.bool_],
    filled: IntArray,
    oldest: IntArray,
    needed_in: IntArray,
    used: IntArray,
    last: IntArray,
) -> None:
    """Copy a missing expert into its device's buffer; `line` is in the order of loading."""
    resident[slot] = True
    if filled[device] < capacity:
        line[filled[device]] = slot
        filled[device] += 1
        return
    top = capacity - 1
    victim = -1
    if policy == _FIFO:
        # A full line is a ring whose oldest entry is the next to go.
        victim = oldest[device]
        oldest[device] = victim + 1 if victim < top else 0
        resident[line[victim]] = False
        line[victim] = slot
        return
    if policy == _PAPER:
        for place in range(top, -1, -1):
            if needed_in[line[place]] != step:
                victim = place
                break
    else:
        for place in range(top + 1):
            held = line[place]
            if policy == _INACTIVE_LFU and needed_in[held] == step:
                continue
            if victim >= 0:
                best = line[victim]
                sooner = last[held] < last[best]
                if policy != _LRU and used[held] != used[best]:
                    sooner = used[held] < used[best]
                if not sooner:
                    continue
            victim = place
    if victim < 0:
        victim = top
    resident[line[victim]] = False
    for place in range(victim, top):
        line[place] = line[place + 1]
    line[top] = slot


@numba.njit(cache=True)
def step_statistics(
    step: FloatArray, waiting: FloatArray, bounds: IntArray, batch: int, out: FloatArray
) -> None:
    """Write statistics of the steps, window by window.

    Parameters
    ----------
    step, waiting : ndarray of shape (n_steps,)
    bounds : ndarray of shape (n_windows + 1,)
    batch : int
    out : ndarray of shape (6, n_windows)
        Tokens a second; mean, median and 99th percentile of the steps; mean and 99th percentile of
        the waiting. A percentile is the smallest value that so large a share does not exceed.
    """
    for w in range(len(bounds) - 1):
        part, copies = step[bounds[w] : bounds[w + 1]], waiting[bounds[w] : bounds[w + 1]]
        n = len(part)
        half, high = int(np.ceil(0.5 * n)) - 1, int(np.ceil(0.99 * n)) - 1
        total = 0.0
        for value in part:
            total += value
        out[0, w] = batch * n / total
        out[1, w] = total / n
        out[2, w] = np.partition(part, half)[half]
        out[3, w] = np.partition(part, high)[high]
        out[4, w] = copies.mean()
        out[5, w] = np.partition(copies, high)[high]


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
