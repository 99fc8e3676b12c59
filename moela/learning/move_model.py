"""Move model: predicts how moves change the objectives, before any is evaluated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import spearmanr

from moela._arrays import Floats
from moela._threads import one_thread
from moela.core.scaling import Normalization, spread_of
from moela.learning.models import Regressor
from moela.learning.window import Moments, SharedFits, Window

# Of ridge regression, the default, on moves and changes of unit standard deviation.
_PENALTY = 1.0
# Checked moves before the first skill, those that it is computed from, and new ones until the next.
_LEAST_CHECKS, _MOST_CHECKS, _NEW_CHECKS = 40, 200, 20
# Below this skill, the model is not used.
_LEAST_SKILL = 0.05


@dataclass(frozen=True)
class Linear:
    """A fitted linear model without an intercept: `coefficients` [d, M] in the rows' own units."""

    coefficients: Floats

    def predict(self, rows: Floats) -> Floats:
        """Predict the targets [b, M] of rows [b, d]."""
        return np.asarray(rows @ self.coefficients)


class MoveModel(SharedFits):
    """Regression of the change of the objectives on the change of the features.

    A difference leaves out everything that a design and its neighbor have in common, so that a
    linear model explains most of the rest. Only the newest `size` rows are kept, since moves near
    the front have other effects than at the beginning. The default estimator is ridge regression,
    whose moments are updated as rows come and go, so that a fit costs a solve of d equations.

    It is fitted from `min_rows` rows on. `skill` is the Spearman correlation between predicted and
    observed changes of the scalarized value, over the newest moves that were chosen at random; NaN
    until there are enough.
    """

    _mutable: tuple[str, ...] = ("window", "_checks", "_new", "_dropped")

    def __init__(
        self, estimator: Regressor | None = None, size: int = 4000, *, min_rows: int = 12
    ) -> None:
        self.estimator, self.min_rows = estimator, min_rows
        self.window = Window(size)
        self.n_fits = self._fitted_at = 0
        self.fitted: Regressor | Linear | None = None
        # Of all rows at the last fit, and the batches that have come and gone since then.
        self._moments: Moments | None = None
        self._new: list[Floats] = []
        self._dropped: list[Floats] = []
        self._scale: Floats = np.empty(0)
        self._checks: list[tuple[float, float]] = []
        self._n_new_checks = 0
        self.skill = float("nan")

    @property
    def ready(self) -> bool:
        """Whether the model has been fitted and is not known to be useless."""
        return self.fitted is not None and not self.skill < _LEAST_SKILL

    @property
    def complete(self) -> bool:
        """Whether the effects of all moves are known, so that nothing is left to learn."""
        return False

    @property
    def is_linear(self) -> bool:
        """Whether the model is linear: scaling a move and its changes gives that move a weight."""
        return self.estimator is None

    @property
    def fit_id(self) -> tuple[object, ...]:
        """Identifier of the fit used now; predictions change only if it changes."""
        return (self.n_fits,)

    @property
    def learns_designs(self) -> bool:
        """Whether `add_designs` does anything."""
        return False

    def add_designs(self, features: Floats, F: Floats) -> None:
        """Add designs with features [b, d] and objectives F [b, M]."""

    def add(self, moves: Floats, changes: Floats) -> None:
        """Add moves [b, d] and the changes of the objectives [b, M] that they made."""
        dropped = self.window.add(moves, changes)
        if self.estimator is None:
            self._new.append(moves)
            self._dropped.extend(dropped)

    def fit_if_due(
        self, new_share: float = 0.1, normalization: Normalization | None = None
    ) -> bool:
        """Refit if the rows have grown by this share of the window; return whether it did.

        The normalization, if given, limits changes that are far larger than the front.
        """
        n_rows = self.window.n_rows
        new = max(20, new_share * min(n_rows, self.window.size))
        if n_rows < self.min_rows or n_rows < self._fitted_at + new:
            return False
        D, C = self.window.arrays()
        C = C if normalization is None else normalization.learned_changes(C)
        unit = spread_of(C)
        self._unit = np.where(unit > 0, unit, 1.0)
        # On matrices this small, several BLAS threads gain nothing and lose much on a busy machine.
        with one_thread():
            if self.estimator is None:
                self._fit_ridge(D, C / self._unit)
            else:
                from sklearn.base import clone

                spread = D.std(axis=0)
                self._scale = np.where(spread > 0, spread, np.inf)
                self.fitted = clone(self.estimator).fit(D / self._scale, C / self._unit)
        self._fitted_at = n_rows
        self.n_fits += 1
        return True

    def _fit_ridge(self, D: Floats, targets: Floats) -> None:
        """Fit the default: ridge regression without an intercept, on moves of unit spread."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self._moments is None or len(self._new) >= len(self.window.inputs):
                moments = Moments.of(D)
            else:
                dropped = np.concatenate(self._dropped) if self._dropped else D[:0]
                moments = self._moments.changed(np.concatenate(self._new), dropped)
                if not moments.exact:
                    moments = Moments.of(D)
            self._moments, self._new, self._dropped = moments, [], []
            spread = moments.spread()
        used = np.flatnonzero(np.isfinite(spread) & (spread > 0.0))
        scale = spread[used]
        all_used = len(used) == len(spread)
        products = moments.products if all_used else moments.products[np.ix_(used, used)]
        A = products / scale / scale[:, None]
        A[np.diag_indices_from(A)] += _PENALTY
        b = D[:, used].T @ targets / scale[:, None]
        solution = cho_solve(cho_factor(A, lower=True, overwrite_a=True), b)
        coefficients = np.zeros((D.shape[1], targets.shape[1]))
        coefficients[used] = solution / scale[:, None] * self._unit
        self.fitted = Linear(coefficients)

    def predict(self, moves: Floats) -> Floats:
        """Predict the changes of the objectives [b, M] by moves [b, d]."""
        if isinstance(self.fitted, Linear):
            return self.fitted.predict(moves)
        assert self.fitted is not None
        return np.asarray(self.fitted.predict(moves / self._scale)) * self._unit

    def add_at(self, moves: Floats, ends: Floats, changes: Floats) -> None:
        """Add moves [b, d] to designs with features `ends` [b, d], and the changes of F [b, M]."""
        self.add(moves, changes)

    def predict_at(self, moves: Floats, ends: Floats) -> Floats:
        """Predict the changes of F [b, M] by moves [b, d] to designs with features `ends`."""
        return self.predict(moves)

    def changes_to(self, features: Floats, near: Floats) -> Floats:
        """Predict the change of F [n, k, M] from designs [n, d] to their neighbors [n, k, d]."""
        n, k, d = near.shape
        if isinstance(self.fitted, Linear):
            changes = self.fitted.predict(near.reshape(n * k, d))
            return changes.reshape(n, k, -1) - self.fitted.predict(features)[:, None]
        return self.predict((near - features[:, None]).reshape(n * k, d)).reshape(n, k, -1)

    def check(self, predicted: Floats, observed: Floats) -> None:
        """Update the skill with predicted and observed changes of the scalarized value, [b]."""
        self._checks.extend(zip(predicted.tolist(), observed.tolist(), strict=True))
        self._n_new_checks += len(predicted)
        if len(self._checks) >= _LEAST_CHECKS and self._n_new_checks >= _NEW_CHECKS:
            self._n_new_checks = 0
            del self._checks[:-_MOST_CHECKS]
            a, b = np.array(self._checks).T
            flat = np.ptp(a) == 0 or np.ptp(b) == 0
            self.skill = 0.0 if flat else float(spearmanr(a, b).statistic)
