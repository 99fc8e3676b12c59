"""Adaptive operator selection by probability matching."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moela._arrays import Floats, Ints

# So that no operator has probability zero if the least probability is zero.
_LEAST_QUALITY = 1e-4


class OperatorSelection:
    """Chooses among operators with probabilities proportional to their recent rewards.

    Probability matching (Thierens 2005, "An adaptive pursuit strategy for allocating operator
    probabilities", GECCO): an operator's quality is a running mean of its rewards, and its
    probability is ``p_min + (1 - n * p_min) * quality / sum(qualities)``. Qualities are in [0, 1].
    `rate` is the weight of the newest reward in the running mean. `worth` [n], if given, multiplies
    quality and least probability; it is below 1 for operators that their rewards overrate.
    """

    def __init__(
        self,
        quality: Sequence[float],
        p_min: float,
        rate: float = 0.02,
        worth: Sequence[float] | None = None,
    ) -> None:
        self.p_min, self.rate = p_min, rate
        self.quality: Floats = np.array(quality, dtype=float)
        self.worth: Floats = np.array([1.0] * len(quality) if worth is None else worth)

    @property
    def probabilities(self) -> Floats:
        """Probability of each operator, [n]."""
        least, quality = self.p_min * self.worth, self.quality * self.worth
        return least + (1.0 - least.sum()) * quality / quality.sum()

    def draw(self, n: int, random_state: np.random.Generator) -> Ints:
        """Draw n operators, as indices [n]."""
        # As `random_state.choice` does, which checks more than it draws.
        bounds = self.probabilities.cumsum()
        return (bounds / bounds[-1]).searchsorted(random_state.random(n), side="right")

    def update(self, operators: Ints, rewards: Floats) -> None:
        """Update the qualities with the rewards [b], in [0, 1], of operators [b] used."""
        for operator, reward in zip(operators.tolist(), rewards.tolist(), strict=True):
            quality = self.quality[operator] + self.rate * (reward - self.quality[operator])
            self.quality[operator] = max(quality, _LEAST_QUALITY)
