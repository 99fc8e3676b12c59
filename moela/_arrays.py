"""Array types that annotations share, stacking of designs, and equality of any objects."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Design = NDArray[Any] | dict[str, Any]
"""A design: numbers [n_var], or a dictionary for mixed variables."""
Designs = NDArray[Any]
"""Designs of one problem: numbers [n, n_var], or an object array [n] of dictionaries."""


def rows(X: Sequence[Any] | Designs) -> Designs:
    """Stack designs: numbers to an array [n, n_var], dictionaries to an object array [n]."""
    if len(X) and isinstance(X[0], dict):
        out = np.empty(len(X), dtype=object)
        out[:] = X
        return out
    return as_objects(np.atleast_2d(np.asarray(X)))


def as_objects(X: Designs) -> Designs:
    """Return strings as objects, so that none is cut where it replaces a shorter one."""
    return X.astype(object) if X.dtype.kind in "US" else X


def numbers_of(X: Designs) -> Designs | None:
    """Return designs as an array of real numbers, None if they are others, such as strings."""
    if X.dtype.kind in "biuf":
        return X
    if X.dtype != object or not all(isinstance(value, Number) for value in X.flat):
        return None
    try:
        return X.astype(float)
    except (TypeError, ValueError):  # complex numbers
        return None


def column(values: Sequence[object]) -> Designs:
    """Return a value for each of n designs as an array [n, ...], without changing their types.

    The array holds objects if numpy would make one type of several, or cut digits or texts.
    """
    kinds = [_kind(value) for value in values]
    if all(kind is not None and kind == kinds[0] for kind in kinds):
        return np.array(values)
    out = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):  # an assignment of all at once would look into the values
        out[i] = value
    return out


def _kind(value: object) -> object:
    """Return what values must share to become one array; None if no array can hold the value."""
    if isinstance(value, list | tuple):
        return _kind_of_items(value)
    if not isinstance(value, np.ndarray | np.generic | bool | int | float | complex | str | bytes):
        return None
    array = np.asarray(value)
    if array.dtype.kind not in "biufcUS" or not _is_whole(value, array):
        return None
    return array.dtype.kind, array.shape


def _kind_of_items(items: Sequence[object]) -> object:
    """Return the kind of a list whose items have one type, else None."""
    kinds = [_kind(item) for item in items]
    if not kinds or kinds[0] is None or any(kind != kinds[0] for kind in kinds):
        return None
    return len(kinds), kinds[0]


def _is_whole(value: object, array: Designs) -> bool:
    """Return whether an array has all of a value: numpy drops zero characters at a text's end."""
    if isinstance(value, str | bytes) and not isinstance(value, np.generic):
        return len(array.item()) == len(value)
    return True


def unmasked(values: Any) -> Any:
    """Return a masked array with NaN in masked places, below which anything may be.

    A list or tuple gets it in its members. Anything else is returned as it is.
    """
    if isinstance(values, np.ma.MaskedArray):
        return np.where(np.ma.getmaskarray(values), np.nan, np.asarray(values.data))
    if type(values) in (list, tuple) and any(isinstance(v, np.ma.MaskedArray) for v in values):
        return type(values)(map(unmasked, values))
    return values


def equal(a: object, b: object) -> bool:
    """Return whether two objects are equal, also if their ``==`` gives an array or fails.

    Lists, tuples and dictionaries whose ``==`` fails are compared item by item.
    """
    if isinstance(a, bool | np.bool_) is not isinstance(b, bool | np.bool_):
        return False
    try:
        same = a == b
        return bool(np.all(same)) and np.shape(a) == np.shape(b)  # type: ignore[call-overload]
    except Exception:
        return _equal_items(a, b)


def _equal_items(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and type(a) is type(b):
        return len(a) == len(b) and all(map(equal, a, b))
    return False
