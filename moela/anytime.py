"""Hypervolume of a growing set: after so many evaluations, and how many a volume takes."""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def hypervolumes(F: Floats, ref_point: Floats, at: Sequence[int]) -> Floats:
    """Return the exact hypervolume of the first n rows, for each n.

    Designs that aren't better than the reference in every objective count nothing, NaN neither.

    Parameters
    ----------
    F : float array, [n, M]
        Minimised, in order of evaluation.
    ref_point : float array, [M]
    at : sequence of int
        In any order; one past the last row means all of them.

    Returns
    -------
    float array, [len(at)]
        In units of the objectives.

    Notes
    -----
    The non-dominated rows of one checkpoint are carried to the next, so that the cost is that of
    one non-dominated set and `len(at)` hypervolumes (moocore; Fonseca, Paquete and
    Lopez-Ibanez 2006).
    """
    growing = _Growing(F, ref_point)
    found = {n: growing.reach(n) for n in sorted(set(at))}
    return np.array([found[n] for n in at], dtype=float)


def evaluations_to(F: Floats, ref_point: Floats, target: float) -> float:
    """Return after how many rows the hypervolume first is at least `target`.

    Parameters
    ----------
    F : float array, [n, M]
    ref_point : float array, [M]
    target : float

    Returns
    -------
    float
        Exactly the first number of rows, infinity if all of them do not suffice.
    """
    growing, n = _Growing(F, ref_point), len(F)
    low, high = 0, min(64, n)
    # Doubling first: sets are small early on, and so are their hypervolumes' costs.
    while growing.peek(low, high) < target:
        if high == n:
            return float("inf")
        growing.reach(high)
        low, high = high, min(2 * high, n)
    while high - low > 1:
        middle = (low + high) // 2
        if growing.peek(low, middle) < target:
            growing.reach(middle)
            low = middle
        else:
            high = middle
    return float(high)


class _Growing:
    """The non-dominated rows inside the reference, of the first rows that were reached."""

    def __init__(self, F: Floats, ref_point: Floats) -> None:
        self.ref_point = ref_point
        self.inside = np.all(F < ref_point, axis=1)
        self.F = F
        self.n = 0
        self.front: Floats = np.empty((0, F.shape[1]))

    def reach(self, n: int) -> float:
        self.front = self._with(self.n, n)
        self.n = n
        return self._volume(self.front)

    def peek(self, low: int, n: int) -> float:
        """Return the hypervolume at n without going there; the front is that of `low`."""
        return self._volume(self._with(low, n))

    def _with(self, low: int, n: int) -> Floats:
        fresh = self.F[low:n][self.inside[low:n]]
        if len(fresh) == 0:
            return self.front
        return np.asarray(moocore.filter_dominated(np.concatenate([self.front, fresh])))

    def _volume(self, front: Floats) -> float:
        if len(front) == 0:
            return 0.0
        return float(moocore.hypervolume(front, ref=self.ref_point))
