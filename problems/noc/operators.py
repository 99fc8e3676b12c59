"""Sampling, crossover and mutation of NoC designs as pymoo operators that keep designs legal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.sampling import Sampling

from problems._arrays import Ints
from problems._checks import check_int, check_random_state
from problems.noc.chip.given import movable
from problems.noc.chip.tables import Seeds
from problems.noc.moves import mutate_batch, recombine_batch, sample_batch

if TYPE_CHECKING:
    from problems.noc.problem import NoC3D

__all__ = ["NoCCrossover", "NoCMutation", "NoCSampling", "draw_seeds"]


def draw_seeds(random_state: Generator, size: int, owner: str = "operators") -> Seeds:
    """Return one seed per row for the compiled moves; ValueError if there is no Generator."""
    generator = check_random_state(owner, random_state)
    if isinstance(generator.bit_generator, np.random.PCG64):
        # The same numbers as those of `integers`, in a tenth of the time.
        return generator.bit_generator.random_raw(size)
    return generator.integers(0, 2**64, size=size, dtype=np.uint64)


class NoCSampling(Sampling):
    """The mesh, then in turn the mesh with shuffled PEs, with moved links, and with both.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.noc import NoC3D, NoCSampling
    >>> problem = NoC3D.example("bfs", objectives=3)
    >>> NoCSampling()(problem, 4, random_state=np.random.default_rng(1)).get("X").shape
    (4, 160)
    """

    def _do(self, problem: NoC3D, n_samples: int, *, random_state: Generator, **_: object) -> Ints:
        out = np.empty((n_samples, problem.n_var), dtype=np.int64)
        seeds = draw_seeds(random_state, n_samples)
        platform = movable(problem.platform)
        sample_batch(problem.mesh_row(), platform.tables, platform.fixed_part, seeds, out)
        return out


class NoCCrossover(Crossover):
    """Two children between two parents, with all tiles and links that the parents share.

    Each child starts as one parent and goes a random part of the way to the other: swaps of PEs
    each bring one tile to the other parent's state, and links that only one parent has are
    exchanged, as far as the allowed tiles, the degree cap and connectedness permit.

    Parameters
    ----------
    prob : float
        Probability that a pair is recombined.
    **kwargs
        Parameters of pymoo's `Crossover`, such as its name.

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

    def _do(self, problem: NoC3D, X: Ints, *, random_state: Generator, **_: object) -> Ints:
        A, B = problem.legal_rows(X[0]), problem.legal_rows(X[1])
        out = np.empty((2, *A.shape), dtype=np.int64)
        tables = movable(problem.platform).tables
        seeds = draw_seeds(random_state, 2 * len(A))
        recombine_batch(A, B, tables, seeds[: len(A)], out[0])
        recombine_batch(B, A, tables, seeds[len(A) :], out[1])
        return out


class NoCMutation(Mutation):
    """A few moves: swaps of two PEs, mostly of different type, and moves of a link.

    A vertical link moves only if the platform has a TSV budget (``n_vertical_links``).

    Parameters
    ----------
    prob : float
        Probability that a design is mutated.
    max_moves : int
        Each mutated design gets 1 to ``max_moves`` moves, equally likely.
    **kwargs
        Parameters of pymoo's `Mutation`, such as its name.

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
        self.max_moves = check_int("NoCMutation", "max_moves", max_moves, 1)

    def _do(self, problem: NoC3D, X: Ints, *, random_state: Generator, **_: object) -> Ints:
        rows = problem.legal_rows(X)
        out = np.empty_like(rows)
        seeds = draw_seeds(random_state, len(rows))
        platform = movable(problem.platform)
        mutate_batch(rows, platform.tables, platform.fixed_part, self.max_moves, seeds, out)
        return out
