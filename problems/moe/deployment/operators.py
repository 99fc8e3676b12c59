"""Sampling, crossover and mutation of joint deployments as pymoo operators; all stay legal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.sampling import Sampling

from problems._arrays import Ints

if TYPE_CHECKING:
    from problems.moe.deployment.problem import MoEDeployment

__all__ = ["DeploymentCrossover", "DeploymentMutation", "DeploymentSampling"]


class DeploymentSampling(Sampling):
    """The problem's starts first; then layers mixed from two of them, and moved a little."""

    def _do(
        self,
        problem: MoEDeployment,
        n_samples: int,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Ints:
        starts = problem.starts()
        n_plain = min(len(starts), max(1, 2 * n_samples // 3))
        plain = starts[np.linspace(0, len(starts) - 1, n_plain).round().astype(np.int64)]
        both = starts[random_state.integers(0, len(starts), (2, n_samples - n_plain))]
        layout = problem.layout
        mixed = layout.mixed(both[0], both[1], random_state)[0]
        return np.concatenate((plain, layout.moved(mixed, random_state, max_moves=8)))


class DeploymentCrossover(Crossover):
    """Children take each layer from one parent, and policy and batch size from either.

    Parameters
    ----------
    prob : float
        Chance that a pair is recombined at all.
    """

    def __init__(self, prob: float = 0.9, **kwargs: Any) -> None:
        super().__init__(2, 2, prob=prob, vtype=np.int64, **kwargs)

    def _do(
        self,
        problem: MoEDeployment,
        X: Ints,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Ints:
        A, B = X[0].astype(np.int64), X[1].astype(np.int64)
        return np.stack(problem.layout.mixed(A, B, random_state))


class DeploymentMutation(Mutation):
    """One or a few moves, each of gates, buffers, batch size or placement.

    Parameters
    ----------
    prob : float
        Chance that a design is mutated at all.
    max_moves : int
        Each mutated design gets 1 to ``max_moves`` moves, equally likely.
    """

    def __init__(self, prob: float = 0.9, max_moves: int = 4, **kwargs: Any) -> None:
        super().__init__(prob=prob, vtype=np.int64, **kwargs)
        if max_moves < 1:
            raise ValueError(
                f"The 'max_moves' parameter of DeploymentMutation must be >= 1. Got {max_moves} "
                "instead."
            )
        self.max_moves = int(max_moves)

    def _do(
        self,
        problem: MoEDeployment,
        X: Ints,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Ints:
        return problem.layout.moved(X.astype(np.int64), random_state, max_moves=self.max_moves)
