"""Sampling, crossover and mutation of NoC designs as pymoo operators; none makes an illegal one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.sampling import Sampling

from problems.noc.moves import mutate_batch, recombine_batch, sample_batch

if TYPE_CHECKING:
    from problems.noc.problem import NoC3D

__all__ = ["NoCCrossover", "NoCMutation", "NoCSampling", "draw_seeds"]


def draw_seeds(random_state: np.random.Generator, size: int) -> NDArray[np.uint64]:
    """Return one seed per row for the compiled moves."""
    return random_state.integers(0, 2**64, size=size, dtype=np.uint64)


class NoCSampling(Sampling):
    """The mesh first, then in turn: the mesh with shuffled PEs, with moved links, with both.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.noc import NoC3D, NoCSampling
    >>> problem = NoC3D.example("bfs", objectives=3)
    >>> NoCSampling()(problem, 4, random_state=np.random.default_rng(1)).get("X").shape
    (4, 160)
    """

    def _do(
        self,
        problem: NoC3D,
        n_samples: int,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> NDArray[np.int64]:
        out = np.empty((n_samples, problem.n_var), dtype=np.int64)
        mesh = problem.mesh_row()
        sample_batch(mesh, problem.platform.tables, draw_seeds(random_state, n_samples), out)
        return out


class NoCCrossover(Crossover):
    """Two children between two parents: tiles and links that the parents share stay as they are.

    Each child starts as one parent and goes a random part of the way to the other: by swaps of PEs
    that each bring one tile to the other parent's state, and by exchanging links that only one
    parent has, as far as the LLC rule, the degree cap and connectedness allow.

    Parameters
    ----------
    prob : float
        Chance that a pair is recombined at all.
    **kwargs
        Of pymoo's `Crossover`, such as its name.

    Examples
    --------
    >>> from pymoo.algorithms.moo.nsga2 import NSGA2
    >>> from problems.noc import NoCCrossover, NoCMutation, NoCSampling
    >>> algorithm = NSGA2(
    ...     50, sampling=NoCSampling(), crossover=NoCCrossover(prob=0.8), mutation=NoCMutation()
    ... )
    """

    def __init__(self, prob: float = 0.9, **kwargs: Any) -> None:
        super().__init__(2, 2, prob=prob, vtype=np.int64, **kwargs)

    def _do(
        self,
        problem: NoC3D,
        X: NDArray[np.int64],
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> NDArray[np.int64]:
        A, B = problem.legal_rows(X[0]), problem.legal_rows(X[1])
        out = np.empty((2, *A.shape), dtype=np.int64)
        tables = problem.platform.tables
        seeds = draw_seeds(random_state, 2 * len(A))
        recombine_batch(A, B, tables, seeds[: len(A)], out[0])
        recombine_batch(B, A, tables, seeds[len(A) :], out[1])
        return out


class NoCMutation(Mutation):
    """One or a few moves: swap two PEs of different type, or move a planar link anywhere.

    Parameters
    ----------
    prob : float
        Chance that a design is mutated at all.
    max_moves : int
        Each mutated design gets 1 to ``max_moves`` moves, equally likely.
    **kwargs
        Of pymoo's `Mutation`, such as its name.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.noc import NoC3D, NoCMutation, NoCSampling
    >>> problem = NoC3D.example("bfs", objectives=3)
    >>> rng = np.random.default_rng(1)
    >>> pop = NoCSampling()(problem, 1, random_state=rng)
    >>> child = NoCMutation(max_moves=1)(problem, pop, inplace=False, random_state=rng)
    >>> bool((child.get("X") != pop.get("X")).any())
    True
    """

    def __init__(self, prob: float = 1.0, max_moves: int = 3, **kwargs: Any) -> None:
        super().__init__(prob=prob, vtype=np.int64, **kwargs)
        if max_moves < 1:
            raise ValueError(
                f"The 'max_moves' parameter of NoCMutation must be >= 1. Got {max_moves} instead."
            )
        self.max_moves = int(max_moves)

    def _do(
        self,
        problem: NoC3D,
        X: NDArray[np.int64],
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> NDArray[np.int64]:
        rows = problem.legal_rows(X)
        out = np.empty_like(rows)
        seeds = draw_seeds(random_state, len(rows))
        mutate_batch(rows, problem.platform.tables, self.max_moves, seeds, out)
        return out
