"""Normalization of objectives and their scalarization by weights."""

from __future__ import annotations

import copy
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moela._arrays import Floats
from moela.core.archive import Archive

Scalarization = Literal["chebyshev", "weighted_sum", "product"]


SCALARIZATIONS = ("chebyshev", "weighted_sum", "product")


# A design this close to the edge of the reference box, or beyond it, is scored by the tangent of
# the logarithm instead, so that searches out there still know which way is in.
_EDGE = 0.02


class Frame:
    """The box that objectives are scaled with: running ideal, and a reference or running nadir.

    Parameters
    ----------
    n_obj : int
        Number of objectives M.
    reference : array [M] or None
        A known reference point, such as the objectives of a design that one wants to beat. The
        frame ends there. Without one it ends at the nadir of the non-dominated designs so far,
        or, in an objective in which these do not differ, at the worst value met.
    bounds : tuple of arrays [M], optional
        Fixed (ideal, nadir), for algorithms that were published with such.

    Attributes
    ----------
    ideal, nadir : float array, [M]
        Scaled objectives are 0 at the ideal and 1 at the nadir.
    worst : float array, [M]
        The largest value met in each objective.
    """

    def __init__(
        self,
        n_obj: int,
        reference: ArrayLike | None = None,
        bounds: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        self.ideal: Floats = np.full(n_obj, np.inf)
        self.nadir: Floats = np.full(n_obj, -np.inf)
        self.worst: Floats = np.full(n_obj, -np.inf)
        self.fixed = bounds is not None
        self.reference = None if reference is None else np.asarray(reference, dtype=float)
        if self.reference is not None and self.reference.shape != (n_obj,):
            raise ValueError(
                f"The reference point must have one value per objective, shape ({n_obj},). "
                f"Got shape {self.reference.shape} instead."
            )
        if bounds is not None:
            self.ideal = np.asarray(bounds[0], dtype=float)
            self.nadir = np.asarray(bounds[1], dtype=float)

    def update(self, F: Floats, archive: Archive) -> bool:
        """Learn from new objectives F [b, M] and the archive they went into.

        Returns
        -------
        bool
            Whether the frame moved.
        """
        if self.fixed or len(archive) == 0:
            return False
        ideal = np.minimum(self.ideal, F.min(axis=0)) if len(F) else self.ideal
        self.worst = np.maximum(self.worst, F.max(axis=0)) if len(F) else self.worst
        nadir = archive.F.max(axis=0)
        # An archive of one design would scale everything to 0, and no search could tell better
        # from worse.
        nadir = np.where(nadir > archive.F.min(axis=0), nadir, np.maximum(nadir, self.worst))
        if self.reference is not None:
            # A reference that nothing has come near says nothing about scale there.
            nadir = np.where(self.reference > ideal, self.reference, nadir)
        moved = not (np.array_equal(ideal, self.ideal) and np.array_equal(nadir, self.nadir))
        self.ideal, self.nadir = ideal, nadir
        return moved

    def reaching(self, F: Floats) -> Frame:
        """Return a copy whose ideal is beaten by none of the objectives F [b, M] either."""
        other = copy.copy(self)
        other.ideal = np.minimum(self.ideal, F.min(axis=0)) if len(F) else self.ideal
        return other

    def scale(self, F: Floats) -> Floats:
        """Scale objectives [..., M]; an objective that never varied scales to 0."""
        span = self.nadir - self.ideal
        return (F - self.ideal) / np.where(span > 0, span, np.inf)


def scalarize(Z: Floats, W: Floats, by: Scalarization) -> Floats:
    """Turn scaled objectives into one value per weight vector; smaller is better.

    Parameters
    ----------
    Z : float array, [..., M]
        Scaled objectives, 0 at the ideal and 1 at the nadir or reference.
    W : float array, [..., M]
        Weights, broadcast against Z.
    by : {"chebyshev", "weighted_sum", "product"}
        The largest weighted coordinate (Zhang and Li 2007, eq. 5); their weighted sum; or the
        negative logarithm of the weighted product of the distances to the reference, which for
        equal weights is the hypervolume that the design alone dominates.

    Returns
    -------
    float array, [...]
    """
    if by == "chebyshev":
        return (W * Z).max(axis=-1)
    if by == "weighted_sum":
        return (W * Z).sum(axis=-1)
    distance = 1.0 + _EDGE - Z
    inside = np.log(np.maximum(distance, _EDGE))
    beyond = np.minimum(distance - _EDGE, 0.0) / _EDGE
    return -(W * (inside + beyond)).sum(axis=-1)


def better(CV: Any, g: Any, CV_than: Any, g_than: Any) -> NDArray[np.bool_]:
    """Tell where (CV, g) beats the other: feasibility first, then the value (Deb 2000)."""
    return (CV < CV_than) | ((CV == CV_than) & (g < g_than))
