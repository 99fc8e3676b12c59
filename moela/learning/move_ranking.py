"""What moves are expected to bring: two learned models, and which of them is believed."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import rankdata

from moela._arrays import Floats
from moela.learning.hamming_model import Landscape
from moela.learning.move_model import MoveModel

# Moves to compare the models on, the newest of them that count, and how many until the next look.
_LEAST_CHECKS, _MOST_CHECKS, _NEW_CHECKS = 60, 200, 20
# What the landscape may leave unexplained, relative to the move model, to take its place, and to
# lose it again: apart, so that two equals do not take turns.
_ENTER, _LEAVE = 0.85, 1.0
# Of two that are right nearly always, neither is better.
_LEAST_LEFT = 1e-3
# While the landscape is believed, the move model is only kept good enough to compare with.
_GROWTH, _GROWTH_IDLE = 0.1, 0.25


class Ranking:
    """Predicts how moves change the objectives, by the better of two models.

    The `MoveModel` is quick and knows much from few moves; the `Landscape`, for designs described
    by zeros and ones, knows more from many designs. Both say in advance what each move of a search
    would bring, and from what then comes of it, it is seen which is right more often.

    Parameters
    ----------
    estimator : scikit-learn regressor or None
        That of the move model.
    landscape : bool
        Whether the landscape may take part.

    Attributes
    ----------
    moves : MoveModel
    landscape : Landscape or None
        None from the first design on that is described by more than zeros and ones.
    by_landscape : bool
        Whether it is believed.
    left : float
        Share of the variance (of ranks) among the newest moves that the landscape leaves
        unexplained, relative to that of the move model; NaN until there are enough.
    """

    def __init__(self, estimator: Any = None, *, landscape: bool = True) -> None:
        self.moves = MoveModel(estimator)
        self.landscape = Landscape() if landscape else None
        self.by_landscape = False
        self.left = float("nan")
        self._checks: list[tuple[float, float, float]] = []
        self._unseen = 0

    @property
    def ready(self) -> bool:
        """Whether there is a model that is not known to be useless."""
        return self.by_landscape or self.moves.ready

    @property
    def both(self) -> bool:
        """Whether both models can be asked, so that they can be compared."""
        return self.landscape is not None and self.landscape.ready and self.moves.n_fits > 0

    @property
    def fit(self) -> tuple[bool, int]:
        """Names the fit that predicts now; another name means other predictions."""
        if self.by_landscape:
            assert self.landscape is not None
            return True, self.landscape.n_fits
        return False, self.moves.n_fits

    def predict(self, moves: Floats, features: Floats) -> Floats:
        """Predict the change of the objectives [n, k, M].

        Parameters
        ----------
        moves, features : float arrays, [n, k, d]
            How candidates differ from the n designs that they come from, and what they are.
        """
        if self.by_landscape:
            assert self.landscape is not None
            return self.landscape.changes(features[:, 0] - moves[:, 0], moves)
        n, k, d = moves.shape
        return self.moves.predict(moves.reshape(n * k, d)).reshape(n, k, -1)

    def learn_designs(self, features: Floats, F: Floats) -> None:
        """Learn that designs with these features [b, d] have objectives F [b, M]."""
        if self.landscape is None:
            return
        if not self.landscape.takes(features):
            self.landscape, self.by_landscape = None, False
            return
        self.landscape.add(features, F)
        self.landscape.fit_if_due(used=self.by_landscape)

    def learn_moves(self, moves: Floats, changes: Floats) -> None:
        """Learn that moves [b, d] brought these changes of the objectives [b, M]."""
        self.moves.add(moves, changes)

    def fit_if_due(self) -> None:
        """Refit the move model where enough was learned since."""
        self.moves.fit_if_due(_GROWTH_IDLE if self.by_landscape else _GROWTH)

    def compare(self, by_moves: Floats, by_landscape: Floats, measured: Floats) -> None:
        """Compare what each model said of the change of the scalar value with what came, all [b].

        Moves that a model has picked may be among them: given what it says, what comes does not
        depend on whether they were picked.
        """
        said = zip(by_moves.tolist(), by_landscape.tolist(), measured.tolist(), strict=True)
        self._checks.extend(said)
        self._unseen += len(measured)
        if len(self._checks) < _LEAST_CHECKS or self._unseen < _NEW_CHECKS:
            return
        self._unseen = 0
        del self._checks[:-_MOST_CHECKS]
        one, other, came = rankdata(np.array(self._checks), axis=0).T
        self.left = _unexplained(other, came) / _unexplained(one, came)
        self.by_landscape = self.left < (_LEAVE if self.by_landscape else _ENTER)


def _unexplained(said: Floats, came: Floats) -> float:
    """Share of the variance of what came that a line in what was said leaves, never nothing."""
    if np.ptp(said) == 0 or np.ptp(came) == 0:
        return 1.0
    return max(1.0 - float(np.corrcoef(said, came)[0, 1]) ** 2, _LEAST_LEFT)
