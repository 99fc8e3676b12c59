"""Normalization of objectives, and scalarization by weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
from numba import guvectorize
from numpy.typing import ArrayLike

from moela._arrays import Bools, Floats
from moela.core.archive import Archive
from moela.core.units import Units

Scalarization = Literal["chebyshev", "weighted_sum", "product"]
SCALARIZATIONS: tuple[Scalarization, ...] = ("chebyshev", "weighted_sum", "product")

# Closer than this to the edge of the reference box, and beyond it, the tangent replaces the
# logarithm, so that searches outside the box still know which way leads into it.
_EDGE = 0.02
# Of the compiled scalarizations, which broadcast like a ufunc: objectives, weights, ideal and span,
# [M], and the largest size of a scaled value.
_TYPES = ["void(f8[:], f8[:], f8[:], f8[:], f8[:], f8[:])"]
_SHAPES = "(m),(m),(m),(m),()->()"
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
        point = None if ref_point is None else np.asarray(ref_point, dtype=float)
        if point is not None and point.shape != (n_obj,):
            raise ValueError(
                f"The reference point must have one value per objective, shape ({n_obj},). "
                f"Got shape {point.shape} instead."
            )
        self._ref_point = point
        if bounds is not None:
            low, high = (np.asarray(bound, dtype=float) for bound in bounds)
            self.ideal, self.nadir = self.units.point(low), self.units.point(high)
        self._farthest = 2.0 ** min(_FARTHEST, _FARTHEST_PRODUCT // n_obj)

    @property
    def ref_point(self) -> Floats | None:
        """The reference point [M] in working units, or None."""
        return None if self._ref_point is None else self.units.point(self._ref_point)

    def forget_ref_point(self) -> None:
        """Use the nadir instead from the next update on."""
        self._ref_point = None

    def fresh(self) -> Normalization:
        """Return a normalization with the same reference point and units, before any update."""
        return Normalization(len(self.ideal), self._ref_point, units=self.units)

    def update(self, F: Floats, archive: Archive) -> bool:
        """Learn from new objectives F [b, M] and from the archive that already holds them.

        Returns whether ideal or nadir have changed.
        """
        if self.fixed or len(archive) == 0:
            return False
        front = archive.working_F
        ideal = np.minimum(self.ideal, F.min(axis=0)) if len(F) else self.ideal
        self.worst = np.maximum(self.worst, self.worst_of(F)) if len(F) else self.worst
        nadir, worst = self.worst_of(front), self.worst
        if self.units.some_far:
            nadir = np.where(np.isfinite(nadir), nadir, front.max(axis=0))
            worst = np.maximum(worst, nadir)
        # An archive of one design would scale everything to 0, and no search could tell better
        # from worse.
        nadir = np.where(nadir > front.min(axis=0), nadir, np.maximum(nadir, worst))
        point = self.ref_point
        if point is not None:
            # A reference point below the ideal says nothing about the scale of that objective.
            nadir = np.where(point > ideal, point, nadir)
        changed = not (np.array_equal(ideal, self.ideal) and np.array_equal(nadir, self.nadir))
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

    def with_ideal_of(self, F: Floats) -> Normalization:
        """Return a copy whose ideal is at least as good as all of the objectives F [b, M]."""
        other = copy.copy(self)
        other.ideal = np.minimum(self.ideal, F.min(axis=0)) if len(F) else self.ideal
        return other

    def scale(self, F: Floats) -> Floats:
        """Scale objectives [..., M]; an objective that never varied scales to 0."""
        span = self.nadir - self.ideal
        with np.errstate(over="ignore"):
            Z = (F - self.ideal) / np.where(span > 0, span, np.inf)
        np.minimum(Z, self._farthest, out=Z)
        return np.maximum(Z, -self._farthest, out=Z)

    def learned(self, F: Floats) -> Floats:
        """Return objectives [..., M] for models to learn from, limited far beyond the nadir."""
        span = self.nadir - self.ideal
        return np.minimum(F, np.where(span > 0, self.nadir + _LEARNED * span, np.inf))

    def learned_changes(self, changes: Floats) -> Floats:
        """Return changes of objectives [..., M] for models to learn from, large ones limited."""
        span = self.nadir - self.ideal
        limit = np.where(span > 0, _LEARNED * span, np.inf)
        return np.clip(changes, -limit, limit)

    def scalarize(self, F: Floats, W: Floats, by: Scalarization) -> Floats:
        """Scale objectives F [..., M], then scalarize them with weights W [..., M]: [...]."""
        span = self.nadir - self.ideal
        return np.asarray(_combination(by)(F, W, self.ideal, span, self._farthest))


def scalarize(Z: Floats, W: Floats, by: Scalarization) -> Floats:
    """Combine scaled objectives Z with weights W, both [..., M]; smaller values [...] are better.

    "chebyshev" is the largest weighted coordinate (Zhang and Li 2007, eq. 5), "weighted_sum" the
    sum, and "product" the negative logarithm of the weighted product of the distances to the
    reference point. For equal weights that product is the hypervolume of the design alone.
    """
    if by == "chebyshev":
        return (W * Z).max(axis=-1)
    if by == "weighted_sum":
        return (W * Z).sum(axis=-1)
    distance = 1.0 + _EDGE - Z
    inside = np.log(np.maximum(distance, _EDGE))
    beyond = np.minimum(distance - _EDGE, 0.0) / _EDGE
    return -(W * (inside + beyond)).sum(axis=-1)


def better(
    CV: Floats | float, g: Floats | float, than_CV: Floats | float, than_g: Floats | float
) -> Bools:
    """Compare (CV, g) with another pair: feasibility first, then the value (Deb 2000)."""
    return np.asarray((CV < than_CV) | ((CV == than_CV) & (g < than_g)))


def _product(
    F: Floats, W: Floats, ideal: Floats, span: Floats, farthest: Floats, out: Floats
) -> None:
    """Set the negative logarithm of the weighted product of distances to the reference point."""
    total = 0.0
    for j in range(F.shape[0]):
        z = (F[j] - ideal[j]) / span[j] if span[j] > 0.0 else 0.0
        distance = 1.0 + _EDGE - max(min(z, farthest[0]), -farthest[0])
        if distance >= _EDGE:
            total += W[j] * math.log(distance)
        else:
            total += W[j] * (math.log(_EDGE) + (distance - _EDGE) / _EDGE)
    out[0] = -total


def _chebyshev(
    F: Floats, W: Floats, ideal: Floats, span: Floats, farthest: Floats, out: Floats
) -> None:
    """Set the largest weighted scaled objective."""
    largest = -np.inf
    for j in range(F.shape[0]):
        z = (F[j] - ideal[j]) / span[j] if span[j] > 0.0 else 0.0
        largest = max(largest, W[j] * max(min(z, farthest[0]), -farthest[0]))
    out[0] = largest


def _weighted_sum(
    F: Floats, W: Floats, ideal: Floats, span: Floats, farthest: Floats, out: Floats
) -> None:
    """Set the weighted sum of scaled objectives."""
    total = 0.0
    for j in range(F.shape[0]):
        z = (F[j] - ideal[j]) / span[j] if span[j] > 0.0 else 0.0
        total += W[j] * max(min(z, farthest[0]), -farthest[0])
    out[0] = total


@cache
def _combination(by: Scalarization) -> Callable[..., Floats]:
    """Return the compiled function of this name, made at the first call.

    Its machine code is kept on disk if a folder can be written.
    """
    function = {"product": _product, "chebyshev": _chebyshev, "weighted_sum": _weighted_sum}[by]
    compiler: Callable[..., Callable[..., Callable[..., Floats]]] = guvectorize
    try:
        return compiler(_TYPES, _SHAPES, cache=True)(function)
    except RuntimeError:
        return compiler(_TYPES, _SHAPES)(function)
