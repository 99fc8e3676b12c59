"""Features of designs for learned models: those of the problem, else the variables as floats."""

from __future__ import annotations

import numpy as np
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice, Variable

from moela._arrays import Designs, Floats

# Largest number of columns to describe permutations with: beyond it, fitting a move model takes
# longer than most evaluations.
_MOST_COLUMNS = 1024


class Encoder:
    """Computes the features of the designs of one run.

    As `encode` does, unless the initial designs are permutations. For these, a column for each
    value and place is 1 if the value is at that place, since the numbers themselves mean nothing.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._values: Designs | None = None

    def fit(self, X: Designs) -> None:
        """Find out from the initial designs X [n, n_var] whether designs are permutations."""
        named = hasattr(self.problem, "features") or getattr(self.problem, "vars", None)
        self._values = None if named else _permuted_values(X)

    def __call__(self, X: Designs) -> Floats:
        """Return the features [n, d] of designs X, [n, n_var] or [n] dictionaries."""
        if self._values is None:
            return encode(self.problem, X)
        placed = np.asarray(X)[:, :, None] == self._values
        return placed.reshape(len(X), -1).astype(float)


def _permuted_values(X: Designs) -> Designs | None:
    """Return the values that all rows of X [n, n_var] are permutations of, if they are."""
    n = X.shape[-1]
    if X.ndim != 2 or n < 3 or n * n > _MOST_COLUMNS or X.dtype.kind not in "iuf":
        return None
    values = np.sort(X, axis=1)
    distinct = bool((np.diff(values[0]) > 0).all())
    same = len(X) > 1 and distinct and bool((values == values[0]).all())
    return values[0] if same and not bool((X == X[0]).all()) else None


def encode(problem: Problem, X: Designs) -> Floats:
    """Return the problem's `features(X)` if it has that method, else the variables, [n, d].

    Numbers are scaled by their bounds if they have any; each option of a choice becomes a column.
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
        if np.count_nonzero(problem.xl) == np.count_nonzero(span != 1.0) == 0:
            return values
        return np.asarray((values - problem.xl) / np.where(span > 0, span, 1.0))
    return values


def _column(values: list[object], variable: Variable) -> Floats:
    if isinstance(variable, Choice):
        return np.array(
            [[value == option for option in variable.options] for value in values], float
        )
    column = np.array(values, dtype=float)[:, None]
    low, high = getattr(variable, "bounds", (0, 1))
    if low is None or high is None or high <= low:
        return column
    return np.asarray((column - low) / (high - low))
