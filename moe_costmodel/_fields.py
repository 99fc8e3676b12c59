"""Fields of files as arrays of numbers and as our own classes; errors name file and field."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from moe_costmodel._arrays import Array
from moe_costmodel._checks import InvalidParameter
from moela.files.fields import object_in
from moela.files.guard import brief, check_size, invalid_file

__all__ = ["array_in", "known_in", "made_in", "named_in", "of_numpy", "only", "place_of"]

_Made = TypeVar("_Made")
_NUMBERS: dict[bool, set[type]] = {True: {int}, False: {int, float}}
_LISTS: set[type] = {list, tuple}


def of_numpy(value: object) -> object:
    """Return a number of numpy as Python's, the `default` of ``json.dumps``, which knows no other.

    A TypeError names any other type.
    """
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"JSON must be made of numbers, texts and lists. Got {type(value)} instead.")


def place_of(field: str, name: str) -> str:
    """Return the place of a key within a field, such as ``a.b``."""
    name = name or '""'
    return f"{field}.{name}" if field else name


def only(found: Collection[object]) -> str:
    """Return the keys that a JSON object has, as words for an error about one that it lacks."""
    return f"only {', '.join(map(brief, found))}" if found else "an empty object"


def known_in(
    source: str | Path,
    field: str,
    content: object,
    required: Collection[str],
    optional: Collection[str] = (),
) -> dict[str, Any]:
    """Return a JSON object that has all required keys, and no others than the optional ones."""
    found = object_in(source, field, content)
    for name in required:
        if name not in found:
            raise invalid_file(source, only(found), "present", place_of(field, name))
    for name in found:
        if name not in required and name not in optional:
            known = ", ".join([*required, *optional])
            expected = f"absent, since the fields are {known}"
            raise invalid_file(source, brief(found[name]), expected, place_of(field, name))
    return found


def made_in(
    source: str | Path,
    field: str,
    content: object,
    make: type[_Made],
    at_most: Mapping[str, int] | None = None,
) -> _Made:
    """Return the dataclass that the keys of a JSON object describe.

    `at_most` limits some of its numbers. Only a file has such limits: a damaged or made-up one
    could name numbers that no program can work with.
    """
    found = known_in(source, field, content, *_parameters(make))  # type: ignore[arg-type]
    for name, most in (at_most or {}).items():
        value = found.get(name, 0)
        if isinstance(value, int) and value > most:
            raise invalid_file(source, brief(value), f"at most {most}", place_of(field, name))
    return named_in(source, field, lambda: make(**found))


def named_in(source: str | Path, field: str, make: Callable[[], _Made]) -> _Made:
    """Return what a call makes; a bad parameter of it becomes an error about the field."""
    try:
        return make()
    except InvalidParameter as error:
        place = place_of(field, error.name)
        raise invalid_file(source, error.got, error.expected, place) from error


@cache
def _parameters(make: type[Any]) -> tuple[list[str], list[str]]:
    """Return the required and the optional parameters of a dataclass."""
    required: list[str] = []
    optional: list[str] = []
    for item in fields(make):
        free = item.default is not MISSING or item.default_factory is not MISSING
        (optional if free else required).append(item.name)
    return required, optional


def array_in(
    source: str | Path,
    field: str,
    value: object,
    *,
    ndim: Collection[int],
    whole: bool = False,
) -> Array:
    """Return nested lists of numbers as an array: int64 if all are integers, else float64.

    All lists of a level must be equally long, and none may be empty. Lists that hold the same list
    more than once, as those of a pickle can, count it each time.
    """
    level: list[Any] = [value]
    shape: list[int] = []
    while _LISTS.issuperset(map(type, level)):
        lengths = list(map(len, level))
        if len(shape) == max(ndim):
            raise _wrong(source, field, shape, level, lambda v: True, _depth(ndim))
        if min(lengths) == 0 or min(lengths) < max(lengths):
            first = lengths[0]
            expected = f"a list of {first}, like the first" if first else "a list of numbers"
            bad = [item if len(item) != (first or 1) else None for item in level]
            raise _wrong(source, field, shape, bad, lambda v: v is not None, expected)
        check_size(source, 8 * len(level) * lengths[0], "arrays", field)
        shape.append(lengths[0])
        level = list(chain.from_iterable(level))
    if len(shape) not in ndim:
        raise _wrong(source, field, shape, level, lambda v: type(v) not in _LISTS, _depth(ndim))
    known = _NUMBERS[whole]
    if not known.issuperset(map(type, level)):
        expected = "an integer" if whole else "a number"
        raise _wrong(source, field, shape, level, lambda v: type(v) not in known, expected)
    if float in set(map(type, level)):
        try:
            return np.array(level, dtype=np.float64).reshape(shape)
        except OverflowError:
            pass
    elif -(2**63) <= min(level) and max(level) < 2**63:
        return np.array(level, dtype=np.int64).reshape(shape)
    raise _wrong(
        source, field, shape, level, lambda v: type(v) is int and not -(2**63) <= v < 2**63,
        "a number of 64 bits",
    )  # fmt: skip


def _depth(ndim: Collection[int]) -> str:
    return f"nested lists of {' or '.join(map(str, sorted(ndim)))} dimensions"


def _wrong(
    source: str | Path,
    field: str,
    shape: list[int],
    level: list[Any],
    bad: Callable[[Any], bool],
    expected: str,
) -> ValueError:
    """Return the error about the first bad value of a level, with its place."""
    i = next(i for i, value in enumerate(level) if bad(value))
    places = [int(n) for n in np.unravel_index(i, shape)] if shape else []
    place = field + "".join(f"[{n}]" for n in places)
    return invalid_file(source, brief(level[i]), expected, place)
