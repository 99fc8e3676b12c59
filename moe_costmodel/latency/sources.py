"""Points, seconds and groups that a latency model is fitted to, from measurements or a table."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Bools, Floats, Ints
from moe_costmodel._checks import invalid
from moe_costmodel.latency.features import Points
from moe_costmodel.measure.kernel_table import DEVICE_PEAKS, KernelTable
from moe_costmodel.measure.measurements import Measurements, Record
from moe_costmodel.shapes import OPERAND_BYTES, LayerShape
from moe_costmodel.work import Work

__all__ = ["counts_of", "gather", "measured_steps", "steps_of"]

_USUAL_UNITS = 132  # processors of a GPU that is not in DEVICE_PEAKS


def _layers(source: Measurements) -> list[Record]:
    return [r for r in source.of("layer") if r.shape is not None and sum(r.at["counts"])]


def steps_of(source: Measurements) -> NDArray[np.int64]:
    """Return the number of the step that each layer was measured in; each its own if unknown."""
    return np.array([r.at.get("step", -1 - i) for i, r in enumerate(_layers(source))])


def counts_of(source: Measurements) -> list[tuple[LayerShape, Ints]]:
    """Return the shape of each measured layer, and the tokens of its experts."""
    return [(r.shape, np.array(r.at["counts"])) for r in _layers(source) if r.shape is not None]


def measured_steps(
    source: Measurements, kept: Bools | None = None
) -> dict[LayerShape, tuple[Ints, Floats]]:
    """Return the tokens of each expert, and the seconds, of the measured steps of each shape.

    `kept` tells which of the layers count, by default all.
    """
    of_shape: dict[LayerShape, list[Record]] = {}
    for i, record in enumerate(_layers(source)):
        if record.shape is not None and (kept is None or kept[i]):
            of_shape.setdefault(record.shape, []).append(record)
    return {
        shape: (np.array([r.at["counts"] for r in own]), np.array([r.seconds for r in own]))
        for shape, own in of_shape.items()
    }


Peaks = tuple[float, dict[float, float]] | None


def gather(
    source: Measurements | KernelTable,
) -> tuple[Points, Floats, NDArray[np.int64], list[str], Peaks, int]:
    """Return points, seconds, family, kernels, known peaks and processors of a source."""
    if isinstance(source, KernelTable):
        points = Points.build(
            source.shapes, source.layer, source.work, source.tokens.astype(float), source.kernel
        )
        peaks, units = None, _USUAL_UNITS
        if source.device in DEVICE_PEAKS:
            known = DEVICE_PEAKS[source.device]
            operations = {OPERAND_BYTES[name]: rate for name, rate in known.operations.items()}
            peaks, units = (known.bandwidth, operations), known.units
        return points, source.seconds, source.family, source.kernels, peaks, units
    if not isinstance(source, Measurements):
        got = type(source).__name__
        raise invalid("LatencyModel.fit", "source", got, "Measurements or a KernelTable")
    records = _layers(source)
    if not records:
        counts = Counter(record.kind for record in source.records)
        kinds = ", ".join(f"{n} of {kind}" for kind, n in counts.items()) or "no points"
        got = "; ".join([kinds, *source.notes])
        expected = "with points of kind 'layer'; if the budget ended early, raise budget_s"
        raise invalid("LatencyModel.fit", "source", got, expected)
    shapes = sorted({r.shape for r in records if r.shape}, key=str)
    place = {shape: i for i, shape in enumerate(shapes)}
    layer = np.array([place[r.shape] for r in records if r.shape])
    work = Work.concatenate([Work.from_counts(np.array(r.at["counts"])[None]) for r in records])
    tokens = np.array([float(r.at["tokens"]) for r in records])
    points = Points.build(shapes, layer, work, tokens, np.zeros(len(records), dtype=np.int64))
    family = np.unique(points.sizes[:, :4], axis=0, return_inverse=True)[1].ravel()
    seconds = np.array([record.seconds for record in records])
    return points, seconds, family, ["dynamic gating"], None, 1
