"""Measurements: timings of kernels, with every repeat and the machine they were taken on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from moe_costmodel._checks import invalid_field, read_json
from moe_costmodel.hardware import Hardware, Link
from moe_costmodel.shapes import LayerShape

__all__ = ["KINDS", "At", "Measurements", "Record"]

At: TypeAlias = dict[str, Any]  # numbers and nested lists of numbers, as in JSON

KINDS: dict[str, str] = {
    "products": "the products of the experts alone",
    "layer": "an MoE layer by dynamic gating, without the router",
    "buffered": "several steps of an MoE layer with buffered experts",
    "gating": "the router: scores, softmax, top-k",
    "copy": "a copy of an expert from slow to fast memory",
    "all_to_all": "an exchange of tokens by two processes",
    "rest": "attention and projections of one layer, with its KV cache",
}


@dataclass(frozen=True)
class Record:
    """A measured point.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    at : dict
        The measured point: "tokens", "counts" (tokens per expert; for "buffered", a list per
        step), "capacity", "misses", "bytes", "context", "batch".
    repeats : list of float
        Seconds of every repeat.
    shape : LayerShape or None
        Sizes of the layer; None for "all_to_all".

    Examples
    --------
    >>> from moe_costmodel import Record
    >>> record = Record("copy", {"bytes": 1_000_000}, [2e-4, 1e-4, 3e-4])
    >>> record.seconds
    0.0002
    """

    kind: str
    at: At
    repeats: list[float]
    shape: LayerShape | None = None

    @property
    def seconds(self) -> float:
        """Median of the repeats."""
        return float(np.median(self.repeats))

    @property
    def spread(self) -> float:
        """Interquartile range of the repeats over their median."""
        low, high = np.percentile(self.repeats, [25, 75])
        return float((high - low) / self.seconds)


@dataclass(frozen=True)
class Measurements:
    """Timings of one machine.

    Attributes
    ----------
    hardware : Hardware
        The machine, with the links that were measured.
    records : list of Record
        The measured points.
    clock : {"wall", "cpu", "cuda"}
        Elapsed time, time of the process, or CUDA events.
    date : str
        Time of the measurement, ISO 8601.
    notes : list of str
        What was left out, and why.

    Examples
    --------
    >>> from moe_costmodel.example import example_measurements
    >>> measured = example_measurements()
    >>> {record.kind for record in measured.of("copy")}
    {'copy'}
    """

    hardware: Hardware
    records: list[Record]
    clock: str = "wall"
    date: str = ""
    notes: list[str] = field(default_factory=list)

    def of(self, kind: str) -> Iterator[Record]:
        """Iterate over the records of a kind."""
        return (record for record in self.records if record.kind == kind)

    def save(self, path: str | Path) -> Path:
        """Write as JSON."""
        path = Path(path)
        path.write_text(json.dumps(asdict(self)) + "\n")
        return path

    @classmethod
    def taken_now(
        cls,
        hardware: Hardware,
        records: list[Record],
        *,
        links: dict[str, Link],
        clock: str,
        notes: list[str],
    ) -> Measurements:
        """Return measurements that were just taken, with the links that they give."""
        return cls(
            replace(hardware, links=hardware.links | links),
            records,
            "cuda" if hardware.device == "cuda" else clock,
            datetime.now(UTC).isoformat(timespec="seconds"),
            notes,
        )

    @classmethod
    def load(cls, path: str | Path) -> Measurements:
        """Read a file that :meth:`save` wrote; a ValueError names the file and the wrong field."""
        path = Path(path)
        content = read_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("records"), list):
            raise ValueError(f"{path}: field 'records' must be a list of measured points.")
        hardware = Hardware.from_dict(content.get("hardware"), source=f"{path}: field 'hardware'")
        records = [
            _record(record, f"{path}: field 'records[{i}]'")
            for i, record in enumerate(content["records"])
        ]
        notes = content.get("notes", [])
        if not isinstance(notes, list):
            raise invalid_field(path, "notes", repr(notes), "a list")
        texts = {"clock": content.get("clock", "wall"), "date": content.get("date", "")}
        for name, value in (*texts.items(), *(("notes", note) for note in notes)):
            if not isinstance(value, str):
                raise invalid_field(path, name, repr(value), "text")
        return cls(hardware, records, texts["clock"], texts["date"], notes)


def _record(content: object, source: str) -> Record:
    def invalid(name: str, got: object, expected: str) -> ValueError:
        return ValueError(f"{source}: '{name}' must be {expected}. Got {got!r} instead.")

    fields = content if isinstance(content, dict) else {}
    kind, repeats, at, shape = (fields.get(name) for name in ("kind", "repeats", "at", "shape"))
    if kind not in list(KINDS):
        raise invalid("kind", kind if fields else content, f"one of {sorted(KINDS)}")
    positive = isinstance(repeats, list) and all(0 < _number(r) < math.inf for r in repeats)
    if not repeats or not positive:
        raise invalid("repeats", repeats, "positive seconds")
    if not isinstance(at, dict):
        raise invalid("at", at, "an object")
    try:
        bare = shape is None and kind == "all_to_all"
        layer = None if bare else LayerShape(**dict(shape or {}))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source}: 'shape' must be a layer's sizes. {error}") from error
    for name in _NEEDED[kind]:
        value = at.get(name)
        if name == "counts":
            if not _fits(value, kind, layer):
                raise invalid("at.counts", value, "tokens of each of the layer's experts")
        elif not 0 <= _number(value) < math.inf:
            raise invalid(f"at.{name}", value, "a number from 0")
    return Record(kind, at, [float(r) for r in repeats], layer)


def _number(value: object) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else -1.0


def _fits(value: object, kind: str, shape: LayerShape | None) -> bool:
    """Return whether counts are those of the layer's experts; a run has a list for each step."""
    try:
        counts = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    if counts.ndim != (2 if kind == "buffered" else 1) or counts.size == 0 or shape is None:
        return False
    return counts.shape[-1] == shape.n_experts and bool(((counts >= 0) & (counts < np.inf)).all())


_NEEDED = {
    "products": ("tokens", "counts"),
    "layer": ("tokens", "counts"),
    "buffered": ("tokens", "counts", "capacity", "misses"),
    "gating": ("tokens",),
    "copy": ("bytes",),
    "all_to_all": ("bytes",),
    "rest": ("batch", "context", "tokens"),
}
