"""Step times of a model on a GPU for the simulation of requests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moe_costmodel.models.shape import ModelShape
from moe_costmodel.serving.scheduler import RankLoad
from moe_costmodel.silicon.layout import Layout
from moe_costmodel.silicon.step import SiliconModel
from moe_costmodel.silicon.step_time import Chunk, StepTime

__all__ = ["ComposedSteps"]

# Contexts and tokens of other ranks are rounded to steps of 1/64, so that steps repeat.
_PER_OCTAVE = 45
_NOTED = 1.25  # extrapolation that is noted


class ComposedSteps:
    """Step times composed of kernels measured on a GPU, for :func:`moe_costmodel.simulate`.

    The rank with the longest step decides; the experts of all ranks compute together. Contexts,
    prefixes of chunks, and the tokens of other ranks are rounded by less than 1 %, and steps that
    were composed are kept.

    Parameters
    ----------
    model : SiliconModel
        GPU and engine.
    shape : ModelShape
        The model.
    layout : Layout
        Its division over GPUs; `dp` are the ranks of the scheduler.
    kv_dtype : str
        Type of the cache.
    overlap : float
        Share of the exchanges that computation hides, from 0 to 1.

    Examples
    --------
    >>> from moe_costmodel import ComposedSteps, Layout, ModelShape, RankLoad, SiliconModel
    >>> model = SiliconModel("h200_sxm", "sglang")  # doctest: +SKIP
    >>> shape = ModelShape.from_config("config.json")  # doctest: +SKIP
    >>> timer = ComposedSteps(model, shape, Layout(tp=8, moe_ep=8))  # doctest: +SKIP
    >>> timer([RankLoad(64, 1000.0)])  # doctest: +SKIP
    0.0178
    """

    def __init__(
        self,
        model: SiliconModel,
        shape: ModelShape,
        layout: Layout,
        *,
        kv_dtype: str = "bfloat16",
        overlap: float = 0.0,
    ) -> None:
        self.model, self.shape, self.layout = model, shape, layout
        self.kv_dtype, self.overlap = kv_dtype, overlap
        self._known: dict[tuple[object, ...], float] = {}
        self._farthest: dict[str, float] = {}

    @property
    def outside(self) -> list[str]:
        """Reasons why steps so far were extrapolated."""
        return [
            "no table has " + name
            if factor == np.inf
            else f"{name} lies outside its table by a factor of up to {factor:.3g}"
            for name, factor in self._farthest.items()
        ]

    def __call__(self, loads: Sequence[RankLoad]) -> float:
        """Return the seconds of a step of all ranks."""
        total = sum(load.tokens for load in loads)
        busiest = max(load.tokens for load in loads)
        return max(
            self._seconds(load, max(_rounded(total), float(busiest)))
            for load in loads
            if load.tokens
        )

    def _seconds(self, load: RankLoad, total: float) -> float:
        chunks = tuple(sorted(
            (chunk.length, int(_rounded(chunk.prefix)), chunk.last) for chunk in load.chunks
        ))  # fmt: skip
        key = load.n_decode, _rounded(load.context), chunks, total
        seconds = self._known.get(key)
        if seconds is None:
            step = self.model.step(
                self.shape, self.layout, load.n_decode, key[1], [Chunk(*chunk) for chunk in chunks],
                kv_dtype=self.kv_dtype, overlap=self.overlap, all_tokens=total,
            )  # fmt: skip
            self._note(step)
            seconds = self._known[key] = step.seconds
        return seconds

    def _note(self, step: StepTime) -> None:
        """Keep how far the operators that matter are from what was measured."""
        everything = sum(operator.seconds for operator in step.operators)
        for operator in step.operators:
            if operator.outside > _NOTED and operator.seconds >= 0.05 * everything:
                name = operator.operator
                self._farthest[name] = max(self._farthest.get(name, 1.0), operator.outside)


def _rounded(value: float) -> float:
    """Return a number rounded by less than 1 %; small integers as they are."""
    if value < 64:
        return float(round(value))
    return float(round(2 ** (round(np.log2(value) * _PER_OCTAVE) / _PER_OCTAVE)))
