"""Operators on knapsacks that only return feasible packings to which no item can be added."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator
from pymoo.core.mutation import Mutation
from pymoo.core.repair import Repair
from pymoo.core.sampling import Sampling

from problems._arrays import Bools
from problems._checks import check_real
from problems.classic.operators import BitCrossover

if TYPE_CHECKING:
    from problems.classic.knapsack.problem import MultiObjectiveKnapsack as Knapsack

__all__ = ["GreedyRepair", "GreedySampling", "PackingCrossover", "PackingMutation"]


class GreedySampling(Sampling):
    """Greedy packings for random weightings of the objectives, and random packings.

    Parameters
    ----------
    greedy : float in [0, 1]
        Fraction of greedy packings. A greedy packing takes items by weighted value per weight,
        with weights drawn uniformly from the simplex; a random one takes them in random order.
    """

    def __init__(self, greedy: float = 0.5) -> None:
        super().__init__()
        self.greedy = check_real("GreedySampling", "greedy", greedy, 0.0, 1.0)

    def _do(
        self, problem: Knapsack, n_samples: int, *, random_state: Generator, **kw: object
    ) -> Bools:
        n_greedy = round(self.greedy * n_samples)
        mixes = random_state.dirichlet(np.ones(problem.n_obj), size=n_greedy)
        items = np.tile(np.arange(problem.n_var), (n_samples - n_greedy, 1))
        orders = [problem.greedy_orders(mixes), random_state.permuted(items, axis=1)]
        return problem.fill(np.vstack(orders))


class GreedyRepair(Repair):
    """Drop the worst items until the rest fits, then add what fits; see `problem.repair`.

    pymoo passes a `random_state` in mating. Without one, the repair is deterministic.
    """

    def _do(
        self, problem: Knapsack, X: Bools, *, random_state: Generator | None = None, **kw: object
    ) -> Bools:
        return problem.repair(X, random_state)


class PackingCrossover(BitCrossover):
    """Uniform crossover whose children are made feasible and filled up again."""

    def _do(  # type: ignore[override]
        self, problem: Knapsack, X: Bools, *, random_state: Generator, **kw: object
    ) -> Bools:
        children = super()._do(problem, X, random_state=random_state)
        flat = problem.repair(children.reshape(-1, problem.n_var), random_state)
        return flat.reshape(children.shape)


class PackingMutation(Mutation):
    """Move to a neighbor: one or two items out, another in, the room refilled greedily."""

    def __init__(self, prob: float = 1.0) -> None:
        super().__init__(prob=prob)

    def _do(self, problem: Knapsack, X: Bools, *, random_state: Generator, **kw: object) -> Bools:
        packed = problem.repair(X, random_state)
        return problem.neighbors_many(packed, 1, random_state)[:, 0]
