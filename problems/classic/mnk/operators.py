"""Operators on bit strings: sampling and bit-flip mutation."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from pymoo.core.mutation import Mutation
from pymoo.core.sampling import Sampling

from problems._arrays import Bools
from problems.classic.base import BitProblem

__all__ = ["BitMutation", "BitSampling"]


class BitSampling(Sampling):
    """Uniformly random bit strings."""

    def _do(
        self, problem: BitProblem, n_samples: int, *, random_state: Generator, **kw: object
    ) -> Bools:
        return random_state.random((n_samples, problem.n_var)) < 0.5


class BitMutation(Mutation):
    """Flip each bit with probability 1/n_var, and at least one bit."""

    def __init__(self, prob: float = 1.0) -> None:
        super().__init__(prob=prob)

    def _do(self, problem: object, X: Bools, *, random_state: Generator, **kw: object) -> Bools:
        bits = np.asarray(X).astype(bool)
        flips = random_state.random(bits.shape) < 1.0 / bits.shape[1]
        unchanged = ~flips.any(axis=1)
        flips[unchanged, random_state.integers(bits.shape[1], size=int(unchanged.sum()))] = True
        return bits ^ flips
