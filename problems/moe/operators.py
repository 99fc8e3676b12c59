"""Operators of the deployment problems for pymoo; every design that they return is legal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.sampling import Sampling

from problems._arrays import Ints
from problems._checks import check_int

if TYPE_CHECKING:
    from problems.moe.base import MoEProblem

__all__ = ["LayerCrossover", "MoveMutation", "StartSampling"]


class StartSampling(Sampling):
    """The problem's starts, picked evenly if there are too many, and variations of them."""

    def _do(
        self, problem: MoEProblem, n_samples: int, *, random_state: Generator, **kw: object
    ) -> Ints:
        return problem.sampled(n_samples, random_state)


class LayerCrossover(Crossover):
    """Children take each layer from either parent; see ``MoEProblem.mixed``.

    Parameters
    ----------
    prob : float
        Probability that a pair is recombined.
    """

    def __init__(self, prob: float = 0.9, **kwargs: object) -> None:
        super().__init__(2, 2, prob=prob, vtype=np.int64, **kwargs)

    def _do(self, problem: MoEProblem, X: Ints, *, random_state: Generator, **kw: object) -> Ints:
        return np.stack(problem.mixed(X[0].astype(np.int64), X[1].astype(np.int64), random_state))


class MoveMutation(Mutation):
    """Apply one or a few of the moves that lead to a neighbor; see ``MoEProblem.moved``.

    Parameters
    ----------
    prob : float
        Probability that a design is mutated.
    max_moves : int
        A mutated design gets 1 to ``max_moves`` moves, each number equally likely.
    """

    def __init__(self, prob: float = 0.9, max_moves: int = 3, **kwargs: object) -> None:
        super().__init__(prob=prob, vtype=np.int64, **kwargs)
        self.max_moves = check_int("MoveMutation", "max_moves", max_moves, 1)

    def _do(self, problem: MoEProblem, X: Ints, *, random_state: Generator, **kw: object) -> Ints:
        return problem.moved(X.astype(np.int64), random_state, max_moves=self.max_moves)
