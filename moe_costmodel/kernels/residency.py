"""Experts in the slots of one layer, event by event, as :func:`moe_costmodel.offload_events` says.

An event is all that the layer needs in one step. The replay goes through all events and many
settings at once; this module goes through the events of one setting as they come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel._arrays import Bools, Floats, Ints
from moe_costmodel._checks import (
    InvalidParameter,
    check_number,
    count,
    invalid,
    one_of,
    require,
    shape_of,
)
from moela.compilation.jit import cached_njit

__all__ = ["RESIDENCY_POLICIES", "Event", "Residency", "Upload", "UploadRule"]

# Those of moe_costmodel.OFFLOAD_POLICIES, without "min", which needs the future accesses.
RESIDENCY_POLICIES: tuple[str, ...] = (
    "lru", "lfu", "inactive-lfu", "decay", "fifo", "least-stale", "paper",
)  # fmt: skip
_LRU, _LFU, _INACTIVE_LFU, _DECAY, _FIFO, _LEAST_STALE, _PAPER = range(7)
_COUNTING = ("lfu", "decay")
_LARGEST_UNIT = 1e200


class UploadRule(Protocol):
    """Fields of :class:`moe_costmodel.Admission` that say when a missed expert is uploaded."""

    @property
    def after(self) -> int:
        """Miss at which an expert is uploaded."""

    @property
    def margin(self) -> float:
        """Uses by which an expert must lead the one that leaves."""

    @property
    def per_step(self) -> float:
        """Uploads of a layer in a step at most."""

    @property
    def opens(self) -> int:
        """Step in which uploads begin."""


class Upload(NamedTuple):
    """A copy of an expert into a slot; `victim` is the expert that leaves it, -1 if none does."""

    expert: int
    slot: int
    victim: int


class Event(NamedTuple):
    """Outcome of one step: the slot of each needed expert, -1 for a miss, and the uploads."""

    slots: list[int]
    uploads: list[Upload]


@cached_njit(nogil=True)
def _lower(a: int, b: int, policy: int, active: Bools, uses: Floats, last: Ints) -> bool:
    """Return whether expert `a` leaves before `b`."""
    if policy == _INACTIVE_LFU and active[a] != active[b]:
        return bool(active[b])
    if policy != _LRU and uses[a] != uses[b]:
        return bool(uses[a] < uses[b])
    return bool(last[a] < last[b])


@cached_njit(nogil=True)
def _victim(
    expert: int, policy: int, active: Bools, fresh: Bools, loaded: Ints, n: int, uses: Floats,
    last: Ints, least: float,
) -> int:  # fmt: skip
    """Return the place in `loaded` of the expert that leaves for another one, -1 if none does."""
    if policy == _FIFO:
        return -1 if fresh[loaded[0]] else 0
    if policy >= _LEAST_STALE:
        for i in range(n):
            place = i if policy == _LEAST_STALE else n - 1 - i
            if not active[loaded[place]]:
                return place
        return -1
    lowest = 0
    for place in range(1, n):
        if _lower(loaded[place], loaded[lowest], policy, active, uses, last):
            lowest = place
    other = loaded[lowest]
    if _lower(expert, other, policy, active, uses, last):
        return -1
    return lowest if uses[expert] - uses[other] >= least else -1


@cached_njit(nogil=True)
def _event(
    needed: Ints, setting: tuple[int, int, int], rule: tuple[float, float, float], arrays: tuple[
        Ints, Floats, Ints, Ints, Ints, Bools, Bools], now: Floats, hits: Ints, uploads: Ints,
) -> int:  # fmt: skip
    """Go through one event: write the slot of each needed expert into `hits`, and the uploads.

    Parameters
    ----------
    needed : int64 array [n]
        Different experts, ascending; others change nothing, and -1 is returned.
    setting : tuple
        Policy; miss at which an expert is uploaded; step in which uploads begin.
    rule : tuple
        Margin, uploads a step, factor of the unit of counts in a step.
    arrays : tuple
        Slot of each expert, its uses, its last event, its misses; the residents in order of
        loading; two arrays of flags for the experts, false.
    now : float64 array [4]
        Step, residents, unit of counts, budget of uploads; changed.
    hits : int64 array [n]
    uploads : int64 array [n, 3]
        As Upload; the number of rows that are written is returned.
    """
    policy, after, opens = setting
    margin, rate, factor = rule
    slot_of, uses, last, misses, loaded, active, fresh = arrays
    previous = -1
    for expert in needed:
        if expert <= previous or expert >= len(slot_of):
            return -1
        previous = expert
    step, n, capacity = int(now[0]), int(now[1]), len(loaded)
    now[0] += 1.0
    now[2] *= factor
    if now[2] > _LARGEST_UNIT:
        uses /= now[2]
        now[2] = 1.0
    ready, n_ready = np.empty(len(needed), dtype=np.int64), 0
    for i in range(len(needed)):
        expert = needed[i]
        hits[i], active[expert] = slot_of[expert], True
        last[expert] = step * len(slot_of) + expert
        uses[expert] += now[2]
        if slot_of[expert] < 0:
            misses[expert] += 1
            if misses[expert] >= after:
                ready[n_ready] = expert
                n_ready += 1
    if policy < _FIFO:  # highest priority first
        for i in range(1, n_ready):
            expert, place = ready[i], i
            while place > 0 and _lower(ready[place - 1], expert, policy, active, uses, last):
                ready[place] = ready[place - 1]
                place -= 1
            ready[place] = expert
    now[3] = min(now[3] + rate, max(1.0, rate))
    n_uploads = 0
    for i in range(n_ready if step >= opens else 0):
        if now[3] < 1.0:
            break
        expert, slot, victim = ready[i], n, -1
        if n == capacity:
            least = margin * now[2] if margin > 0.0 else -np.inf
            place = _victim(expert, policy, active, fresh, loaded, n, uses, last, least)
            if place < 0:
                continue
            victim = loaded[place]
            slot = slot_of[victim]
            slot_of[victim], misses[victim] = -1, 0
            for moved in range(place, n - 1):
                loaded[moved] = loaded[moved + 1]
            n -= 1
        loaded[n], slot_of[expert], misses[expert], fresh[expert] = expert, slot, 0, True
        n += 1
        now[3] -= 1.0
        uploads[n_uploads, 0], uploads[n_uploads, 1], uploads[n_uploads, 2] = expert, slot, victim
        n_uploads += 1
    now[1] = n
    for expert in needed:
        active[expert], fresh[expert] = False, False
    return n_uploads


class Residency:
    """Experts that are resident in the slots of one layer, without their weights.

    Misses, uploads and victims are those of :func:`moe_costmodel.offload_events`, event by event.

    Parameters
    ----------
    n_experts : int
        Experts of the layer.
    capacity : int
        Slots, at least 1.
    policy : str
        One of :data:`moe_costmodel.OFFLOAD_POLICIES`, but not "min", which needs the future.
    admission : UploadRule, optional
        Such as :class:`moe_costmodel.Admission`; by default every miss is uploaded.
    start : array_like of shape (n_experts,), optional
        Uses of each expert in a step. The experts of most uses are resident at first; by default
        none is.
    start_weight : float
        Steps that the `start` counts as in the policies "lfu" and "decay".
    half_life : float
        Steps in which counts lose half their weight ("decay").

    Attributes
    ----------
    residents : list of int
        Experts in the slots, in the order of loading.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> from moe_costmodel.kernels import Residency
    >>> residency = Residency(n_experts=4, capacity=1, policy="lru", start=[0, 3, 1, 0])
    >>> residency.event([0, 1])
    Event(slots=[-1, 0], uploads=[])
    >>> residency.event([2])
    Event(slots=[-1], uploads=[Upload(expert=2, slot=0, victim=1)])
    """

    def __init__(
        self,
        n_experts: int,
        capacity: int,
        policy: str = "lfu",
        admission: UploadRule | None = None,
        *,
        start: ArrayLike | None = None,
        start_weight: float = 0.0,
        half_life: float = 1024.0,
    ) -> None:
        owner = "Residency"
        self.n_experts = count(owner, "n_experts", n_experts)
        self.capacity = min(count(owner, "capacity", capacity), n_experts)
        self.policy = one_of(owner, "policy", policy, RESIDENCY_POLICIES)
        self.admission = admission
        margin, rate, after, opens = 0.0, math.inf, 1, 0
        if admission is not None:
            margin, rate = admission.margin, admission.per_step
            after, opens = admission.after, admission.opens
        if margin > 0 and policy not in _COUNTING:
            expected = f"without a margin for policies other than {', '.join(_COUNTING)}"
            raise invalid(owner, "admission", admission, expected)
        steps = check_number(owner, "half_life", half_life)
        require(owner, "half_life", half_life, steps >= 1, "at least 1")
        factor = 2.0 ** (1.0 / steps) if policy == "decay" else 1.0
        self._setting = RESIDENCY_POLICIES.index(policy), after, opens
        self._rule = float(margin), float(rate), factor
        self._start = self._checked_start(start)
        self._weight = check_number(owner, "start_weight", start_weight)
        require(owner, "start_weight", start_weight, self._weight >= 0, "at least 0")
        self.reset()

    def _checked_start(self, start: ArrayLike | None) -> Floats | None:
        if start is None:
            return None
        rates = np.asarray(start, dtype=np.float64)
        good = rates.shape == (self.n_experts,) and bool((np.isfinite(rates) & (rates >= 0)).all())
        expected = f"finite numbers of at least 0, of shape ({self.n_experts},)"
        require("Residency", "start", shape_of(rates), good, expected)
        return rates

    def reset(self) -> None:
        """Begin anew, with the first contents."""
        n, size = self.n_experts, self.capacity
        rates = np.zeros(n) if self._start is None else self._start
        best = np.argsort(-rates, kind="stable")
        slot_of, last, misses = np.full(n, -1), np.empty(n, dtype=np.int64), np.zeros(n, np.int64)
        last[best] = -1 - np.arange(n)
        loaded, n_first = np.full(size, -1), 0
        if self._start is not None:
            loaded, n_first = best[:size][::-1].copy(), size
            slot_of[loaded] = np.arange(size)
        flags = np.zeros((2, n), dtype=np.bool_)
        self._arrays = slot_of, rates * self._weight, last, misses, loaded, flags[0], flags[1]
        self._now = np.array([0.0, n_first, 1.0, 0.0])

    @property
    def residents(self) -> list[int]:
        """Experts in the slots, in the order of loading."""
        held: list[int] = self._arrays[4][: int(self._now[1])].tolist()
        return held

    def contents(self) -> list[tuple[int, int]]:
        """Return each resident expert with its slot."""
        return [(expert, int(self._arrays[0][expert])) for expert in self.residents]

    def event(self, needed: Sequence[int]) -> Event:
        """Return the slots of the experts that a step needs, and the uploads that follow it.

        Parameters
        ----------
        needed : sequence of int
            Different experts, ascending.

        Returns
        -------
        Event
            `slots` says where each expert is during the step, -1 for a miss. The uploads happen
            after it, and are resident in the next one.

        Raises
        ------
        ValueError
            If `needed` is not so, or an expert is not in 0 .. n_experts - 1. The slots stay as
            they are.
        """
        experts = np.array(needed)
        if experts.ndim != 1 or (len(experts) and experts.dtype.kind not in "ui"):
            raise self._unlike_experts(needed)
        experts = experts.astype(np.int64)
        slots, uploads = np.empty(len(experts), np.int64), np.empty((len(experts), 3), np.int64)
        n = _event(experts, self._setting, self._rule, self._arrays, self._now, slots, uploads)
        if n < 0:
            raise self._unlike_experts(needed)
        return Event(slots.tolist(), [Upload(*row) for row in uploads[:n].tolist()])

    def _unlike_experts(self, needed: Sequence[int]) -> InvalidParameter:
        expected = f"different integers in 0 .. n_experts - 1 = {self.n_experts - 1}, ascending"
        return invalid("Residency.event", "needed", list(needed), expected)
