"""The hypervolume of a run as it goes on: exact where that is quick, else along directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from moela._arrays import Floats
from moela.comparison.scale import Scale
from moela.quality.anytime import GrowingFront
from moela.quality.indicators import N_DIRECTIONS, sphere_directions
from moela.quality.runs import ComparedRun

# A run that finds the same front in another order may differ in the last bits of the sum over all
# that it evaluated.
_SUMMED_HAIR = 1.0 - 1e-9
# Largest final fronts whose whole way is followed exactly, by number of objectives.
_EXACT_WAY = {2: 1_000_000, 3: 100_000, 4: 2_000, 5: 500, 6: 100}


def follows_exactly(n_points: int, n_obj: int) -> bool:
    """Tell whether the way to a front of this size is exact, or along directions."""
    return n_points <= _EXACT_WAY.get(n_obj, 25)


class Growth:
    """The hypervolume of one run as it goes on, as a share of the box of its problem.

    Parameters
    ----------
    outcome : ComparedRun
        With a history.
    scale : Scale

    Attributes
    ----------
    n_eval : int
    times : float array [n_eval] or None
        When each evaluation had ended, in seconds.
    """

    def __init__(self, outcome: ComparedRun, scale: Scale) -> None:
        assert outcome.history is not None
        Z, reference = scale.clipped(outcome.history.load()), scale.reference_on_scale
        self.n_eval = len(Z)
        self.times = outcome.times()
        self._follow(Z, reference)

    def shares(self, at: Sequence[int]) -> Floats:
        """Return the share after so many evaluations, for each of them."""
        raise NotImplementedError

    def evaluations_to(self, target: float) -> float:
        """Return after how many evaluations the share first is `target`; infinity for never."""
        raise NotImplementedError

    def seconds(self, n: float) -> float:
        """Return when evaluation n had ended; infinity for infinity, NaN if times are unknown."""
        if not np.isfinite(n):
            return float("inf")
        return float("nan") if self.times is None else float(self.times[int(n) - 1])

    def _follow(self, Z: Floats, reference: Floats) -> None:
        """Take up objectives [n_eval, M] and the reference point [M], on the common scale."""
        raise NotImplementedError


class ExactGrowth(Growth):
    """By hypervolumes of fronts."""

    def _follow(self, Z: Floats, reference: Floats) -> None:
        self._room = float(np.prod(np.maximum(reference, 0.0)))
        self._front = GrowingFront(Z, reference)

    def shares(self, at: Sequence[int]) -> Floats:
        """See `Growth.shares`."""
        return self._front.volumes(at) / (self._room or 1.0)

    def evaluations_to(self, target: float) -> float:
        """See `Growth.evaluations_to`."""
        return self._front.first(target * self._room)


class DirectionalGrowth(Growth):
    """By how far the dominated region reaches from the reference point, along many directions.

    The volume is proportional to the mean of these reaches to the power of the number of
    objectives (Deng and Zhang 2019). One pass over the run gives it after every evaluation, to
    about 0.003; the directions are the same for every run, so that differences between runs are
    truer than that.
    """

    def _follow(self, Z: Floats, reference: Floats) -> None:
        # Rows beyond the reference point add no volume. NaN is not below anything.
        inside = (Z < reference).all(axis=1)
        self._at = np.flatnonzero(inside) + 1
        rays = 1.0 / sphere_directions(Z.shape[1], N_DIRECTIONS)
        # The ideal reaches as far as anything can: its volume is the box.
        whole = _growing(np.maximum(reference, 0.0)[None], rays)[0]
        gaps = np.ascontiguousarray(reference - Z[inside])
        self._along = _growing(gaps, rays) / (whole if whole > 0 else 1.0)

    def shares(self, at: Sequence[int]) -> Floats:
        """See `Growth.shares`."""
        return np.concatenate([[0.0], self._along])[np.searchsorted(self._at, at, "right")]

    def evaluations_to(self, target: float) -> float:
        """See `Growth.evaluations_to`."""
        if target <= 0:
            return 1.0
        k = int(np.searchsorted(self._along, target * _SUMMED_HAIR))
        return float(self._at[k]) if k < len(self._along) else float("inf")


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
