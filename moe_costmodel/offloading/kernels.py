"""Compiled replays of offloaded experts: up to 64 settings of size and admission at once.

The settings are the bits of an integer: bit c of a miss says that the c-th setting misses. In most
policies, the order in which experts leave depends on the traffic alone. All settings then share
one list of experts in that order, and one pass over the list finds the victims of all. In the
others, each setting has a queue of its own, in order of loading.

An event is all that one layer needs in one step. Its misses are those of the experts that were not
resident when it began. Counters are updated next, and then experts that missed are uploaded,
highest priority first, each in place of the resident expert of lowest priority.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel.offloading.counters import (
    admit,
    fill,
    open_settings,
    position,
    refill,
    restart,
    spend,
)
from moe_costmodel.offloading.ordering import move_to_top, rise, sink, sort_event
from moela.compilation.jit import cached_njit

__all__ = ["replay_events"]

Bits = NDArray[np.uint64]
Queues = NDArray[np.int16]

# Codes of the policies, in the order of moe_costmodel.OFFLOAD_POLICIES.
_LRU, _LFU, _INACTIVE_LFU, _DECAY, _MIN = range(5)
_FIFO, _LEAST_STALE, _PAPER = range(5, 8)
_ONE, _NONE, _ALL = np.uint64(1), np.uint64(0), np.uint64(2**64 - 1)
_LARGEST_UNIT = 1e200


@cached_njit(nogil=True)
def _exchange(
    order: Ints, rank: int, need: np.uint64, resident: Bits, key: Floats, unit: float,
    margins: Floats, groups: Bits,
) -> np.uint64:  # fmt: skip
    """Put the expert at a rank in place of the lowest resident one; return the settings that do.

    A setting leaves the expert out if no resident one has a lower priority, or if the lowest has a
    key that is less than its margin below.
    """
    expert = order[rank]
    gained, group = _NONE, 0
    for place in range(rank):
        if not need:
            break
        other = order[place]
        while group < len(margins) and key[expert] - key[other] < margins[group] * unit:
            need &= ~groups[group]
            group += 1
        out = need & resident[other]
        if out:
            resident[other] &= ~out
            gained |= out
            need &= ~out
    return gained


@cached_njit(nogil=True)
def _evict(
    some: Ints, spared: int, needed_in: Ints, over: Bits, resident: Bits, pending: Bits,
    several: np.uint64, budget: Floats, any_over: np.uint64,
) -> np.uint64:  # fmt: skip
    """Remove the lowest of the resident and pending experts until as many are gone as `over` says.

    `some` are experts, lowest first; those that step `spared` needs are left out. `over` [n_bits]
    holds the numbers of experts without a slot, one bit of all settings in each entry; `any_over`
    are the settings in which it is not zero, and those that are left are returned. Uploads that
    are not made go back to the `budget`.
    """
    n_bits = len(over)
    for expert in some:
        if not any_over:
            break
        kept = resident[expert]
        out = any_over & (kept | pending[expert])
        if not out or needed_in[expert] == spared:
            continue
        if out & ~kept & several:
            spend(out & ~kept & several, budget, -1.0)
        resident[expert] = kept & ~out
        pending[expert] &= ~out
        borrow, any_over = out, _NONE
        for bit in range(n_bits):
            before = over[bit]
            over[bit] = before ^ borrow
            borrow &= ~before
            any_over |= over[bit]
    return any_over


@cached_njit(nogil=True)
def _upload_highest(
    some: Ints, first_access: int, event: Ints, wanted: int, may: np.uint64, full: np.uint64,
    order: Ints, rank: Ints, event_last: bool, step: int, needed_in: Ints, key: Floats,
    unit: float, capacities: Ints, filled: Ints, resident: Bits, admitted: Bits, pending: Bits,
    over: Bits, left: Bits, first: Bits, with_margin: np.uint64, margins: Floats, groups: Bits,
    single: np.uint64, several: np.uint64, budget: Floats, uploaded: Bits,
) -> np.uint64:  # fmt: skip
    """Upload the admitted experts of an event by priority; return the settings that are full.

    With `event_last`, experts of the event leave only after all others, whatever their rank.
    Settings may be rationed to a `single` upload of an event, or to `several`.
    """
    k, any_over = len(some), _NONE
    for i in range(k - 1, -1, -1):
        expert = event[i]
        bits = admitted[expert]
        if not bits:
            continue
        admitted[expert] = _NONE
        bits &= may
        gained = bits & ~full
        if gained:
            full |= fill(gained, filled, capacities)
            bits &= ~gained
        compared = bits & with_margin
        if compared:
            bits &= ~compared
            gained |= _exchange(order, rank[expert], compared, resident, key, unit, margins, groups)
        pending[expert] = gained | bits
        # One that is evicted at once has the lowest priority, and so have the later ones.
        may &= ~(pending[expert] & single)
        # Budgets that this expert takes, unless it is evicted at once.
        may &= ~spend(pending[expert] & several, budget, 1.0)
        any_over |= bits
        plane = 0
        while bits:
            both = over[plane] & bits
            over[plane] ^= bits
            bits = both
            plane += 1
        wanted -= 1
        if not wanted:
            break
    if any_over:
        spared = step if event_last else -2
        any_over = _evict(
            order, spared, needed_in, over, resident, pending, several, budget, any_over
        )
        if any_over:
            _evict(event[:k], -2, needed_in, over, resident, pending, several, budget, any_over)
    for i in range(k):
        gained = pending[some[i]]
        if gained:
            pending[some[i]] = _NONE
            resident[some[i]] |= gained
            restart(left, some[i], first, gained)
            uploaded[first_access + i] = gained
            spend(gained & single, budget, 1.0)
    return full


@cached_njit(nogil=True)
def _victim(
    queues: Queues, c: int, n: int, head: int, policy: int, needed_in: Ints, step: int, loads: int
) -> int:
    """Return how many experts of a full queue are before the one that leaves; -1 if none may.

    `loads` is the number of those that this event has loaded, which are the last ones.
    """
    if policy == _FIFO:
        return 0 if loads < n else -1
    for i in range(n):
        place = head + i if policy == _LEAST_STALE else n - 1 - i
        if place >= n:
            place -= n
        if needed_in[queues[c, place]] != step:
            return i
    return -1


@cached_njit(nogil=True)
def _replace(
    queues: Queues, c: int, n: int, head: int, before: int, policy: int, expert: int
) -> int:
    """Put an expert at the end of a full queue in place of another one; return the latter.

    The queue is a ring that begins at `head` ("fifo", "least-stale"), or a stack ("paper").
    """
    if policy == _PAPER:
        place = n - 1 - before
        victim = queues[c, place]
        for moved in range(place, n - 1):
            queues[c, moved] = queues[c, moved + 1]
        queues[c, n - 1] = expert
        return victim
    place = head + before
    if place >= n:
        place -= n
    victim = queues[c, place]
    for _ in range(before):
        previous = place - 1 if place > 0 else n - 1
        queues[c, place] = queues[c, previous]
        place = previous
    queues[c, head] = expert
    return victim


@cached_njit(nogil=True)
def _upload_queued(
    some: Ints, first_access: int, step: int, policy: int, may: np.uint64, capacities: Ints,
    filled: Ints, resident: Bits, admitted: Bits, queues: Queues, heads: Ints, loads: Ints,
    needed_in: Ints, left: Bits, first: Bits, rationed: np.uint64, budget: Floats, uploaded: Bits,
) -> None:  # fmt: skip
    """Upload the admitted experts of an event in policies with a queue for each setting.

    An expert that this event needs does not leave for another one of the same event.
    """
    loads[:] = 0
    for i in range(len(some)):
        expert = some[i]
        bits, gained = admitted[expert] & may, _NONE
        admitted[expert] = _NONE
        while bits:
            bit = bits & (~bits + _ONE)
            c = position(bit)
            bits ^= bit
            if filled[c] < capacities[c]:
                queues[c, filled[c]] = expert
                filled[c] += 1
            else:
                n, head = filled[c], heads[c]
                before = _victim(queues, c, n, head, policy, needed_in, step, loads[c])
                if before < 0:
                    continue
                victim = _replace(queues, c, n, head, before, policy, expert)
                if policy != _PAPER:
                    heads[c] = head + 1 if head + 1 < n else 0
                resident[victim] &= ~bit
            loads[c] += 1
            gained |= bit
        if gained:
            resident[expert] |= gained
            restart(left, expert, first, gained)
            uploaded[first_access + i] = gained
            may &= ~spend(gained & rationed, budget, 1.0)


@cached_njit(nogil=True)
def replay_events(
    ids: Ints, bounds: Ints, following: Ints, capacities: Ints, policy: int, unit_factor: float,
    order: Ints, key: Floats, first: Bits, margins: Floats, groups: Bits, rate: Floats,
    opens: Ints, over: Bits, resident: Bits, filled: Ints, queues: Queues, missed: Bits,
    uploaded: Bits,
) -> None:  # fmt: skip
    """Write into `missed` and `uploaded` [n_accesses] the settings, as bits, of each access.

    Parameters
    ----------
    ids, bounds : int64 array [n_accesses], [n_steps + 1]
        As in ExpertStream.
    following : int64 array [n_accesses]
        Step in which the expert of each access is needed next ("min").
    capacities : int64 array [n_settings]
    policy : int
    unit_factor : float
        Factor of the unit of counts in each step ("decay"), at least 1.
    order : int64 array [n_experts]
        Experts by priority, lowest first; changed.
    key : float64 array [n_experts]
        Counts to begin with; changed.
    first : uint64 array [n_bits]
        Misses before an upload, less one, as bits of all settings.
    margins, groups : float64, uint64 array [n_margins]
        Margins above zero in descending order, and the settings of each.
    rate : float64 array [n_settings]
        Uploads a step; infinite if they are not limited.
    opens : int64 array [n_settings]
        Step in which uploads begin.
    over : uint64 array [n_bits]
        Zeros, as many as the number of experts of an event has bits.
    resident : uint64 array [n_experts]
        First contents, as bits of all settings; changed.
    filled, queues : int64 array [n_settings], int16 array [n_settings, most]
        Numbers and lists of the first contents, last loaded last; changed.
    """
    n_experts, n_settings = len(order), len(capacities)
    everywhere = _ALL >> np.uint64(64 - n_settings)
    admitted, pending = np.zeros((2, n_experts), dtype=np.uint64)
    left = np.empty((n_experts, len(first)), dtype=np.uint64)
    for plane in range(len(first)):
        left[:, plane] = first[plane]
    heads, loads = np.zeros((2, n_settings), dtype=np.int64)
    needed_in, placed_in = np.full((2, n_experts), -1, dtype=np.int64)
    event, rank = np.empty((2, n_experts), dtype=np.int64)
    for place in range(n_experts):
        rank[order[place]] = place
    budget, full = np.zeros(n_settings), _NONE
    single, several, closed, next_open = _NONE, _NONE, everywhere, 0
    for c in range(n_settings):
        bit = _ONE << np.uint64(c)
        if filled[c] == capacities[c]:
            full |= bit
        if 0.0 < rate[c] <= 1.0:
            single |= bit
        elif 1.0 < rate[c] < np.inf:
            several |= bit
    rationed = single | several
    below = rationed
    with_margin = _NONE
    for group in groups:
        with_margin |= group
    unit = 1.0
    for step in range(len(bounds) - 1):
        begin, end = bounds[step], bounds[step + 1]
        unit *= unit_factor
        if unit > _LARGEST_UNIT:
            key /= unit
            unit = 1.0
        if step == next_open:
            closed, next_open = open_settings(closed, opens, rate, step)
        may = everywhere & ~closed
        if below:
            below, empty = refill(below, budget, rate)
            may &= ~empty
        some, wanted = ids[begin:end], 0
        for i in range(begin, end):
            expert = ids[i]
            bits = everywhere & ~resident[expert]
            missed[i], uploaded[i] = bits, _NONE
            needed_in[expert] = step
            if bits:
                admitted[expert] = admit(bits, left, expert) & may
                wanted += admitted[expert] != _NONE
            if policy == _MIN:  # unique, so that experts needed in the same step have an order
                key[expert] = -(float(following[i]) * n_experts + expert)
            else:
                key[expert] = step if policy == _LRU else key[expert] + unit
        if wanted:
            below |= may & rationed
        if policy >= _FIFO:
            _upload_queued(
                some, begin, step, policy, may, capacities, filled, resident, admitted, queues,
                heads, loads, needed_in, left, first, rationed, budget, uploaded,
            )  # fmt: skip
            continue
        sort_event(some, key, event)
        k = end - begin
        if policy == _LRU:
            move_to_top(order, event, k, step, needed_in)
        elif policy == _MIN:
            sink(order, event, k, key)
        else:
            rise(order, rank, event, k, key, step, placed_in)
        if wanted:
            full = _upload_highest(
                some, begin, event, wanted, may, full, order, rank, policy == _INACTIVE_LFU, step,
                needed_in, key, unit, capacities, filled, resident, admitted, pending, over, left,
                first, with_margin, margins, groups, single, several, budget, uploaded,
            )  # fmt: skip
