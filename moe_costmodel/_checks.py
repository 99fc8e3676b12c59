"""Small checks shared by the package, so that every error reads the same."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["check_choice", "check_fraction", "check_loads", "check_positive", "complain"]


def complain(parameter: str, owner: str, expected: str, got: object) -> ValueError:
    """Return the one form of parameter error that this package raises."""
    return ValueError(
        f"The '{parameter}' parameter of {owner} must be {expected}. Got {got} instead."
    )


def check_positive(value: Any, parameter: str, owner: str) -> int:
    """Return `value` as an int, or complain that it is not a positive one."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise complain(parameter, owner, "a positive integer", repr(value))
    return int(value)


def check_fraction(value: Any, parameter: str, owner: str) -> float:
    """Return `value` as a float, or complain that it is not strictly between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise complain(parameter, owner, "a number strictly between 0 and 1", repr(value))
    if not 0.0 < float(value) < 1.0:
        raise complain(parameter, owner, "a number strictly between 0 and 1", repr(value))
    return float(value)


def check_choice(value: Any, choices: Collection[str], parameter: str, owner: str) -> str:
    """Return `value`, or complain that it is not one of `choices`."""
    if value not in choices:
        raise complain(parameter, owner, f"one of {sorted(choices)}", repr(value))
    return str(value)


def check_loads(loads: ArrayLike, owner: str, *, ndim: int) -> NDArray[np.float64]:
    """Return `loads` as floats, or complain that they are no finite, non-negative array."""
    array = np.asarray(loads)
    if array.ndim != ndim or array.size == 0 or array.dtype.kind not in "uif":
        raise complain(
            "loads",
            owner,
            f"a non-empty numeric array of {ndim} dimensions",
            f"shape {array.shape}, dtype {array.dtype}",
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all() or (array < 0).any():
        place = tuple(int(i) for i in np.argwhere(~(np.isfinite(array) & (array >= 0)))[0])
        raise complain("loads", owner, "finite and not negative", f"{array[place]} at {place}")
    return array
