"""Normalization of objectives, and scalarization by weights."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from moela._arrays import Bools, Floats
from moela.core.archive import Archive
from moela.core.kernels.scalar import EDGE, POWER, changed, combined
from moela.core.units import Units

Scalarization = Literal["chebyshev", "weighted_sum", "product", "p_norm"]
SCALARIZATIONS: tuple[Scalarization, ...] = ("chebyshev", "weighted_sum", "product", "p_norm")

# Scaled values stay within 2^100, which single precision can hold, and within 2^(900 / M), so that
# products of M of them do not overflow.
_FARTHEST, _FARTHEST_PRODUCT = 100, 900
# Models learn from values at most this many times the extent of the front beyond the nadir. Larger
# ones, such as penalties, would leave them nothing to say about all others.
_LEARNED = 2.0**10


class Normalization:
    """Scaling of objectives, to 0 at the running ideal [M] and 1 at the nadir [M].

    The nadir is that of the non-dominated designs so far, or the worst value met in an objective in
    which these do not differ. A reference point, such as the objectives of a design to beat, takes
    its place in each objective in which it is worse than the ideal. `bounds` fixes both, for
    algorithms that were published with such. Objectives are in working units, reference point and
    bounds in the user's.
    """

    def __init__(
        self,
        n_obj: int,
        ref_point: ArrayLike | None = None,
        bounds: tuple[ArrayLike, ArrayLike] | None = None,
        units: Units | None = None,
    ) -> None:
        self.units = Units() if units is None else units
        self.ideal: Floats = np.full(n_obj, np.inf)
        self.nadir: Floats = np.full(n_obj, -np.inf)
        self.worst: Floats = np.full(n_obj, -np.inf)
        self.fixed = bounds is not None
        # Each objective of the nadir is at most this. Designs far from the front that nothing
        # dominates can have any values of it.
        self.most: Floats = np.full(n_obj, np.inf)
        point = None if ref_point is None else np.asarray(ref_point, dtype=float)
        if point is not None and point.shape != (n_obj,):
            raise ValueError(
                f"The reference point must have one value per objective, shape ({n_obj},). "
                f"Got shape {point.shape} instead."
            )
        self._given, self._aimed_at = point, True
        if bounds is not None:
            low, high = (np.asarray(bound, dtype=float) for bound in bounds)
            self.ideal, self.nadir = self.units.point(low), self.units.point(high)
        self.farthest = 2.0 ** min(_FARTHEST, _FARTHEST_PRODUCT // n_obj)

    @property
    def ref_point(self) -> Floats | None:
        """The reference point [M] in working units, or None."""
        return self.given_ref_point if self._aimed_at else None

    @property
    def given_ref_point(self) -> Floats | None:
        """The same, also after `forget_ref_point`."""
        return None if self._given is None else self.units.point(self._given)

    def forget_ref_point(self) -> None:
        """Use the nadir instead from the next update on."""
        self._aimed_at = False

    def fresh(self) -> Normalization:
        """Return a normalization with the same reference point and units, before any update."""
        fresh = Normalization(len(self.ideal), self._given, units=self.units)
        fresh._aimed_at = self._aimed_at
        return fresh

    def update(self, F: Floats, archive: Archive) -> bool:
        """Learn from new objectives F [b, M] and from the archive that already holds them.

        Returns whether ideal or nadir have changed.
        """
        if self.fixed or len(archive) == 0:
            return False
        least, nadir = archive.working_extremes()
        ideal = np.minimum(self.ideal, F.min(axis=0)) if len(F) else self.ideal
        self.worst = np.maximum(self.worst, self.worst_of(F)) if len(F) else self.worst
        worst = self.worst
        if self.units.some_far:
            near = self.worst_of(archive.working_F)
            nadir = np.where(np.isfinite(near), near, nadir)
            worst = np.maximum(worst, nadir)
        # An archive of one design would scale everything to 0, and no search could tell better
        # from worse.
        nadir = np.where(nadir > least, nadir, np.maximum(nadir, worst))
        nadir = np.minimum(nadir, self.most)
        point = self.ref_point
        if point is not None:
            # A reference point below the ideal says nothing about the scale of that objective.
            nadir = np.where(point > ideal, point, nadir)
        changed = not ((ideal == self.ideal).all() and (nadir == self.nadir).all())
        self.ideal, self.nadir = ideal, nadir
        return changed

    def worst_of(self, F: Floats) -> Floats:
        """Return the largest objectives [M] of F [n, M] that are not far away, or -infinity."""
        if self.units.some_far:
            F = np.where(self.units.far > F, F, -np.inf)
        return np.asarray(F.max(axis=0))

    def update_feasible(self, F: Floats, CV: Floats, archive: Archive) -> bool:
        """Update with the feasible of new designs [b], or with all while none is feasible."""
        return self.update(F[CV <= 0.0] if archive.feasible else F, archive)

    def forget_infeasible(self, archive: Archive) -> None:
        """Let the ideal be that of an archive of feasible designs, whatever it was before."""
        if not self.fixed and archive.feasible:
            self.ideal = archive.working_extremes()[0]

    def with_ideal_of(self, F: Floats) -> Normalization:
        """Return a copy whose ideal is at least as good as all of the objectives F [b, M]."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))  # as `copy.copy` does in ten times as long
        other.ideal = np.minimum(self.ideal, F.min(axis=0)) if len(F) else self.ideal
        return other

    @property
    def span(self) -> Floats:
        """The change of each objective [M] that scales to 1; infinite if it never varied."""
        span = self.nadir - self.ideal
        return np.where(span > 0, span, np.inf)

    def scale(self, F: Floats) -> Floats:
        """Scale objectives [..., M]; an objective that never varied scales to 0."""
        with np.errstate(over="ignore"):
            Z = (F - self.ideal) / self.span
        np.minimum(Z, self.farthest, out=Z)
        return np.maximum(Z, -self.farthest, out=Z)

    def learned(self, F: Floats) -> Floats:
        """Return objectives [..., M] for models to learn from, limited far beyond the nadir."""
        span = self.nadir - self.ideal
        return np.minimum(F, np.where(span > 0, self.nadir + _LEARNED * span, np.inf))

    def learned_changes(self, changes: Floats) -> Floats:
        """Return changes of objectives [..., M] for models to learn from, large ones limited."""
        span = self.nadir - self.ideal
        limit = np.where(span > 0, _LEARNED * span, np.inf)
        return np.clip(changes, -limit, limit)

    def weights_of(self, changes: Floats, halved: float) -> Floats:
        """Return a weight for each change of the objectives [b, M], smaller for larger ones, [b].

        It is 1 without a change, and 1/2 if an objective changes by the share `halved` of the
        front's extent, and no other by more. An objective that never varied does not count.
        """
        span = self.nadir - self.ideal
        known = span > 0
        sizes = np.abs(self.learned_changes(changes)[:, known]) / (halved * span[known])
        return np.asarray(1.0 / (1.0 + sizes.max(axis=1, initial=0.0) ** 2))

    def scalarize(self, F: Floats, W: Floats, by: Scalarization) -> Floats:
        """Scale objectives F [..., M], then scalarize them with weights W [..., M]: [...]."""
        return combined(by, F, W, self.ideal, self.nadir - self.ideal, self.farthest)

    def scalarize_changes(self, F: Floats, W: Floats, changes: Floats, by: Scalarization) -> Floats:
        """Return how the values of objectives F [n, M] change with changes of F [n, k, M]: [n, k].

        The values are those of `scalarize` with weights W [n, M].
        """
        span = self.nadir - self.ideal
        return changed(by, F, W, changes, self.ideal, span, self.farthest)


def scalarize(Z: Floats, W: Floats, by: Scalarization) -> Floats:
    """Combine scaled objectives Z with weights W, both [..., M]; smaller values [...] are better.

    "chebyshev" is the largest weighted coordinate (Zhang and Li 2007, eq. 5), "weighted_sum" the
    sum, and "product" the negative logarithm of the weighted product of the distances to the
    reference point. For equal weights that product is the hypervolume of the design alone.
    "p_norm" is a norm of the weighted coordinates, with the power 8 (Wang, Zhang and Zhang 2016,
    "Decomposition-based algorithms using Pareto adaptive scalarizing methods", IEEE TEVC 20(6)).
    """
    if by == "chebyshev":
        return (W * Z).max(axis=-1)
    if by == "p_norm":
        largest = np.asarray((W * Z).max(axis=-1))
        shares = np.maximum(W * Z, 0.0) / np.where(largest > 0.0, largest, 1.0)[..., None]
        norm = largest * (shares**POWER).sum(axis=-1) ** (1.0 / POWER)
        return np.where(largest > 0.0, norm, largest)
    if by == "weighted_sum":
        return (W * Z).sum(axis=-1)
    distance = 1.0 + EDGE - Z
    inside = np.log(np.maximum(distance, EDGE))
    beyond = np.minimum(distance - EDGE, 0.0) / EDGE
    return -(W * (inside + beyond)).sum(axis=-1)


def better(
    CV: Floats | float, g: Floats | float, than_CV: Floats | float, than_g: Floats | float
) -> Bools:
    """Compare (CV, g) with another pair: feasibility first, then the value (Deb 2000)."""
    return np.asarray((CV < than_CV) | ((CV == than_CV) & (g < than_g)))


def spread_of(Y: Floats) -> Floats:
    """Return the standard deviations [M] of Y [n, M], even if squares over- or underflow."""
    largest = np.abs(Y).max(axis=0)
    exponents = np.frexp(largest)[1]
    return np.ldexp(np.ldexp(Y, -exponents).std(axis=0), exponents)
