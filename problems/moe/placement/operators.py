"""Sampling, crossover and mutation of placements as pymoo operators; none makes an illegal one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.sampling import Sampling

from problems._arrays import Ints

if TYPE_CHECKING:
    from problems.moe.placement.problem import ExpertPlacement

__all__ = ["PlacementCrossover", "PlacementMutation", "PlacementSampling"]


class PlacementSampling(Sampling):
    """The problem's starts first; then layers mixed from two of them, and moved a little."""

    def _do(
        self,
        problem: ExpertPlacement,
        n_samples: int,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Ints:
        starts = problem.starts()
        n_plain = min(len(starts), max(1, 2 * n_samples // 3))
        # The first few are the named ones, the others a path between; all parts are wanted.
        plain = starts[np.linspace(0, len(starts) - 1, n_plain).round().astype(np.int64)]
        n_mixed = n_samples - n_plain
        both = starts[random_state.integers(0, len(starts), (2, n_mixed))]
        mixed = mix_layers(both[0], both[1], problem.n_layers, random_state)[0]
        return np.concatenate((plain, problem.moved(mixed, random_state, max_moves=5)))


def mix_layers(
    A: Ints, B: Ints, n_layers: int, random_state: np.random.Generator
) -> tuple[Ints, Ints]:
    """Exchange a random half of the layers between rows of A and B, both [n, n_var]."""
    shape = (len(A), n_layers, A.shape[1] // n_layers)
    swap = random_state.random((len(A), n_layers, 1)) < random_state.random((len(A), 1, 1))
    first, second = A.reshape(shape), B.reshape(shape)
    return (
        np.where(swap, second, first).reshape(A.shape),
        np.where(swap, first, second).reshape(A.shape),
    )


class PlacementCrossover(Crossover):
    """Children take each layer from one parent: layers do not depend on one another.

    Parameters
    ----------
    prob : float
        Chance that a pair is recombined at all.
    """

    def __init__(self, prob: float = 0.9, **kwargs: Any) -> None:
        super().__init__(2, 2, prob=prob, vtype=np.int64, **kwargs)

    def _do(
        self,
        problem: ExpertPlacement,
        X: Ints,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Ints:
        A, B = X[0].astype(np.int64), X[1].astype(np.int64)
        return np.stack(mix_layers(A, B, problem.n_layers, random_state))


class PlacementMutation(Mutation):
    """One or a few moves: swaps, other copies, experts sent home, layers from a start.

    Parameters
    ----------
    prob : float
        Chance that a design is mutated at all.
    max_moves : int
        Each mutated design gets 1 to ``max_moves`` moves, equally likely.
    """

    def __init__(self, prob: float = 0.9, max_moves: int = 5, **kwargs: Any) -> None:
        super().__init__(prob=prob, vtype=np.int64, **kwargs)
        if max_moves < 1:
            raise ValueError(
                f"The 'max_moves' parameter of PlacementMutation must be >= 1. Got {max_moves} "
                "instead."
            )
        self.max_moves = int(max_moves)

    def _do(
        self,
        problem: ExpertPlacement,
        X: Ints,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Ints:
        return problem.moved(X.astype(np.int64), random_state, max_moves=self.max_moves)
