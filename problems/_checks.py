"""Checks of parameters, with one form for every error message."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable
from difflib import get_close_matches

import numpy as np

from moela.files.guard import brief
from problems._arrays import Bools, Floats, Ints


def setting_error(
    owner: str, name: str, expected: str, got: object, known: Collection[str] = ()
) -> ValueError:
    """Return the one form of parameter error; if a word is like one that is ``known``, say so."""
    close = get_close_matches(got, known, n=1) if isinstance(got, str) else []
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return ValueError(
        f"The {name!r} parameter of {owner} must be {expected}. Got {brief(got)} instead.{hint}"
    )


def require(owner: str, name: str, value: object, holds: object, expected: str) -> None:
    """Raise the one form of parameter error unless `holds`."""
    if not holds:
        raise setting_error(owner, name, expected, value)


def check_int(owner: str, name: str, value: object, low: int, high: int | None = None) -> int:
    """Return `value` as an int, or raise if it is not one in [low, high]."""
    expected = (
        f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"
    )
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise setting_error(owner, name, expected, value)
    require(owner, name, value, low <= value and (high is None or value <= high), expected)
    return int(value)


def check_ints(owner: str, name: str, values: object, low: int) -> tuple[int, ...]:
    """Return `values` as a tuple, or raise if they are not a sequence of integers >= low."""
    if not isinstance(values, Iterable) or isinstance(values, str):
        raise setting_error(owner, name, f"a sequence of integers of at least {low}", values)
    return tuple(check_int(owner, name, value, low) for value in values)


def ascending_ints(owner: str, name: str, values: object, low: int) -> tuple[int, ...]:
    """Return `values` as a tuple, or raise if they are not ascending integers >= low."""
    listed = check_ints(owner, name, values, low)
    holds = listed and list(listed) == sorted(set(listed))
    require(owner, name, list(listed), holds, f"ascending integers of at least {low}")
    return listed


def check_real(
    owner: str, name: str, value: object, low: float, high: float = math.inf, *, above: bool = False
) -> float:
    """Return `value` as a float, or raise if it is not a finite number in [low, high].

    With `above`, it must not be `low` itself.
    """
    expected = f"a number from {low:g} to {high:g}"
    if high == math.inf or above:
        expected = f"a finite number {'above' if above else 'of at least'} {low:g}"
        expected += f" and at most {high:g}" if high < math.inf else ""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise setting_error(owner, name, expected, value)
    holds = low <= value <= min(high, sys.float_info.max) and not (above and value == low)
    require(owner, name, value, holds, expected)
    return float(value)


def check_choice(owner: str, name: str, value: object, choices: tuple[str, ...]) -> str:
    """Return `value`, or raise if it is none of `choices`."""
    if value not in choices:
        expected = "one of " + ", ".join(map(repr, choices))
        raise setting_error(owner, name, expected, value, choices)
    return str(value)


def check_names(
    owner: str, name: str, values: object, known: Collection[str], more: str = ""
) -> tuple[str, ...]:
    """Return different names, at least one, as a tuple, or raise.

    ``more`` is what else the parameter takes, such as "3, 4, 5 or ".
    """
    expected = f"{more}a sequence of different names, at least one, from {tuple(known)}"
    if isinstance(values, str):
        near = [values] if values in known else get_close_matches(values, known, n=1)
        error = setting_error(owner, name, expected, values)
        raise ValueError(f"{error} Give a sequence such as {(*near, *known)[:1]}.")
    if not isinstance(values, Iterable):
        raise setting_error(owner, name, expected, values)
    listed = tuple(values)
    for value in listed:
        if not isinstance(value, str) or value not in known:
            raise setting_error(owner, name, expected, value, known)
    require(owner, name, list(listed), 0 < len(listed) == len(set(listed)), expected)
    return listed


def check_array(owner: str, name: str, value: object, shape: tuple[int | None, ...]) -> Floats:
    """Return `value` as finite, non-negative float64 of `shape` (None: any positive length)."""
    wanted = "[" + ", ".join("n" if s is None else str(s) for s in shape) + "]"
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        expected = f"an array of numbers of shape {wanted}"
        raise setting_error(owner, name, expected, type(value).__name__) from error
    fits = array.ndim == len(shape) and all(
        (size >= 1 if s is None else size == s) for size, s in zip(array.shape, shape, strict=True)
    )
    require(owner, name, array.shape, fits, f"an array of shape {wanted}")
    holds = np.isfinite(array) & (array >= 0)
    _require_entries(owner, name, array, holds, "finite and non-negative")
    return np.ascontiguousarray(array)


def check_whole(owner: str, name: str, value: object, shape: tuple[int | None, ...]) -> Ints:
    """Return `value` as non-negative int64 of `shape`, or raise if an entry is not whole."""
    array = check_array(owner, name, value, shape)
    holds = (array == np.floor(array)) & (array <= 2**53)
    expected = "whole numbers up to 2**53 (scale and round real data)"
    _require_entries(owner, name, array, holds, expected)
    return np.ascontiguousarray(array, dtype=np.int64)


def _require_entries(owner: str, name: str, array: Floats, holds: Bools, expected: str) -> None:
    if not holds.all():
        place = tuple(np.argwhere(~holds)[0].tolist())
        raise setting_error(owner, name, f"{expected}; see entry {place}", float(array[place]))


def check_random_state(owner: str, random_state: object) -> np.random.Generator:
    """Return `random_state` if it is a numpy Generator, else raise."""
    if not isinstance(random_state, np.random.Generator):
        expected = "a numpy.random.Generator, such as numpy.random.default_rng(1)"
        raise setting_error(owner, "random_state", expected, random_state)
    return random_state
