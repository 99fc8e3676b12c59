"""Operators on bit strings: sampling, uniform crossover, bit-flip mutation."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.sampling import Sampling

from problems._arrays import Bools

__all__ = ["BitCrossover", "BitMutation", "BitSampling"]


class BitSampling(Sampling):
    """Uniformly random bit strings."""

    def _do(
        self, problem: Any, n_samples: int, *args: Any, random_state: Any = None, **kwargs: Any
    ) -> Bools:
        return np.asarray(random_state.random((n_samples, problem.n_var)) < 0.5)


class BitCrossover(Crossover):
    """Uniform crossover: each bit of a child from either parent, the other child the other."""

    def __init__(self, prob: float = 0.9) -> None:
        super().__init__(2, 2, prob=prob)

    def _do(
        self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any
    ) -> Bools:
        parents = np.asarray(X).astype(bool)
        first = random_state.random(parents.shape[1:]) < 0.5
        return np.where(first, parents, parents[::-1])


class BitMutation(Mutation):
    """Flip each bit with probability 1/n_var, and at least one bit."""

    def __init__(self, prob: float = 1.0) -> None:
        super().__init__(prob=prob)

    def _do(
        self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any
    ) -> Bools:
        bits = np.asarray(X).astype(bool)
        flips = random_state.random(bits.shape) < 1.0 / bits.shape[1]
        lazy = ~flips.any(axis=1)
        flips[lazy, random_state.integers(bits.shape[1], size=int(lazy.sum()))] = True
        return np.asarray(bits ^ flips)
