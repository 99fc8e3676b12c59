"""Checks of parameters, with one form for every error message."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel._arrays import Array, Bools, Floats
from moela.files.guard import brief

__all__ = [
    "InvalidParameter",
    "array_of",
    "check_fraction",
    "check_loads",
    "check_nonnegative",
    "check_number",
    "count",
    "first_where",
    "invalid",
    "one_of",
    "rectangular",
    "require",
    "several_of",
    "shape_of",
]


class InvalidParameter(ValueError):
    """The error for a bad parameter, with its parts, from which loaders of files name a field."""

    name: str
    got: str
    expected: str


def invalid(owner: str, name: str, got: object, expected: str) -> InvalidParameter:
    """Return the error for a bad parameter; `got` is its value, or words about it."""
    # Values of a file may be nested deeply, or have any number of digits.
    words = brief(got) if isinstance(got, int | list | tuple | dict | set) else str(got)
    error = InvalidParameter(
        f"The '{name}' parameter of {owner} must be {expected}. Got {words} instead."
    )
    error.name, error.got, error.expected = name, words, expected
    return error


def require(owner: str, name: str, value: object, holds: bool, expected: str) -> None:
    """Raise the error for a bad parameter unless `holds`."""
    if not holds:
        raise invalid(owner, name, brief(value), expected)


def count(owner: str, name: str, value: object, at_least: int = 1) -> int:
    """Return a parameter that must be an integer of at least `at_least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise invalid(owner, name, brief(value), f"an integer of at least {at_least}")
    return int(value)


def check_number(owner: str, name: str, value: object, expected: str = "a finite number") -> float:
    """Return a parameter that must be a finite number, as a float."""
    number = np.nan
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        with suppress(OverflowError, TypeError):  # an integer beyond all floats; complex numbers
            number = float(value)
    if not np.isfinite(number):
        raise invalid(owner, name, brief(value), expected)
    return number


def check_fraction(owner: str, name: str, value: object) -> float:
    """Return a parameter that must be a number strictly between 0 and 1."""
    expected = "a number strictly between 0 and 1"
    number = check_number(owner, name, value, expected)
    require(owner, name, value, 0.0 < number < 1.0, expected)
    return number


def one_of(owner: str, name: str, value: str, known: Collection[str]) -> str:
    """Return a parameter that must be one of some names."""
    if not isinstance(value, str) or value not in known:
        raise invalid(owner, name, brief(value), f"one of {', '.join(sorted(known))}")
    return value


def several_of(
    owner: str, name: str, values: Iterable[str], known: Collection[str]
) -> tuple[str, ...]:
    """Return a parameter that must be a sequence of names, as a tuple."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        example = values if isinstance(values, str) and values in known else next(iter(known))
        expected = f"a sequence of names, such as ({example!r},)"
        raise invalid(owner, name, brief(values), expected)
    return tuple([one_of(owner, name, value, known) for value in values])


def array_of(owner: str, name: str, value: ArrayLike) -> Array:
    """Return a parameter as an array; nested lists must be rectangular."""
    return np.asarray(rectangular(value, partial(invalid, owner, name)))


def rectangular(value: ArrayLike, wrong: Callable[[object, str], ValueError]) -> Array:
    """Return numbers as an array, or raise the error that `wrong` makes of the fault and advice."""
    try:
        return np.asanyarray(value)
    except (TypeError, ValueError) as error:
        raise wrong(str(error), "a rectangular array of numbers") from error


def check_loads(owner: str, loads: ArrayLike, *, ndim: int) -> Floats:
    """Return loads as finite, non-negative floats of `ndim` dimensions."""
    array = array_of(owner, "loads", loads)
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
    if not bad.any():
        return ""
    place = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
    return f"{array[place]} at {place}"
