"""Exact Pareto hypervolume (PHV), and contributions of single designs to it."""

from __future__ import annotations

import moocore
import numpy as np

from moela._arrays import Floats
from moela.core.scaling import Normalization
from moela.quality import indicators

# Without a known reference point, the reference lies this far beyond the nadir, so that the ends
# of the front count, too.
_MARGIN = 0.1


def scaled_reference(normalization: Normalization) -> Floats:
    """Return the reference point [M] in the units of `normalization.scale`.

    It is 1, the known reference point, in each objective that is scaled by it, and a tenth beyond
    the running nadir in the others.
    """
    point = normalization.ref_point
    if point is None:
        return np.full(len(normalization.ideal), 1.0 + _MARGIN)
    return np.where(point > normalization.ideal, 1.0, 1.0 + _MARGIN)


def hypervolume(Z: Floats, ref: Floats) -> float:
    """Return the volume dominated by the rows of Z [n, M] inside the box bounded by `ref` [M]."""
    return indicators.hypervolume(Z, ref, exact=True)


def contributions(Z: Floats, front: Floats, ref: Floats) -> Floats:
    """Return the hypervolume that each row of Z [b, M] would add to a front [n, M] on its own.

    A point adds the box between itself and the reference point, less the part of it that the front
    dominates. Only the front limited to that box is measured, and most of its points become
    dominated when they are limited. This is exact, and many times cheaper than two hypervolumes
    (Bradstreet, While and Barone 2008; IEEE TEC 12(6), 714-723).
    """
    gains = np.zeros(len(Z))
    inside = (ref > Z).all(axis=1)
    front = front[(ref > front).all(axis=1)]
    for i in np.flatnonzero(inside):
        box = float(np.prod(ref - Z[i]))
        limited = np.maximum(front, Z[i])
        if len(limited) > 1:
            limited = limited[moocore.is_nondominated(limited, keep_weakly=False)]
        gains[i] = max(box - hypervolume(limited, ref), 0.0)
    return gains
