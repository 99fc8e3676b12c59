"""Ridge regression of objectives in units of their spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from moela._arrays import Floats
from moela.core.scaling import spread_of


def scaled(F: Floats) -> tuple[Floats, Floats]:
    """Return units [M] of objectives F [n, M], and F in these units with a mean of 0."""
    spread = spread_of(F)
    unit = np.where(spread > 0.0, spread, 1.0)
    return unit, np.where(spread > 0.0, F - F.mean(axis=0), 0.0) / unit


def ridge(columns: Any, y: Any, penalty: float = 1e-3) -> Any:
    """Return the coefficients that fit y, of mean 0, by columns [n, c], in their precision.

    The penalty is relative to the mean square of the columns.
    """
    centered = columns - columns.mean(axis=0)
    K = centered.T @ centered
    K[np.diag_indices_from(K)] += max(penalty * float(np.trace(K)) / len(K), 1e-30)
    return cho_solve(cho_factor(K, overwrite_a=True), centered.T @ y)
