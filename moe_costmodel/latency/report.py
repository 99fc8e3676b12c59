"""FitReport: errors of a latency model on what it was not fitted to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Bools, Floats, Ints
from moe_costmodel.latency.estimators import Estimator
from moe_costmodel.latency.features import Points, outside_of, range_of

__all__ = ["FitReport", "ShapeError", "common_part", "conformal", "held_out_steps", "leave_one_out"]


_FOLDS = 4  # parts of the measured steps that are left out in turn
_LEAST_COMMON = 0.16  # of the variance; few groups tell little about it


@dataclass(frozen=True)
class ShapeError:
    """Error of predictions of a group of points that the model was not fitted to.

    The groups are model shapes, or, if a single shape was measured, its numbers of tokens.
    """

    shape: str  # n_experts x k x d_model x d_ffn, before the layer is split over devices
    n: int  # points
    median: float  # relative error
    p90: float
    outside: list[str]  # reasons why the shape is an extrapolation; empty if it is not


@dataclass(frozen=True)
class FitReport:
    """Leave-one-shape-out errors of a latency model (leave-one-size-out of a single shape).

    Attributes
    ----------
    method : str
        "linear", "smooth", "trees" or "blend"; see :meth:`moe_costmodel.LatencyModel.fit`.
    shapes : list of ShapeError
    median : float
        Median relative error over all points of all shapes.
    log_ratios : ndarray
        Sorted log(measured / predicted) of the points of shapes that are not extrapolations.
    wide_log_ratios : ndarray
        The same for all shapes.
    step_log_ratios : ndarray
        The same as `log_ratios` for the sum of the layers that were measured in one step of a
        model. Errors of single layers cancel out in such a sum, unless they are common to all.

    Examples
    --------
    >>> from moe_costmodel.example.measured import example_latency
    >>> 0 < example_latency().report.median < 1
    True
    """

    method: str
    shapes: list[ShapeError]
    median: float
    log_ratios: Floats
    wide_log_ratios: Floats
    step_log_ratios: Floats

    @property
    def worst_inside(self) -> float:
        """Largest median error of the shapes that are not extrapolations (NaN if all are)."""
        inside = [shape.median for shape in self.shapes if not shape.outside]
        return max(inside) if inside else float("nan")

    def __str__(self) -> str:
        left_out = "size" if any(" tokens" in shape.shape for shape in self.shapes) else "shape"
        worst = f"worst {left_out} inside the model {self.worst_inside:.1%}"
        if all(shape.outside for shape in self.shapes):
            worst = f"no {left_out} lies inside the others"
        lines = [
            f"{self.method}: leave-one-{left_out}-out error, median {self.median:.1%}, {worst}",
            f"  {'experts x k x d_model x d_ffn':<30}{'points':>8}{'median':>9}{'p90':>9}",
        ]
        for shape in self.shapes:
            note = f"  outside: {'; '.join(shape.outside)}" if shape.outside else ""
            lines.append(
                f"  {shape.shape:<30}{shape.n:>8}{shape.median:>9.1%}{shape.p90:>9.1%}{note}"
            )
        return "\n".join(lines)


def leave_one_out(
    estimator: Estimator,
    points: Points,
    seconds: Floats,
    family: NDArray[np.int64],
    step: NDArray[np.int64] | None = None,
) -> FitReport:
    """Predict every model shape from the others; rows of the same `step` are summed up, too."""
    ratios = np.empty(len(points))
    errors = []
    inside = np.zeros(len(points), dtype=bool)
    for number in np.unique(family):
        held = family == number
        predicted = estimator.fit(points.take(~held), seconds[~held]).predict(points.take(held))
        ratios[held] = np.log(seconds[held] / predicted)
        error = np.abs(predicted / seconds[held] - 1)
        unseen = points.take(held)
        # The layers of a family are split in many ways; its full sizes decide.
        whole = unseen.take(unseen.sizes[:, 4] == unseen.sizes[:, 4].max())
        reasons = outside_of(
            whole.take(whole.sizes[:, 3] == whole.sizes[:, 3].max()), range_of(points.take(~held))
        )
        inside[held] = not reasons
        label = "x".join(f"{v:g}" for v in unseen.sizes[:, :4].max(axis=0))
        if len(np.unique(points.sizes[:, :4], axis=0)) == 1:
            tokens, fitted = unseen.tokens[0], points.tokens[~held]
            label += f", {tokens:g} tokens"
            if not fitted.min() <= tokens <= fitted.max():
                reasons.append(f"the others have {fitted.min():g} to {fitted.max():g} tokens")
        median, p90 = float(np.median(error)), float(np.quantile(error, 0.9))
        errors.append(ShapeError(label, int(held.sum()), median, p90, reasons))
    near = ratios[inside] if inside.any() else ratios
    median = float(np.median(np.abs(np.expm1(-ratios))))
    of_steps: Floats = near
    if step is not None:
        kept = inside if inside.any() else np.ones(len(points), dtype=bool)
        _, place = np.unique(step[kept], return_inverse=True)
        fitted_seconds = seconds[kept] / np.exp(ratios[kept])
        sums = [np.bincount(place.ravel(), own) for own in (seconds[kept], fitted_seconds)]
        of_steps = np.log(sums[0] / sums[1])
    return FitReport(
        estimator.method, errors, median, np.sort(near), np.sort(ratios), np.sort(of_steps)
    )


def held_out_steps(
    step: Ints, tokens: Floats, seconds: Floats, predict: Callable[[Bools], Floats]
) -> Floats:
    """Return log(measured / predicted) of the layers of whole steps, a fourth left out at a time.

    `step`, `tokens` and `seconds` have a row a layer. ``predict(held)`` returns the seconds of the
    layers that are held out, fitted to the others. Steps of unknown number, below 0, give none.
    """
    numbers, first, place = np.unique(step, return_index=True, return_inverse=True)
    if len(numbers) < 2 * _FOLDS or numbers[0] < 0:
        return np.zeros(0)
    of_row = (np.random.default_rng(0).permutation(len(numbers)) % _FOLDS)[place.ravel()]
    predicted = np.empty(len(step))
    for fold in range(_FOLDS):
        predicted[of_row == fold] = predict(of_row == fold)
    measured, expected = (np.bincount(place.ravel(), own) for own in (seconds, predicted))
    return common_part(np.log(measured / expected), tokens[first])


def common_part(log_ratios: Floats, group: Floats) -> Floats:
    """Return log(measured / predicted) of steps, shrunk to what the mean of many steps keeps.

    A mean averages out the errors of its steps, but for what those of one size (`group`) have in
    common. The share of the variance between groups is that of a one-way analysis of variance.
    """
    _, place, number = np.unique(group, return_inverse=True, return_counts=True)
    n, n_groups = len(log_ratios), len(number)
    if n_groups < 2 or n == n_groups:
        return np.sort(log_ratios)
    means = np.bincount(place.ravel(), log_ratios) / number
    within = float(((log_ratios - means[place.ravel()]) ** 2).sum() / (n - n_groups))
    middle = float(log_ratios.mean())
    between = float((number * (means - middle) ** 2).sum() / (n_groups - 1))
    usual = n / n_groups
    share = (between - within) / max(between + (usual - 1) * within, 1e-300)
    factor = np.sqrt(np.clip(share, _LEAST_COMMON, 1.0))
    return np.sort(middle + factor * (log_ratios - middle))


def conformal(log_ratios: Floats, coverage: float) -> tuple[float, float]:
    """Return ratios of measured to predicted times that hold with a probability of `coverage`.

    The next ratio is equally likely to fall between any two neighbors of the n known ones, or
    beyond them (split conformal prediction, arXiv 1604.04173), so the ends are quantiles of n + 1.
    """
    n = len(log_ratios)
    if not n:
        return 1.0, 1.0
    tail = (1 - coverage) / 2 * (n + 1) / max(n - 1, 1) - 1 / max(n - 1, 1)
    ends = np.quantile(log_ratios, np.clip([tail, 1 - tail], 0.0, 1.0))
    low, high = np.exp(ends)
    return float(low), float(high)
