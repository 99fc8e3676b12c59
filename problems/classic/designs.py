"""Decoded designs of the classic problems: print them, save them as JSON, load them again."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

import numpy as np

__all__ = ["Assignment", "BitString", "Packing"]


class _Saved:
    """Saving and loading of a frozen dataclass of ints, floats, strings and tuples of them."""

    FORMAT: ClassVar[str]

    def save(self, path: str | Path) -> None:
        """Write the design to a JSON file."""
        fields = {"format": self.FORMAT, **asdict(self)}  # type: ignore[call-overload]
        Path(path).write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a design that `save` wrote.

        Raises
        ------
        ValueError
            If the file is not JSON, is of another format, or a field is missing, unknown, of the
            wrong type or out of range. The message names the file and the field.
        """
        try:
            fields = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:  # both of JSON and of UTF-8
            raise ValueError(f"{path}: expected a JSON file, got: {error}.") from error
        if not isinstance(fields, dict) or fields.get("format") != cls.FORMAT:
            came = fields.get("format") if isinstance(fields, dict) else type(fields).__name__
            raise ValueError(f"{path}: expected 'format' {cls.FORMAT!r}, got {came!r} instead.")
        del fields["format"]
        kinds = {k: v for k, v in get_type_hints(cls).items() if get_origin(v) is not ClassVar}
        if set(fields) != set(kinds):
            raise ValueError(
                f"{path}: expected the fields {sorted(kinds)}, got {sorted(fields)} instead."
            )
        values = {key: _checked(path, key, fields[key], kind) for key, kind in kinds.items()}
        design = cls(**values)
        problem = design._complaint()
        if problem:
            raise ValueError(f"{path}: {problem}")
        return design

    def _complaint(self) -> str | None:
        return None


def _checked(path: str | Path, key: str, value: Any, kind: Any) -> Any:
    def fits(v: Any, k: type) -> bool:
        if k is float:
            return type(v) in (int, float) and abs(v) <= sys.float_info.max
        return type(v) is k

    if get_origin(kind) is tuple:
        (item, _) = get_args(kind)
        if isinstance(value, list) and all(fits(v, item) for v in value):
            return tuple(item(v) for v in value)
        raise ValueError(
            f"{path}, field {key!r}: expected a list of {item.__name__}, got {value!r} instead."
        )
    if not fits(value, kind):
        raise ValueError(f"{path}, field {key!r}: expected {kind.__name__}, got {value!r} instead.")
    return kind(value)


@dataclass(frozen=True)
class Assignment(_Saved):
    """Facilities assigned to locations, a solution of a QAP.

    Attributes
    ----------
    instance : str
        Name of the instance.
    version : str
        `version` of the problem that evaluated it.
    locations : tuple of int, length n
        The location, from 0, of each facility.
    costs : tuple of float, length n_obj
        Flow times distance of each objective.
    """

    FORMAT: ClassVar[str] = "qap-assignment"

    instance: str
    version: str
    locations: tuple[int, ...]
    costs: tuple[float, ...]

    @property
    def x(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The design as the problem takes it, shape [n]."""
        return np.array(self.locations, dtype=np.int64)

    def __str__(self) -> str:
        pairs = ", ".join(f"{i}->{p}" for i, p in enumerate(self.locations))
        costs = ", ".join(f"{c:,.10g}" for c in self.costs)
        return f"Assignment of {self.instance}\n  facility->location: {pairs}\n  costs: {costs}"

    def _complaint(self) -> str | None:
        if sorted(self.locations) != list(range(len(self.locations))):
            return f"expected 'locations' to be a permutation from 0, got {self.locations} instead."
        return None


@dataclass(frozen=True)
class Packing(_Saved):
    """Items packed into a knapsack.

    Attributes
    ----------
    instance, version : str
        Name of the instance, and `version` of the problem that evaluated it.
    n_items : int
        How many items there were to choose from.
    items : tuple of int
        The chosen items, from 0, ascending.
    weight, capacity : int
        Total weight of the chosen items, and what is allowed.
    values : tuple of float, length n_obj
        Total value of each objective, to be maximized (the problem's F is the negative).
    """

    FORMAT: ClassVar[str] = "knapsack-packing"

    instance: str
    version: str
    n_items: int
    items: tuple[int, ...]
    weight: int
    capacity: int
    values: tuple[float, ...]

    @property
    def x(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The design as the problem takes it, shape [n_items]."""
        chosen = np.zeros(self.n_items, dtype=bool)
        chosen[list(self.items)] = True
        return chosen

    @property
    def feasible(self) -> bool:
        """Whether the weight is within the capacity."""
        return self.weight <= self.capacity

    def __str__(self) -> str:
        values = ", ".join(f"{v:,.10g}" for v in self.values)
        fit = "" if self.feasible else " (over capacity)"
        return (
            f"Packing of {self.instance}\n  items: {', '.join(map(str, self.items))}\n"
            f"  weight: {self.weight} of {self.capacity}{fit}\n  values: {values}"
        )

    def _complaint(self) -> str | None:
        inside = all(0 <= i < self.n_items for i in self.items)
        if not inside or list(self.items) != sorted(set(self.items)):
            return f"expected 'items' ascending from 0 to {self.n_items - 1}, got {self.items}."
        return None


@dataclass(frozen=True)
class BitString(_Saved):
    """A point of an MNK-landscape.

    Attributes
    ----------
    instance, version : str
        Name of the instance, and `version` of the problem that evaluated it.
    bits : tuple of int, length n
        0 or 1 each.
    fitness : tuple of float, length n_obj
        Mean contribution of the bits, to be maximized (the problem's F is the negative).
    """

    FORMAT: ClassVar[str] = "mnk-bits"

    instance: str
    version: str
    bits: tuple[int, ...]
    fitness: tuple[float, ...]

    @property
    def x(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The design as the problem takes it, shape [n]."""
        return np.array(self.bits, dtype=bool)

    def __str__(self) -> str:
        fitness = ", ".join(f"{f:.6f}" for f in self.fitness)
        bits = "".join(map(str, self.bits))
        return f"Point of {self.instance}\n  bits: {bits}\n  fitness: {fitness}"

    def _complaint(self) -> str | None:
        if not set(self.bits) <= {0, 1}:
            return f"expected 'bits' of 0 and 1, got {self.bits} instead."
        return None
