"""A random forest on evaluated designs, and how much it loses when a variable is shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.model_selection import KFold

from moela._arrays import Floats, Ints
from moela._threads import one_thread
from moela.explanation.columns import Column, Features

_N_TREES, _N_FOLDS, _N_REPEATS = 60, 3, 5
# More features than one at each split, so that a tree need not use the strongest variable first.
_SHARE_OF_FEATURES = 0.5

# Below this R2 on held-out designs, importances say nothing.
_NOTHING = 0.3


class DesignForest(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A random forest (Breiman 2001) on scaled columns [n, n_var], one for each variable.

    Values are scaled to 0 to 1 for the fit: trees split no node whose variance is next to nothing.
    Labels and orders become several features inside, so that scikit-learn's tools see and shuffle
    a variable as a whole.

    Parameters
    ----------
    columns : list of Column
    random_state : int
    """

    def __init__(self, columns: Sequence[Column], random_state: int = 0) -> None:
        self.columns = columns
        self.random_state = random_state

    def fit(self, X: Floats, y: Floats) -> DesignForest:
        """Fit the forest to columns X [n, n_var] and values y [n]."""
        self.n_features_in_ = X.shape[1]
        self.forest_ = RandomForestRegressor(
            _N_TREES, max_features=_SHARE_OF_FEATURES, random_state=self.random_state
        )
        self.features_ = Features(self.columns)
        self.low_, self.width_ = _range(y)
        self.forest_.fit(self.features_(X), _to_unit(y, self.low_, self.width_))
        return self

    def predict(self, X: Floats) -> Floats:
        """Return the predicted values [n] of columns X [n, n_var].

        The trees are asked directly: for a few hundred rows, the forest's own `predict` spends most
        of its time on checks and on dispatching trees to threads.
        """
        features = self.features_(np.asarray(X, dtype=float))
        total = np.zeros(len(features))
        for tree in self.forest_.estimators_:
            total += tree.tree_.predict(features)[:, 0]
        mean = total / len(self.forest_.estimators_)
        return 2 * (self.low_ / 2 + self.width_ * mean)


@dataclass(frozen=True)
class Measured:
    """How well a forest predicts one output, and by which variables.

    Attributes
    ----------
    r2 : float
        Coefficient of determination of the predictions of designs that were held out; 0 is no
        better than their mean.
    shares : float array [n_var]
        Loss of `r2` if the values of a variable are shuffled among the designs held out.
    deviations : float array [n_var]
        Standard deviation of `shares` over folds and repeats.
    """

    r2: float
    shares: Floats
    deviations: Floats


def measure(
    columns: Sequence[Column], y: Floats, random_state: int, *, folds: int = _N_FOLDS
) -> Measured:
    """Measure importances by permutation on designs that were held out of each fit.

    A variable that exists in some designs only is shuffled among these.

    References
    ----------
    Breiman 2001, "Random forests", Machine Learning 45; Fisher, Rudin and Dominici 2019, "All
    models are wrong, but many are useful", JMLR 20(177).
    """
    X, y = matrix(columns), _to_unit(y, *_range(y))
    variance = float(np.var(y))
    n_var = len(columns)
    if variance == 0:
        return Measured(0.0, np.zeros(n_var), np.zeros(n_var))
    error, gains = 0.0, [list[float]() for _ in columns]
    splits = KFold(folds, shuffle=True, random_state=random_state)
    for train, test in splits.split(X):
        with one_thread():
            forest = DesignForest(columns, random_state).fit(X[train], y[train])
            error += float(((forest.predict(X[test]) - y[test]) ** 2).sum())
            for rows, at in _groups(X[test]):
                found = permutation_importance(
                    forest, X[test][rows], y[test][rows], scoring="neg_mean_squared_error",
                    n_repeats=_N_REPEATS, random_state=random_state,
                )  # fmt: skip
                scale = rows.size / len(test) / variance
                for j in at:
                    gains[j] += (found.importances[j] * scale).tolist()
    r2 = 1.0 - error / len(y) / variance
    values = [np.array(found) if found else np.zeros(1) for found in gains]
    return Measured(r2, np.array([v.mean() for v in values]), np.array([v.std() for v in values]))


def trusted(r2: float) -> bool:
    """Return whether importances mean anything at this R2 on held-out designs."""
    return r2 >= _NOTHING


def fitted(columns: Sequence[Column], y: Floats, random_state: int) -> DesignForest:
    """Return a forest that knows all designs."""
    with one_thread():
        return DesignForest(columns, random_state).fit(matrix(columns), y)


def matrix(columns: Sequence[Column]) -> Floats:
    """Return the scaled values of columns side by side, [n, n_var]."""
    return np.stack([column.scaled() for column in columns], axis=1)


def _range(y: Floats) -> tuple[float, float]:
    """Return the least value and half of the range, of 1 if all are equal."""
    low, high = float(y.min()), float(y.max())
    return low, (high / 2 - low / 2) or 1.0


def _to_unit(y: Floats, low: float, width: float) -> Floats:
    # Halves, since the difference of two large numbers may overflow.
    return np.asarray((y / 2 - low / 2) / width)


def _groups(X: Floats) -> Iterator[tuple[Ints, list[int]]]:
    """Yield rows with the columns that exist in just these rows, if these are more than one."""
    groups: dict[bytes, tuple[Ints, list[int]]] = {}
    for j in range(X.shape[1]):
        rows = np.flatnonzero(~np.isnan(X[:, j]))
        groups.setdefault(rows.tobytes(), (rows, []))[1].append(j)
    for rows, at in groups.values():
        if len(rows) > 1:
            yield rows, at
