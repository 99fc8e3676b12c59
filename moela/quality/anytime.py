"""The hypervolume of a growing set: after so many evaluations, and how many a volume takes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from moela._arrays import Floats

# The same front in another order may have another volume in its last bits.
_HAIR = 1.0 - 1e-12


class GrowingFront:
    """The non-dominated part of the first rows of a table, and its exact hypervolume.

    The fronts that were looked at are kept, so that another one only takes the rows since the one
    before it.

    Parameters
    ----------
    F : float array, [n, M]
        Minimized, in order of evaluation. Rows that aren't better than the reference in every
        objective count nothing, NaN neither.
    ref_point : float array, [M]

    References
    ----------
    Fonseca, Paquete and Lopez-Ibanez 2006, "An improved dimension-sweep algorithm for the
    hypervolume indicator" (moocore).
    """

    def __init__(self, F: Floats, ref_point: Floats) -> None:
        inside = (F < ref_point).all(axis=1)
        self._ref_point = ref_point
        self._F = F[inside]
        # After how many rows of F each of those inside has come.
        self._at = np.flatnonzero(inside) + 1
        # By how many of the rows inside: which of them are the front, and its volume.
        self._marks: list[int] = [0]
        self._fronts: list[NDArray[np.intp]] = [np.empty(0, dtype=np.intp)]
        self._volumes: list[float] = [0.0]

    def volumes(self, at: Sequence[int]) -> Floats:
        """Return the hypervolume of the first n rows, for each n.

        Parameters
        ----------
        at : sequence of int
            In any order; one past the last row means all of them.

        Returns
        -------
        float array, [len(at)]
            In the product of the objectives' units.
        """
        # In ascending order each front is made from the one before it.
        found = {n: self._volume(int(np.searchsorted(self._at, n, "right"))) for n in sorted(at)}
        return np.array([found[n] for n in at], dtype=float)

    def first(self, target: float) -> float:
        """Return after how many rows the hypervolume first is `target`.

        To a part in 10^12, within which the order of the rows decides. Infinity if all of them do
        not suffice.
        """
        if target <= 0:
            return 1.0
        goal, n = target * _HAIR, len(self._F)
        while self._volumes[-1] < goal:
            if self._marks[-1] == n:
                return float("inf")
            # Doubling: sets are small early on, and so are their volumes' costs.
            self._volume(min(max(64, 2 * self._marks[-1]), n))
        place = bisect_left(self._volumes, goal)
        low, high = self._marks[place - 1], self._marks[place]
        step = 0
        while high - low > 1:
            # Between these two the volume is nearly straight; every third step halves, to be safe.
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
        """Return the hypervolume of the first k rows inside."""
        place = bisect_right(self._marks, k) - 1
        mark = self._marks[place]
        if mark < k:
            rows = np.concatenate([self._fronts[place], np.arange(mark, k)])
            front = rows[moocore.is_nondominated(self._F[rows])]
            volume = float(moocore.hypervolume(self._F[front], ref=self._ref_point))
            place += 1
            self._marks.insert(place, k)
            self._fronts.insert(place, front)
            # Never less than before, whatever the last bits say.
            self._volumes.insert(place, max(volume, self._volumes[place - 1]))
        return self._volumes[place]
