"""Operators that several classic problems share."""

from __future__ import annotations

import numpy as np
from pymoo.core.crossover import Crossover

from problems._arrays import Bools
from problems.classic.base import BitProblem

__all__ = ["BitCrossover"]


class BitCrossover(Crossover):
    """Uniform crossover: a bit of the first child comes from either parent at random.

    The second child takes the bit from the other parent.
    """

    def __init__(self, prob: float = 0.9) -> None:
        super().__init__(2, 2, prob=prob)

    def _do(
        self,
        problem: BitProblem,
        X: Bools,
        *args: object,
        random_state: np.random.Generator,
        **kwargs: object,
    ) -> Bools:
        parents = np.asarray(X).astype(bool)
        first = random_state.random(parents.shape[1:]) < 0.5
        return np.where(first, parents, parents[::-1])
