"""Measurements: timings of kernels, with every repeat and where they were taken."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from moe_costmodel.hardware import Hardware
from moe_costmodel.shapes import LayerShape

__all__ = ["KINDS", "Measurements", "Record"]

KINDS: dict[str, str] = {
    "products": "the experts' products alone",
    "layer": "an MoE layer by dynamic gating, routing not included",
    "buffered": "a run of steps of an MoE layer whose experts are buffered",
    "gating": "the router: scores, softmax, top-k",
    "copy": "an expert, from slow to fast memory",
    "all_to_all": "tokens exchanged by two processes",
    "rest": "attention and projections of one layer, with its KV cache",
}


@dataclass(frozen=True)
class Record:
    """One measured point.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    at : dict
        What was measured: "tokens", "counts" (tokens per expert; a list a step for "buffered"),
        "capacity", "misses", "bytes", "context", "batch".
    repeats : list of float
        Every timing, in seconds.
    shape : LayerShape or None
        Of the layer, where there is one.

    Examples
    --------
    >>> from moe_costmodel import Record
    >>> record = Record("copy", {"bytes": 1_000_000}, [2e-4, 1e-4, 3e-4])
    >>> record.seconds
    0.0002
    """

    kind: str
    at: dict[str, Any]
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
        Where they were taken, with the links that were measured.
    records : list of Record
    clock : {"wall", "cpu", "cuda"}
        What was counted.
    date : str
        When, ISO 8601.
    notes : list of str
        What was left out, and why.

    Examples
    --------
    >>> from moe_costmodel.example.measured import example_measurements
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
        path.write_text(json.dumps(asdict(self), indent=None) + "\n")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Measurements:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file is no JSON, or a field is missing or wrong; the message names both.
        """
        path = Path(path)
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: must be JSON. Got {error} instead.") from error
        if not isinstance(content, dict) or not isinstance(content.get("records"), list):
            raise ValueError(f"{path}: field 'records' must be a list of measured points.")
        hardware = Hardware.from_dict(content.get("hardware"), source=f"{path}: field 'hardware'")
        records = [
            _record(record, f"{path}: field 'records[{i}]'")
            for i, record in enumerate(content["records"])
        ]
        notes = content.get("notes", [])
        texts = {"clock": content.get("clock", "wall"), "date": content.get("date", "")}
        for name, value in (*texts.items(), *(("notes", note) for note in _list(path, notes))):
            if not isinstance(value, str):
                raise ValueError(f"{path}: field '{name}' must be text. Got {value!r} instead.")
        return cls(hardware, records, texts["clock"], texts["date"], notes)


def _record(content: Any, where: str) -> Record:
    if not isinstance(content, dict) or content.get("kind") not in list(KINDS):
        kind = content.get("kind") if isinstance(content, dict) else content
        raise ValueError(f"{where}: 'kind' must be one of {sorted(KINDS)}. Got {kind!r} instead.")
    repeats = content.get("repeats")
    good = (
        isinstance(repeats, list)
        and len(repeats) > 0
        and all(
            isinstance(r, int | float) and not isinstance(r, bool) and math.isfinite(r) and r > 0
            for r in repeats
        )
    )
    if not isinstance(repeats, list) or not good:
        raise ValueError(f"{where}: 'repeats' must be positive seconds. Got {repeats!r} instead.")
    if not isinstance(content.get("at"), dict):
        raise ValueError(f"{where}: 'at' must be an object. Got {content.get('at')!r} instead.")
    shape = content.get("shape")
    try:
        bare = shape is None and content["kind"] == "all_to_all"
        layer = None if bare else LayerShape(**dict(shape or {}))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: 'shape' must be a layer's sizes. {error}") from error
    _check_at(content["kind"], content["at"], layer, where)
    return Record(content["kind"], content["at"], [float(r) for r in repeats], layer)


_NEEDED = {
    "products": ("tokens", "counts"),
    "layer": ("tokens", "counts"),
    "buffered": ("tokens", "counts", "capacity", "misses"),
    "gating": ("tokens",),
    "copy": ("bytes",),
    "all_to_all": ("bytes",),
    "rest": ("batch", "context", "tokens"),
}


def _check_at(kind: str, at: dict[str, Any], shape: LayerShape | None, where: str) -> None:
    """Complain about a point that lacks a number, or counts that are not of the layer."""
    for name in _NEEDED[kind]:
        value = at.get(name)
        if name != "counts":
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is None or not number or not 0 <= value < float("inf"):
                raise ValueError(
                    f"{where}: 'at.{name}' must be a number from 0. Got {value!r} instead."
                )
            continue
        try:
            counts = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            counts = np.zeros(0)
        good = shape is not None and counts.shape[-1:] == (shape.n_experts,)
        good = good and counts.ndim == (2 if kind == "buffered" else 1) and counts.size > 0
        if not good or not np.isfinite(counts).all() or counts.min() < 0:
            raise ValueError(
                f"{where}: 'at.counts' must be tokens of each of the layer's experts. "
                f"Got {value!r} instead."
            )


def _list(path: Path, notes: Any) -> list[Any]:
    if not isinstance(notes, list):
        raise ValueError(f"{path}: field 'notes' must be a list. Got {notes!r} instead.")
    return notes
