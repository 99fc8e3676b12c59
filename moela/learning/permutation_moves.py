"""Models of permutations: ridge regressions of all aspects, and kernels on the best ones."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls
from scipy.sparse import csr_array
from scipy.sparse.linalg import lsmr

from moela._arrays import Floats, Ints
from moela.core.kernels.jit import compiled
from moela.core.scaling import Normalization
from moela.learning.hamming_model import HammingFit, HammingModel
from moela.learning.move_model import Linear, MoveModel
from moela.learning.pair_sums import PairSums
from moela.learning.permutations import (
    ASPECTS,
    Aspect,
    differences,
    n_columns,
    ones,
    pair_columns,
)

# Of the ridge regressions: what is known from c moves shrinks by a factor of about c / (c + 1).
_PENALTY = 1.0
# Iterations of the solver in a fit.
_N_ITERATIONS = 30
# The newest moves, by which the weights of the aspects are chosen. The prior, equal weights, counts
# as much as this many moves.
_MOST_CHECKS, _PRIOR_CHECKS = 300, 5.0
# Limit on the iterations of a choice of weights.
_MOST_STEPS = 1000
# With more items, pairs whose order changes are too many to learn.
_MOST_ORDERED = 200
# The newest designs by which the aspects are compared.
_MOST_COMPARED = 300
# Columns of zeros and ones up to which their Hamming distance is used.
_MOST_COLUMNS = 1024


class PermutationMoveModel(MoveModel):
    """Linear regression of the change of the objectives on the changes of a permutation.

    A regression is fitted to each aspect of a permutation. The predicted change is a weighted sum
    of theirs; the weights of an objective are the non-negative ones that explain best the moves
    which came after the last fit, as it predicted them ("stacking": Breiman 1996, "Stacked
    regressions", Machine Learning 24). So problems of assignment, tours and schedules are each
    predicted by what they depend on.

    If all objectives are sums over pairs of items, `pair_sums` predicts them once these are known.

    A design is described by the place of each of its m items.
    """

    _mutable = (*MoveModel._mutable, "_explained", "pair_sums")

    def __init__(
        self, size: int = 4000, *, min_rows: int = 12, pair_sums: PairSums | None = None
    ) -> None:
        super().__init__(None, size, min_rows=min_rows)
        self.pair_sums = pair_sums
        self._aspects: tuple[Aspect, ...] = ASPECTS
        self._coefficients: list[Floats] = []  # of each aspect, [columns, M] in units of C
        self.weights: Floats = np.empty((0, 0))  # [aspects, M]
        # Predicted by each aspect, [b, aspects, M], and observed, [b, M].
        self._explained: list[tuple[Floats, Floats]] = []

    @property
    def complete(self) -> bool:
        """Whether all objectives are known sums over pairs."""
        return self.pair_sums is not None and self.pair_sums.complete

    @property
    def ready(self) -> bool:
        """Whether the model has been fitted and is not known to be useless."""
        return self.complete or super().ready

    @property
    def fit_id(self) -> tuple[object, ...]:
        """Identifier of the fit used now; predictions change only if it changes."""
        if not self.complete:
            return super().fit_id
        assert self.pair_sums is not None
        return "pair sums", self.pair_sums.n_updates

    @property
    def is_linear(self) -> bool:
        """False, since places of items cannot be scaled."""
        return False

    @property
    def learns_designs(self) -> bool:
        """Whether `add_designs` does anything."""
        return self.pair_sums is not None

    def add_designs(self, features: Floats, F: Floats) -> None:
        """Add designs with places [b, m] and objectives F [b, M]."""
        if self.pair_sums is not None:
            self.pair_sums.add(features, F)

    def fit_if_due(
        self, new_share: float = 0.1, normalization: Normalization | None = None
    ) -> bool:
        """Refit the aspects as `MoveModel` does, unless they are not needed."""
        return not self.complete and super().fit_if_due(new_share, normalization)

    def add_at(self, moves: Floats, ends: Floats, changes: Floats) -> None:
        """Add moves [b, m] that lead to places `ends` [b, m], and the changes of F [b, M]."""
        if self.pair_sums is not None:
            self.pair_sums.check(ends - moves, ends, changes)
        self.window.add(np.concatenate([ends - moves, ends], axis=1), changes)

    def predict_at(self, moves: Floats, ends: Floats) -> Floats:
        """Predict the changes of the objectives [b, M] by moves [b, m] to places `ends` [b, m]."""
        return self.changes_to(ends - moves, ends[:, None])[:, 0]

    def changes_to(self, features: Floats, near: Floats) -> Floats:
        """Predict the change of F [n, k, M] from designs [n, m] to their neighbors [n, k, m]."""
        if self.complete:
            assert self.pair_sums is not None
            return self.pair_sums.changes_to(features, near)
        n, k, m = near.shape
        both = np.concatenate([features[:, None], near], axis=1).reshape(-1, m)
        values = _values(both.astype(np.int64), *self._tables).reshape(n, k + 1, -1)
        return np.asarray(values[:, 1:] - values[:, :1])

    def _fit_ridge(self, D: Floats, targets: Floats) -> None:
        places = D.astype(np.int64)
        m = places.shape[1] // 2
        if m > _MOST_ORDERED:
            self._aspects = tuple(aspect for aspect in ASPECTS if aspect != "order")
        changes = [differences(places[:, :m], places[:, m:], a) for a in self._aspects]
        n_new = min(self.window.n_rows - self._fitted_at, len(places))
        n_obj = targets.shape[1]
        if self._coefficients:
            predicted = np.stack(
                [
                    (rows[len(places) - n_new :] @ known) / self._unit
                    for rows, known in zip(changes, self._coefficients, strict=True)
                ],
                axis=1,
            )
            self._explained.append((predicted, targets[-n_new:]))
        self.weights = self._weights(n_obj)
        self._coefficients = [_ridge(rows, targets) * self._unit for rows in changes]
        self._tables = self._tabulated(m)
        self.fitted = Linear(np.empty((0, n_obj)))

    def _weights(self, n_obj: int) -> Floats:
        """Return the weights [aspects, M] that explain the newest moves."""
        n = len(self._aspects)
        out = np.full((n, n_obj), 1.0 / n)
        while len(self._explained) > 1 and (
            sum(len(observed) for _, observed in self._explained[1:]) >= _MOST_CHECKS
        ):
            del self._explained[0]
        if not self._explained:
            return out
        predicted = np.concatenate([rows for rows, _ in self._explained])
        observed = np.concatenate([rows for _, rows in self._explained])
        for j in range(n_obj):
            P, y = predicted[:, :, j], observed[:, j]
            prior = np.sqrt(_PRIOR_CHECKS * (P**2).mean())
            A = np.concatenate([P, prior * np.eye(n)])
            target = np.concatenate([y, np.full(n, prior / n)])
            out[:, j] = nnls(A, target, maxiter=_MOST_STEPS)[0]
        return out

    def _tabulated(self, m: int) -> tuple[Floats, Floats, Floats]:
        """Return tables [M, m, m] of what items at places, successors, and orders are worth."""
        weighted = {
            aspect: known * weights
            for aspect, known, weights in zip(
                self._aspects, self._coefficients, self.weights, strict=True
            )
        }
        at = pair_columns(m)
        place = weighted["place"].T.reshape(-1, m, m)
        pairs = weighted["neighbors"].T[:, at] + weighted["successor"].T.reshape(-1, m, m)
        order = np.zeros_like(pairs[:, :0, :0])
        if "order" in weighted:
            order = np.where(np.triu(np.ones((m, m), dtype=bool), 1), weighted["order"].T[:, at], 0)
        place, pairs, order = map(np.ascontiguousarray, (place, pairs, order))
        return place, pairs, order


class PermutationHammingModel(HammingModel):
    """A Hamming-kernel model of permutations: of one aspect for each objective.

    The aspect is the one that predicts best the newest designs, each by a fit without it. A design
    is described by the place of each of its m items.
    """

    _dtype = np.int16

    @property
    def aspects(self) -> list[Aspect]:
        """The aspect from which the newest fit predicts each objective, [M]."""
        known = {j: kind for kind, some, _ in self._parts for j in some if kind is not None}
        return [known[j] for j in sorted(known)]

    def accepts(self, features: Floats) -> bool:
        """Return whether the aspects have few enough columns for places [b, m].

        With more items, predictions take longer, and the move model is better at tours. Designs
        that differ in many places do not show that.
        """
        return max(n_columns(features.shape[1], aspect) for aspect in ASPECTS) <= _MOST_COLUMNS

    def _kinds(self, rows: Floats, F: Floats) -> list[tuple[Aspect | None, Ints]]:
        newest = slice(-_MOST_COMPARED, None)
        places, F = rows[newest], F[newest]
        all_rows = np.arange(len(F))
        errors = [
            (HammingFit(self._ones(places, kind).astype(np.int8), F, all_rows).errors ** 2).mean(0)
            for kind in ASPECTS
        ]
        best = np.argmin(errors, axis=0)
        return [(ASPECTS[i], np.flatnonzero(best == i)) for i in np.unique(best)]

    def _ones(self, features: Floats, kind: Aspect | None) -> Floats:
        assert kind is not None
        return ones(features.astype(np.int64), kind)


def _ridge(rows: csr_array, targets: Floats) -> Floats:
    """Return the coefficients [d, M] that fit targets [n, M] by rows [n, d]."""
    damp, limits = np.sqrt(_PENALTY), {"atol": 1e-4, "btol": 1e-4, "maxiter": _N_ITERATIONS}
    return np.column_stack([lsmr(rows, target, damp, **limits)[0] for target in targets.T])


@compiled
def _values(places: Ints, place: Floats, pairs: Floats, order: Floats) -> Floats:
    """Return what permutations with these places [b, m] are worth, [b, M], by tables [M, m, m]."""
    b, m = places.shape
    n_obj = place.shape[0]
    out = np.zeros((b, n_obj))
    items = np.empty(m, dtype=np.int64)
    ordered = order.shape[1] > 0
    for r in range(b):
        for i in range(m):
            items[places[r, i]] = i
        for j in range(n_obj):
            total = 0.0
            for i in range(m):
                total += place[j, i, places[r, i]]
                total += pairs[j, items[i], items[(i + 1) % m]]
            if ordered:
                for p in range(m - 1):
                    for q in range(p + 1, m):
                        total += order[j, items[p], items[q]]
            out[r, j] = total
    return out
