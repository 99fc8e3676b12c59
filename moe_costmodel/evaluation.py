"""Evaluation: what a deployment model says of one deployment, and how sure it is of that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._checks import check_choice
from moe_costmodel.objectives import OBJECTIVES, Predicted

__all__ = ["Evaluation"]

FloatArray = NDArray[np.float64]
# Objectives that the cost model's error concerns; the others are counted, not predicted.
_TIMED = {
    "tokens_per_s",
    "step_mean_s",
    "step_p50_s",
    "step_p99_s",
    "miss_mean_s",
    "miss_p99_s",
}


@dataclass(frozen=True)
class Evaluation:
    """Objectives of a deployment, window by window.

    ``evaluation["step_p99_s"]`` is the mean over the windows; see
    :data:`moe_costmodel.objectives.OBJECTIVES` for the names.

    Attributes
    ----------
    values : dict of str to ndarray of shape (n_windows,)
        Every objective.
    low, high : dict of str to ndarray of shape (n_windows,)
        Of the objectives that are times, at either end of the cost model's error.
    batch : int
        Tokens of a step.
    quality_kind : str
        What "quality_loss" is.
    step_seconds : ndarray of shape (n_steps,)
        Of all windows, one after the other.
    bounds : ndarray of shape (n_windows + 1,)
        Where each window's steps begin.
    """

    values: dict[str, FloatArray]
    batch: int
    quality_kind: str
    step_seconds: FloatArray
    moe_seconds: FloatArray
    waiting_seconds: FloatArray
    bounds: NDArray[np.int64]
    error: tuple[float, float]

    def __getitem__(self, name: str) -> float:
        check_choice(name, OBJECTIVES, "name", "Evaluation")
        return float(self.values[name].mean())

    def worst(self, name: str) -> float:
        """Return the objective in its worst window."""
        check_choice(name, OBJECTIVES, "name", "Evaluation")
        values = self.values[name]
        return float(values.min() if OBJECTIVES[name].maximise else values.max())

    def predicted(self, name: str) -> Predicted:
        """Return an objective with its interval.

        The interval goes from the lowest window to the highest; times are widened by the error of
        the latency model on layers that it was not fitted to (the rest of the step is taken as
        given).
        """
        value = self[name]
        ends = [self.values[name]]
        if name in _TIMED:
            for factor in self.error:
                rest = self.step_seconds - self.moe_seconds
                ends.append(
                    timed(
                        rest + factor * self.moe_seconds,
                        factor * self.waiting_seconds,
                        self.bounds,
                        self.batch,
                    )[name]
                )
        everything = np.concatenate(ends)
        low, high = float(everything.min()), float(everything.max())
        return Predicted(value, min(low, value), max(high, value), self.worst(name))

    def __str__(self) -> str:
        from moe_costmodel.plan_text import quantity

        lines = [f"  {'objective':<18}{'mean':>14}{'worst window':>16}"]
        for name in self.values:
            unit = OBJECTIVES[name].unit
            mean, worst = quantity(self[name], unit), quantity(self.worst(name), unit)
            lines.append(f"  {name:<18}{mean:>14}{worst:>16}")
        return "\n".join(lines)


def timed(
    step: FloatArray, waiting: FloatArray, bounds: NDArray[np.int64], batch: int
) -> dict[str, FloatArray]:
    """Return the objectives that follow from the times of steps, window by window."""
    n = len(bounds) - 1
    out = {name: np.empty(n) for name in _TIMED}
    for w in range(n):
        part, copies = step[bounds[w] : bounds[w + 1]], waiting[bounds[w] : bounds[w + 1]]
        total = part.sum()
        out["tokens_per_s"][w] = batch * len(part) / total
        out["step_mean_s"][w] = total / len(part)
        half, high = np.ceil(0.5 * len(part)) - 1, np.ceil(0.99 * len(part)) - 1
        places = [int(half), int(high)]
        ordered = np.partition(part, places)
        out["step_p50_s"][w], out["step_p99_s"][w] = ordered[places]
        out["miss_mean_s"][w] = copies.mean()
        out["miss_p99_s"][w] = np.partition(copies, places[1])[places[1]]
    return out
