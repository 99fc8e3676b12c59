"""MOOS: optimistic search over weight intervals, with hypervolume-greedy searches as nodes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from moela._arrays import Floats
from moela.rivals.greedy import GreedyAlgorithm, Search


@dataclass(eq=False)
class Interval:
    """A box of weight vectors, a leaf of the tree."""

    low: Floats  # [M], bounds of the box, inside [0, 1]
    high: Floats
    depth: int  # number of splits above the box
    value: float  # hypervolume added by the search with the weights at its center

    def weights(self) -> Floats:
        """Return the center of the box, scaled to sum 1."""
        center = (self.low + self.high) / 2.0
        return center / center.sum()

    def thirds(self) -> list[Interval]:
        """Split the box in three along its longest side; equally long sides alternate by depth."""
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


class MOOS(GreedyAlgorithm):
    """Multi-objective optimistic search (published for 3D manycore design).

    A tree over weight vectors splits its boxes of weights in three. Each third gets a search, which
    starts from the archive member with the best weighted Chebyshev distance for the center of the
    third. The search moves to whichever of a few neighbors adds the most Pareto hypervolume (PHV),
    until none does or a number of moves is reached. The hypervolume added is the value of the
    third. The tree then splits the box of highest value at each depth, provided that its value
    exceeds those above it (simultaneous optimistic optimization).

    Differences from the released code:

    - Objectives are scaled by the running ideal and by `problem.ref_point` or the running nadir.
      The released code computes the Chebyshev distance on unscaled objectives, so that the largest
      one decides alone.
    - The next box is chosen by the rule of Munos over the whole tree, as in the paper; the released
      code continues with the best third only, or with another axis.
    - PHV is that of the whole archive, exact and clipped at the reference point. Beyond it, where
      no move adds hypervolume, a search minimizes its distance to the reference box.
    - The three searches of a split run side by side, so that a batch has 15 designs, not 5.
    - Duplicates are not evaluated again.
    - Feasibility comes first, for problems with constraints.

    Parameters
    ----------
    n_init : int
        Number of initial designs.
    n_neighbors : int
        Number of neighbors that a search chooses among.
    max_steps : int
        Number of moves that ends a search.
    archive_size : int or None
        Bound on the archive; None keeps every non-dominated design.
    **kwargs
        `sampling`, `crossover`, `mutation`, `repair`, and the parameters of pymoo's `Algorithm`.

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

    def _begin(self) -> None:
        super()._begin()
        n_obj = self.problem.n_obj
        self.leaves = [Interval(np.zeros(n_obj), np.ones(n_obj), 0, 0.0)]
        self.searched: dict[int, Interval] = {}
        self.n_splits = 0
        self.sweep_depth, self.sweep_best = 0, -np.inf

    def _end(self, search: Search) -> None:
        """Give the box of a search that has ended its value, and return it to the tree."""
        interval = self.searched.pop(search.id)
        interval.value = search.gain
        self.leaves.append(interval)

    def choose_leaf(self) -> Interval:
        """Remove the next leaf to split from the tree and return it."""
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

    def _start(self) -> None:
        """Split the next leaf, and begin a search for each third."""
        leaf = self.choose_leaf()
        self.n_splits += 1
        for third in leaf.thirds():
            values = self.normalization.scalarize(
                self.front.working_F, third.weights(), "chebyshev"
            )
            search = self._start_from_front(int(values.argmin()))
            self.searched[search.id] = third
