"""Checks of parameters, with one form for every error message."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel._arrays import Array, Bools, Floats

__all__ = [
    "check_fraction",
    "check_loads",
    "check_nonnegative",
    "count",
    "first_where",
    "invalid",
    "invalid_field",
    "one_of",
    "read_json",
    "require",
    "shape_of",
]


def invalid(owner: str, name: str, got: object, expected: str) -> ValueError:
    """Return the error for a bad parameter; `got` is its value, or words about it."""
    return ValueError(f"The '{name}' parameter of {owner} must be {expected}. Got {got} instead.")


def invalid_field(source: str | Path, field: str, got: object, expected: str) -> ValueError:
    """Return the error for a bad field of a file; arguments as for :func:`invalid`."""
    return ValueError(f"{source}: field '{field}' must be {expected}. Got {got} instead.")


def require(owner: str, name: str, value: object, holds: bool, expected: str) -> None:
    """Raise the error for a bad parameter unless `holds`."""
    if not holds:
        raise invalid(owner, name, repr(value), expected)


def count(owner: str, name: str, value: object, at_least: int = 1) -> int:
    """Return a parameter that must be an integer of at least `at_least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise invalid(owner, name, repr(value), f"an integer of at least {at_least}")
    return int(value)


def check_fraction(owner: str, name: str, value: object) -> float:
    """Return a parameter that must be a number strictly between 0 and 1."""
    number = float(value) if isinstance(value, int | float | np.number) else 0.0
    require(owner, name, value, 0.0 < number < 1.0, "a number strictly between 0 and 1")
    return number


def one_of(owner: str, name: str, value: str, known: Collection[str]) -> str:
    """Return a parameter that must be one of some names."""
    if value not in known:
        raise invalid(owner, name, repr(value), f"one of {', '.join(sorted(known))}")
    return value


def check_loads(owner: str, loads: ArrayLike, *, ndim: int) -> Floats:
    """Return loads as finite, non-negative floats of `ndim` dimensions."""
    array = np.asarray(loads)
    if array.ndim != ndim or array.size == 0 or array.dtype.kind not in "uif":
        expected = f"a non-empty numeric array of {ndim} dimensions"
        raise invalid(owner, "loads", shape_of(array), expected)
    array = array.astype(np.float64)
    check_nonnegative(array, partial(invalid, owner, "loads"))
    return array


def check_nonnegative(array: Array, invalid: Callable[[object, str], ValueError]) -> None:
    """Raise the error of `invalid` about the first entry that is negative, infinite or NaN."""
    if wrong := first_where(array, ~(np.isfinite(array) & (array >= 0))):
        raise invalid(wrong, "finite and not negative")


def shape_of(array: Array) -> str:
    """Return the shape and dtype of an array, as words for an error."""
    return f"shape {array.shape}, dtype {array.dtype}"


def first_where(array: Array, bad: Bools) -> str:
    """Return the first bad entry and its place, as words for an error; empty if none is bad."""
    places = np.argwhere(bad)
    if not len(places):
        return ""
    place = tuple(int(i) for i in places[0])
    return f"{array[place]} at {place}"


def read_json(path: Path) -> object:
    """Return the content of a JSON file; a ValueError that names the file if it is damaged."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: must be JSON. Got {error} instead.") from error
