"""BufferCost: the time that buffered experts add to a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel.hardware import Link
from moe_costmodel.latency.report import common_part
from moe_costmodel.measure.measurements import Record
from moe_costmodel.shapes import LayerShape

__all__ = ["BufferCost", "reused_share"]


@dataclass(frozen=True)
class BufferCost:
    """Seconds of a buffered layer: scale x the seconds of the layer itself + the terms below.

    If a step needs more experts than the buffer holds, slots are used again in the same step. On
    a CPU, such a slot is still in the processor's caches, so the expert that is copied into it
    runs faster than from other memory.

    Attributes
    ----------
    scale : float
        Ratio of experts that run one after another to a grouped product.
    reuse_scale : float
        The same for experts in slots that are used again.
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
    reuse_scale: float = 1.0
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
            alone, active = layer(record.shape, counts), np.count_nonzero(counts, axis=1)
            again = alone * reused_share(active, record.at["capacity"])
            copied = misses * record.shape.expert_bytes
            first = float((alone - again).sum())
            rows.append(
                [first, float(again.sum()), len(counts), float(active.sum()), misses, copied]
            )
            seconds.append(record.seconds)
        weight = np.ones(len(rows))
        alone_copied = [(r.at["bytes"], r.seconds) for r in copies]
        if alone_copied:
            share = np.sqrt(0.05 * len(rows) / len(alone_copied))
            weight = np.append(weight, np.full(len(alone_copied), share))
            rows += [[0.0, 0.0, 0.0, 0.0, 1.0, float(n)] for n, _ in alone_copied]
            seconds += [took for _, took in alone_copied]
        terms, took = np.array(rows), np.array(seconds)
        size = np.maximum(terms.max(axis=0), np.finfo(float).tiny)
        scaled, _ = nnls(terms / size / took[:, None] * weight[:, None], weight)
        values = scaled / size
        if not terms[:, 1].any():
            values[1] = values[0]
        return cls(*(float(value) for value in values))

    @classmethod
    def left_out(
        cls,
        records: Sequence[Record],
        layer: Callable[[LayerShape, Ints], Floats],
        *,
        copies: Sequence[Record] = (),
    ) -> Floats:
        """Return log(measured / predicted) of runs, each tokens and capacity left out, (n,).

        Parameters are those of :meth:`fit`. Layers of one step of a model are summed up.
        """
        groups: dict[tuple[object, ...], list[Record]] = {}
        for record in records:
            if record.shape is not None:
                groups.setdefault((record.at["tokens"], record.at["capacity"]), []).append(record)
        out: list[float] = []
        tokens: list[float] = []
        for held in groups.values() if len(groups) > 1 else ():
            others = [r for own in groups.values() if own is not held for r in own]
            cost = cls.fit(others, layer, copies=copies)
            steps: dict[object, list[tuple[float, float]]] = {}
            for i, record in enumerate(held):
                pair = record.seconds, cost._run_seconds(record, layer)
                steps.setdefault(record.at.get("step", -1 - i), []).append(pair)
            for pairs in steps.values():
                measured, predicted = np.sum(pairs, axis=0)
                out.append(float(np.log(measured / predicted)))
                tokens.append(held[0].at["tokens"])
        return common_part(np.array(out), np.array(tokens))

    def _run_seconds(self, record: Record, layer: Callable[[LayerShape, Ints], Floats]) -> float:
        """Return the time of a run of steps through a buffer."""
        assert record.shape is not None
        counts = np.asarray(record.at["counts"], dtype=np.int64)
        active, capacity = np.count_nonzero(counts, axis=1), record.at["capacity"]
        seconds = self.layer_seconds(layer(record.shape, counts), active, capacity)
        copying = self.copy_seconds(record.shape, record.at["misses"])
        return float(seconds.sum() + copying)

    def copy_seconds(self, shape: LayerShape, misses: ArrayLike) -> Floats:
        """Return the time of copying missing experts one after the other."""
        each = self.per_miss + self.per_byte * shape.expert_bytes
        return np.asarray(misses, dtype=np.float64) * each

    def layer_seconds(
        self, seconds: Floats, active: Ints, capacity: ArrayLike | None = None
    ) -> Floats:
        """Return the time of a buffered layer without its copies.

        `seconds` is its time if all its experts are resident, and `active` the experts with tokens.
        Without a `capacity` (slots of the buffer), no slot is used twice in a step.
        """
        share = 0.0 if capacity is None else reused_share(active, capacity)
        scale = self.scale + (self.reuse_scale - self.scale) * share
        buffered = scale * seconds + self.per_step + self.per_active * active
        return np.where(active > 0, buffered, seconds)


def reused_share(active: Ints, capacity: ArrayLike) -> Floats:
    """Return the share of a step's active experts whose slots another one of them used before."""
    needed = np.asarray(active, dtype=np.float64)
    return np.maximum(needed - np.asarray(capacity), 0.0) / np.maximum(needed, 1.0)
