"""Evaluation: the objectives of one deployment, window by window, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import one_of
from moe_costmodel.deployment.certainty import Errors
from moe_costmodel.deployment.kernels import step_statistics
from moe_costmodel.deployment.layers import LayerSteps
from moe_costmodel.objectives import OBJECTIVES, Predicted, quantity

__all__ = ["Evaluation"]

# In the order of step_statistics. The cost model's error concerns these; the others are counted.
_TIMED = ("tokens_per_s", "step_mean_s", "step_p50_s", "step_p99_s")
_WAITING = ("miss_mean_s", "miss_p99_s")
_COUNTED = ("avg_max_load", "p99_max_load", "cross_node_bytes")


class Evaluation:
    """Objectives of a deployment, window by window; made by a DeploymentModel.

    ``evaluation["step_p99_s"]`` is the mean over the windows; the names are those of
    :data:`moe_costmodel.OBJECTIVES`.

    Attributes
    ----------
    layers : sequence of LayerSteps
        Every MoE layer.
    step_seconds, moe_seconds : ndarray of shape (n_steps,)
        Steps of all windows, one window after the other; and their MoE layers.
    bounds : ndarray of shape (n_windows + 1,)
        Where each window's steps begin.
    batch_size : int
        Tokens of a step.
    quality_kind : str
        What "quality_loss" measures.
    error : tuple of two pairs of float
        Lowest and highest ratio of measured to predicted times: MoE layers, the rest, whole steps.
    outside : list of str
        Reasons why times are extrapolated; empty if they are not.
    spread : float
        Factor by which the busiest device's excess over the mean may differ, above 1 if steps were
        drawn because no trace has them.
    notes : tuple of str
        How such steps were drawn; these are among the reasons in `outside`.

    Examples
    --------
    >>> from moe_costmodel import DeploymentModel, RoutingTrace
    >>> from moe_costmodel.example import measured
    >>> model = DeploymentModel(
    ...     RoutingTrace.example("code"),
    ...     measured.example_hardware(2),
    ...     measured.example_latency(),
    ...     shape=measured.example_shape(),
    ... )
    >>> evaluation = model.evaluate(model.decision(batch_size=16))
    >>> bool(evaluation["step_p99_s"] <= evaluation.worst("step_p99_s"))
    True
    """

    def __init__(
        self,
        layers: Sequence[LayerSteps],
        *,
        rest: Floats,
        bounds: Ints,
        batch_size: int,
        bytes_of: dict[str, float],
        quality: float | None,
        quality_kind: str,
        token_bytes: float,
        error: Errors,
        outside: Sequence[str] = (),
        n_devices: int = 1,
        spread: float = 1.0,
        notes: Sequence[str] = (),
    ) -> None:
        self.layers = layers
        self.spread, self.notes, self._even = spread, tuple(notes), 1.0 / n_devices
        self.bounds, self.batch_size, self.error = bounds, batch_size, error
        self.quality_kind = quality_kind
        self.outside = list(outside)
        self._quality, self._token_bytes = quality, token_bytes
        self._bytes_of = bytes_of
        self._values: dict[str, Floats] = {}
        moe = layers[0].seconds.copy()
        for layer in layers[1:]:
            moe += layer.seconds
        self.moe_seconds: Floats = moe
        self.step_seconds: Floats = moe + rest

    @cached_property
    def waiting_seconds(self) -> Floats:
        """Part of each step that waits for copies of experts, (n_steps,)."""
        waiting = np.zeros(len(self.moe_seconds))
        for layer in self.layers:
            if layer.waiting is not None:
                waiting += layer.waiting
        return waiting

    def _of(self, name: str) -> Floats:
        """Return an objective in every window, computed at the first request."""
        if name not in self._values:
            one_of("Evaluation", "name", name, OBJECTIVES)
            if name in _TIMED:
                self._values |= self._timed(self.step_seconds)
            elif name in _WAITING:
                self._values |= self._waited(self.waiting_seconds)
            elif name in self._bytes_of:
                self._values[name] = np.full(len(self.bounds) - 1, self._bytes_of[name])
            elif name == "quality_loss":
                self._values[name] = self._lost()
            else:
                counted = np.mean([layer.counted for layer in self.layers], axis=0)
                counted[2] *= len(self.layers) * self._token_bytes
                self._values |= dict(zip(_COUNTED, counted, strict=True))
        return self._values[name]

    def _lost(self) -> Floats:
        if self._quality is not None:
            return np.full(len(self.bounds) - 1, self._quality)
        mass: Floats = np.add.reduce([layer.mass for layer in self.layers])
        return 1.0 - mass / len(self.layers)

    def _timed(self, step: Floats) -> dict[str, Floats]:
        out = self._statistics(step)
        out[0] *= self.batch_size
        return dict(zip(_TIMED, out, strict=True))

    def _waited(self, waiting: Floats) -> dict[str, Floats]:
        return dict(zip(_WAITING, self._statistics(waiting)[[1, 3]], strict=True))

    def _statistics(self, seconds: Floats) -> Floats:
        out = np.empty((len(_TIMED), len(self.bounds) - 1))
        step_statistics(seconds, self.bounds, out)
        return out

    @property
    def values(self) -> dict[str, Floats]:
        """Every objective, (n_windows,)."""
        return {name: self._of(name) for name in OBJECTIVES}

    def __getitem__(self, name: str) -> float:
        values = self._of(name)
        return float(values[0] if len(values) == 1 else values.mean())

    def worst(self, name: str) -> float:
        """Return the objective in its worst window."""
        values = self._of(name)
        return float(values.min() if OBJECTIVES[name].maximize else values.max())

    def predicted(self, name: str) -> Predicted:
        """Return an objective with its interval.

        The interval goes from the lowest window to the highest. Times are widened by the errors of
        the latency model and of the rest of the step on steps that they were not fitted to, by
        that of their sum on whole steps that were measured, and further if they are extrapolated.
        The errors are independent: their squares add up.
        If steps were drawn, times and loads are widened as if the busiest device's excess over the
        mean were smaller or larger by the factor `spread`.
        """
        value = self[name]
        ends = [self._of(name)]
        if self.spread > 1 and name in _COUNTED:
            ends += [self._spread(name, factor) for factor in (1 / self.spread, self.spread)]
        for factor, of_rest, of_whole, busiest in zip(*self.error, self._busiest(), strict=True):
            if name in _TIMED:
                rest, scale = self.step_seconds - self.moe_seconds, factor * busiest
                layers = self._timed(rest + scale * self.moe_seconds)[name] - ends[0]
                others = self._timed(of_rest * rest + self.moe_seconds)[name] - ends[0]
                whole = self._timed(of_whole * self.step_seconds)[name] - ends[0]
                size = np.hypot(np.hypot(layers, others), whole)
                ends.append(ends[0] + np.sign(layers + others + whole) * size)
            elif name in _WAITING:
                ends.append(self._waited(factor * busiest * self.waiting_seconds)[name])
        everything = np.concatenate(ends)
        low, high = float(everything.min()), float(everything.max())
        return Predicted(value, min(low, value), max(high, value), self.worst(name))

    def _spread(self, name: str, factor: float) -> Floats:
        """Return a counted objective if devices differ `factor` times as much, (n_windows,)."""
        values = self._of(name)
        if name == "cross_node_bytes":
            return values * factor
        return np.minimum(self._even + (values - self._even) * factor, 1.0)

    def _busiest(self) -> tuple[float, float]:
        """Return the lowest and highest ratio of the busiest device's load to that of the steps."""
        if self.spread == 1:
            return 1.0, 1.0
        share = float(self._of("avg_max_load").mean())
        low, high = (
            float(self._spread("avg_max_load", factor).mean()) / share
            for factor in (1 / self.spread, self.spread)
        )
        return low, high

    def __str__(self) -> str:
        lines = [f"  {'objective':<18}{'mean':>14}{'worst window':>16}"]
        for name, objective in OBJECTIVES.items():
            mean = quantity(self[name], objective.unit)
            worst = quantity(self.worst(name), objective.unit)
            lines.append(f"  {name:<18}{mean:>14}{worst:>16}")
        lines += [f"  extrapolated: {reason}" for reason in self.outside]
        return "\n".join(lines)
