"""Archive of the non-dominated designs found so far, feasible ones first, as plain arrays."""

from __future__ import annotations

import numpy as np
from pymoo.core.population import Population

from moela._arrays import Bools, Floats
from moela.core.units import Units


class Archive:
    """Mutually non-dominated designs, bounded by thinning the most crowded ones.

    Until the first feasible design, the archive holds the designs of least constraint violation;
    afterwards it holds feasible designs only. Of designs with equal objectives, the first one
    added is kept. The archive may overshoot `max_size` by a fifth between two thinnings, so that
    thinning costs little per design.

    Designs are compared by the user's objectives, which no scaling can make equal. `working_F` and
    `working_CV` are the same designs in the `units` of the run.
    """

    def __init__(self, n_obj: int, max_size: int | None = None, units: Units | None = None) -> None:
        if max_size is not None and max_size < 2 * n_obj:
            raise ValueError(
                f"The 'max_size' parameter of Archive must be None or at least 2 * n_obj = "
                f"{2 * n_obj}. Got {max_size} instead."
            )
        self.max_size = max_size
        self.units = Units() if units is None else units
        self.pop = Population.empty()
        self.F: Floats = np.empty((0, n_obj))
        self.CV: Floats = np.empty(0)  # constraint violations, 0 if feasible

    def __len__(self) -> int:
        return len(self.F)

    @property
    def feasible(self) -> bool:
        """Whether the archive holds feasible designs."""
        return len(self) > 0 and bool(self.CV[0] <= 0.0)

    @property
    def working_F(self) -> Floats:
        """Objectives in working units, [n, M]."""
        return self.units.objectives(self.F)

    @property
    def working_CV(self) -> Floats:
        """Constraint violations in working units, [n]."""
        return self.units.violations(self.CV)

    def add(self, pop: Population, F: Floats, CV: Floats) -> Bools:
        """Add designs with finite objectives F [b, M] and constraint violations CV [b].

        Returns a mask of the designs that are in the archive now (before any thinning), [b].
        """
        accepted = np.zeros(len(F), dtype=bool)
        if len(F) == 0:
            return accepted
        best = CV.min()
        if len(self) and best > self.CV[0]:
            return accepted
        candidates = np.flatnonzero(best >= CV)
        if len(self) and best < self.CV[0]:
            self._keep(np.zeros(len(self), dtype=bool))
        # Compared with the archive first, which rejects most, then among themselves.
        candidates = candidates[~weakly_dominated(F[candidates], self.F)]
        candidates = candidates[~_beaten(F[candidates])]
        if len(candidates) == 0:
            return accepted
        new = F[candidates]
        self._keep(~weakly_dominated(self.F, new))
        self.pop = Population.merge(self.pop, pop[candidates])
        self.F = np.concatenate([self.F, new])
        self.CV = np.concatenate([self.CV, CV[candidates]])
        accepted[candidates] = True
        if self.max_size is not None and len(self) > 1.2 * self.max_size:
            self._keep(spread(self.working_F, self.max_size))
        return accepted

    def _keep(self, mask: Bools) -> None:
        if not mask.all():
            self.pop, self.F, self.CV = self.pop[mask], self.F[mask], self.CV[mask]


def weakly_dominated(A: Floats, B: Floats) -> Bools:
    """Mark rows of A [a, M] that some row of B [b, M] weakly dominates (no worse anywhere), [a]."""
    if len(A) == 0 or len(B) == 0:
        return np.zeros(len(A), dtype=bool)
    # One objective at a time keeps the temporaries at [a, b] booleans.
    covers = B[None, :, 0] <= A[:, None, 0]
    for j in range(1, A.shape[1]):
        covers &= B[None, :, j] <= A[:, None, j]
    return np.asarray(covers.any(axis=1))


def _beaten(F: Floats) -> Bools:
    """Mark every row of F [n, M] that another row dominates, or an earlier row equals."""
    covers = np.ones((len(F), len(F)), dtype=bool)
    for column in F.T:
        covers &= column <= column[:, None]
    # Rows that cover each other are equal; of these the first one stays.
    return np.asarray((covers & (~covers.T | np.tri(len(F), k=-1, dtype=bool))).any(axis=1))


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
