"""MOOS: optimistic search over weight intervals, whose nodes are hypervolume-greedy searches."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from pymoo.core.population import Population

from moela._arrays import Bools, Floats
from moela._checks import count
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.scaling import Frame, scalarize
from moela.rivals.common import fresh_neighbors, learn_scale, owners_of, reference_of, restarts
from moela.rivals.greedy import GreedySearches, Search


@dataclass(eq=False)
class Interval:
    """A box of weight vectors, a leaf of the tree.

    Attributes
    ----------
    low, high : float array, [M]
        Its bounds, inside [0, 1].
    depth : int
        Splits above it.
    value : float
        Hypervolume that the search from its center added.
    """

    low: Floats
    high: Floats
    depth: int
    value: float

    def weights(self) -> Floats:
        """Its center, scaled to sum 1."""
        center = (self.low + self.high) / 2.0
        return center / center.sum()

    def thirds(self) -> list[Interval]:
        """Split it in three along its longest side; of equally long ones take turns by depth."""
        sides = self.high - self.low
        longest = np.flatnonzero(sides >= sides.max() * (1.0 - 1e-9))
        axis = int(longest[self.depth % len(longest)])
        cuts = np.linspace(self.low[axis], self.high[axis], 4)
        parts = []
        for low, high in pairwise(cuts):
            part = Interval(self.low.copy(), self.high.copy(), self.depth + 1, 0.0)
            part.low[axis], part.high[axis] = low, high
            parts.append(part)
        return parts


class MOOS(ArchiveAlgorithm):
    """Multi-objective optimistic search (published for 3D manycore design).

    A tree over weight vectors splits its boxes of weights in three. Each third gets a search: it
    starts from the archive member that is best for the center of the third by the weighted
    Chebyshev distance, and moves to whichever of a few perturbations adds the most Pareto
    hypervolume (PHV), until none does or a number of moves is reached. The hypervolume that it
    added is the value of the third, and the tree goes on splitting the box of highest value at
    each depth, as long as it is worth more than those above it (simultaneous optimistic
    optimization).

    What differs from the released code, and why:

    - Objectives are scaled by the running ideal and, at the other end, `problem.ref_point` or the
      running nadir. The released Chebyshev distance is on raw objectives, which lets the largest
      one decide alone.
    - The next box is chosen by the rule of Munos over the whole tree, as the paper's name says; the
      released code goes on with the best third only, or with another axis.
    - PHV is that of the whole archive, exact and clipped at the reference; beyond the reference,
      where no move adds any, a search descends on its distance to it.
    - The three searches of a split run side by side, so that a batch is 15 designs, not 5.
    - Designs that were asked for before are not asked for again.
    - Feasibility comes first, for problems with constraints.

    Parameters
    ----------
    n_init : int
        Designs sampled to begin with.
    n_neighbors : int
        Perturbations that a search chooses among.
    max_steps : int
        Moves after which a search ends.
    archive_size : int or None
        Designs that the archive keeps; None means all non-dominated ones.
    **kwargs
        Of `ArchiveAlgorithm` (sampling, crossover, mutation, repair) and pymoo's
        `Algorithm`.

    References
    ----------
    A. Deshwal, N. K. Jayakodi, B. K. Joardar, J. R. Doppa, P. P. Pande. "MOOS: A Multi-Objective
    Design Space Exploration and Optimization Framework for NoC Enabled Manycore Systems." ACM
    Transactions on Embedded Computing Systems 18(5s), 2019.
    R. Munos. "Optimistic Optimization of a Deterministic Function without the Knowledge of its
    Smoothness." NeurIPS 2011. (The rule by which boxes are chosen.)

    Examples
    --------
    >>> from pymoo.optimize import minimize
    >>> from pymoo.problems import get_problem
    >>> from moela.rivals import MOOS
    >>> res = minimize(get_problem("zdt1"), MOOS(), ("n_eval", 1000), seed=1)
    >>> res.algorithm.n_eval
    1000
    """

    def __init__(
        self,
        *,
        n_init: int = 50,
        n_neighbors: int = 5,
        max_steps: int = 15,
        archive_size: int | None = 500,
        **kwargs: Any,
    ) -> None:
        super().__init__(n_init=n_init, archive_size=archive_size, **kwargs)
        self.n_neighbors = count("MOOS", "n_neighbors", n_neighbors)
        self.max_steps = count("MOOS", "max_steps", max_steps)

    def _begin(self) -> None:
        n_obj = self.problem.n_obj
        self.frame = Frame(n_obj, reference_of(self.problem))
        self.searches = GreedySearches(n_obj, self.max_steps)
        self.leaves = [Interval(np.zeros(n_obj), np.ones(n_obj), 0, 0.0)]
        self.searched: dict[int, Interval] = {}
        self.n_splits = 0
        self.sweep_depth, self.sweep_best = 0, -np.inf

    # ------------------------------------------------------------------------------- ask and tell

    def _ask(self) -> Population:
        for _ in range(10):
            if len(self.searches) == 0:
                self._split(self._choose())
            running = list(self.searches.running.values())
            pop = fresh_neighbors(
                self,
                [search.x for search in running],
                np.array([search.id for search in running]),
                self.n_neighbors,
                "search",
            )
            if len(pop):
                return pop
            for search in running:
                self._settle(self.searches.end(search))
        return restarts(self, self.n_neighbors)

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        learn_scale(self.frame, self.front, F, CV)
        self.searches.remember(self.front)

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        learn_scale(self.frame, self.front, F, CV)
        X = [ind.X for ind in pop]
        for search in self.searches.receive(owners_of(pop), X, F, CV, self.frame, self.front):
            self._settle(search)

    # ------------------------------------------------------------------------------------ the tree

    def _settle(self, search: Search) -> None:
        interval = self.searched.pop(search.id)
        interval.value = search.gain
        self.leaves.append(interval)

    def _choose(self) -> Interval:
        """Take the next leaf to split out of the tree."""
        limit = max(int(np.sqrt(self.n_splits)), 1)
        while True:
            depths = sorted({leaf.depth for leaf in self.leaves if leaf.depth >= self.sweep_depth})
            for depth in depths:
                if depth > limit:
                    break
                best = max((f for f in self.leaves if f.depth == depth), key=lambda f: f.value)
                if best.value >= self.sweep_best:
                    self.sweep_depth, self.sweep_best = depth + 1, best.value
                    self.leaves.remove(best)
                    return best
            if self.sweep_depth == 0:
                limit = depths[0]
            self.sweep_depth, self.sweep_best = 0, -np.inf

    def _split(self, interval: Interval) -> None:
        self.n_splits += 1
        Z = self.frame.scale(self.front.F)
        for third in interval.thirds():
            start = int(scalarize(Z, third.weights(), "chebyshev").argmin())
            search = self.searches.begin(
                self.front.pop[start].X, self.front.F[start], float(self.front.CV[start])
            )
            self.searched[search.id] = third
