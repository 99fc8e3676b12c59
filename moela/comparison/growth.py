"""The hypervolume of a run as it goes on: exact where that is quick, else along directions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import moocore
import numpy as np
from numba import njit
from numpy.typing import NDArray

from moela.comparison.outcomes import Floats, Outcome
from moela.comparison.scale import Scale
from moela.indicators import N_DIRECTIONS, sphere_directions

# A run that finds the same front in another order may differ in the last bits: of a volume, and
# of a sum over all that a run evaluated.
_HAIR, _SUMMED_HAIR = 1.0 - 1e-12, 1.0 - 1e-9
# Largest final fronts whose whole way is followed exactly, by number of objectives.
_EXACT_WAY = {2: 1_000_000, 3: 100_000, 4: 2_000, 5: 500, 6: 100}


def follows_exactly(n_points: int, n_obj: int) -> bool:
    """Tell whether the way to a front of this size is exact, or along directions."""
    return n_points <= _EXACT_WAY.get(n_obj, 25)


class Growth:
    """The hypervolume of one run as it goes on, as a share of the box of its problem.

    Parameters
    ----------
    outcome : Outcome
        With a history.
    scale : Scale

    Attributes
    ----------
    n_eval : int
    times : float array [n_eval] or None
        When each evaluation had ended, in seconds.
    """

    def __init__(self, outcome: Outcome, scale: Scale) -> None:
        assert outcome.history is not None
        F = outcome.history.load()
        # Rows beyond the reference point add no volume. NaN is not below anything.
        inside = (F < scale.ref_point).all(axis=1)
        self.n_eval = len(F)
        self.times = outcome.times()
        self._scale = scale
        self._at = np.flatnonzero(inside) + 1
        self._F = F[inside]

    def shares(self, at: Sequence[int]) -> Floats:
        """Return the share after so many evaluations, for each of them."""
        return np.array([self._share_of(self._inside(n)) for n in at])

    def evaluations_to(self, target: float) -> float:
        """Return after how many evaluations the share first is `target`; infinity for never."""
        raise NotImplementedError

    def seconds(self, n: float) -> float:
        """Return when evaluation n had ended; infinity for infinity, NaN if times are unknown."""
        if not np.isfinite(n):
            return float("inf")
        return float("nan") if self.times is None else float(self.times[int(n) - 1])

    def _inside(self, n: int) -> int:
        return int(np.searchsorted(self._at, n, "right"))

    def _share_of(self, k: int) -> float:
        """Return the share of the first k rows inside."""
        raise NotImplementedError


class ExactGrowth(Growth):
    """By hypervolumes of fronts.

    Fronts at a few checkpoints are kept, so that any other number of evaluations is reached from
    the checkpoint before it.
    """

    def __init__(self, outcome: Outcome, scale: Scale) -> None:
        super().__init__(outcome, scale)
        # By how many of the rows inside: the front as rows of them, and its share.
        self._marks: list[int] = [0]
        self._fronts: list[NDArray[np.intp]] = [np.empty(0, dtype=np.intp)]
        self._shares: dict[int, float] = {0: 0.0}
        for n in checkpoints(self.n_eval):
            k = self._inside(n)
            if k > self._marks[-1]:
                self._fronts.append(self._front(k))
                self._marks.append(k)
                self._shares[k] = self._share(self._fronts[-1])

    def evaluations_to(self, target: float) -> float:
        """See `Growth.evaluations_to`."""
        if target <= 0:
            return 1.0
        goal = target * _HAIR
        reached = [k for k in self._marks if self._shares[k] >= goal]
        if not reached:
            return float("inf")
        high = reached[0]
        low = self._marks[self._marks.index(high) - 1]
        step = 0
        while high - low > 1:
            # Between these two the share is nearly straight; every third step halves, to be safe.
            step += 1
            slope = (goal - self._shares[low]) / (self._shares[high] - self._shares[low])
            part = 0.5 if step % 3 == 0 else slope
            middle = min(max(low + round(part * (high - low)), low + 1), high - 1)
            if self._share_of(middle) < goal:
                low = middle
            else:
                high = middle
        return float(self._at[high - 1])

    def _share_of(self, k: int) -> float:
        if k not in self._shares:
            self._shares[k] = self._share(self._front(k))
        return self._shares[k]

    def _front(self, k: int) -> NDArray[np.intp]:
        """Return which of the first k rows inside aren't dominated."""
        before = bisect_right(self._marks, k) - 1
        rows = np.concatenate([self._fronts[before], np.arange(self._marks[before], k)])
        if len(rows) == 0:
            return rows
        return np.asarray(rows[moocore.is_nondominated(self._F[rows])])

    def _share(self, rows: NDArray[np.intp]) -> float:
        return self._scale.share(self._F[rows])


class DirectionalGrowth(Growth):
    """By how far the dominated region reaches from the reference point, along many directions.

    The volume is proportional to the mean of these reaches to the power of the number of
    objectives (Deng and Zhang 2019). One pass over the run gives it after every evaluation, to
    about 0.003; the directions are the same for every run, so that differences between runs are
    truer than that.
    """

    def __init__(self, outcome: Outcome, scale: Scale) -> None:
        super().__init__(outcome, scale)
        n_obj = self._F.shape[1]
        reference = scale.normalise(scale.ref_point)
        rays = 1.0 / sphere_directions(n_obj, N_DIRECTIONS)
        gaps = np.ascontiguousarray(reference - np.maximum(scale.normalise(self._F), 0.0))
        # The ideal reaches as far as anything can: its volume is the box.
        whole = _growing(np.maximum(reference, 0.0)[None], rays)[0]
        self._along = _growing(gaps, rays) / (whole if whole > 0 else 1.0)

    def evaluations_to(self, target: float) -> float:
        """See `Growth.evaluations_to`."""
        if target <= 0:
            return 1.0
        k = int(np.searchsorted(self._along, target * _SUMMED_HAIR))
        return float(self._at[k]) if k < len(self._along) else float("inf")

    def _share_of(self, k: int) -> float:
        return float(self._along[k - 1]) if k else 0.0


@njit(cache=True)  # type: ignore[misc]
def _growing(gaps: Floats, rays: Floats) -> Floats:
    """Return the mean over rays of the M-th power of the reach, after each row [n].

    Parameters
    ----------
    gaps : float array, [n, M]
        From the rows to the reference point.
    rays : float array, [K, M]
        One over each component of a direction.
    """
    n, n_obj = gaps.shape
    reach = np.zeros(len(rays))
    out = np.empty(n)
    total = 0.0
    for i in range(n):
        for k in range(len(rays)):
            least = np.inf
            for j in range(n_obj):
                along = gaps[i, j] * rays[k, j]
                if along < least:
                    least = along
                    if least <= reach[k]:
                        break
            if least > reach[k]:
                total += least**n_obj - reach[k] ** n_obj
                reach[k] = least
        out[i] = total / len(rays)
    return out


def checkpoints(n_eval: int, n: int = 40) -> list[int]:
    """Return up to n numbers of evaluations, evenly spread on a logarithmic axis, the last one too.

    They begin at a thousandth of the run, or at 10.
    """
    first = min(max(10, n_eval // 1000), n_eval)
    return sorted({round(v) for v in np.geomspace(first, n_eval, n)})
