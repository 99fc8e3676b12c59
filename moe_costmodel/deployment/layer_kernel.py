"""The compiled replay of one layer: where tokens go, what devices keep, what every step takes."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel.latency.layer_table import _interpolate

__all__ = ["layer_times"]

# Codes of the policies, in the order of moe_costmodel.POLICIES; "min" is none of these.
_PAPER, _FIFO, _LRU, _LFU, _INACTIVE_LFU = range(5)
# What a buffer's experts are ranked by, the lowest first to go: how often an expert was used, above
# when it was last; on top of both, whether the step needs it.
_USE = np.int64(1) << 36
_NEEDED = np.int64(1) << 62


@numba.njit(cache=True)
def layer_times(
    counts: NDArray[np.int32],
    entries: tuple[Ints, NDArray[np.int32], NDArray[np.int32]],
    windows: Ints,
    slots: Ints,
    n_devices: int,
    n_nodes: int,
    capacities: Ints,
    policy: int,
    axes: tuple[Floats, Floats, Floats],
    memo: Floats,
    cost: tuple[float, float, float, float],
    links: tuple[float, float, float, float],
    width: tuple[float, float],
    out: Floats,
) -> int:
    """Write one layer's steps, and return the most rows that a device has in one.

    Parameters
    ----------
    counts : ndarray of shape (n_steps, n_experts)
        Tokens of each expert; unused where there are entries.
    entries : tuple
        From :func:`moe_costmodel.deployment.kernels.step_entries` where few experts are active,
        which is quicker then; else empty.
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
    n_slots, n_experts = len(slots), counts.shape[1]
    n_local = n_slots // n_devices
    bounds, experts, n_tokens = entries
    sparse = len(bounds) > 0
    replicated = n_slots > n_experts
    buffered = policy >= 0
    first = np.zeros(n_experts + 1, dtype=np.int64)
    for slot in range(n_slots):
        first[slots[slot] + 1] += 1
    for expert in range(n_experts):
        first[expert + 1] += first[expert]
    # The slots of expert e are own[first[e]:first[e + 1]]; each is the rank-th of them.
    own = np.empty(n_slots, dtype=np.int64)
    rank = np.zeros(n_slots, dtype=np.int64)
    copies = np.zeros(n_experts, dtype=np.int64)
    on = np.empty(n_slots, dtype=np.int64)
    for slot in range(n_slots):
        expert = slots[slot]
        rank[slot] = copies[expert]
        own[first[expert] + copies[expert]] = slot
        copies[expert] += 1
        on[slot] = slot // n_local

    tokens_of = np.zeros(n_slots, dtype=np.int64)
    stamp = np.full(n_slots, -1)  # last step that needed the slot
    used = np.zeros(n_slots, dtype=np.int64)
    place_of = np.full(n_slots, -1)  # in the buffers; -1 where it is not
    line = np.zeros(n_slots, dtype=np.int64)  # slots in the buffers, each from device * n_local
    key = np.zeros(n_slots, dtype=np.int64)  # what those in the buffers are ranked by
    filled = np.zeros(n_devices, dtype=np.int64)
    newest = np.zeros(n_devices, dtype=np.int64)
    clock = 0

    # The slots that a device computes in the step, ascending, from device * n_local.
    needed = np.empty(n_slots + 1, dtype=np.int64)
    n_needed = np.zeros(n_devices, dtype=np.int64)
    rows = np.zeros(n_devices, dtype=np.int64)
    most = np.zeros(n_devices, dtype=np.int64)
    load = np.zeros(n_devices)
    one, part = np.empty(1), np.empty((1, n_local), dtype=np.int64)
    most_rows = 0
    window, start = 0, 0
    for step in range(out.shape[1]):
        if step == windows[window + 1]:
            window += 1
            start = step
            filled[:] = 0
            newest[:] = 0
            used[:] = 0
            place_of[:] = -1
        # ---------------------------------------------------------------- which slots compute what
        if sparse:
            for device in range(n_devices):
                n_needed[device] = 0
                rows[device] = 0
                most[device] = 0
                load[device] = 0.0
            for i in range(bounds[step], bounds[step + 1]):
                expert, tokens = experts[i], int(n_tokens[i])
                if not replicated:
                    slot = own[expert]
                    device = on[slot]
                    tokens_of[slot] = tokens
                    needed[device * n_local + n_needed[device]] = slot
                    n_needed[device] += 1
                    rows[device] += tokens
                    most[device] = max(most[device], tokens)
                    continue
                for place in range(first[expert], first[expert + 1]):
                    slot = own[place]
                    device = on[slot]
                    load[device] += tokens / copies[expert]
                    dealt = _dealt(tokens, copies[expert], rank[slot], step - start)
                    tokens_of[slot] = dealt
                    needed[device * n_local + n_needed[device]] = slot
                    n_needed[device] += 1 if dealt > 0 else 0
                    rows[device] += dealt
                    most[device] = max(most[device], dealt)
        else:
            for device in range(n_devices):
                begin = device * n_local
                n, total, largest, share = 0, 0, 0, 0.0
                for slot in range(begin, begin + n_local):
                    expert = slots[slot]
                    tokens = int(counts[step, expert])
                    if replicated:
                        share += tokens / copies[expert]
                        tokens = _dealt(tokens, copies[expert], rank[slot], step - start)
                    tokens_of[slot] = tokens
                    needed[begin + n] = slot
                    n += 1 if tokens > 0 else 0
                    total += tokens
                    largest = max(largest, tokens)
                n_needed[device], rows[device], most[device] = n, total, largest
                load[device] = share
        # --------------------------------------------------------------------- what devices take
        fullest, all_rows, busiest = 0.0, 0, 0
        for device in range(n_devices):
            fullest = max(fullest, load[device] if replicated else float(rows[device]))
            all_rows += rows[device]
            busiest = max(busiest, rows[device])
        most_rows = max(most_rows, busiest)
        exchange = 0.0
        if n_devices > 1:
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
            n = n_needed[device]
            if n == 0:
                continue
            begin = device * n_local
            seconds = memo[n, rows[device], most[device]] if memo.size else np.nan
            if np.isnan(seconds):
                part[:] = 0
                for i in range(n):
                    part[0, needed[begin + i] - begin] = tokens_of[needed[begin + i]]
                _interpolate(part, axes[0], axes[1], axes[2], one)
                seconds = one[0]
                if memo.size:
                    memo[n, rows[device], most[device]] = seconds
            if not buffered:
                slowest = max(slowest, seconds)
                continue
            seconds = cost[0] * seconds + cost[1] + cost[2] * n
            without = max(without, seconds)
            # ---------------------------------------------------------------- what is not there
            end = begin + capacities[device]
            misses = 0
            absent = 0
            for i in range(n):
                absent += 1 if place_of[needed[begin + i]] < 0 else 0
            full = begin + filled[device] + absent > end
            if full and policy == _PAPER:
                for i in range(n):
                    stamp[needed[begin + i]] = step
            elif full and policy == _INACTIVE_LFU:
                for i in range(n):
                    place = place_of[needed[begin + i]]
                    if place >= 0:
                        key[place] += _NEEDED
            for i in range(n):
                slot = needed[begin + i]
                place = place_of[slot]
                if policy >= _LRU:
                    clock += 1
                    if policy != _LRU:
                        used[slot] += 1
                if place < 0:
                    misses += 1
                    if begin + filled[device] < end:
                        place = begin + filled[device]
                        filled[device] += 1
                    else:
                        if policy == _FIFO:
                            # A full line is a ring whose oldest entry is the next to go.
                            place = begin + newest[device]
                            newest[device] = newest[device] + 1 if place + 1 < end else 0
                        elif policy == _PAPER:
                            place = end - 1
                            for at in range(end - 1, begin - 1, -1):
                                if stamp[line[at]] != step:
                                    place = at
                                    break
                        else:
                            place, least = begin, key[begin]
                            for at in range(begin + 1, end):
                                if key[at] < least:
                                    place, least = at, key[at]
                            if least >= _NEEDED:
                                place = begin + newest[device]
                        place_of[line[place]] = -1
                        if policy == _PAPER:
                            # In the order that they were loaded in.
                            for at in range(place, end - 1):
                                line[at] = line[at + 1]
                            place = end - 1
                    line[place] = slot
                    # Only whether it is there matters where a line is shifted.
                    place_of[slot] = place
                    if policy >= _LRU:
                        newest[device] = place - begin
                if policy == _LRU:
                    key[place] = clock
                elif policy > _LRU:
                    key[place] = used[slot] * _USE + clock
                    if full and policy == _INACTIVE_LFU:
                        key[place] += _NEEDED
            if full and policy == _INACTIVE_LFU:
                for i in range(n):
                    place = place_of[needed[begin + i]]
                    if place >= 0:
                        key[place] -= _NEEDED
            slowest = max(slowest, seconds + max(misses * cost[3] - exchange, 0.0))
        out[0, step] = slowest + 2 * exchange
        out[1, step] = slowest - without if buffered else 0.0
        out[2, step] = fullest / all_rows if all_rows else 1.0 / n_devices
    return most_rows


@numba.njit(cache=True)
def _dealt(tokens: int, copies: int, rank: int, turn: int) -> int:
    """Return the tokens of one copy: as many each, to one token; which get it goes round."""
    return tokens // copies + (1 if (rank - turn) % copies < tokens % copies else 0)
