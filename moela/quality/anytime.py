"""Anytime hypervolume: its value after any number of evaluations, and evaluations to a target."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from moela._arrays import Floats
from moela.quality.indicators import hypervolume
from moela.quality.magnitude import divided, exponents, multiplied

# The volume of a front depends on the order of its points in the last bits.
_HAIR = 1.0 - 1e-12


class GrowingFront:
    """The hypervolume of the first n rows of a table, for any n.

    Rows of F [n, M] that aren't better than the reference point [M] in every objective add nothing;
    nor do rows with NaN. The fronts of earlier queries are kept, so that a new query only adds the
    rows since the last smaller one. Objectives may be of any size; a volume that is too large or
    too small for a float is a ValueError. Volumes are exact or approximate as asked for, by default
    as `moela.quality.indicators.hypervolume` decides for each front.
    """

    def __init__(self, F: Floats, ref_point: Floats, *, exact: bool | None = None) -> None:
        self._exact = exact
        inside = (F < ref_point).all(axis=1)
        by = exponents(len(ref_point), F[inside], ref_point)
        # Volumes are kept divided by this power of two.
        self._exponent = int(by.sum())
        self._ref_point, self._F = divided(ref_point, by), divided(F[inside], by)
        # Number of rows of F up to and including each row inside.
        self._at = np.flatnonzero(inside) + 1
        # Numbers of rows inside that were queried, the front of each, and its volume.
        self._marks: list[int] = [0]
        self._fronts: list[NDArray[np.intp]] = [np.empty(0, dtype=np.intp)]
        self._volumes: list[float] = [0.0]

    def volumes(self, at: Sequence[int]) -> Floats:
        """Return the hypervolume of the first n rows, for each n in any order, [len(at)].

        Numbers beyond the last row mean all rows.
        """
        # In ascending order, each front extends the one before it.
        volumes = {n: self._volume(int(np.searchsorted(self._at, n, "right"))) for n in sorted(at)}
        found = np.array([volumes[n] for n in at], dtype=float)
        return multiplied("hypervolume", found, self._exponent)

    def first(self, target: float) -> float:
        """Return the number of rows after which the hypervolume first reaches `target`.

        Compared to one part in 10^12, since rounding depends on the order of the rows. Infinity if
        all rows together don't reach it.
        """
        if target <= 0:
            return 1.0
        with np.errstate(over="ignore", under="ignore"):
            goal = float(np.ldexp(target * _HAIR, -self._exponent))
        n = len(self._F)
        while self._volumes[-1] < goal:
            if self._marks[-1] == n:
                return float("inf")
            # Doubling: volumes of small sets cost little.
            self._volume(min(max(64, 2 * self._marks[-1]), n))
        place = bisect_left(self._volumes, goal)
        low, high = self._marks[place - 1], self._marks[place]
        step = 0
        while high - low > 1:
            # Interpolate, since the volume grows almost linearly; every third step bisects, as a
            # safeguard.
            step += 1
            least, most = self._volume(low), self._volume(high)
            part = 0.5 if step % 3 == 0 else (goal - least) / (most - least)
            middle = min(max(low + round(part * (high - low)), low + 1), high - 1)
            if self._volume(middle) < goal:
                low = middle
            else:
                high = middle
        return float(self._at[high - 1])

    def _volume(self, k: int) -> float:
        """Return the hypervolume of the first k rows inside the reference point."""
        place = bisect_right(self._marks, k) - 1
        mark = self._marks[place]
        if mark < k:
            rows = np.concatenate([self._fronts[place], np.arange(mark, k)])
            front = rows[moocore.is_nondominated(self._F[rows])]
            volume = hypervolume(self._F[front], self._ref_point, exact=self._exact)
            place += 1
            self._marks.insert(place, k)
            self._fronts.insert(place, front)
            # Rounding must not make the volume decrease.
            self._volumes.insert(place, max(volume, self._volumes[place - 1]))
        return self._volumes[place]
