"""Pareto hypervolume (PHV): exact, and cheap for what single designs add to a front."""

from __future__ import annotations

import moocore
import numpy as np

from moela._arrays import Floats
from moela.core.scaling import Frame
from moela.quality import indicators

# Without a known reference point the reference lies this far beyond the nadir, so that the ends
# of the front count too.
_MARGIN = 0.1


def scaled_reference(frame: Frame) -> Floats:
    """Return the reference point [M] in the units of `frame.scale`.

    It is 1, the known reference, in each objective where the frame ends there, and a tenth beyond
    the running nadir elsewhere.
    """
    if frame.reference is None:
        return np.full(len(frame.ideal), 1.0 + _MARGIN)
    return np.where(frame.reference > frame.ideal, 1.0, 1.0 + _MARGIN)


def hypervolume(Z: Floats, ref: Floats) -> float:
    """Volume that the rows of Z [n, M] dominate inside the box that ends at `ref` [M]."""
    return indicators.hypervolume(Z, ref, exact=True)


def contributions(Z: Floats, front: Floats, ref: Floats) -> Floats:
    """Hypervolume that each row of Z would add to a front, each on its own.

    What a point adds is the box between it and the reference, less what the front dominates
    there. So only the front limited to that box is measured, and most of its points become
    dominated when they are limited: exact, and many times cheaper than two hypervolumes
    (Bradstreet, While and Barone 2008; IEEE TEC 12(6), 714-723).

    Parameters
    ----------
    Z : float array, [b, M]
        Points to judge, minimized.
    front : float array, [n, M]
        Any points; dominated ones do no harm.
    ref : float array, [M]
        Points that are not below it in each objective add nothing.

    Returns
    -------
    float array, [b]
    """
    gains = np.zeros(len(Z))
    inside = (ref > Z).all(axis=1)
    front = front[(ref > front).all(axis=1)]
    for i in np.flatnonzero(inside):
        box = float(np.prod(ref - Z[i]))
        limited = np.maximum(front, Z[i])
        gains[i] = max(box - hypervolume(_minimal(limited), ref), 0.0)
    return gains


def _minimal(P: Floats) -> Floats:
    return P[moocore.is_nondominated(P, keep_weakly=False)] if len(P) > 1 else P
