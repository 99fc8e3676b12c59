"""Array types that annotations share, and stacking of designs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def rows(X: Any) -> NDArray[Any]:
    """Stack designs: numbers to an array [n, n_var], dictionaries to an object array [n]."""
    if len(X) and isinstance(X[0], dict):
        out = np.empty(len(X), dtype=object)
        out[:] = X
        return out
    return np.atleast_2d(np.asarray(X))
