"""The compiled kernels of one layer: table lookups, and the replay of its steps on devices.

All compiled callees are in this file, since numba's cache looks at the caller's file only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Floats, Ints
from moela.compilation.jit import cached_njit

__all__ = ["Costs", "Machine", "TableAxes", "Traffic", "interpolate", "layer_times"]

# Codes of the policies, in the order of moe_costmodel.POLICIES; "min" is none of these.
_PAPER, _FIFO, _LRU, _LFU, _INACTIVE_LFU = range(5)
# Rank of a buffered expert, the lowest leaves first: how often it was used, above the time of its
# last use; on top of both, whether the step needs it.
_USE = np.int64(1) << 36
_NEEDED = np.int64(1) << 62
# Steps that one pass goes through: what lies between two passes stays in the processor's cache.
_BLOCK = 256


Shorts = NDArray[np.int32]
Slots = NDArray[np.uint16]
# Plain tuples, since numba dispatches on named ones far more slowly.
# Tokens of each expert, (n_steps, n_experts), unused if there are entries; bounds, experts and
# tokens of the entries of deployment.kernels.step_entries, which is faster if few experts are
# active (else empty); first step of each window, (n_windows + 1,), where buffers are empty.
Traffic = tuple[Shorts, Ints, Shorts, Shorts, Ints]
# Number of devices and of nodes; latency and bandwidth between devices, and between nodes; width of
# a token and bytes of an element.
Machine = tuple[int, int, tuple[float, float, float, float], tuple[float, float]]
# `active`, `rows` and `log_seconds` of a LayerTable.
TableAxes = tuple[Floats, Floats, Floats]
# Slots in the order of their experts: those of expert e are own[first[e]:first[e + 1]]; position of
# a slot among those of its expert; number of an expert's slots.
Layout = tuple[Ints, Ints, Ints, Ints]
# Scales of the layer's own time, of experts in slots that are used once and again in a step;
# seconds per step, per active expert and per miss.
Costs = tuple[float, float, float, float, float]
# Code of the policy, -1 if the layer is not buffered; experts that each device keeps, (n_devices,);
# the costs; seconds that are added on each device in each step, (n_devices, n_steps), empty unless
# a rule for misses says so.
Buffering = tuple[int, Ints, Costs, NDArray[np.float32]]


@cached_njit()
def _lookup(n: int, total: float, largest: float, table: TableAxes) -> float:
    """Return the seconds of `n` active experts with `total` rows, `largest` on the busiest."""
    active, rows, logs = table
    n_active, n_rows, n_largest = logs.shape
    step = rows[1] - rows[0]
    x, y, z = np.log(n), np.log(total), np.log(max(largest, 1.0))
    beyond = max(0.0, z - step * (n_largest - 1))
    y, z = max(0.0, y - beyond) / step, (z - beyond) / step
    a = min(max(np.searchsorted(active, x) - 1, 0), max(n_active - 2, 0))
    a1 = min(a + 1, n_active - 1)
    fa = (x - active[a]) / (active[a1] - active[a]) if a1 > a else 0.0
    b, c = min(int(y), n_rows - 2), min(int(z), n_largest - 2)
    fb, fc = min(y - b, 1.0), z - c
    value = 0.0
    for da in range(2):
        for db in range(2):
            for dc in range(2):
                share = (fa if da else 1 - fa) * (fb if db else 1 - fb) * (fc if dc else 1 - fc)
                value += share * logs[a1 if da else a, b + db, c + dc]
    return np.exp(value + beyond)


@cached_njit()
def interpolate(counts: NDArray[np.generic], table: TableAxes, out: Floats) -> int:
    """Write the seconds of each row of tokens per expert, (n, n_local), into `out`, (n,).

    Return the first row with a count that is negative, infinite or NaN, and stop there; -1 if none
    has one.
    """
    for i in range(len(counts)):
        n, total, largest = 0, 0.0, 0.0
        for value in counts[i]:
            if value > 0:
                n += 1
                total += value
                largest = max(largest, value)
            elif value != 0:  # NaN, too
                return i
        if total == np.inf:
            return i
        out[i] = 0.0 if n == 0 else _lookup(n, total, largest, table)
    return -1


@cached_njit()
def layer_times(
    traffic: Traffic,
    slots: Ints,
    machine: Machine,
    table: TableAxes,
    memo: Floats,
    buffering: Buffering,
    out: Floats,
) -> int:
    """Write one layer's steps, and return the most rows that a device has in one.

    `slots` has the expert of each slot, ascending on each device. `memo`, (n_local + 1, most rows
    + 1, most of one expert + 1), has the times already looked up, NaN if unknown; empty to do
    without. The time in the table depends on these three numbers alone, so a time from `memo`
    equals that of the table to the bit. `out`, (3, n_steps), takes the seconds, the part of them
    that waits for copies, and the largest share of tokens on a device.
    """
    counts, bounds, _, _, windows = traffic
    policy, capacities, _, charges = buffering
    n_slots, n_devices = len(slots), machine[0]
    n_local, buffered = n_slots // n_devices, policy >= 0
    layout = _slots_of_experts(slots, counts.shape[1])
    needed = np.empty((n_devices, _BLOCK, n_local), dtype=np.uint16)
    work = np.zeros((3, n_devices, _BLOCK), dtype=np.int32)
    misses = np.zeros((n_devices, _BLOCK), dtype=np.int32)
    exchange, contents = np.zeros(_BLOCK), np.zeros((4, n_devices, n_local), dtype=np.int64)
    marks = np.zeros((n_devices, 3), dtype=np.int64)
    most_rows = 0
    for window in range(len(windows) - 1):
        contents[0], contents[1:], marks[:] = -1, 0, 0
        for first in range(windows[window], windows[window + 1], _BLOCK):
            end = min(first + _BLOCK, windows[window + 1])
            turn, n = first - windows[window], end - first
            if len(bounds):
                _assign_entries(traffic, first, end, turn, layout, needed, work)
            else:
                _assign_counts(counts[first:end], turn, slots, layout, needed, work)
            rows = work[1, :, :n]
            busiest = _exchanges(rows, machine, exchange, out[2, first:end])
            most_rows = max(most_rows, busiest)
            for device in range(n_devices if buffered else 0):
                served, n_served = needed[device, :n], work[0, device]
                state, mark, missed = contents[:, device], marks[device], misses[device]
                if policy == _PAPER:
                    _paper(served, n_served, capacities[device], state, mark, missed)
                elif policy == _FIFO:
                    _fifo(served, n_served, capacities[device], state, mark, missed)
                else:
                    _ranked(served, n_served, capacities[device], policy, state, mark, missed)
            charged = charges[:, first:end]
            _combine(work, misses, charged, exchange, table, memo, buffering, out[:, first:end])
    return most_rows


@cached_njit()
def _slots_of_experts(slots: Ints, n_experts: int) -> Layout:
    """Return the slots of each expert; see Layout."""
    first = np.zeros(n_experts + 1, dtype=np.int64)
    for slot in range(len(slots)):
        first[slots[slot] + 1] += 1
    for expert in range(n_experts):
        first[expert + 1] += first[expert]
    own = np.empty(len(slots), dtype=np.int64)
    rank = np.zeros(len(slots), dtype=np.int64)
    copies = np.zeros(n_experts, dtype=np.int64)
    for slot in range(len(slots)):
        expert = slots[slot]
        rank[slot] = copies[expert]
        own[first[expert] + copies[expert]] = slot
        copies[expert] += 1
    return own, first, rank, copies


@cached_njit()
def _assign_entries(
    traffic: Traffic,
    begin: int,
    end: int,
    turn: int,
    layout: Layout,
    needed: Slots,
    work: Shorts,
) -> None:
    """Assign the active experts of steps begin to end to their slots, and add up their work.

    `turn` is the number of the first step in its window. The outputs are `needed`, the slots of
    each device that compute, ascending, from 0, (n_devices, n_steps, n_local), and `work`, the
    slots that compute, rows, and rows of the busiest slot.
    """
    _, bounds, experts, tokens, _ = traffic
    own, first, rank, copies = layout
    n_needed, rows, most = work
    n_local, replicated = needed.shape[2], len(own) > len(copies)
    work[:] = 0
    for step in range(end - begin):
        for i in range(bounds[begin + step], bounds[begin + step + 1]):
            expert, n = experts[i], int(tokens[i])
            if not replicated:
                slot = own[expert]
                device = slot // n_local
                needed[device, step, n_needed[device, step]] = slot - device * n_local
                n_needed[device, step] += 1
                rows[device, step] += n
                most[device, step] = max(most[device, step], n)
                continue
            for at in range(first[expert], first[expert + 1]):
                slot = own[at]
                device = slot // n_local
                dealt = _dealt(n, copies[expert], rank[slot], turn + step + expert)
                needed[device, step, n_needed[device, step]] = slot - device * n_local
                n_needed[device, step] += 1 if dealt > 0 else 0
                rows[device, step] += dealt
                most[device, step] = max(most[device, step], dealt)


@cached_njit()
def _assign_counts(
    counts: Shorts,
    turn: int,
    slots: Ints,
    layout: Layout,
    needed: Slots,
    work: Shorts,
) -> None:
    """Do as `_assign_entries`, given the tokens of all experts, (n_steps, n_experts)."""
    _, _, rank, copies = layout
    n_needed, rows, most = work
    n_local, replicated = needed.shape[2], len(slots) > len(copies)
    for step in range(len(counts)):
        for device in range(len(rows)):
            begin = device * n_local
            n, total, largest = 0, 0, 0
            for slot in range(begin, begin + n_local):
                expert = slots[slot]
                dealt = int(counts[step, expert])
                if replicated:
                    dealt = _dealt(dealt, copies[expert], rank[slot], turn + step + expert)
                needed[device, step, n] = slot - begin
                n += 1 if dealt > 0 else 0
                total += dealt
                largest = max(largest, dealt)
            n_needed[device, step], rows[device, step], most[device, step] = n, total, largest


@cached_njit()
def _dealt(tokens: int, copies: int, rank: int, turn: int) -> int:
    """Return the tokens of one copy: an even share; the copies take turns with the remainder.

    Turns count from the number of the expert. If all experts began at their first copies, the first
    devices would get the remainders of a step together.
    """
    return tokens // copies + (1 if (rank - turn) % copies < tokens % copies else 0)


@cached_njit()
def _exchanges(rows: Shorts, machine: Machine, out: Floats, share: Floats) -> int:
    """Write the seconds of each step's exchange, one way, and its largest share on a device.

    Returns the most rows of a device in any step. A step without rows is even.
    """
    n_devices, n_nodes, links, width = machine
    per_node, most_rows = n_devices // n_nodes, 0
    for step in range(rows.shape[1]):
        busiest, busiest_node, total, seconds = 0, 0, 0, 0.0
        for node in range(n_nodes):
            on_node = 0
            for device in range(node * per_node, (node + 1) * per_node):
                n = rows[device, step]
                on_node += n
                busiest = max(busiest, n)
            busiest_node = max(busiest_node, on_node)
            total += on_node
        most_rows = max(most_rows, busiest)
        share[step] = busiest / total if total else 1.0 / n_devices
        if n_devices > 1:
            sent = float(busiest) * (1 - 1 / n_devices)
            seconds = links[0] + sent * width[0] * width[1] / links[1]
        if n_nodes > 1:
            sent = float(busiest_node) * (1 - 1 / n_nodes)
            seconds = max(seconds, links[2] + sent * width[0] * width[1] / links[3])
        out[step] = seconds
    return most_rows


@cached_njit()
def _paper(
    needed: Slots, n_needed: Shorts, capacity: int, contents: Ints, marks: Ints, misses: Shorts
) -> None:
    """Replay one device's buffer: inactive experts leave first, last in first out.

    Of the slots that compute in a step, ``needed[step]``, ascending, the first ``n_needed[step]``
    count. The state goes on from block to block: `contents`, (4, n_local), has the place of each
    slot, -1 if it is not in the buffer, the slot at each place, and two rows that the policy keeps;
    `marks` has three numbers that it keeps, first of them the places in use.
    """
    place, line, stamp, _ = contents  # the line is in the order of loading
    for step in range(len(needed)):
        misses[step] = 0
        marks[1] += 1
        for i in range(n_needed[step]):
            stamp[needed[step, i]] = marks[1]
        for i in range(n_needed[step]):
            slot = needed[step, i]
            if place[slot] >= 0:
                continue
            misses[step] += 1
            place[slot] = 0
            if marks[0] < capacity:
                line[marks[0]] = slot
                marks[0] += 1
                continue
            at = capacity - 1
            while at >= 0 and stamp[line[at]] == marks[1]:
                at -= 1
            at = capacity - 1 if at < 0 else at
            place[line[at]] = -1
            for later in range(at, capacity - 1):
                line[later] = line[later + 1]
            line[capacity - 1] = slot


@cached_njit()
def _fifo(
    needed: Slots, n_needed: Shorts, capacity: int, contents: Ints, marks: Ints, misses: Shorts
) -> None:
    """Replay one device's buffer, first in first out; parameters as of `_paper`."""
    place, line = contents[0], contents[1]
    filled, oldest = marks[0], marks[1]
    for step in range(len(needed)):
        misses[step] = 0
        for i in range(n_needed[step]):
            slot = needed[step, i]
            if place[slot] >= 0:
                continue
            misses[step] += 1
            place[slot] = 0
            if filled < capacity:
                line[filled] = slot
                filled += 1
                continue
            # A full line is a ring, and its oldest entry leaves next.
            place[line[oldest]] = -1
            line[oldest] = slot
            oldest = oldest + 1 if oldest + 1 < capacity else 0
    marks[0], marks[1] = filled, oldest


@cached_njit()
def _ranked(
    needed: Slots,
    n_needed: Shorts,
    capacity: int,
    policy: int,
    contents: Ints,
    marks: Ints,
    misses: Shorts,
) -> None:
    """Replay one device's buffer that evicts the lowest rank; parameters as of `_paper`."""
    place, line, key, used = contents
    filled, newest, clock = marks
    counting = 0 if policy == _LRU else 1
    for step in range(len(needed)):
        n, missed = n_needed[step], 0
        guard = np.int64(0)
        if policy == _INACTIVE_LFU and n > 0:
            absent = 0
            for i in range(n):
                absent += 1 if place[needed[step, i]] < 0 else 0
            if filled + absent > capacity:
                guard = _NEEDED
                for i in range(n):
                    at = place[needed[step, i]]
                    if at >= 0:
                        key[at] += guard
        for i in range(n):
            slot = needed[step, i]
            clock += 1
            used[slot] += counting
            at = place[slot]
            if at < 0:
                missed += 1
                at = filled
                if filled < capacity:
                    filled += 1
                else:
                    at, least = 0, key[0]
                    for other in range(1, capacity):
                        if key[other] < least:
                            at, least = other, key[other]
                    if least >= _NEEDED:
                        at = newest
                    place[line[at]] = -1
                line[at] = slot
                place[slot] = at
                newest = at
            key[at] = used[slot] * _USE + clock + guard
        if guard:
            for i in range(n):
                at = place[needed[step, i]]
                if at >= 0:
                    key[at] -= guard
        misses[step] = missed
    marks[0], marks[1], marks[2] = filled, newest, clock


@cached_njit()
def _combine(
    work: Shorts,
    misses: Shorts,
    charged: NDArray[np.float32],
    exchange: Floats,
    table: TableAxes,
    memo: Floats,
    buffering: Buffering,
    out: Floats,
) -> None:
    """Write the seconds of each step, and the part of them that waits for copies."""
    n_needed, rows, most = work
    policy, capacities, cost, _ = buffering
    known, buffered = memo.size > 0, policy >= 0
    for step in range(out.shape[1]):
        slowest, without = 0.0, 0.0
        for device in range(len(rows)):
            n, total, largest = n_needed[device, step], rows[device, step], most[device, step]
            if n == 0:
                continue
            seconds = memo[n, total, largest] if known else np.nan
            if np.isnan(seconds):
                seconds = _lookup(n, float(total), float(largest), table)
                if known:
                    memo[n, total, largest] = seconds
            if buffered:
                again = max(n - capacities[device], 0) / n
                scale = cost[0] + (cost[1] - cost[0]) * again
                seconds = scale * seconds + cost[2] + cost[3] * n
                without = max(without, seconds)
                seconds += max(misses[device, step] * cost[4] - exchange[step], 0.0)
            elif len(charged):
                without = max(without, seconds)
                seconds += charged[device, step]
            slowest = max(slowest, seconds)
        out[0, step] = slowest + 2 * exchange[step]
        out[1, step] = slowest - without if buffered or len(charged) else 0.0
