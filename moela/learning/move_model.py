"""Move model: predicts how moves change the objectives, before any is evaluated."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.linear_model import Ridge

from moela._arrays import Floats
from moela._threads import one_thread
from moela.core.scaling import Normalization
from moela.learning.models import Regressor
from moela.learning.window import SharedFits, Window, spread_of

_MIN_ROWS = 100
# Checked moves before the first skill, those that it is computed from, and new ones until the next.
_LEAST_CHECKS, _MOST_CHECKS, _NEW_CHECKS = 40, 200, 20
# Below this skill, the model is not used.
_LEAST_SKILL = 0.05


class MoveModel(SharedFits):
    """Regression of the change of the objectives on the change of the features.

    A difference leaves out everything that a design and its neighbor have in common, so that a
    linear model explains most of the rest. Only the newest `size` rows are kept, since moves near
    the front have other effects than at the beginning. The default estimator is ridge regression.

    `skill` is the Spearman correlation between predicted and observed changes of the scalarized
    value, over the newest moves that were chosen at random; NaN until there are enough.
    """

    _mutable = ("window", "_checks")

    def __init__(self, estimator: Regressor | None = None, size: int = 4000) -> None:
        self.estimator = Ridge(alpha=1.0, fit_intercept=False) if estimator is None else estimator
        self.window = Window(size)
        self.n_fits = self._fitted_at = 0
        self.fitted: Regressor | None = None
        self._scale: Floats = np.empty(0)
        self._linear: Floats | None = None
        self._checks: list[tuple[float, float]] = []
        self._n_new_checks = 0
        self.skill = float("nan")

    @property
    def ready(self) -> bool:
        """Whether the model has been fitted and is not known to be useless."""
        return self.fitted is not None and not self.skill < _LEAST_SKILL

    def add(self, moves: Floats, changes: Floats) -> None:
        """Add moves [b, d] and the changes of the objectives [b, M] that they made."""
        self.window.add(moves, changes)

    def fit_if_due(
        self, new_share: float = 0.1, normalization: Normalization | None = None
    ) -> bool:
        """Refit if the rows have grown by this share of the window; return whether it did.

        The normalization, if given, limits changes that are far larger than the front.
        """
        n_rows = self.window.n_rows
        new = max(20, new_share * min(n_rows, self.window.size))
        if n_rows < _MIN_ROWS or n_rows < self._fitted_at + new:
            return False
        D, C = self.window.arrays()
        C = C if normalization is None else normalization.learned_changes(C)
        spread = D.std(axis=0)
        self._scale = np.where(spread > 0, spread, np.inf)
        unit = spread_of(C)
        self._unit = np.where(unit > 0, unit, 1.0)
        # On matrices this small, several BLAS threads gain nothing and lose much on a busy machine.
        with one_thread():
            model = clone(self.estimator).fit(D / self._scale, C / self._unit)
        self.fitted, self._linear = model, None
        if isinstance(model, Ridge) and not model.fit_intercept:
            # A linear model is one product; scikit-learn's checks take ten times as long.
            self._linear = model.coef_.T / self._scale[:, None] * self._unit
        self._fitted_at = n_rows
        self.n_fits += 1
        return True

    def predict(self, moves: Floats) -> Floats:
        """Predict the changes of the objectives [b, M] by moves [b, d]."""
        if self._linear is not None:
            return np.asarray(moves @ self._linear)
        assert self.fitted is not None
        return np.asarray(self.fitted.predict(moves / self._scale)) * self._unit

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
