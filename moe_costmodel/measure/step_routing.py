"""Routing of consecutive steps that a timer runs a model with: recorded, or drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Ints
from moe_costmodel.measure.jobs import draw_choices
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.trace import Mode, RoutingTrace

__all__ = ["Choices", "StepRouting"]

Choices = tuple[Ints, NDArray[np.float32]]
"""Expert ids and weights of the tokens of one layer, both (n_tokens, k), heaviest first."""


class StepRouting:
    """Source of the routing of consecutive steps.

    Experts that were used a step ago may still be in the processor's caches. So the steps that come
    one after another in a measurement have to follow each other as those of real traffic do: they
    are consecutive steps of a recorded trace, or else are drawn with the same popular experts.

    Parameters
    ----------
    shape : LayerShape
        A layer.
    n_layers : int
        Layers of the model.
    random : Generator
        Source of popularity, of choices, and of places in the trace.
    trace : RoutingTrace, optional
        Recorded routing with weights.
    """

    def __init__(
        self,
        shape: LayerShape,
        n_layers: int,
        random: np.random.Generator,
        trace: RoutingTrace | None = None,
    ) -> None:
        self._shape, self._n_layers, self._random = shape, n_layers, random
        self._trace = trace if trace is not None and trace.has_weights else None

    def steps(
        self, n_tokens: int, n_steps: int, *, mode: Mode, skew: float, recorded: bool
    ) -> list[list[Choices]]:
        """Return the choices of consecutive steps, by step and layer.

        They are `recorded` if the trace has that many steps of this size, and otherwise drawn with
        a power law of exponent `skew`.
        """
        if recorded and self._trace is not None:
            try:
                batches = self._trace.batches(n_tokens, mode)
            except ValueError:  # the trace has no full step of this size
                batches = []
            if len(batches) >= n_steps:
                first = int(self._random.integers(len(batches) - n_steps + 1))
                return [self._recorded(rows) for rows in batches[first : first + n_steps]]
        layers = [self._popular(n_tokens, skew) for _ in range(self._n_layers)]
        return [[draw() for draw in layers] for _ in range(n_steps)]

    def _recorded(self, rows: Ints) -> list[Choices]:
        assert self._trace is not None
        ids = np.asarray(self._trace.topk_ids[rows], dtype=np.int64)
        weights = np.asarray(self._trace.topk_weights[rows], dtype=np.float32)
        return [
            (np.ascontiguousarray(ids[:, i]), np.ascontiguousarray(weights[:, i]))
            for i in range(self._n_layers)
        ]

    def _popular(self, n_tokens: int, skew: float) -> Callable[[], Choices]:
        """Return a function that draws steps of a layer whose popular experts stay the same."""
        order = self._random.permutation(self._shape.n_experts)

        def draw() -> Choices:
            ids, weights = draw_choices(n_tokens, self._shape, skew, self._random, shuffle=False)
            return order[ids], weights

        return draw
