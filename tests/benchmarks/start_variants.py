"""Other ways to pick the archived designs that local searches start from, as variants of MOELA.

They replace `moela.search.starts.pick_starts` or the start model of a run, and share its shortlist,
its designs drawn at random, and its calibration.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from moela import MOELA
from moela._arrays import Floats, Ints, rows
from moela.learning.start_model import StartModel
from moela.search.starts import shortlist, start_features

_PROB_RANDOM = 0.1
# Neighbors that are ranked around each design of a shortlist.
_NEIGHBORS = 20


def _listed(context: Any, front: Any, W: Floats, by: Any) -> tuple[Ints, Floats] | None:
    """Return the shortlists of archived designs that are not exhausted, and their values."""
    listed, values = shortlist(front, context.normalization, W, by, fresh=True)
    return (listed, values) if listed.shape[1] else None


def _chosen(context: Any, listed: Ints, score: Floats, predicted: Floats) -> tuple[Ints, Floats]:
    """Return the designs of lowest score [n, k], one in ten at random, and the gains predicted."""
    n, k = listed.shape
    rng = context.random_state
    choice = score.argmin(axis=1)
    choice = np.where(rng.random(n) < _PROB_RANDOM, rng.integers(0, k, n), choice)
    each = np.arange(n)
    return listed[each, choice], predicted[each, choice]


def best_move_ahead(
    guided: Any, context: Any, encoder: Any, front: Any, W: Floats, by: Any, model: Any
) -> tuple[Ints, Floats]:
    """Pick the design whose best of some neighbors is predicted to be lowest.

    The move model ranks the neighbors, so that no start model is needed.
    """
    found = _listed(context, front, W, by)
    if found is None:
        return np.empty(0, dtype=np.int64), np.empty(0)
    listed, values = found
    n, k = listed.shape
    ranking, unknown = guided.move_ranking, np.full((n, k), np.nan)
    if ranking is None or not ranking.ready:
        return _chosen(context, listed, values, unknown)
    members, inverse = np.unique(listed, return_inverse=True)
    X = rows([ind.X for ind in front.individuals(members)])
    near = context.neighbors(X, _NEIGHBORS)
    features = encoder(near.reshape(-1, *near.shape[2:])).reshape(len(X), _NEIGHBORS, -1)
    changes = ranking.predict(encoder(X), features)[inverse.reshape(n, k)]
    F = front.objectives(listed.ravel()).reshape(n, k, 1, -1) + changes
    ends = context.normalization.scalarize(F, W[:, None, None], by).min(axis=2)
    return _chosen(context, listed, np.minimum(ends, values), unknown)


def optimistic(
    context: Any, encoder: Any, front: Any, W: Floats, by: Any, model: StartModel | None
) -> tuple[Ints, Floats]:
    """Pick by the start model's prediction less its standard deviation over the trees."""
    found = _listed(context, front, W, by)
    if found is None:
        return np.empty(0, dtype=np.int64), np.empty(0)
    listed, values = found
    n, k = listed.shape
    if model is None or not model.ready:
        return _chosen(context, listed, values, np.full((n, k), np.nan))
    members, F = listed.ravel(), front.objectives(listed.ravel())
    inputs = model._inputs(
        start_features(encoder, front, members), F, W.repeat(k, axis=0), context.normalization
    ).astype(np.float32)
    trees: Any = model._model
    ends = np.array([tree.predict(inputs)[:, 0] for tree in trees._trees])
    spread = ends.std(axis=0).reshape(n, k)
    start = context.normalization.scalarize(
        context.normalization.learned(F.reshape(n, k, -1)), W[:, None], by
    )
    predicted = start - ends.mean(axis=0).reshape(n, k)
    return _chosen(context, listed, values - model.calibration * predicted - spread, predicted)


class BestMoveAhead(MOELA):
    """MOELA whose searches start where the move model promises most."""

    def _begin(self) -> None:
        super()._begin()
        self.guided.pick_starts = partial(best_move_ahead, self.guided)


class Optimistic(MOELA):
    """MOELA whose searches start where the start model promises most or is least certain."""

    def _begin(self) -> None:
        super()._begin()
        self.guided.pick_starts = optimistic


class NewestSearches(MOELA):
    """MOELA whose start model learns from the newest searches only, and more often."""

    def _aim(self, F: Floats) -> None:
        super()._aim(F)
        self.guided.start_model = _Newest(self.guided.searches.by)


class _Newest(StartModel):
    """A start model of the newest searches, which is fitted again after 25 of them."""

    _SIZE, _NEW = 200, 25

    def __init__(self, by: Any) -> None:
        super().__init__(by)
        self._n_new = 0

    def add(self, features: Floats, start_F: Floats, W: Floats, end_F: Floats) -> None:
        """Add finished searches, and forget the oldest."""
        super().add(features, start_F, W, end_F)
        self._n_new += len(W)
        for kept in (self.features, self.start_F, self.W, self.end_F):
            del kept[: -self._SIZE]

    def fit_if_due(self, normalization: Any, random_state: np.random.Generator) -> bool:
        """Refit after some new searches; return whether it did."""
        if self._n_new < self._NEW:
            return False
        self._n_new = self._fitted_at = 0
        return super().fit_if_due(normalization, random_state)
