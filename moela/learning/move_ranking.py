"""Ranking of moves by the better of two learned models."""

from __future__ import annotations

import numpy as np

from moela._arrays import Bools, Floats
from moela.core.scaling import Normalization
from moela.learning.hamming_model import HammingModel
from moela.learning.models import Regressor
from moela.learning.move_model import MoveModel
from moela.learning.pair_sums import PairSums
from moela.learning.permutation_moves import PermutationHammingModel, PermutationMoveModel

# Designs by which the models are compared, at least.
_LEAST_CHECKS = 10
# Among two models that are nearly always right, neither is better.
_LEAST_LEFT = 1e-3
# While the Hamming-kernel model is used, the move model is only kept good enough to compare with.
_GROWTH, _GROWTH_IDLE = 0.15, 0.5
# A change of an objective by this share of the front's extent halves the weight of a move.
_HALVED = 0.2


class MoveRanking:
    """Predicts how moves change the objectives, by the better of two models.

    The `MoveModel` is fast and learns much from few moves. The `HammingModel`, for designs
    described by zeros and ones, learns more from many designs. Both predict how designs that no
    model has chosen differ from similar ones, and the comparison with the observed differences
    decides which model is used: by `unexplained_ratio`, the variance (of ranks) that the
    Hamming-kernel model leaves unexplained, divided by that of the move model; NaN until there are
    enough designs. The choices of a model are not compared: it prefers what it overrates, so that
    it looks worse there than it is. The move model is fitted from `least_moves` moves on.
    """

    def __init__(
        self, estimator: Regressor | None = None, *, hamming: bool = True, least_moves: int = 12
    ) -> None:
        self.move_model = MoveModel(estimator, min_rows=least_moves)
        # None after the first design whose features are not all zeros and ones.
        self.hamming_model = HammingModel() if hamming else None
        self.uses_hamming = False
        self.unexplained_ratio = float("nan")

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

    def add_designs(
        self,
        features: Floats,
        F: Floats,
        normalization: Normalization | None = None,
        unchosen: Bools | None = None,
    ) -> None:
        """Learn from designs with features [b, d] and objectives F [b, M].

        The models are compared by those that no model has chosen, `unchosen` [b]. Moves that the
        move model learns from must not be among them.
        """
        self.move_model.add_designs(features, F)
        if self.move_model.complete:
            self.uses_hamming = False
        if self.hamming_model is None or self.move_model.complete:
            return
        if not self.hamming_model.accepts(features):
            self.hamming_model, self.uses_hamming = None, False
            return
        self.hamming_model.add(features, F, unchosen)
        if self.hamming_model.fit_if_due(normalization, used=self.uses_hamming):
            self._compare()

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
        if self.move_model.fit_if_due(growth, normalization):
            self._compare()

    def _compare(self) -> None:
        """Decide which model is used, by how well they predict designs that they do not know."""
        if not self.comparable:
            return
        assert self.hamming_model is not None
        checks = self.hamming_model.left_out
        if len(checks.base) < _LEAST_CHECKS:
            return
        by_moves = self.move_model.changes_to(checks.base, checks.features[:, None])[:, 0]
        truth = checks.observed
        # To take over, the Hamming-kernel model must be better by more than n designs leave to
        # chance. It is given up only if it is worse, so that equals do not alternate.
        ratio = _unexplained(checks.predicted, truth) / _unexplained(by_moves, truth)
        limit = 1.0 if self.uses_hamming else 1.0 - 1.0 / np.sqrt(len(truth))
        self.unexplained_ratio, self.uses_hamming = ratio, bool(ratio < limit)


def _ranks(values: Floats) -> Floats:
    """Return the ranks of values [n]; equal ones share the mean of theirs."""
    ordered = np.sort(values)
    first = ordered.searchsorted(values, side="left")
    return (first + ordered.searchsorted(values, side="right") + 1) / 2


def _unexplained(predicted: Floats, observed: Floats) -> float:
    """Return the variance of ranks that linear fits to the predictions [n, M] leave, [0, 1].

    It is 1 - r^2, in the mean over the objectives.
    """
    left = [
        _unexplained_ranks(*map(_ranks, pair)) for pair in zip(predicted.T, observed.T, strict=True)
    ]
    return max(float(np.mean(left)), _LEAST_LEFT)


def _unexplained_ranks(predicted: Floats, observed: Floats) -> float:
    if np.ptp(predicted) == 0 or np.ptp(observed) == 0:
        return 1.0
    return 1.0 - float(np.corrcoef(predicted, observed)[0, 1]) ** 2
