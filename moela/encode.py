"""Designs as plain floats, for learned models: the problem's features, else its variables."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice

from moela.archive import Floats


def encode(problem: Problem, X: NDArray[Any]) -> Floats:
    """Describe designs by the problem's `features(X)` where it has them, else by their variables.

    Numbers are scaled by their bounds where there are any; the options of a choice become one
    column each.

    Parameters
    ----------
    X : array, [n, n_var], or [n] dictionaries for mixed variables

    Returns
    -------
    float array, [n, d]
    """
    if hasattr(problem, "features"):
        return np.asarray(problem.features(X), dtype=float)
    variables = getattr(problem, "vars", None)
    if variables:
        columns = [_column([x[name] for x in X], variable) for name, variable in variables.items()]
        return np.concatenate(columns, axis=1)
    values = np.asarray(X, dtype=float)
    if problem.has_bounds():
        span = problem.xu - problem.xl
        return (values - problem.xl) / np.where(span > 0, span, 1.0)
    return values


def _column(values: list[Any], variable: Any) -> Floats:
    if isinstance(variable, Choice):
        return np.array(
            [[value == option for option in variable.options] for value in values], float
        )
    column = np.array(values, dtype=float)[:, None]
    low, high = getattr(variable, "bounds", (0, 1))
    if low is None or high is None or high <= low:
        return column
    return (column - low) / (high - low)
