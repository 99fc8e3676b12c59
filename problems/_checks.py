"""Checks of constructor settings, with one form for every message."""

from __future__ import annotations

from typing import Any

import numpy as np


def setting_error(owner: str, name: str, expected: str, got: object) -> ValueError:
    """Return the error for a bad setting, in the project's one form."""
    return ValueError(f"The {name!r} parameter of {owner} must be {expected}. Got {got!r} instead.")


def check_int(owner: str, name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return `value` as an int, or raise if it is not one in [low, high]."""
    is_int = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_int or value < low or (high is not None and value > high):
        span = f"at least {low}" if high is None else f"from {low} to {high}"
        raise setting_error(owner, name, f"an integer {span}", value)
    return int(value)


def check_real(owner: str, name: str, value: Any, low: float, high: float) -> float:
    """Return `value` as a float, or raise if it is not a number in [low, high]."""
    is_real = isinstance(value, int | float | np.integer | np.floating)
    if not is_real or isinstance(value, bool) or not low <= value <= high:
        raise setting_error(owner, name, f"a number from {low:g} to {high:g}", value)
    return float(value)


def check_choice(owner: str, name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Return `value`, or raise if it is none of `choices`."""
    if value not in choices:
        raise setting_error(owner, name, "one of " + ", ".join(map(repr, choices)), value)
    return str(value)


def check_array(
    owner: str, name: str, value: Any, shape: tuple[int | None, ...]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return `value` as finite, non-negative float64 of `shape` (None: any positive length)."""
    wanted = "[" + ", ".join("n" if s is None else str(s) for s in shape) + "]"
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise setting_error(
            owner, name, f"an array of numbers of shape {wanted}", type(value).__name__
        ) from error
    fits = array.ndim == len(shape) and all(
        (size >= 1 if s is None else size == s) for size, s in zip(array.shape, shape, strict=False)
    )
    if not fits:
        raise setting_error(owner, name, f"an array of shape {wanted}", array.shape)
    bad = ~np.isfinite(array) | (array < 0)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise setting_error(
            owner, name, f"finite and non-negative (see entry {place})", float(array[place])
        )
    return np.ascontiguousarray(array)


def check_whole(
    owner: str, name: str, value: Any, shape: tuple[int | None, ...]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return `value` as non-negative int64 of `shape`, or raise where an entry is not whole."""
    array = check_array(owner, name, value, shape)
    bad = (array != np.floor(array)) | (array > 2**53)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise setting_error(
            owner,
            name,
            f"whole numbers up to 2**53 (scale and round real data; see entry {place})",
            float(array[place]),
        )
    return np.ascontiguousarray(array, dtype=np.int64)


def check_random_state(owner: str, random_state: object) -> np.random.Generator:
    """Return `random_state` if it is a numpy Generator, else raise."""
    if not isinstance(random_state, np.random.Generator):
        raise setting_error(owner, "random_state", "a numpy.random.Generator", random_state)
    return random_state
