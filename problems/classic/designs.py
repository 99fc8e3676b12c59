"""Decoded designs of the classic problems, which can be printed, and saved as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Self, get_args, get_origin, get_type_hints

import numpy as np

from moela.files.fields import number_in, text_in, whole_in
from moela.files.guard import brief, check_count, invalid_file, limit_of, printable
from moela.files.text import read_json
from problems._arrays import Bools, Ints

__all__ = ["Assignment", "BitString", "Packing"]


@dataclass(frozen=True)
class _Saved:
    """Base of the designs: frozen dataclasses of ints, floats, strings and tuples of these."""

    FORMAT: ClassVar[str]

    instance: str
    version: str

    def save(self, path: str | Path) -> None:
        """Write the design to a JSON file."""
        fields = {"format": self.FORMAT, **asdict(self)}
        Path(path).write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a design that `save` wrote.

        Raises
        ------
        ValueError
            If the file is not JSON, has another format, or a field is missing, unknown, of the
            wrong type or out of range. The message names the file and the field.
        """
        fields = read_json(path)
        if not isinstance(fields, dict):
            raise invalid_file(path, brief(fields), "a JSON object")
        if fields.get("format") != cls.FORMAT:
            raise invalid_file(path, brief(fields.get("format")), repr(cls.FORMAT), "format")
        del fields["format"]
        kinds = {k: v for k, v in get_type_hints(cls).items() if get_origin(v) is not ClassVar}
        if odd := sorted(set(fields) ^ set(kinds)):
            got = "none" if odd[0] in kinds else "a field that designs lack"
            raise invalid_file(
                path, got, f"one of {sorted(kinds)}, each of them once", odd[0] or "(empty)"
            )
        values = {key: _checked(path, key, fields[key], kind) for key, kind in kinds.items()}
        design = cls(**values)  # type: ignore[arg-type]
        if fault := design._fault():
            raise invalid_file(path, fault[2], fault[1], fault[0])
        return design

    def _fault(self) -> tuple[str, str, object] | None:
        """Return a bad field, what it must be, and its value; None if all fields fit together."""
        return None


def _checked(path: str | Path, key: str, value: object, kind: type) -> object:
    """Return the value of a field of type `kind`, with a list as a tuple, or raise."""
    if get_origin(kind) is not tuple:
        return _CHECKS[kind](path, key, value)
    if not isinstance(value, list):
        raise invalid_file(path, brief(value), "a list", key)
    check_count(path, len(value), "cells", key)
    check = _CHECKS[get_args(kind)[0]]
    return tuple(check(path, f"{key}[{i}]", entry) for i, entry in enumerate(value))


_CHECKS: dict[type, Callable[[str | Path, str, object], object]] = {
    int: whole_in,
    float: number_in,
    str: text_in,
}


@dataclass(frozen=True)
class Assignment(_Saved):
    """Assignment of facilities to locations, a solution of a QAP.

    Attributes
    ----------
    instance, version : str
        Name of the instance, and `version` of the problem that evaluated the assignment.
    locations : tuple of int, length n
        Location, from 0, of each facility.
    costs : tuple of float, length n_obj
        Sum of flow times distance in each objective.
    """

    FORMAT: ClassVar[str] = "qap-assignment"

    locations: tuple[int, ...]
    costs: tuple[float, ...]

    @property
    def x(self) -> Ints:
        """Design vector of the problem, shape [n]."""
        return np.array(self.locations, dtype=np.int64)

    def __str__(self) -> str:
        pairs = ", ".join(f"{i}->{p}" for i, p in enumerate(self.locations))
        costs = ", ".join(f"{c:,.10g}" for c in self.costs)
        head = f"Assignment of {printable(self.instance)}"
        return f"{head}\n  facility->location: {pairs}\n  costs: {costs}"

    def _fault(self) -> tuple[str, str, object] | None:
        if sorted(self.locations) != list(range(len(self.locations))):
            return "locations", "a permutation from 0", self.locations
        return None


@dataclass(frozen=True)
class Packing(_Saved):
    """Selection of items for a knapsack.

    Attributes
    ----------
    instance, version : str
        Name of the instance, and `version` of the problem that evaluated the packing.
    n_items : int
        Number of items to choose from.
    items : tuple of int
        Chosen items, from 0, ascending.
    weight, capacity : int
        Total weight of the chosen items, and its limit.
    values : tuple of float, length n_obj
        Total value of each objective, to be maximized (the problem's F is the negative).
    """

    FORMAT: ClassVar[str] = "knapsack-packing"

    n_items: int
    items: tuple[int, ...]
    weight: int
    capacity: int
    values: tuple[float, ...]

    @property
    def x(self) -> Bools:
        """Design vector of the problem, shape [n_items]."""
        chosen = np.zeros(self.n_items, dtype=bool)
        chosen[list(self.items)] = True
        return chosen

    @property
    def feasible(self) -> bool:
        """True if the weight is within the capacity."""
        return self.weight <= self.capacity

    def __str__(self) -> str:
        values = ", ".join(f"{v:,.10g}" for v in self.values)
        fit = "" if self.feasible else " (over capacity)"
        return (
            f"Packing of {printable(self.instance)}\n  items: {', '.join(map(str, self.items))}\n"
            f"  weight: {self.weight} of {self.capacity}{fit}\n  values: {values}"
        )

    def _fault(self) -> tuple[str, str, object] | None:
        # A design vector has a byte for each item.
        if not 1 <= self.n_items <= limit_of("arrays"):
            return "n_items", f"an integer from 1 to {limit_of('arrays')}", self.n_items
        inside = all(0 <= i < self.n_items for i in self.items)
        if not inside or list(self.items) != sorted(set(self.items)):
            return "items", f"ascending from 0 to {self.n_items - 1}", self.items
        return None


@dataclass(frozen=True)
class BitString(_Saved):
    """Point of an MNK-landscape.

    Attributes
    ----------
    instance, version : str
        Name of the instance, and `version` of the problem that evaluated the point.
    bits : tuple of int, length n
        0 or 1 each.
    fitness : tuple of float, length n_obj
        Mean contribution of the bits, to be maximized (the problem's F is the negative).
    """

    FORMAT: ClassVar[str] = "mnk-bits"

    bits: tuple[int, ...]
    fitness: tuple[float, ...]

    @property
    def x(self) -> Bools:
        """Design vector of the problem, shape [n]."""
        return np.array(self.bits, dtype=bool)

    def __str__(self) -> str:
        fitness = ", ".join(f"{f:.6f}" for f in self.fitness)
        bits = "".join(map(str, self.bits))
        return f"Point of {printable(self.instance)}\n  bits: {bits}\n  fitness: {fitness}"

    def _fault(self) -> tuple[str, str, object] | None:
        return None if set(self.bits) <= {0, 1} else ("bits", "a list of 0 and 1", self.bits)
