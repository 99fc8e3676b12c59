"""BufferCost: the time that buffered experts add to a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from moe_costmodel._arrays import Floats, Ints
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
        layer: Callable[[LayerShape, Ints], Floats],
        *,
        copies: Sequence[Record] = (),
    ) -> BufferCost:
        """Fit to records of kind "buffered" by non-negative least squares on relative errors.

        `layer` predicts the layer itself: (shape, counts [n_steps, n_experts]) -> seconds. Copies
        alone, records of kind "copy", count for a twentieth of the buffered layers all together:
        without them, noise could make copies seem free.
        """
        rows, seconds = [], []
        for record in records:
            if record.shape is None:
                continue
            counts = np.asarray(record.at["counts"], dtype=np.int64)
            misses = float(record.at["misses"])
            alone, active = float(layer(record.shape, counts).sum()), np.count_nonzero(counts)
            copied = misses * record.shape.expert_bytes
            rows.append([alone, float(len(counts)), float(active), misses, copied])
            seconds.append(record.seconds)
        weight = np.ones(len(rows))
        alone_copied = [(r.at["bytes"], r.seconds) for r in copies]
        if alone_copied:
            share = np.sqrt(0.05 * len(rows) / len(alone_copied))
            weight = np.append(weight, np.full(len(alone_copied), share))
            rows += [[0.0, 0.0, 0.0, 1.0, float(n)] for n, _ in alone_copied]
            seconds += [took for _, took in alone_copied]
        terms, took = np.array(rows), np.array(seconds)
        size = np.maximum(terms.max(axis=0), np.finfo(float).tiny)
        scaled, _ = nnls(terms / size / took[:, None] * weight[:, None], weight)
        return cls(*(float(value) for value in scaled / size))

    def copy_seconds(self, shape: LayerShape, misses: ArrayLike) -> Floats:
        """Return the time of copying missing experts one after the other."""
        each = self.per_miss + self.per_byte * shape.expert_bytes
        return np.asarray(misses, dtype=np.float64) * each

    def layer_seconds(self, seconds: Floats, active: Ints) -> Floats:
        """Return the time of a buffered layer without its copies.

        `seconds` is its time if all its experts are resident, and `active` the experts with tokens.
        """
        buffered = self.scale * seconds + self.per_step + self.per_active * active
        return np.where(active > 0, buffered, seconds)
