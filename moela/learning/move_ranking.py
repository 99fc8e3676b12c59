"""Ranking of moves by the better of two learned models."""

from __future__ import annotations

import numpy as np

from moela._arrays import Floats
from moela.core.scaling import Normalization
from moela.learning.hamming_model import HammingModel
from moela.learning.models import Regressor
from moela.learning.move_model import MoveModel
from moela.learning.pair_sums import PairSums
from moela.learning.permutation_moves import PermutationHammingModel, PermutationMoveModel

# Moves before the models are compared, the newest ones that count, and new ones until the next
# comparison.
_LEAST_CHECKS, _MOST_CHECKS, _NEW_CHECKS = 30, 200, 25
# Unexplained variance of the Hamming-kernel model relative to that of the move model, below which
# it takes over, and above which it is given up; two limits, so that equals do not alternate.
_ENTER, _LEAVE = 0.95, 1.0
# Among two models that are nearly always right, neither is better.
_LEAST_LEFT = 1e-3
# While the Hamming-kernel model is used, the move model is only kept good enough to compare with.
_GROWTH, _GROWTH_IDLE = 0.15, 0.5
# A change of an objective by this share of the front's extent halves the weight of a move.
_HALVED = 0.2


class MoveRanking:
    """Predicts how moves change the objectives, by the better of two models.

    The `MoveModel` is fast and learns much from few moves. The `HammingModel`, for designs
    described by zeros and ones, learns more from many designs. Both predict each move of a local
    search, and the comparison with the observed changes decides which model is used: by
    `unexplained_ratio`, the variance (of ranks) among the newest moves that the Hamming-kernel
    model leaves unexplained, divided by that of the move model; NaN until there are enough moves.
    The move model is fitted from `least_moves` moves on.
    """

    def __init__(
        self, estimator: Regressor | None = None, *, hamming: bool = True, least_moves: int = 12
    ) -> None:
        self.move_model = MoveModel(estimator, min_rows=least_moves)
        # None after the first design whose features are not all zeros and ones.
        self.hamming_model = HammingModel() if hamming else None
        self.uses_hamming = False
        self.unexplained_ratio = float("nan")
        self._checks: list[tuple[float, float, float]] = []
        self._n_new_checks = 0

    @property
    def ready(self) -> bool:
        """Whether a model is fitted and not known to be useless."""
        return self.uses_hamming or self.move_model.ready

    @property
    def learns_designs(self) -> bool:
        """Whether there is a model that learns from designs."""
        return self.hamming_model is not None or self.move_model.learns_designs

    @property
    def comparable(self) -> bool:
        """Whether both models are fitted, so that they can be compared."""
        hamming = self.hamming_model
        if self.move_model.complete:
            return False
        return hamming is not None and hamming.ready and self.move_model.n_fits > 0

    @property
    def fit_id(self) -> tuple[object, ...]:
        """Identifier of the fit used now; predictions change only if it changes."""
        if self.uses_hamming:
            assert self.hamming_model is not None
            return True, self.hamming_model.n_fits
        return False, *self.move_model.fit_id

    def predict(self, features: Floats, near: Floats) -> Floats:
        """Predict the change of the objectives [n, k, M] from designs to k neighbors of each.

        `features` [n, d] are those of the designs, `near` [n, k, d] those of the neighbors.
        """
        if self.uses_hamming:
            assert self.hamming_model is not None
            return self.hamming_model.changes_to(features, near)
        return self.move_model.changes_to(features, near)

    def predict_both(self, moves: Floats, features: Floats) -> tuple[Floats, Floats]:
        """Predict the changes of the objectives [b, M] by either model, with inputs [b, d]."""
        assert self.hamming_model is not None
        by_hamming = self.hamming_model.changes_to(features - moves, features[:, None])[:, 0]
        return self.move_model.predict_at(moves, features), by_hamming

    def add_designs(
        self, features: Floats, F: Floats, normalization: Normalization | None = None
    ) -> None:
        """Learn from designs with features [b, d] and objectives F [b, M]."""
        self.move_model.add_designs(features, F)
        if self.move_model.complete:
            self.uses_hamming = False
        if self.hamming_model is None or self.move_model.complete:
            return
        if not self.hamming_model.accepts(features):
            self.hamming_model, self.uses_hamming = None, False
            return
        self.hamming_model.add(features, F)
        self.hamming_model.fit_if_due(normalization, used=self.uses_hamming)

    def add_moves(
        self,
        moves: Floats,
        ends: Floats,
        changes: Floats,
        normalization: Normalization | None = None,
    ) -> None:
        """Learn from moves [b, d] to designs with features `ends`, and their changes of F.

        With a normalization, moves with large effects count less in a linear model. Most moves of a
        design near the front would ruin it. Without weights, the model would describe these moves
        well and the few good ones badly.
        """
        if normalization is not None and self.move_model.is_linear:
            weights = normalization.weights_of(changes, _HALVED)[:, None]
            moves, changes = moves * weights, changes * weights
        self.move_model.add_at(moves, ends, changes)

    def of_permutations(self, pair_sums: PairSums | None = None) -> MoveRanking:
        """Return a new ranking for features that are the places of permuted items."""
        ranking = MoveRanking(hamming=False)
        least = self.move_model.min_rows
        ranking.move_model = PermutationMoveModel(min_rows=least, pair_sums=pair_sums)
        if self.hamming_model is not None:
            ranking.hamming_model = PermutationHammingModel()
        return ranking

    def fit_if_due(self, normalization: Normalization | None = None) -> None:
        """Refit the move model if it has learned enough since the last fit."""
        growth = _GROWTH_IDLE if self.uses_hamming else _GROWTH
        self.move_model.fit_if_due(growth, normalization)

    def compare(self, by_move_model: Floats, by_hamming: Floats, observed: Floats) -> None:
        """Compare both models' predicted changes of the scalarized value with the observed, [b].

        Moves that a model has chosen may be among them: given its prediction, the observed change
        does not depend on the choice.
        """
        values = (by_move_model.tolist(), by_hamming.tolist(), observed.tolist())
        self._checks.extend(zip(*values, strict=True))
        self._n_new_checks += len(observed)
        if len(self._checks) < _LEAST_CHECKS or self._n_new_checks < _NEW_CHECKS:
            return
        self._n_new_checks = 0
        del self._checks[:-_MOST_CHECKS]
        moves, hamming, truth = (_ranks(values) for values in np.array(self._checks).T)
        self.unexplained_ratio = _unexplained(hamming, truth) / _unexplained(moves, truth)
        self.uses_hamming = self.unexplained_ratio < (_LEAVE if self.uses_hamming else _ENTER)


def _ranks(values: Floats) -> Floats:
    """Return the ranks of values [n]; equal ones share the mean of theirs."""
    ordered = np.sort(values)
    first = ordered.searchsorted(values, side="left")
    return (first + ordered.searchsorted(values, side="right") + 1) / 2


def _unexplained(predicted: Floats, observed: Floats) -> float:
    """Return 1 - r^2, the fraction of variance that a linear fit to the predictions leaves."""
    if np.ptp(predicted) == 0 or np.ptp(observed) == 0:
        return 1.0
    return max(1.0 - float(np.corrcoef(predicted, observed)[0, 1]) ** 2, _LEAST_LEFT)
