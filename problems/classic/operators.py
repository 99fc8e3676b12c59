"""Operators that several classic problems share."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from pymoo.core.crossover import Crossover

from problems._arrays import Bools

__all__ = ["BitCrossover"]


class BitCrossover(Crossover):
    """Uniform crossover: a bit of the first child comes from either parent at random.

    The second child takes the bit from the other parent.
    """

    def __init__(self, prob: float = 0.9) -> None:
        super().__init__(2, 2, prob=prob)

    def _do(self, problem: object, X: Bools, *, random_state: Generator, **kw: object) -> Bools:
        parents = np.asarray(X).astype(bool)
        first = random_state.random(parents.shape[1:]) < 0.5
        return np.where(first, parents, parents[::-1])
