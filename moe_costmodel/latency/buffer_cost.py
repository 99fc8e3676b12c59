"""BufferCost: what a layer takes when its experts are buffered, beside the layer itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

from moe_costmodel.hardware import Link
from moe_costmodel.measure.measurements import Record
from moe_costmodel.shapes import LayerShape

__all__ = ["BufferCost"]


@dataclass(frozen=True)
class BufferCost:
    """Seconds of a buffered layer: scale x the layer's own + the terms below.

    Attributes
    ----------
    scale : float
        Experts that run one after another are slower or faster than a grouped product.
    per_step : float
        Seconds of every step.
    per_active : float
        Seconds of every active expert (keeping book).
    per_miss, per_byte : float
        Seconds of a copy, and of each of its bytes.

    Examples
    --------
    >>> from moe_costmodel import BufferCost, LayerShape, Link
    >>> shape = LayerShape(n_experts=8, k=2, d_model=64, d_ffn=128)
    >>> cost = BufferCost.of_link(Link(bandwidth=12e9, latency=1e-5))
    >>> bool(cost.copy_seconds(shape, 2) > cost.copy_seconds(shape, 1))
    True
    """

    scale: float = 1.0
    per_step: float = 0.0
    per_active: float = 0.0
    per_miss: float = 0.0
    per_byte: float = 0.0

    @classmethod
    def of_link(cls, link: Link) -> BufferCost:
        """Return what a link alone says: copies cost its time, and nothing else is added."""
        return cls(per_miss=link.latency, per_byte=1.0 / link.bandwidth)

    @classmethod
    def fit(
        cls,
        records: Sequence[Record],
        layer: Callable[[LayerShape, NDArray[np.int64]], NDArray[np.float64]],
    ) -> BufferCost:
        """Fit to records of kind "buffered" by non-negative least squares on relative errors.

        Parameters
        ----------
        records : sequence of Record
            Runs of steps.
        layer : callable
            Predicts the layer itself: seconds of (shape, counts [n_steps, n_experts]).
        """
        rows, seconds = [], []
        for record in records:
            if record.shape is None:
                continue
            counts = np.asarray(record.at["counts"], dtype=np.int64)
            misses = float(record.at["misses"])
            rows.append(
                [
                    float(layer(record.shape, counts).sum()),
                    float(len(counts)),
                    float(np.count_nonzero(counts)),
                    misses,
                    misses * record.shape.expert_bytes,
                ]
            )
            seconds.append(record.seconds)
        terms, took = np.array(rows), np.array(seconds)
        size = terms.max(axis=0)
        found, _ = nnls(terms / size / took[:, None], np.ones(len(took)))
        return cls(*(float(value) for value in found / size))

    def copy_seconds(self, shape: LayerShape, misses: ArrayLike) -> NDArray[np.float64]:
        """Return the time of copying missing experts one after the other."""
        each = self.per_miss + self.per_byte * shape.expert_bytes
        return np.asarray(misses, dtype=np.float64) * each

    def layer_seconds(
        self, seconds: NDArray[np.float64], active: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the time of a buffered layer without its copies.

        Parameters
        ----------
        seconds : ndarray
            Time of the layer when all its experts are resident.
        active : ndarray
            Experts with tokens.
        """
        buffered = self.scale * seconds + self.per_step + self.per_active * active
        return np.where(active > 0, buffered, seconds)
