"""BufferCost: the time that buffered experts add to a layer."""

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
    """Seconds of a buffered layer: scale x the seconds of the layer itself + the terms below.

    Attributes
    ----------
    scale : float
        Ratio of experts that run one after another to a grouped product.
    per_step : float
        Seconds per step.
    per_active : float
        Seconds per active expert, for bookkeeping.
    per_miss, per_byte : float
        Seconds per copy, and per byte of it.

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
        """Return the cost of copies over a link, and no other cost."""
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
            Measured runs of steps.
        layer : callable
            Predicts the layer itself: (shape, counts [n_steps, n_experts]) -> seconds.
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
        scaled, _ = nnls(terms / size / took[:, None], np.ones(len(took)))
        return cls(*(float(value) for value in scaled / size))

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
