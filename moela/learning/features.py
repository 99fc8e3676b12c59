"""Features of designs for learned models: those of the problem, else the variables as floats."""

from __future__ import annotations

import numpy as np
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice, Variable

from moela._arrays import Designs, Floats, Ints, numbers_of
from moela.learning.permutations import ones, permuted_items, places_of
from moela.quality.words import shown

# Largest number of columns to describe permutations with.
_MOST_COLUMNS = 1024


class Encoder:
    """Computes the features of the designs of one run.

    As `encode` does, unless the initial designs are permutations. Their features are the place of
    each item, since the numbers themselves mean nothing; for models that know nothing of
    permutations, a column for each item and place, which is 1 if the item is there. A problem's own
    features of permutations are used if they say more than such columns do.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._items: Designs | None = None
        self._in_columns = False

    def fit(self, X: Designs, *, in_columns: bool = False) -> None:
        """Find out from the initial designs X [n, n_var] whether designs are permutations."""
        self._items = None if getattr(self.problem, "vars", None) else permuted_items(X)
        self._in_columns = in_columns and X.shape[-1] ** 2 <= _MOST_COLUMNS
        if has_features(self.problem) and (in_columns or not self._are_places(X)):
            self._items = None

    def _are_places(self, X: Designs) -> bool:
        """Return whether the problem's features of permutations X only say which item is where."""
        if self._items is None:
            return False
        features, places = encode(self.problem, X), places_of(X, self._items)
        return any(
            np.array_equal(features, ones(order, "place"))
            for order in (places, places.argsort(axis=1))
        )

    @property
    def gives_places(self) -> bool:
        """Whether features are the places of permuted items."""
        return self._items is not None and not self._in_columns

    def __call__(self, X: Designs) -> Floats:
        """Return the features [n, d] of designs X, [n, n_var] or [n] dictionaries."""
        if self._items is None:
            return encode(self.problem, X)
        places = places_of(np.asarray(X), self._items)
        return ones(places, "place") if self._in_columns else places.astype(float)

    def permutations(self, places: Ints) -> Designs:
        """Return the permutations [n, m] with these places [n, m] of their items."""
        assert self._items is not None
        return self._items[places.argsort(axis=1)]

    def near(self, X: Designs, near: Designs) -> Floats:
        """Return the features [n, k, d] of the neighbors near [n, k, ...] of designs X [n, ...].

        A problem with a method `neighbor_features(X, near)` computes them in less time, since
        neighbors share most of what `features` counts.
        """
        groups = near.shape[:2]
        method = getattr(self.problem, "neighbor_features", None)
        if method is None or self._items is not None or not has_features(self.problem):
            flat = near.reshape(groups[0] * groups[1], *near.shape[2:])
            return self(flat).reshape(*groups, -1)
        features = np.asarray(method(X, near), dtype=float)
        if features.ndim != 3 or features.shape[:2] != groups:
            raise ValueError(
                f"{type(self.problem).__name__}.neighbor_features(X, near) must return an array "
                f"of shape ({groups[0]}, {groups[1]}, d), a row for each neighbor. Got shape "
                f"{features.shape} instead."
            )
        _check_finite(features, near, f"{type(self.problem).__name__}.neighbor_features(X, near)")
        return features


def has_features(problem: Problem) -> bool:
    """Return whether a problem has a method `features(X)`."""
    return callable(getattr(problem, "features", None))


def describes(problem: Problem, X: Designs) -> bool:
    """Return whether `encode` has features of these designs: of a method, or numbers."""
    named = has_features(problem) or getattr(problem, "vars", None)
    return bool(named) or numbers_of(X) is not None


def encode(problem: Problem, X: Designs) -> Floats:
    """Return the problem's `features(X)` if it has that method, else the variables, [n, d].

    Numbers are scaled by their bounds if they have any; each option of a choice becomes a column.

    Raises
    ------
    TypeError
        Designs are no numbers, and the problem has no such method.
    ValueError
        The method returns another shape, or NaN or infinity.
    """
    title = type(problem).__name__
    if has_features(problem):
        features = np.asarray(problem.features(X), dtype=float)
        if len(X) and (features.ndim != 2 or len(features) != len(X)):
            single = features.shape == (len(X),)
            advice = "; a single feature is a column, values[:, None]" if single else ""
            raise ValueError(
                f"{title}.features(X) must return an array of shape ({len(X)}, d), a row for each "
                f"design. Got shape {features.shape} instead{advice}."
            )
        _check_finite(features, X, f"{title}.features(X)")
        return features
    variables = getattr(problem, "vars", None)
    if variables:
        columns = [_column([x[name] for x in X], variable) for name, variable in variables.items()]
        return np.concatenate(columns, axis=1)
    numbers = numbers_of(np.asarray(X))
    if numbers is None:
        raise TypeError(
            f"Designs must be numbers for a learned model, or {title} must have a method "
            f"features(X). Got the design {shown(X[0])}; add the method, or use MOELA, which does "
            "without models of such designs."
        )
    values = np.asarray(numbers, dtype=float)
    if problem.has_bounds():
        span = problem.xu - problem.xl
        if np.count_nonzero(problem.xl) == np.count_nonzero(span != 1.0) == 0:
            return values
        return np.asarray((values - problem.xl) / np.where(span > 0, span, 1.0))
    return values


def _check_finite(features: Floats, X: Designs, method: str) -> None:
    """Raise a ValueError if some features [..., d] of designs X [...] are not finite."""
    if np.isfinite(features).all():
        return
    *design, column = np.argwhere(~np.isfinite(features))[0].tolist()
    raise ValueError(
        f"{method} must return finite numbers. Got {features[(*design, column)]} for feature "
        f"{column} of the design {shown(X[tuple(design)])}; describe such a design by other "
        "numbers."
    )


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
