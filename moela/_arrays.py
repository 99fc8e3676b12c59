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
