"""Measurements: timings of kernels, with every repeat and the machine they were taken on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from moe_costmodel._checks import first_where
from moe_costmodel._fields import array_in, known_in, of_numpy
from moe_costmodel.hardware import Hardware, Link
from moe_costmodel.shapes import LayerShape
from moela.files.fields import number_in, object_in, text_in, whole_in
from moela.files.guard import brief, invalid_file
from moela.files.text import read_json

__all__ = ["KINDS", "At", "Measurements", "Record", "record_in"]

At: TypeAlias = dict[str, Any]  # numbers and nested lists of numbers, as in JSON

KINDS: dict[str, str] = {
    "products": "the products of the experts alone",
    "layer": "an MoE layer by dynamic gating, without the router",
    "buffered": "several steps of an MoE layer with buffered experts",
    "offloaded": "steps of an MoE layer and of attention; misses are computed in slow memory",
    "gating": "the router: scores, softmax, top-k",
    "rule": "a gate rule on the router's choices",
    "copy": "a copy of an expert from slow to fast memory",
    "all_to_all": "an exchange of tokens by two processes",
    "rest": "attention and projections of one layer, with its KV cache",
    "step": "a whole step of a model without its MoE layers (prefill is 1 for a prompt, else 0)",
    "whole": "a whole step of a model, with the tokens of each expert of every layer",
}


@dataclass(frozen=True)
class Record:
    """Measured seconds of one kernel, layer, copy or step, with its sizes.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    at : dict
        The measured point: "tokens", "counts" (tokens per expert; for "buffered", a list per
        step; for "whole", per step and layer), "capacity", "misses", "uploads", "bytes", "context",
        "batch".
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

    def __str__(self) -> str:
        """Return the machine, the number of points of each kind, and the notes."""
        counts = Counter(record.kind for record in self.records)
        kinds = ", ".join(f"{count} of {kind}" for kind, count in counts.items())
        how = f"{self.clock} time, {self.date[:10]}" if self.date else f"{self.clock} time"
        head = f"{len(self.records)} points of {self.hardware.name} ({how}): {kinds}"
        return "\n".join([head, *self.notes])

    def of(self, kind: str) -> Iterator[Record]:
        """Iterate over the records of a kind."""
        return (record for record in self.records if record.kind == kind)

    def save(self, path: str | Path) -> Path:
        """Write as JSON."""
        path = Path(path)
        text = json.dumps(asdict(self), default=of_numpy)
        path.write_text(text + "\n", encoding="utf-8")
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
        content = known_in(
            path, "", read_json(path), ("hardware", "records"), ("clock", "date", "notes")
        )
        hardware = Hardware.from_dict(content["hardware"], source=path, field="hardware")
        records = [
            record_in(path, f"records[{i}]", record)
            for i, record in enumerate(_list_in(path, "records", content["records"]))
        ]
        notes = [
            text_in(path, f"notes[{i}]", note)
            for i, note in enumerate(_list_in(path, "notes", content.get("notes", [])))
        ]
        clock = text_in(path, "clock", content.get("clock", "wall"))
        if clock not in _CLOCKS:
            raise invalid_file(path, brief(clock), f"one of {', '.join(_CLOCKS)}", "clock")
        return cls(hardware, records, clock, text_in(path, "date", content.get("date", "")), notes)


def _list_in(path: str | Path, field: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise invalid_file(path, brief(value), "a list", field)
    return value


def record_in(path: str | Path, field: str, content: object) -> Record:
    """Return the record that a field of a file describes; errors name both."""
    found = known_in(path, field, content, ("kind", "at", "repeats"), ("shape",))
    kind, at = found["kind"], object_in(path, f"{field}.at", found["at"])
    if not isinstance(kind, str) or kind not in KINDS:
        raise invalid_file(path, brief(kind), f"one of {', '.join(KINDS)}", f"{field}.kind")
    repeats = array_in(path, f"{field}.repeats", found["repeats"], ndim=(1,))
    for i, seconds in enumerate(repeats.tolist()):
        number_in(path, f"{field}.repeats[{i}]", seconds, *_SECONDS)
    layer = None
    if found.get("shape") is not None or kind != "all_to_all":
        layer = LayerShape.from_dict(found.get("shape"), source=path, field=f"{field}.shape")
    for name in _NEEDED[kind]:
        place = f"{field}.at.{name}"
        if name not in at:
            raise invalid_file(
                path, f"only {', '.join(map(repr, at))}" if at else "none", "present", place
            )
        if name in _WHOLE:
            whole_in(path, place, at[name], *_WHOLE[name])
        elif name != "counts" or layer is None:
            number_in(path, place, at[name], 0, _MOST)
    if layer is not None and "counts" in _NEEDED[kind]:
        _check_counts(path, f"{field}.at", kind, at, layer)
    return Record(kind, at, repeats.astype(float).tolist(), layer)


def _check_counts(path: str | Path, place: str, kind: str, at: At, layer: LayerShape) -> None:
    """Raise unless the tokens of experts and the misses of a record fit together."""
    counts = array_in(path, f"{place}.counts", at["counts"], ndim=(_DEPTH.get(kind, 1),))
    if counts.shape[-1] != layer.n_local:
        expected = f"tokens of each of the layer's {layer.n_local} experts"
        raise invalid_file(path, f"a list of {counts.shape[-1]}", expected, f"{place}.counts")
    if wrong := first_where(counts, ~((counts >= 0) & (counts <= _MOST))):
        raise invalid_file(path, wrong, f"from 0 to {_MOST:g}", f"{place}.counts")
    most, chosen = at["tokens"] * layer.k, counts.sum(axis=-1)
    if wrong := first_where(np.atleast_1d(chosen), np.atleast_1d(chosen > most)):
        expected = f"at most {most} choices a step, those of {at['tokens']} tokens (tokens times k)"
        raise invalid_file(path, wrong, expected, f"{place}.counts")
    for name, of, most in (
        ("misses", "needed experts of all steps", int(np.count_nonzero(counts))),
        ("uploads", "misses", at.get("misses", 0)),
    ):
        if name in _NEEDED[kind] and at[name] > most:
            expected = f"at most the {most} {of}"
            raise invalid_file(path, brief(at[name]), expected, f"{place}.{name}")


# Of files: from a clock tick to years; and tokens or bytes that a float holds exactly.
_SECONDS = (1e-12, 1e9)
_MOST = 2**53
_CLOCKS = ("wall", "cpu", "cuda")
_WHOLE = {
    **dict.fromkeys(("tokens", "batch", "capacity"), (1, _MOST)),
    **dict.fromkeys(("misses", "uploads"), (0, _MOST)),
    "prefill": (0, 1),
}
_DEPTH = {"buffered": 2, "offloaded": 2, "whole": 3}  # of counts: of several steps, and layers
_NEEDED = {
    "products": ("tokens", "counts"),
    "layer": ("tokens", "counts"),
    "buffered": ("tokens", "counts", "capacity", "misses"),
    "offloaded": ("tokens", "counts", "capacity", "misses", "uploads"),
    "gating": ("tokens",),
    "rule": ("tokens",),
    "copy": ("bytes",),
    "all_to_all": ("bytes",),
    "rest": ("batch", "context", "tokens"),
    "step": ("tokens", "context", "prefill"),
    "whole": ("tokens", "context", "prefill", "counts"),
}
