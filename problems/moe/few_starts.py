"""Order of the designs that a search starts from, such that the first few stand for all."""

from __future__ import annotations

import moocore
import numpy as np
from scipy.stats import qmc

from problems._arrays import Floats, Ints

__all__ = ["by_worth"]

_MOST_OBJECTIVES = 5
"""Objectives up to which exact contributions to a hypervolume take well under a second."""
_ONE_BY_ONE = 100
"""Designs from which on several become the last at a time."""
_LOG_POINTS = 13


def by_worth(rows: Ints, F: Floats, ref_point: Floats) -> Ints:
    """Return non-dominated designs in another order: the first few dominate most volume.

    The design without which least hypervolume is lost becomes the last, and so on. With more than
    five objectives, 8,192 points between the best values and the reference point stand for the
    volume. The next design is always the one that dominates most of the points still free.

    Parameters
    ----------
    rows : int array [n, n_var]
    F : array [n, n_obj]
        Their objectives.
    ref_point : array [n_obj]
        The point that bounds the hypervolume.
    """
    few = F.shape[1] <= _MOST_OBJECTIVES
    return rows[_by_contribution(F, ref_point) if few else _by_coverage(F, ref_point)]


def _by_contribution(F: Floats, ref_point: Floats) -> Ints:
    left, last = np.arange(len(F)), np.empty(0, dtype=np.int64)
    while len(left) > 1:
        lost = moocore.hv_contributions(F[left], ref=ref_point)
        n = len(left) // 20 if len(left) > _ONE_BY_ONE else 1
        least = lost.argsort(kind="stable")[:n]
        last = np.concatenate((left[least][::-1], last))
        left = np.delete(left, least)
    return np.concatenate((left, last))


def _by_coverage(F: Floats, ref_point: Floats) -> Ints:
    low = F.min(axis=0)
    points = low + (ref_point - low) * qmc.Sobol(F.shape[1], rng=0).random_base2(_LOG_POINTS)
    covers = np.array([(f <= points).all(axis=1) for f in F])
    order: list[int] = []
    for _ in range(len(F)):
        gains = covers.sum(axis=1)
        gains[order] = -1
        order.append(int(gains.argmax()))
        covers &= ~covers[order[-1]]
    return np.array(order, dtype=np.int64)
