"""Designs as plain floats, for learned models: the problem's features, else its variables."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice

from moela._arrays import Floats

# Columns of who is where in a permutation: a move model of more would take longer to fit than most
# evaluations take.
_MOST_COLUMNS = 1024


class Encoder:
    """Describes the designs of one run to learned models.

    As `encode` does, but where the first designs turn out to be permutations, a column says of each
    value and place whether that value is there: its number alone means nothing.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._values: NDArray[Any] | None = None

    def look(self, X: NDArray[Any]) -> None:
        """See from designs X [n, n_var] what they are."""
        named = hasattr(self.problem, "features") or getattr(self.problem, "vars", None)
        self._values = None if named else _permuted(X)

    def __call__(self, X: NDArray[Any]) -> Floats:
        """Describe designs X [n, n_var], or [n] dictionaries, [n, d]."""
        if self._values is None:
            return encode(self.problem, X)
        there = np.asarray(X)[:, :, None] == self._values
        return there.reshape(len(X), -1).astype(float)


def _permuted(X: NDArray[Any]) -> NDArray[Any] | None:
    """Return the values that all rows of X [n, n_var] are permutations of, if they are."""
    if (
        X.ndim != 2
        or X.shape[1] < 3
        or X.shape[1] ** 2 > _MOST_COLUMNS
        or X.dtype.kind not in "iuf"
    ):
        return None
    values = np.sort(X, axis=1)
    apart = bool((np.diff(values[0]) > 0).all())
    same = len(X) > 1 and apart and bool((values == values[0]).all())
    return values[0] if same and not bool((X == X[0]).all()) else None


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
