"""Archive of the non-dominated designs found so far, feasible ones first, as plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela._arrays import Bools, Floats, Ints
from moela._checks import require
from moela.core.kernels.blocks import Blocks
from moela.core.units import Units

# Designs among which `lowest` looks at all.
_FEW = 256


def check_size(owner: str, name: str, size: Any, n_obj: int) -> None:
    """Raise a ValueError if an archive of designs cannot be bounded by that size."""
    whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
    holds = size is None or (whole and size >= 2 * n_obj)
    expected = f"None or an integer of at least 2 * n_obj = {2 * n_obj}"
    require(owner, name, size, bool(holds), expected)


class Archive:
    """Mutually non-dominated designs, bounded by thinning the most crowded ones.

    Until the first feasible design, the archive holds the designs of least constraint violation;
    afterwards it holds feasible designs only. Of designs with equal objectives, the first one
    added is kept. The archive may overshoot `max_size` by a fifth between two thinnings, so that
    thinning costs little per design.

    Designs are compared by the user's objectives, which no scaling can make equal. `working_F` and
    `working_CV` are the same designs in the `units` of the run.

    `pop`, `F` and `CV` are in the order in which designs were added, and no later change changes
    them. Making them takes time in proportion to the archive. Methods that take or return *places*
    do not: a place is the number of a design until the next `add`.
    """

    def __init__(self, n_obj: int, max_size: int | None = None, units: Units | None = None) -> None:
        check_size("Archive", "max_size", max_size, n_obj)
        self.max_size = max_size
        self.units = Units() if units is None else units
        self.violation = 0.0  # of each design; they all have the same
        self._blocks = Blocks(n_obj)
        self._individuals: list[Individual] = []  # by place
        self._serials: list[int] = []  # how many were added before each, by place
        self._places: dict[int, int] = {}  # by serial number
        self._n_added = 0
        # `pop` and `F` since the last change, if somebody has looked at them.
        self._pop: Population | None = None
        self._F: Floats | None = None

    def __len__(self) -> int:
        return len(self._individuals)

    @property
    def pop(self) -> Population:
        """The designs, [n]."""
        if self._pop is None:
            self._pop = self.individuals(self._order())
        return self._pop

    @property
    def F(self) -> Floats:
        """Objectives, [n, M]."""
        if self._F is None:
            self._F = self._blocks.F[self._order()]
        return self._F

    @property
    def CV(self) -> Floats:
        """Constraint violations, 0 if feasible, [n]."""
        return np.full(len(self), self.violation)

    @property
    def feasible(self) -> bool:
        """Whether the archive holds feasible designs."""
        return len(self) > 0 and self.violation <= 0.0

    @property
    def working_F(self) -> Floats:
        """Objectives in working units, [n, M]."""
        return self.units.objectives(self.F)

    @property
    def working_CV(self) -> Floats:
        """Constraint violations in working units, [n]."""
        return self.units.violations(self.CV)

    def working_extremes(self) -> tuple[Floats, Floats]:
        """Return the least and the largest value of each objective in working units, both [M]."""
        low, high = self._blocks.low.min(axis=0), self._blocks.high.max(axis=0)
        return self.units.objectives(low), self.units.objectives(high)

    def summary(self, n_eval: int) -> str:
        """Return in words what was found by `n_eval` evaluations."""
        if len(self) == 0:
            return f"no design that did not fail in {n_eval:,} evaluations"
        n = f"{len(self)} non-dominated design{'s' if len(self) > 1 else ''}"
        if self.feasible:
            return f"{n} after {n_eval:,} evaluations"
        return (
            f"no feasible design after {n_eval:,} evaluations; {n} with the least constraint "
            f"violation, {self.CV[0]:.4g}"
        )

    def add(self, pop: Population, F: Floats, CV: Floats) -> Bools:
        """Add designs with finite objectives F [b, M] and constraint violations CV [b].

        Returns a mask of the designs that are in the archive now (before any thinning), [b].
        """
        accepted = np.zeros(len(F), dtype=bool)
        if len(F) == 0:
            return accepted
        best = float(CV.min())
        if len(self):
            if best > self.violation:
                return accepted
            if best < self.violation:
                self._keep(np.empty(0, dtype=np.int64))
        self.violation = best
        candidates = np.flatnonzero(best >= CV)
        changes = self._blocks.add(F[candidates])
        if not changes:
            return accepted
        self._pop = self._F = None
        first = self._n_added
        added: dict[int, int] = {}  # row by serial number
        for change in changes:
            if change >= 0:
                self._remove(change)
            else:
                row = int(candidates[-1 - change])
                added[self._n_added] = row
                self._append(pop[row])
        accepted[[added[i] for i in range(first, self._n_added) if i in self._places]] = True
        if self.max_size is not None and len(self) > 1.2 * self.max_size:
            order = self._order()
            self._keep(order[spread(self.working_F, self.max_size)])
        return accepted

    def individuals(self, places: Ints) -> Population:
        """Return the designs at these places, [b]."""
        return Population.create(*[self._individuals[i] for i in places.tolist()])

    def working_violations(self, n: int) -> Floats:
        """Return the violation in working units that all designs have, n times."""
        return self.units.violations(np.full(n, self.violation))

    def objectives(self, places: Ints) -> Floats:
        """Return the objectives at these places in working units, [b, M]."""
        return self.units.objectives(self._blocks.F[places])

    def nearest(self, places: Ints, weights: Floats, k: int) -> Ints:
        """Return the places of the k designs nearest to each of these [b], itself among them.

        Distances are Euclidean on working objectives times `weights` [M]. Returns [b, k].
        """
        return self._blocks.nearest(places, weights * self.units.factors, k)

    def lowest(
        self,
        value: Callable[[Floats], Floats],
        k: int,
        leave_out: Callable[[Individual], bool] | None = None,
    ) -> tuple[Ints, Floats]:
        """Return the places of the k designs, or fewer, of least value, and their values, both [k].

        `value` maps objectives in working units, [m, M], to [m], and must not decrease if an
        objective grows: no design of a block is lower than its lower bounds are. Of equal values,
        the design that was added first is lower. Designs that `leave_out` marks are left out.
        """
        blocks = self._blocks
        bounds = value(self.units.objectives(blocks.low))
        order = bounds.argsort(kind="stable")
        places, values = np.empty(0, dtype=np.int64), np.empty(0)
        start, stop = 0, len(order) if len(self) <= _FEW else 4
        while start < len(order) and (len(values) < k or bounds[order[start]] <= values[k - 1]):
            more = blocks.members(order[start:stop])
            places = np.concatenate([places, more])
            values = np.concatenate([values, value(self.objectives(more))])
            best = self._first(places, values, k, leave_out)
            places, values = places[best], values[best]
            start, stop = stop, 2 * stop
        return places, values

    def _first(
        self,
        places: Ints,
        values: Floats,
        k: int,
        leave_out: Callable[[Individual], bool] | None,
    ) -> list[int]:
        """Return the positions of the k lowest values [b] of designs at these places [b].

        Of equal values, the design that was added first comes first.
        """
        value, place = values.tolist(), places.tolist()
        kept: list[int] = []
        for i in values.argsort(kind="stable").tolist():
            if len(kept) >= k and value[i] > value[kept[k - 1]]:
                break
            if leave_out is None or not leave_out(self._individuals[place[i]]):
                kept.append(i)
        return sorted(kept, key=lambda i: (value[i], self._serials[place[i]]))[:k]

    def serials_from(self, first: int) -> tuple[list[int], int]:
        """Return the serial numbers, from `first` on, of designs in the archive, and the next one.

        The serial number of a design is the number of designs that were added before it.
        """
        found = [serial for serial in range(first, self._n_added) if serial in self._places]
        return found, self._n_added

    def __contains__(self, serial: int) -> bool:
        """Return whether the archive holds the design with this serial number."""
        return serial in self._places

    def by_serial(self, serial: int) -> Individual:
        """Return the design with this serial number."""
        return self._individuals[self._places[serial]]

    def places(self, serials: list[int]) -> Ints:
        """Return the places of the designs with these serial numbers, [b]."""
        return np.array([self._places[serial] for serial in serials], dtype=np.int64)

    def _append(self, individual: Individual) -> None:
        self._places[self._n_added] = len(self._individuals)
        self._individuals.append(individual)
        self._serials.append(self._n_added)
        self._n_added += 1

    def _remove(self, place: int) -> None:
        """Remove a design; the last one takes its place, as in `Blocks`."""
        del self._places[self._serials[place]]
        individual, serial = self._individuals.pop(), self._serials.pop()
        if place < len(self._individuals):
            self._individuals[place], self._serials[place] = individual, serial
            self._places[serial] = place

    def _keep(self, places: Ints) -> None:
        self._blocks.keep(places)
        self._individuals = [self._individuals[i] for i in places.tolist()]
        self._serials = [self._serials[i] for i in places.tolist()]
        self._places = {serial: i for i, serial in enumerate(self._serials)}
        self._pop = self._F = None

    def _order(self) -> Ints:
        """Return the places in the order in which designs were added, [n]."""
        return np.argsort(np.array(self._serials, dtype=np.int64))


ARCHIVED = "archived"
"""Stands for the designs of the archive, which are put together when somebody looks at them."""


class _HasFront(Protocol):
    front: Archive


class ArchivedDesigns:
    """An attribute of an algorithm with designs: those of its `front` if set to `ARCHIVED`."""

    def __set_name__(self, kind: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, algorithm: _HasFront, kind: type) -> Population:
        if algorithm is None:
            raise AttributeError(self._name)
        value = vars(algorithm).get(self._name)
        return algorithm.front.pop if isinstance(value, str) else value

    def __set__(self, algorithm: _HasFront, value: object) -> None:
        vars(algorithm)[self._name] = value


def weakly_dominated(A: Floats, B: Floats) -> Bools:
    """Mark rows of A [a, M] that some row of B [b, M] weakly dominates (no worse anywhere), [a]."""
    if len(A) == 0 or len(B) == 0:
        return np.zeros(len(A), dtype=bool)
    # One objective at a time keeps the temporaries at [a, b] booleans.
    covers = B[None, :, 0] <= A[:, None, 0]
    for j in range(1, A.shape[1]):
        covers &= B[None, :, j] <= A[:, None, j]
    return np.asarray(covers.any(axis=1))


def spread(F: Floats, size: int) -> Bools:
    """Thin F [n, M] to `size` rows by removing the row closest to another one, again and again.

    The best row in each objective always stays. Distances are Euclidean on objectives scaled to
    [0, 1] over F. Returns a mask of the rows that stay, [n].
    """
    with np.errstate(over="ignore"):
        span = np.ptp(F, axis=0)
    if not np.isfinite(span).all():  # of numbers near the largest one, halves
        F = F * np.where(np.isfinite(span), 1.0, 0.5)
        span = np.ptp(F, axis=0)
    Z = (F - F.min(axis=0)) / np.where(span > 0, span, 1.0)
    square = np.einsum("ij,ij->i", Z, Z)
    distance = square[:, None] + square[None, :] - 2.0 * (Z @ Z.T)
    np.fill_diagonal(distance, np.inf)
    protected = np.unique(F.argmin(axis=0))
    keep = np.ones(len(F), dtype=bool)
    nearest = distance.argmin(axis=1)
    gap = distance[np.arange(len(F)), nearest]
    gap[protected] = np.inf
    for _ in range(len(F) - size):
        worst = int(gap.argmin())
        keep[worst] = False
        gap[worst] = np.inf
        distance[:, worst] = np.inf
        orphans = np.flatnonzero(keep & (nearest == worst))
        nearest[orphans] = distance[orphans].argmin(axis=1)
        moved = distance[orphans, nearest[orphans]]
        gap[orphans] = np.where(np.isin(orphans, protected), np.inf, moved)
    return keep
