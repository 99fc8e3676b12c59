"""Steps as functions of the loads of their experts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel.models.shape import ModelShape
from moe_costmodel.silicon.layout import Layout
from moe_costmodel.silicon.step import SiliconModel
from moe_costmodel.silicon.step_time import Chunk, StepTime
from moela.compilation.jit import cached_njit

__all__ = ["CurveTable", "StepCurve"]

# Tokens at which the time of experts is held, as powers of 2; between them it is interpolated.
_FIRST, _STEP, _LAST = -3.0, 0.5, 24.0


@dataclass(frozen=True, eq=False)
class StepCurve:
    """Time of a step by the load of each MoE layer.

    The load of a layer is the choices of its busiest rank of expert parallelism, over the mean of
    all ranks without rules. A rule that halves the choices halves the loads.

    Attributes
    ----------
    fixed : float
        Seconds of everything but the experts of MoE layers.
    benchmark : float
        Seconds of one layer's experts under the loads of the tables' benchmarks.
    log_seconds : ndarray of shape (n_points,)
        Logarithm of the seconds of one layer's experts, by tokens under those loads.
    place : float
        Coordinate of a load of 1 in `log_seconds`.
    tokens : float
        Tokens of the step, all data-parallel ranks together.
    n_layers : int
        MoE layers.
    """

    fixed: float
    benchmark: float
    log_seconds: Floats
    place: float
    tokens: float
    n_layers: int

    def seconds(self, log_loads: Floats | None) -> Floats:
        """Return the seconds of steps.

        Parameters
        ----------
        log_loads : ndarray of shape (n_layers, n_steps) or None
            Base-2 logarithm of the loads; None takes those of the benchmarks.

        Returns
        -------
        ndarray of shape (n_steps,)
        """
        if log_loads is None or self.n_layers == 0:
            return np.array([self.fixed + self.n_layers * self.benchmark])
        out = np.full(log_loads.shape[1], self.fixed)
        _add_layers(log_loads, self.log_seconds, self.place, 1 / _STEP, out)
        return out


@cached_njit()
def _add_layers(
    log_loads: Floats, log_seconds: Floats, place: float, per_octave: float, out: Floats
) -> None:
    """Add the seconds of all layers to each step."""
    last = len(log_seconds) - 1
    for layer in range(log_loads.shape[0]):
        for i in range(log_loads.shape[1]):
            at = min(max(place + log_loads[layer, i] * per_octave, 0.0), float(last))
            low = min(int(at), last - 1)
            share = at - low
            out[i] += np.exp((1.0 - share) * log_seconds[low] + share * log_seconds[low + 1])


class CurveTable:
    """Steps of one model on one GPU, composed once each.

    Parameters
    ----------
    model : SiliconModel
        GPU and engine.
    shape : ModelShape
        The model.
    kv_dtype : str
        Type of the cache.
    """

    def __init__(self, model: SiliconModel, shape: ModelShape, kv_dtype: str) -> None:
        self.model, self.shape, self.kv_dtype = model, shape, kv_dtype
        self._curves: dict[tuple[object, ...], StepCurve] = {}
        self._by_tokens: dict[tuple[int, int], Floats] = {}

    def operators(
        self, layout: Layout, n_sequences: float, context: float, chunks: tuple[Chunk, ...]
    ) -> StepTime:
        """Return a step by operator, under the loads of the tables' benchmarks."""
        return self.model.step(
            self.shape, layout, n_sequences, context, chunks, kv_dtype=self.kv_dtype
        )

    def curve(
        self, layout: Layout, n_sequences: float, context: float, chunks: tuple[Chunk, ...]
    ) -> StepCurve:
        """Return a step as a curve; parameters as of :meth:`SiliconModel.step`."""
        key = (layout, n_sequences, context, chunks)
        found = self._curves.get(key)
        if found is None:
            found = self._curves[key] = self._compose(*key)
        return found

    def _compose(
        self, layout: Layout, n_sequences: float, context: float, chunks: tuple[Chunk, ...]
    ) -> StepCurve:
        step = self.operators(layout, n_sequences, context, chunks)
        tokens = (n_sequences + sum(chunk.length for chunk in chunks)) * layout.dp
        experts = sum(o.seconds for o in step.operators if o.operator == "moe")
        fixed, n = step.seconds - experts, self.shape.n_moe_layers
        if not n:
            return StepCurve(fixed, 0.0, np.zeros(0), 0.0, tokens, 0)
        load = self.model.experts(self.shape, layout, tokens)[1]
        place = (np.log2(tokens / load) - _FIRST) / _STEP
        return StepCurve(fixed, experts / n, self._experts(layout), float(place), tokens, n)

    def _experts(self, layout: Layout) -> Floats:
        """Return the logarithm of the seconds of one layer's experts by tokens."""
        key = (layout.moe_tp, layout.moe_ep)
        if key not in self._by_tokens:
            tokens = 2.0 ** np.arange(_FIRST, _LAST + _STEP, _STEP)
            times = [self.model.experts(self.shape, layout, float(t))[0].seconds for t in tokens]
            self._by_tokens[key] = np.log(np.array(times))
        return self._by_tokens[key]
