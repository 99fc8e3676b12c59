"""Normalization of objectives, and scalarization by weights."""

from __future__ import annotations

import copy
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from moela._arrays import Bools, Floats
from moela.core.archive import Archive

Scalarization = Literal["chebyshev", "weighted_sum", "product"]
SCALARIZATIONS: tuple[Scalarization, ...] = ("chebyshev", "weighted_sum", "product")

# Closer than this to the edge of the reference box, and beyond it, the tangent replaces the
# logarithm, so that searches outside the box still know which way leads into it.
_EDGE = 0.02


class Normalization:
    """Scaling of objectives, to 0 at the running ideal [M] and 1 at the nadir [M].

    The nadir is that of the non-dominated designs so far, or the worst value met in an objective in
    which these do not differ. A reference point, such as the objectives of a design to beat, takes
    its place in each objective in which it is worse than the ideal. `bounds` fixes both, for
    algorithms that were published with such.
    """

    def __init__(
        self,
        n_obj: int,
        ref_point: ArrayLike | None = None,
        bounds: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        self.ideal: Floats = np.full(n_obj, np.inf)
        self.nadir: Floats = np.full(n_obj, -np.inf)
        self.worst: Floats = np.full(n_obj, -np.inf)
        self.fixed = bounds is not None
        self.ref_point = None if ref_point is None else np.asarray(ref_point, dtype=float)
        if self.ref_point is not None and self.ref_point.shape != (n_obj,):
            raise ValueError(
                f"The reference point must have one value per objective, shape ({n_obj},). "
                f"Got shape {self.ref_point.shape} instead."
            )
        if bounds is not None:
            self.ideal = np.asarray(bounds[0], dtype=float)
            self.nadir = np.asarray(bounds[1], dtype=float)

    def update(self, F: Floats, archive: Archive) -> bool:
        """Learn from new objectives F [b, M] and from the archive that already holds them.

        Returns whether ideal or nadir have changed.
        """
        if self.fixed or len(archive) == 0:
            return False
        ideal = np.minimum(self.ideal, F.min(axis=0)) if len(F) else self.ideal
        self.worst = np.maximum(self.worst, F.max(axis=0)) if len(F) else self.worst
        nadir = archive.F.max(axis=0)
        # An archive of one design would scale everything to 0, and no search could tell better
        # from worse.
        nadir = np.where(nadir > archive.F.min(axis=0), nadir, np.maximum(nadir, self.worst))
        if self.ref_point is not None:
            # A reference point below the ideal says nothing about the scale of that objective.
            nadir = np.where(self.ref_point > ideal, self.ref_point, nadir)
        changed = not (np.array_equal(ideal, self.ideal) and np.array_equal(nadir, self.nadir))
        self.ideal, self.nadir = ideal, nadir
        return changed

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
        return (F - self.ideal) / np.where(span > 0, span, np.inf)

    def scalarize(self, F: Floats, W: Floats, by: Scalarization) -> Floats:
        """Scale objectives F [..., M], then scalarize them with weights W [..., M]: [...]."""
        return scalarize(self.scale(F), W, by)


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
