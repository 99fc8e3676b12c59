"""Convergence of one run: its hypervolume over evaluations, exact or along directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moela._arrays import Floats
from moela.comparison.scale import Scale
from moela.compilation.jit import cached_njit
from moela.quality.anytime import GrowingFront
from moela.quality.indicators import N_DIRECTIONS, is_exact, sphere_directions
from moela.quality.runs import ComparedRun

# The sum over all evaluations depends in its last bits on the order in which points were found.
_SUMMED_HAIR = 1.0 - 1e-9
# Largest final fronts whose convergence is followed exactly, by number of objectives.
_EXACT_UP_TO = {2: 1_000_000, 3: 100_000, 4: 2_000, 5: 500, 6: 100}
_EXACT_BEYOND = 25


def is_followed_exactly(n_points: int, n_obj: int) -> bool:
    """Tell whether convergence to a front of this size is exact, or estimated along directions."""
    return n_points <= _EXACT_UP_TO.get(n_obj, _EXACT_BEYOND) and is_exact(n_points, n_obj)


class ConvergenceCurve:
    """The convergence of one run: exact hypervolumes of fronts, or estimates along directions."""

    def __init__(self, run: ComparedRun, scale: Scale, *, exact: bool) -> None:
        if run.history is None or not run.history.n_eval:
            raise ValueError(
                "This needs everything that the runs evaluated, which an experiment and a store "
                "keep, and a pymoo Result made with save_history=True. It is unknown for "
                f"{run.label}, from {run.source}."
            )
        Z, ref_point = scale.clipped(run.history.load()), scale.ref_point_on_scale
        self.n_eval = len(Z)
        self.times = run.times()
        self._box = float(np.prod(np.maximum(ref_point, 0.0))) if exact else 1.0
        self._volume = (GrowingFront if exact else DirectionalShares)(Z, ref_point)

    def shares(self, at: Sequence[int]) -> Floats:
        """Return the hypervolume's share of the box after each of these numbers of evaluations."""
        return self._volume.volumes(at) / (self._box or 1.0)

    def evaluations_to(self, target: float) -> float:
        """Return the evaluations after which the share first reaches `target`, or infinity."""
        return self._volume.first(target * self._box)

    def seconds(self, n: float) -> float:
        """Return when evaluation n ended; infinity for infinity, NaN if times are unknown."""
        if not np.isfinite(n):
            return float("inf")
        return float("nan") if self.times is None else float(self.times[int(n) - 1])


class DirectionalShares:
    """Estimates of what `GrowingFront` computes, as shares of the box below the reference point.

    The volume is proportional to the mean, over many directions, of the reach of the dominated
    region from the reference point to the power of the number of objectives (Deng and Zhang 2019).
    One pass over the run gives it after every evaluation, to about 0.003. The directions are the
    same for every run, so differences between runs are more accurate than that. Objectives
    [n_eval, M] and reference point [M] are on the common scale.
    """

    def __init__(self, Z: Floats, ref_point: Floats) -> None:
        # Rows beyond the reference point add no volume. NaN is not below anything.
        inside = (Z < ref_point).all(axis=1)
        self._at = np.flatnonzero(inside) + 1
        rays = 1.0 / sphere_directions(Z.shape[1], N_DIRECTIONS)
        # The ideal point has the largest reaches; its volume is the box.
        box = _mean_reaches(np.maximum(ref_point, 0.0)[None], rays)[0]
        gaps = np.ascontiguousarray(ref_point - Z[inside])
        self._inside = _mean_reaches(gaps, rays) / (box if box > 0 else 1.0)

    def volumes(self, at: Sequence[int]) -> Floats:
        """Return the share after each of these numbers of evaluations."""
        return np.concatenate([[0.0], self._inside])[np.searchsorted(self._at, at, "right")]

    def first(self, target: float) -> float:
        """Return the evaluations after which the share first reaches `target`, or infinity."""
        if target <= 0:
            return 1.0
        k = int(np.searchsorted(self._inside, target * _SUMMED_HAIR))
        return float(self._at[k]) if k < len(self._inside) else float("inf")


@cached_njit()
def _mean_reaches(gaps: Floats, rays: Floats) -> Floats:
    """Return the mean over rays of the reach to the power of M, after each row [n].

    `gaps` [n, M] are distances to the reference point, `rays` [K, M] reciprocals of directions.
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
    """Return up to n numbers of evaluations, spread evenly on a logarithmic axis.

    The first is a thousandth of the run, at least 10; the last is `n_eval`.
    """
    first = min(max(10, n_eval // 1000), n_eval)
    return sorted({round(v) for v in np.geomspace(first, n_eval, n)})
