"""Pareto hypervolume (PHV), and contributions of single designs to it."""

from __future__ import annotations

from math import gamma

import moocore
import numpy as np

from moela._arrays import Floats
from moela.core.scaling import Normalization
from moela.quality import indicators

# Without a known reference point, the reference lies this far beyond the nadir, so that the ends
# of the front count, too.
_MARGIN = 0.1
# Points whose lengths along all directions are in memory at a time.
_AT_ONCE = 64


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
    """Return the volume dominated by the rows of Z [n, M] inside the box bounded by `ref` [M].

    It is exact, unless `moela.quality.indicators.hypervolume` approximates such a front by default.
    """
    return indicators.hypervolume(Z, ref)


def contributions(Z: Floats, front: Floats, ref: Floats) -> Floats:
    """Return the hypervolume that each row of Z [b, M] would add to a front [n, M] on its own.

    A point adds the box between itself and the reference point, less the part of it that the front
    dominates. Only the front limited to that box is measured, and most of its points become
    dominated when they are limited. This is exact, and many times cheaper than two hypervolumes
    (Bradstreet, While and Barone 2008; IEEE TEC 12(6), 714-723).

    Of many points in many objectives, an exact volume would take minutes or years. From the size
    on at which `moela.quality.indicators.hypervolume` approximates, the addition is an average over
    4,096 directions from the point (Shang, Ishibuchi and Ni 2020, "R2-based hypervolume
    contribution approximation").
    """
    gains = np.zeros(len(Z))
    inside = (ref > Z).all(axis=1)
    front = front[(ref > front).all(axis=1)]
    for i in np.flatnonzero(inside):
        box = float(np.prod(ref - Z[i]))
        limited = np.maximum(front, Z[i])
        if len(limited) > 1:
            limited = limited[moocore.is_nondominated(limited, keep_weakly=False)]
        if indicators.is_exact(*limited.shape):
            gains[i] = max(box - indicators.hypervolume(limited, ref, exact=True), 0.0)
        else:
            gains[i] = box * _free_share((limited - Z[i]) / (ref - Z[i]))
    return gains


def _free_share(U: Floats) -> float:
    """Return about which share of the unit cube no row of U [n >= 1, M] in it dominates.

    From the origin, the part that is free ends in each direction at one length: where the first
    row begins to dominate, or where the cube ends.
    """
    n_obj = U.shape[1]
    rays = 1.0 / indicators.sphere_directions(n_obj, indicators.N_DIRECTIONS)
    lengths = rays.min(axis=1)
    for start in range(0, len(U), _AT_ONCE):
        block = U[start : start + _AT_ONCE]
        reached = block[:, :1] * rays[:, 0]
        for j in range(1, n_obj):
            np.maximum(reached, block[:, j : j + 1] * rays[:, j], out=reached)
        np.minimum(lengths, reached.min(axis=0), out=lengths)
    # The directions cover one of the 2^M orthants of a ball.
    orthant = np.pi ** (n_obj / 2) / gamma(n_obj / 2 + 1) / 2.0**n_obj
    return min(float(orthant * (lengths**n_obj).mean()), 1.0)
