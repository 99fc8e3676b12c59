"""Compiled replays of offloaded experts: up to 64 settings of size and admission at once.

The settings are the bits of an integer: bit c of a miss says that the c-th setting misses. In the
policies of this file, the order in which experts leave depends on the traffic alone. All settings
share one list of experts in that order, and one pass over the list finds the victims of all.

An event is all that one layer needs in one step. Its misses are those of the experts that were not
resident when it began. Counters are updated next, and then experts that missed are uploaded,
highest priority first, each in place of the resident expert of lowest priority.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Bools, Floats, Ints

__all__ = ["ordered_events", "totals"]

Bits = NDArray[np.uint64]
Queues = NDArray[np.int16]

# Codes of the policies, in the order of moe_costmodel.OFFLOAD_POLICIES.
_LRU, _LFU, _INACTIVE_LFU, _DECAY, _MIN = range(5)
_FIFO, _LEAST_STALE, _PAPER = range(5, 8)
_ONE, _NONE, _ALL = np.uint64(1), np.uint64(0), np.uint64(2**64 - 1)
_LARGEST_UNIT = 1e200
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_POSITIONS = np.zeros(64, dtype=np.int64)
for _i in range(64):
    _POSITIONS[(int(_DE_BRUIJN) << _i & (2**64 - 1)) >> 58] = _i


@numba.njit(cache=True, nogil=True)
def totals(bits: Bits, n_settings: int) -> Ints:
    """Count the bits of each setting over all accesses, [n_settings]."""
    planes = np.zeros(64, dtype=np.uint64)
    for word in bits:
        carry, plane = word, 0
        while carry:
            both = planes[plane] & carry
            planes[plane] ^= carry
            carry = both
            plane += 1
    out = np.zeros(n_settings, dtype=np.int64)
    for plane in range(63):
        for c in range(n_settings):
            if planes[plane] >> np.uint64(c) & _ONE:
                out[c] += 1 << plane
    return out


@numba.njit(cache=True, nogil=True)
def admit(missed: np.uint64, left: Bits, expert: int) -> np.uint64:
    """Count down the misses that are left before an expert is uploaded; return the settings at 0.

    `left` [n_experts, n_bits] holds the counters, one bit of all settings in each entry.
    """
    above = _NONE
    for plane in range(left.shape[1]):
        above |= left[expert, plane]
    borrow = missed & above
    for plane in range(left.shape[1]):
        before = left[expert, plane]
        left[expert, plane] = before ^ borrow
        borrow &= ~before
    return missed & ~above


@numba.njit(cache=True, nogil=True)
def restart(left: Bits, expert: int, first: Bits, bits: np.uint64) -> None:
    """Set the counters of an expert back to their first values in some settings."""
    for plane in range(len(first)):
        left[expert, plane] = (left[expert, plane] & ~bits) | (first[plane] & bits)


@numba.njit(cache=True, nogil=True)
def refill(budget: Floats, rate: Floats) -> np.uint64:
    """Add what a step may upload to the budgets; return the settings that may upload at least one.

    A budget that is not used is kept for later steps, but never more than one step's or one upload.
    """
    may = _NONE
    for c in range(len(rate)):
        budget[c] = min(budget[c] + rate[c], max(1.0, rate[c]))
        if budget[c] >= 1.0:
            may |= _ONE << np.uint64(c)
    return may


@numba.njit(cache=True, nogil=True)
def spend(bits: np.uint64, budget: Floats) -> np.uint64:
    """Take one upload from the budgets of some settings; return those that have none left."""
    spent, c = _NONE, np.uint64(0)
    while bits:
        if bits & _ONE:
            budget[c] -= 1.0
            if budget[c] < 1.0:
                spent |= _ONE << c
        bits >>= _ONE
        c += _ONE
    return spent


@numba.njit(cache=True, nogil=True)
def refund(bits: np.uint64, budget: Floats) -> None:
    """Give one upload back to the budgets of some settings."""
    c = np.uint64(0)
    while bits:
        if bits & _ONE:
            budget[c] += 1.0
        bits >>= _ONE
        c += _ONE


@numba.njit(cache=True, nogil=True)
def fill(bits: np.uint64, filled: Ints, capacities: Ints) -> np.uint64:
    """Take a slot in some settings that have free ones; return those that are full now."""
    full, c = _NONE, np.uint64(0)
    while bits:
        if bits & _ONE:
            filled[c] += 1
            if filled[c] == capacities[c]:
                full |= _ONE << c
        bits >>= _ONE
        c += _ONE
    return full


@numba.njit(cache=True, nogil=True)
def still_closed(closed: np.uint64, opens: Ints, step: int) -> np.uint64:
    """Return the settings among `closed` whose uploads begin after a step."""
    for c in range(len(opens)):
        if opens[c] <= step:
            closed &= ~(_ONE << np.uint64(c))
    return closed


@numba.njit(cache=True, nogil=True)
def _next_step(ids: Ints, bounds: Ints, n_experts: int) -> Ints:
    """Return the step in which the expert of each access is needed next, [n_accesses]."""
    n_steps = len(bounds) - 1
    following = np.empty(len(ids), dtype=np.int64)
    position = np.full(n_experts, n_steps, dtype=np.int64)
    for step in range(n_steps - 1, -1, -1):
        for i in range(bounds[step], bounds[step + 1]):
            following[i] = position[ids[i]]
        for i in range(bounds[step], bounds[step + 1]):
            position[ids[i]] = step
    return following


@numba.njit(cache=True, nogil=True)
def _reorder(order: Ints, key: Floats, some: Ints, step: int, needed_in: Ints, low: int) -> None:
    """Sort the experts of an event into the order again, after their keys have changed.

    Those above rank `low` of the others stay below all of the event. Of equals, experts of the
    event are above the others, and higher ids above lower ones.
    """
    n, k = len(order), len(some)
    sorted_ = some.copy()
    for i in range(1, k):
        expert, place = sorted_[i], i
        while place > 0 and key[sorted_[place - 1]] > key[expert]:
            sorted_[place] = sorted_[place - 1]
            place -= 1
        sorted_[place] = expert
    rest = 0  # the others move down, and keep their order
    for rank in range(n):
        expert = order[rank]
        if needed_in[expert] != step:
            order[rest] = expert
            rest += 1
    rest -= 1
    place = n - 1
    for i in range(k - 1, -1, -1):
        expert = sorted_[i]
        while rest >= low and key[order[rest]] > key[expert]:
            order[place] = order[rest]
            rest -= 1
            place -= 1
        order[place] = expert
        place -= 1


@numba.njit(cache=True, nogil=True)
def _exchange(
    order: Ints, rank: int, need: np.uint64, resident: Bits, left: Bits, first: Bits,
    key: Floats, unit: float, margins: Floats, groups: Bits,
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
            restart(left, other, first, out)
            gained |= out
            need &= ~out
    return gained


@numba.njit(cache=True, nogil=True)
def _evict(
    order: Ints, over: Bits, resident: Bits, pending: Bits, left: Bits, first: Bits,
    rationed: np.uint64, budget: Floats,
) -> None:  # fmt: skip
    """Remove the lowest of the resident and pending experts until as many are gone as `over` says.

    `over` [n_bits] holds the numbers of experts without a slot, one bit of all settings in each
    entry; it is zero afterwards. Uploads that are not made go back to the `budget`.
    """
    n_bits = len(over)
    any_over = _NONE
    for bit in range(n_bits):
        any_over |= over[bit]
    rank = 0
    while any_over:
        expert = order[rank]
        rank += 1
        out = any_over & (resident[expert] | pending[expert])
        if not out:
            continue
        leaving = out & resident[expert]
        if out & ~leaving & rationed:
            refund(out & ~leaving & rationed, budget)
        resident[expert] &= ~out
        pending[expert] &= ~out
        restart(left, expert, first, leaving)
        borrow, any_over = out, _NONE
        for bit in range(n_bits):
            before = over[bit]
            over[bit] = before ^ borrow
            borrow &= ~before
            any_over |= over[bit]


@numba.njit(cache=True, nogil=True)
def ordered_events(
    ids: Ints, bounds: Ints, capacities: Ints, policy: int, growth_rate: float,
    order: Ints, key: Floats, warm: bool, first: Bits, margins: Floats, groups: Bits,
    rate: Floats, limited: Bools, opens: Ints, missed: Bits, uploaded: Bits,
) -> None:  # fmt: skip
    """Write into `missed` and `uploaded` [n_accesses] the settings, as bits, of each access.

    Parameters
    ----------
    ids, bounds : int64 array [n_accesses], [n_steps + 1]
        As in ExpertStream.
    capacities : int64 array [n_settings]
    policy : int
    growth_rate : float
        Factor of the unit of counts in each step ("decay"), at least 1.
    order : int64 array [n_experts]
        Experts by priority, lowest first; changed.
    key : float64 array [n_experts]
        Counts to begin with; changed.
    warm : bool
        Begin with the highest experts of `order` resident, instead of empty.
    first : uint64 array [n_bits]
        Misses before an upload, less one, as bits of all settings.
    margins, groups : float64, uint64 array [n_margins]
        Margins above zero in descending order, and the settings of each.
    rate, limited : float64, bool array [n_settings]
        Uploads a step, and whether they are limited.
    opens : int64 array [n_settings]
        Step in which uploads begin.
    """
    n_experts, n_settings = len(order), len(capacities)
    everywhere = _ALL >> np.uint64(64 - n_settings)
    resident = np.zeros(n_experts, dtype=np.uint64)
    left = np.empty((n_experts, len(first)), dtype=np.uint64)
    left[:] = first
    filled, full = np.zeros(n_settings, dtype=np.int64), _NONE
    following = np.zeros(0, dtype=np.int64)
    if policy == _MIN:
        following = _next_step(ids, bounds, n_experts)
        _first_uses(ids, bounds, order, key)
    if warm:
        for c in range(n_settings):
            filled[c] = min(capacities[c], n_experts)
            for rank in range(n_experts - filled[c], n_experts):
                resident[order[rank]] |= _ONE << np.uint64(c)
            if filled[c] == capacities[c]:
                full |= _ONE << np.uint64(c)
    admitted = np.zeros(n_experts, dtype=np.uint64)
    pending = np.zeros(n_experts, dtype=np.uint64)
    most, n_bits = 1, 0
    for step in range(len(bounds) - 1):
        most = max(most, bounds[step + 1] - bounds[step])
    while most:
        n_bits += 1
        most >>= 1
    over, some_over = np.zeros(n_bits, dtype=np.uint64), False
    with_margin = _NONE
    for group in groups:
        with_margin |= group
    needed_in = np.full(n_experts, -1, dtype=np.int64)
    budget = np.zeros(n_settings)
    rationed, closed = _NONE, everywhere
    for c in range(n_settings):
        if limited[c]:
            rationed |= _ONE << np.uint64(c)
    unit = 1.0
    for step in range(len(bounds) - 1):
        begin, end = bounds[step], bounds[step + 1]
        unit *= growth_rate
        if unit > _LARGEST_UNIT:
            key /= unit
            unit = 1.0
        some, wanted = ids[begin:end], 0
        for i in range(begin, end):
            expert = ids[i]
            bits = everywhere & ~resident[expert]
            missed[i], uploaded[i] = bits, _NONE
            needed_in[expert] = step
            if bits:
                admitted[expert] = admit(bits, left, expert)
                wanted += admitted[expert] != _NONE
            if policy == _MIN:  # unique, so that experts needed in the same step have an order
                key[expert] = -(float(following[i]) * n_experts + expert)
            elif policy == _LRU:
                key[expert] = step
            else:
                key[expert] += unit
        # Those of the event are above all others, or sorted among all.
        low = n_experts if policy == _LRU or policy == _INACTIVE_LFU else 0
        _reorder(order, key, some, step, needed_in, low)
        if closed:
            closed = still_closed(closed, opens, step)
        may = everywhere & ~closed
        if rationed:
            may &= refill(budget, rate) | ~rationed
        rank = n_experts
        while wanted:
            rank -= 1
            expert = order[rank]
            bits = admitted[expert]
            if not bits:
                continue
            wanted -= 1
            admitted[expert] = _NONE
            bits &= may
            gained = bits & ~full
            full |= fill(gained, filled, capacities)
            bits &= ~gained
            compared = bits & with_margin
            if compared:
                bits &= ~compared
                gained |= _exchange(
                    order, rank, compared, resident, left, first, key, unit, margins, groups
                )
            pending[expert] = gained | bits
            # Settings whose budget this expert would take, unless it is evicted at once.
            may &= ~spend(pending[expert] & rationed, budget)
            plane = 0
            while bits:
                both = over[plane] & bits
                over[plane] ^= bits
                bits = both
                plane += 1
                some_over = True
        if some_over:
            _evict(order, over, resident, pending, left, first, rationed, budget)
            some_over = False
        for i in range(begin, end):
            expert = ids[i]
            gained = pending[expert]
            if gained:
                pending[expert] = _NONE
                resident[expert] |= gained
                restart(left, expert, first, gained)
                uploaded[i] = gained
        if policy == _INACTIVE_LFU:
            _reorder(order, key, some, step, needed_in, 0)


@numba.njit(cache=True, nogil=True)
def _first_uses(ids: Ints, bounds: Ints, order: Ints, key: Floats) -> None:
    """Set the keys of MIN at the beginning of a replay, and sort the order by them."""
    n = len(order)
    for expert in range(n):
        key[expert] = -(float(len(bounds)) * n + expert)
    for step in range(len(bounds) - 2, -1, -1):
        for i in range(bounds[step], bounds[step + 1]):
            key[ids[i]] = -(float(step) * n + ids[i])
    sorted_ = np.argsort(key, kind="mergesort")
    for rank in range(n):
        order[rank] = sorted_[rank]


@numba.njit(cache=True, nogil=True)
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


@numba.njit(cache=True, nogil=True)
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


@numba.njit(cache=True, nogil=True)
def queue_events(
    ids: Ints, bounds: Ints, capacities: Ints, policy: int, order: Ints, warm: bool,
    first: Bits, rate: Floats, limited: Bools, opens: Ints, missed: Bits, uploaded: Bits,
) -> None:  # fmt: skip
    """Do the same for policies in which each setting has a queue of its own, in order of loading.

    An expert that this event needs does not leave for another one of the same event.
    """
    n_experts, n_settings = len(order), len(capacities)
    everywhere = _ALL >> np.uint64(64 - n_settings)
    resident = np.zeros(n_experts, dtype=np.uint64)
    left = np.empty((n_experts, len(first)), dtype=np.uint64)
    left[:] = first
    queues = np.zeros((n_settings, max(1, min(n_experts, capacities.max()))), dtype=np.int16)
    filled, heads = np.zeros((2, n_settings), dtype=np.int64)
    loaded_in, loads = np.full((2, n_settings), -1, dtype=np.int64)
    needed_in = np.full(n_experts, -1, dtype=np.int64)
    if warm:
        for c in range(n_settings):
            filled[c] = min(capacities[c], n_experts)
            for i in range(filled[c]):
                queues[c, i] = order[n_experts - filled[c] + i]
                resident[queues[c, i]] |= _ONE << np.uint64(c)
    budget = np.zeros(n_settings)
    rationed, closed = _NONE, everywhere
    for c in range(n_settings):
        if limited[c]:
            rationed |= _ONE << np.uint64(c)
    admitted = np.zeros(n_experts, dtype=np.uint64)
    for step in range(len(bounds) - 1):
        begin, end = bounds[step], bounds[step + 1]
        for i in range(begin, end):
            expert = ids[i]
            needed_in[expert] = step
            bits = everywhere & ~resident[expert]
            missed[i], uploaded[i] = bits, _NONE
            admitted[expert] = admit(bits, left, expert)
        if closed:
            closed = still_closed(closed, opens, step)
        may = everywhere & ~closed
        if rationed:
            may &= refill(budget, rate) | ~rationed
        for i in range(begin, end):
            expert = ids[i]
            bits, gained = admitted[expert] & may, _NONE
            while bits:
                bit = bits & (~bits + _ONE)
                c = _position(bit)
                bits ^= bit
                if loaded_in[c] != step:
                    loaded_in[c], loads[c] = step, 0
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
                    restart(left, victim, first, bit)
                loads[c] += 1
                gained |= bit
            if gained:
                resident[expert] |= gained
                restart(left, expert, first, gained)
                uploaded[i] = gained
                if gained & rationed:
                    may &= ~spend(gained & rationed, budget)


@numba.njit(cache=True, nogil=True)
def _position(bit: np.uint64) -> int:
    """Return the position of the only bit that is set (multiplication by a de Bruijn sequence)."""
    return _POSITIONS[bit * _DE_BRUIJN >> np.uint64(58)]
