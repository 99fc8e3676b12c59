"""FitReport: errors of a latency model on what it was not fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Floats
from moe_costmodel.latency.estimators import Estimator
from moe_costmodel.latency.features import Points, outside_of, range_of

__all__ = ["FitReport", "ShapeError", "leave_one_out"]


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
        One of :data:`moe_costmodel.latency.estimators.METHODS`.
    shapes : list of ShapeError
    median : float
        Median relative error over all points of all shapes.
    log_ratios : ndarray
        Sorted log(measured / predicted) of the points of shapes that are not extrapolations.
    wide_log_ratios : ndarray
        The same for all shapes.

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

    @property
    def worst_inside(self) -> float:
        """Largest median error of the shapes that are not extrapolations (NaN if all are)."""
        inside = [shape.median for shape in self.shapes if not shape.outside]
        return max(inside) if inside else float("nan")

    def __str__(self) -> str:
        left_out = "size" if any(" tokens" in shape.shape for shape in self.shapes) else "shape"
        lines = [
            f"{self.method}: leave-one-{left_out}-out error, median {self.median:.1%}, "
            f"worst {left_out} inside the model {self.worst_inside:.1%}",
            f"  {'experts x k x d_model x d_ffn':<30}{'points':>8}{'median':>9}{'p90':>9}",
        ]
        for shape in self.shapes:
            note = f"  outside: {'; '.join(shape.outside)}" if shape.outside else ""
            lines.append(
                f"  {shape.shape:<30}{shape.n:>8}{shape.median:>9.1%}{shape.p90:>9.1%}{note}"
            )
        return "\n".join(lines)


def leave_one_out(
    estimator: Estimator, points: Points, seconds: Floats, family: NDArray[np.int64]
) -> FitReport:
    """Predict every model shape from the others."""
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
    return FitReport(estimator.method, errors, median, np.sort(near), np.sort(ratios))
