"""Feasibility model: predicts which designs meet the constraints, before any is evaluated."""

from __future__ import annotations

import numpy as np
from pymoo.core.population import Population
from scipy.special import ndtr

from moela._arrays import Floats
from moela._threads import one_thread
from moela.core.scaling import Normalization, spread_of
from moela.evaluation.runners.violation import constraint_rows
from moela.learning.permutations import n_columns, ones
from moela.learning.window import SharedFits, Window

# Rows before the first fit, and relative growth until the next one.
_MIN_ROWS, _GROWTH = 50, 0.15
# Penalties of the ridge regression for each row; the one with the least leave-one-out error is
# used.
_PENALTIES = (1e-6, 1e-3, 1e-2, 1e-1, 1.0)
# Half waves of each feature over its range in a smooth model.
_N_WAVES = 6
# Eigenvalues below this share of the largest one are rounding.
_LEAST_EIGENVALUE = 1e-9
# With more constraints than this, only their total violation is learned.
_MOST_CONSTRAINTS = 16
# The error of a constraint is at least this share of its spread, and constraints are limited to
# this multiple of their median size: a penalty of 1e100 would leave nothing to learn.
_LEAST_ERROR, _FARTHEST = 1e-4, 2.0**10
_LARGEST = 2.0**960
# Weight of the predicted value among the moves from an infeasible design.
_WEIGHT_OF_VALUE = 0.1
# Columns of zeros and ones for items and places up to which a permutation is described by these.
_MOST_COLUMNS = 2500
_TINY = 1e-12


class FeasibilityModel(SharedFits):
    """Ridge regression of objectives and constraints on the features of designs.

    A constraint is learned with its sign, as the distance from its limit on either side, so that
    near the limit as much is known about it as elsewhere. The predicted change from a design to a
    neighbor is added to the known constraints of the design. The leave-one-out error of each
    constraint tells how far this can be trusted: with a large one, all neighbors are about equally
    likely to be feasible, and the ranking of moves hardly changes.

    A `smooth` model is a sum of functions of one feature each, for features that are numbers in
    [0, 1]: a line and some cosines (cf. Hastie and Tibshirani 1986, "Generalized additive models",
    Statistical Science 1(3)).
    """

    _mutable = ("window",)

    def __init__(self, n_obj: int, *, smooth: bool = False, size: int = 500) -> None:
        self.n_obj, self.smooth = n_obj, smooth
        self.permuted = False  # whether features are the places of permuted items
        self.window = Window(size)
        self.n_fits = self._fitted_at = 0

    @property
    def ready(self) -> bool:
        """Whether the model has been fitted."""
        return self.n_fits > 0

    @property
    def n_rows(self) -> int:
        """Number of designs that it has been told about."""
        return self.window.n_rows

    def add(
        self,
        features: Floats,
        F: Floats,
        C: Floats,
        normalization: Normalization | None = None,
    ) -> None:
        """Learn from designs with features [b, d], objectives F [b, M] and constraints C [b, c].

        The normalization, if given, limits objectives far beyond the nadir.
        """
        self.window.add(features, np.column_stack([F, C]))
        if self.window.n_rows >= max(_MIN_ROWS, (1.0 + _GROWTH) * self._fitted_at):
            X, Y = self.window.arrays()
            F, C = Y[:, : self.n_obj], _limited(Y[:, self.n_obj :])
            F = F if normalization is None else normalization.learned(F)
            # On matrices this small, several BLAS threads gain nothing, and their number would
            # show in the last digits.
            with one_thread():
                self._fit(X, np.column_stack([F, C]))

    def _fit(self, X: Floats, Y: Floats) -> None:
        n_columns = X.shape[1]
        X = self._expanded(X)
        spread, center = X.std(axis=0), X.mean(axis=0)
        used = spread > _TINY
        if not used.any():
            return
        # Waves count less the shorter they are, so that few designs are not explained by these.
        if self.smooth:
            number = np.arange(X.shape[1] // n_columns).repeat(n_columns)
            spread = spread * np.maximum(number, 1)
        Z = (X[:, used] - center[used]) / spread[used]
        unit = spread_of(Y)
        unit = np.where(unit > 0.0, unit, 1.0)
        targets = Y / unit
        targets -= targets.mean(axis=0)
        U, values, V = _decomposed(Z)
        projected, squares = U.T @ targets, U**2
        best = np.inf
        weights, error = np.zeros((Z.shape[1], Y.shape[1])), np.ones(Y.shape[1])
        for penalty in _PENALTIES:
            kept = values / (values + penalty * len(Z))
            leverage = np.minimum(squares @ kept + 1.0 / len(Z), 0.99)
            left = (targets - U @ (kept[:, None] * projected)) / (1.0 - leverage)[:, None]
            errors = np.sqrt((left**2).mean(axis=0))
            if errors.sum() < best:
                best, error = float(errors.sum()), errors
                weights = V @ ((kept / np.sqrt(values))[:, None] * projected)
        self._error = (np.maximum(error, _LEAST_ERROR) * unit)[self.n_obj :]
        self._coefficients = np.zeros((X.shape[1], Y.shape[1]))
        self._coefficients[used] = weights / spread[used][:, None] * unit
        self._offset = Y.mean(axis=0) - center @ self._coefficients
        self._fitted_at = self.window.n_rows
        self.n_fits += 1

    def changes_to(self, features: Floats, near: Floats) -> tuple[Floats, Floats]:
        """Predict the changes of objectives [n, k, M] and constraints [n, k, c].

        They are those from designs with features [n, d] to their neighbors [n, k, d].
        """
        change = self._effects(near) - self._effects(features)[:, None]
        return change[..., : self.n_obj], change[..., self.n_obj :]

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Predict the objectives [b, M] and constraints [b, c] of designs with features [b, d]."""
        Y = self._effects(features) + self._offset
        return Y[:, : self.n_obj], Y[:, self.n_obj :]

    def _effects(self, features: Floats) -> Floats:
        return np.asarray(self._expanded(features) @ self._coefficients)

    def _expanded(self, features: Floats) -> Floats:
        """Return what the model is linear in: features [..., d], or functions of them."""
        if self.permuted:
            m = features.shape[-1]
            if n_columns(m, "place") > _MOST_COLUMNS:
                return features
            places = features.reshape(-1, m).astype(np.int64)
            known = np.concatenate([ones(places, "place"), ones(places, "order")], axis=1)
            return known.reshape(*features.shape[:-1], -1)
        if not self.smooth:
            return features
        waves = [np.cos(np.pi * k * features) for k in range(1, _N_WAVES + 1)]
        return np.concatenate([features, *waves], axis=-1)

    def violation(self, C: Floats) -> tuple[Floats, Floats]:
        """Return expected violation and probability of feasibility [...] of predictions C [..., c].

        The errors of the predictions are taken as normal and independent.
        """
        z = C / self._error
        density = np.exp(-0.5 * np.minimum(z * z, 1400.0)) / np.sqrt(2.0 * np.pi)
        expected = self._error * (z * ndtr(z) + density)
        return expected.sum(axis=-1), ndtr(-z).prod(axis=-1)

    def rank(self, value: Floats, C: Floats, changes: Floats) -> Floats:
        """Rank moves, the best lowest, by predicted changes of value [n, k] and constraints.

        `C` [n, c] are the constraints of the designs moved from, `changes` [n, k, c] their
        predicted changes. From a feasible design, an improvement counts as much as it is likely to
        be feasible. From an infeasible one, the expected violation counts first. A move that is not
        expected to improve has a rank of 0 or more if its design is feasible.
        """
        expected, probability = self.violation(C[:, None] + changes)
        spread = np.maximum(value.std(axis=1), _TINY)[:, None]
        feasible = np.where(value < 0.0, value * probability, value + (1.0 - probability) * spread)
        before = np.maximum(C, 0.0).sum(axis=1)[:, None]
        violated = (expected - before) / np.where(before > 0.0, before, 1.0)
        violated += _WEIGHT_OF_VALUE * probability * value / spread
        return np.where(before > 0.0, violated, feasible)


def constraints_of(pop: Population, CV: Floats) -> Floats:
    """Return the constraints of evaluated designs [b, c], each at most 0 if it is met.

    An equality counts as two of them. If there are none, or many, it is the violation CV [b]
    instead, [b, 1].
    """
    individuals = pop.tolist()
    G, H = (constraint_rows(individuals, name) for name in ("G", "H"))
    if G is None or H is None or not 0 < G.shape[1] + 2 * H.shape[1] <= _MOST_CONSTRAINTS:
        return CV[:, None]
    if H.shape[1]:
        slack = np.array([[float(ind.config["cv_eq"]["eps"])] for ind in individuals])
        G = np.concatenate([G, H - slack, -H - slack], axis=1)
    return np.clip(G, -_LARGEST, _LARGEST)


def _limited(C: Floats) -> Floats:
    """Limit constraints [n, c] that are far larger than most."""
    typical = np.median(abs(C), axis=0)
    limit = np.where(typical > 0.0, _FARTHEST * typical, np.inf)
    return np.clip(C, -limit, limit)


def _decomposed(Z: Floats) -> tuple[Floats, Floats, Floats]:
    """Return U [n, r], squared singular values [r], and V [d, r] of Z [n, d]."""
    n, d = Z.shape
    # The eigenvectors of the smaller one of the two products.
    values, vectors = np.linalg.eigh(Z.T @ Z if d < n else Z @ Z.T)
    values = np.maximum(values, _LEAST_EIGENVALUE * values[-1])
    other = (Z @ vectors if d < n else Z.T @ vectors) / np.sqrt(values)
    return (other, values, vectors) if d < n else (vectors, values, other)
