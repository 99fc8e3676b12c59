"""Operators on knapsacks that only ever return feasible, maximal packings."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.repair import Repair
from pymoo.core.sampling import Sampling

from problems._arrays import Bools

__all__ = ["GreedyRepair", "GreedySampling", "PackingCrossover", "PackingMutation"]


class GreedySampling(Sampling):
    """Greedy fills for random weightings of the objectives, mixed with random fills.

    Parameters
    ----------
    greedy : float in [0, 1]
        Share of greedy fills. A greedy fill takes items by weighted value per weight, the
        weights drawn uniformly from the simplex; a random fill takes them in random order.
    """

    def __init__(self, greedy: float = 0.5) -> None:
        super().__init__()
        if not 0.0 <= greedy <= 1.0:
            raise ValueError(
                "The 'greedy' parameter of GreedySampling must be from 0 to 1. "
                f"Got {greedy!r} instead."
            )
        self.greedy = greedy

    def _do(
        self, problem: Any, n_samples: int, *args: Any, random_state: Any = None, **kwargs: Any
    ) -> Bools:
        n_greedy = round(self.greedy * n_samples)
        mixes = random_state.dirichlet(np.ones(problem.n_obj), size=n_greedy)
        orders = np.vstack(
            [
                problem.greedy_orders(mixes),
                random_state.permuted(
                    np.tile(np.arange(problem.n_var), (n_samples - n_greedy, 1)), axis=1
                ),
            ]
        )
        return np.asarray(problem.fill(orders))


class GreedyRepair(Repair):
    """Drop the worst items until the rest fits, then add what fits; see `problem.repair`.

    A feasible packing to which nothing can be added comes back as it was. pymoo passes a
    `random_state` in mating; without one the repair is deterministic.
    """

    def _do(self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any) -> Any:
        return problem.repair(X, random_state)


class PackingCrossover(Crossover):
    """Uniform crossover, each child made feasible and maximal again."""

    def __init__(self, prob: float = 0.9) -> None:
        super().__init__(2, 2, prob=prob)

    def _do(
        self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any
    ) -> Bools:
        parents = np.asarray(X).astype(bool)
        first = random_state.random(parents.shape[1:]) < 0.5
        children = np.where(first, parents, parents[::-1])
        flat = problem.repair(children.reshape(-1, parents.shape[2]), random_state)
        return np.asarray(flat.reshape(parents.shape))


class PackingMutation(Mutation):
    """An exchange move: one or two items out, another in, the room refilled greedily."""

    def __init__(self, prob: float = 1.0) -> None:
        super().__init__(prob=prob)

    def _do(
        self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any
    ) -> Bools:
        packed = problem.repair(np.asarray(X), random_state)
        return np.asarray(problem.neighbors_many(packed, 1, random_state)[:, 0])
