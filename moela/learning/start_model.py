"""The learned model that picks where a local search starts: where one from here would end."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor

from moela._arrays import Floats
from moela.core.scaling import Frame, Scalarization, scalarize

# Finished searches to see before promises count, and the newest that they are judged by.
_LEAST_CHECKS, _MOST_CHECKS = 20, 200


class StartModel:
    """Learns, from every search so far, the value at which a search from here ends.

    A row is a finished search: the scaled objectives it started from, its weights, the value it
    started at, and the start's features; the label is the value it ended at. Objectives are kept
    as they were measured, and rows and labels are scaled anew at every refit, so that a moving
    ideal point does not leave old rows in old units.

    Parameters
    ----------
    by : str
        What the searches descend on.
    estimator : scikit-learn regressor or None
        Default: 50 extremely randomized trees.
    min_rows : int
        Searches to see before the model is used.

    Attributes
    ----------
    trust : float
        How much of what it promises a search to gain is gained: the slope of gains over promises
        among the newest searches, between 0 and 1. A model that knows nothing gets 0.
    """

    def __init__(self, by: Scalarization, estimator: Any = None, min_rows: int = 20) -> None:
        self.by = by
        self.estimator = estimator
        self.min_rows = min_rows
        self.features: list[Floats] = []
        self.start_F: list[Floats] = []
        self.end_F: list[Floats] = []
        self.W: list[Floats] = []
        self._fitted_at = 0
        self._model: Any = None
        self._checks: list[tuple[float, float]] = []
        self.trust = 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> StartModel:
        # Rows and fitted estimators are only ever replaced, so copies may share them.
        copied = self.__class__.__new__(self.__class__)
        copied.__dict__.update(self.__dict__)
        for name in ("features", "start_F", "end_F", "W", "_checks"):
            setattr(copied, name, list(getattr(self, name)))
        return copied

    @property
    def ready(self) -> bool:
        """Whether there is a fitted model."""
        return self._model is not None

    def __len__(self) -> int:
        return len(self.W)

    def add(self, features: Floats, start_F: Floats, W: Floats, end_F: Floats) -> None:
        """Learn from finished searches: features [b, d], objectives [b, M] and weights [b, M]."""
        self.features.extend(features)
        self.start_F.extend(start_F)
        self.W.extend(W)
        self.end_F.extend(end_F)

    def check(self, promised: Floats, gained: Floats) -> None:
        """Compare what searches were promised to gain with what they gained, both [b].

        Promises are made before the model has seen the search. NaN promises say nothing.
        """
        known = np.isfinite(promised)
        if not known.any():
            return
        self._checks.extend(zip(promised[known].tolist(), gained[known].tolist(), strict=True))
        del self._checks[:-_MOST_CHECKS]
        if len(self._checks) >= _LEAST_CHECKS:
            a, b = np.array(self._checks).T
            spread = np.var(a)
            slope = np.mean((a - a.mean()) * (b - b.mean())) / spread if spread > 0 else 0.0
            self.trust = float(np.clip(slope, 0.0, 1.0))

    def fit_if_due(self, frame: Frame, random_state: np.random.Generator) -> bool:
        """Refit once there are half as many searches more than then; say whether it did."""
        if len(self) < self.min_rows or len(self) < 1.5 * self._fitted_at:
            return False
        W = np.array(self.W)
        inputs = self._inputs(np.array(self.features), np.array(self.start_F), W, frame)
        ends = scalarize(frame.scale(np.array(self.end_F)), W, self.by)
        seed = int(random_state.integers(2**31))
        if self.estimator is None:
            model = ExtraTreesRegressor(50, min_samples_leaf=2, random_state=seed)
        else:
            model = clone(self.estimator)
            if "random_state" in model.get_params():
                model.set_params(random_state=seed)
        self._model = model.fit(inputs, ends)
        self._fitted_at = len(self)
        return True

    def predict(self, features: Floats, F: Floats, W: Floats, frame: Frame) -> Floats:
        """Predict the end values [b] of searches from features [b, d], F [b, M] with W [b, M]."""
        inputs = self._inputs(features, F, W, frame)
        if isinstance(self._model, ExtraTreesRegressor):
            # scikit-learn sets up a pool of workers for every call, which takes ten times as long.
            trees = [tree.tree_ for tree in self._model.estimators_]
            floats = inputs.astype(np.float32)
            return np.asarray(np.mean([tree.predict(floats)[:, 0] for tree in trees], axis=0))
        return np.asarray(self._model.predict(inputs))

    def _inputs(self, features: Floats, F: Floats, W: Floats, frame: Frame) -> Floats:
        Z = frame.scale(F)
        value = scalarize(Z, W, self.by)
        return np.concatenate([Z, W, value[:, None], features], axis=1)
