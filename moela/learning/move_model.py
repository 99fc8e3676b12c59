"""The learned model that ranks moves before any is paid for."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.linear_model import Ridge

from moela._arrays import Floats
from moela._threads import one_thread
from moela.learning.window import Window

_MIN_ROWS = 100


class MoveModel:
    """Predicts how a move changes the objectives from how it changes the design's features.

    Differences of features are what a move is; learning on them, rather than on designs, leaves
    out all that a design and its neighbor have in common, and a linear model then says most of
    what can be said. Refits are scheduled by the number of rows, never by the clock.

    Parameters
    ----------
    estimator : scikit-learn regressor or None
        Default: ridge regression on standardized differences, refitted on the newest rows.
    window : int
        Rows kept; the objectives' landscape near the front is not that of the start.

    Attributes
    ----------
    skill : float
        Spearman correlation of predicted and measured change of the scalar value over the newest
        moves that were drawn blindly; NaN until there are enough.
    """

    def __init__(self, estimator: Any = None, window: int = 4000) -> None:
        self.estimator = Ridge(alpha=1.0, fit_intercept=False) if estimator is None else estimator
        self.rows = Window(window)
        self.n_fits = 0
        self._fitted_at = 0
        self._model: Any = None
        self._scale: Floats = np.empty(0)
        self._linear: Floats | None = None
        self._checks: list[tuple[float, float]] = []
        self._unranked = 0
        self.skill = float("nan")

    def __deepcopy__(self, memo: dict[int, Any]) -> MoveModel:
        # Fitted estimators are only ever replaced, so copies may share them.
        copied = self.__class__.__new__(self.__class__)
        copied.__dict__.update(self.__dict__)
        copied.rows, copied._checks = deepcopy(self.rows, memo), list(self._checks)
        return copied

    @property
    def ready(self) -> bool:
        """Whether the model has been fitted and has not been found useless."""
        return self._model is not None and not self.skill < 0.05

    def add(self, moves: Floats, changes: Floats) -> None:
        """Learn from moves [b, d] and the changes of the objectives [b, M] they brought."""
        self.rows.add(moves, changes)

    def fit_if_due(self, growth: float = 0.1) -> bool:
        """Refit once the rows have grown by this share of what is kept; say whether it did."""
        n_rows = self.rows.n_rows
        new = max(20, growth * min(n_rows, self.rows.size))
        if n_rows < _MIN_ROWS or n_rows < self._fitted_at + new:
            return False
        D, C = self.rows.arrays()
        spread = D.std(axis=0)
        self._scale = np.where(spread > 0, spread, np.inf)
        unit = C.std(axis=0)
        self._unit = np.where(unit > 0, unit, 1.0)
        # BLAS threads gain nothing on matrices this small, and lose much on a busy machine.
        with one_thread():
            self._model = clone(self.estimator).fit(D / self._scale, C / self._unit)
        self._linear = None
        if isinstance(self._model, Ridge) and not self._model.fit_intercept:
            # A linear model is one product: scikit-learn's checks would cost ten times that.
            self._linear = self._model.coef_.T / self._scale[:, None] * self._unit
        self._fitted_at = n_rows
        self.n_fits += 1
        return True

    def predict(self, moves: Floats) -> Floats:
        """Predict the change of the objectives [b, M] that moves [b, d] bring."""
        if self._linear is not None:
            return moves @ self._linear
        return np.asarray(self._model.predict(moves / self._scale)) * self._unit

    def check(self, predicted: Floats, measured: Floats) -> None:
        """Compare predicted and measured changes of the scalar value, both [b]."""
        self._checks.extend(zip(predicted.tolist(), measured.tolist(), strict=True))
        self._unranked += len(predicted)
        if len(self._checks) >= 40 and self._unranked >= 20:
            self._unranked = 0
            del self._checks[:-200]
            a, b = np.array(self._checks).T
            flat = np.ptp(a) == 0 or np.ptp(b) == 0
            self.skill = 0.0 if flat else float(spearmanr(a, b).statistic)
