"""Start model: predicts where a local search ends, to choose the design that it starts from."""

from __future__ import annotations

import numpy as np

from moela._arrays import Floats
from moela.core.scaling import Normalization, Scalarization, scalarize
from moela.learning.models import Regressor
from moela.learning.window import SharedFits

# Finished searches before the calibration is known, and the newest ones that it is computed from.
_LEAST_CHECKS, _MOST_CHECKS = 20, 200
_N_TREES = 25


class _Trees:
    """The forest that scikit-learn's `ExtraTreesRegressor` fits with the same seed.

    That class copies an estimator for each tree, and predicts in a pool of workers. With small
    trees, this takes longer than the fit or the prediction itself.
    """

    def __init__(self, X: Floats, y: Floats, seed: int) -> None:
        # Imported here, since it takes .4 s, and short runs never fit this model.
        from sklearn import config_context
        from sklearn.tree import ExtraTreeRegressor

        rng = np.random.RandomState(seed)  # which scikit-learn needs
        floats, targets = X.astype(np.float32), y.reshape(-1, 1)
        self._trees = []
        # These parameters never change, so there is no need to check them for each tree.
        with config_context(skip_parameter_validation=True):
            for _ in range(_N_TREES):
                own_seed = rng.randint(np.iinfo(np.int32).max)
                tree = ExtraTreeRegressor(
                    min_samples_leaf=2, max_features=1.0, random_state=own_seed
                )
                self._trees.append(tree.fit(floats, targets, check_input=False).tree_)

    def predict(self, X: Floats) -> Floats:
        """Predict the targets of inputs [b, d]."""
        floats = X.astype(np.float32)
        return np.asarray(np.mean([tree.predict(floats)[:, 0] for tree in self._trees], axis=0))


class StartModel(SharedFits):
    """Regression of the final value of a local search on its start.

    A row is a finished search: the scaled objectives at the start, the weights, the scalarized
    value, and the features of the start. The target is the value at the end. Objectives are kept
    unscaled, and scaled again at every fit, so that all rows have the same units although the
    normalization changes. The default estimator is 25 extremely randomized trees.

    `calibration` is the slope of the regression of actual on predicted gain over recent searches,
    clipped to [0, 1]. It is 0 for a model that knows nothing.
    """

    _mutable = ("features", "start_F", "end_F", "W", "_checks")

    def __init__(
        self, by: Scalarization, estimator: Regressor | None = None, min_rows: int = 20
    ) -> None:
        self.by, self.estimator, self.min_rows = by, estimator, min_rows
        self.features: list[Floats] = []
        self.start_F: list[Floats] = []
        self.end_F: list[Floats] = []
        self.W: list[Floats] = []
        self._fitted_at = 0
        self._model: Regressor | _Trees | None = None
        self._checks: list[tuple[float, float]] = []
        self.calibration = 0.0

    @property
    def ready(self) -> bool:
        """Whether the model has been fitted."""
        return self._model is not None

    def __len__(self) -> int:
        return len(self.W)

    def add(self, features: Floats, start_F: Floats, W: Floats, end_F: Floats) -> None:
        """Add finished searches: features [b, d], weights and objectives at both ends, [b, M]."""
        self.features.extend(features)
        self.start_F.extend(start_F)
        self.W.extend(W)
        self.end_F.extend(end_F)

    def check(self, predicted: Floats, actual: Floats) -> None:
        """Update the calibration with the predicted and actual gains of searches, both [b].

        Predictions must precede the search. Those that are NaN are ignored.
        """
        known = np.isfinite(predicted)
        if not known.any():
            return
        self._checks.extend(zip(predicted[known].tolist(), actual[known].tolist(), strict=True))
        del self._checks[:-_MOST_CHECKS]
        if len(self._checks) >= _LEAST_CHECKS:
            a, b = np.array(self._checks).T
            spread = np.var(a)
            slope = np.mean((a - a.mean()) * (b - b.mean())) / spread if spread > 0 else 0.0
            self.calibration = float(np.clip(slope, 0.0, 1.0))

    def fit_if_due(self, normalization: Normalization, random_state: np.random.Generator) -> bool:
        """Refit after half as many searches again as at the last fit; return whether it did."""
        if len(self) < self.min_rows or len(self) < 1.5 * self._fitted_at:
            return False
        W = np.array(self.W)
        inputs = self._inputs(np.array(self.features), np.array(self.start_F), W, normalization)
        ends = normalization.scalarize(normalization.learned(np.array(self.end_F)), W, self.by)
        seed = int(random_state.integers(2**31))
        if self.estimator is None:
            self._model = _Trees(inputs, ends, seed)
        else:
            self._model = _fitted(self.estimator, inputs, ends, seed)
        self._fitted_at = len(self)
        return True

    def predict(
        self, features: Floats, F: Floats, W: Floats, normalization: Normalization
    ) -> Floats:
        """Predict the final values [b] of searches that start from designs [b] with weights W."""
        inputs = self._inputs(features, F, W, normalization)
        assert self._model is not None
        return np.asarray(self._model.predict(inputs))

    def _inputs(
        self, features: Floats, F: Floats, W: Floats, normalization: Normalization
    ) -> Floats:
        Z = normalization.scale(F)
        return np.column_stack([Z, W, scalarize(Z, W, self.by), features])


def _fitted(estimator: Regressor, X: Floats, y: Floats, seed: int) -> Regressor:
    """Return a fitted copy of an estimator of the user's."""
    from sklearn.base import clone

    model = clone(estimator)
    if "random_state" in model.get_params():
        model.set_params(random_state=seed)
    return model.fit(X, y)
