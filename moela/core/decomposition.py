"""Decomposition: weight vectors, neighborhoods, normalization, scalarizations and replacement."""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray
from pymoo.core.population import Population
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.stats import qmc

from moela._arrays import Floats
from moela.core.scaling import Frame, Scalarization, better, scalarize

# With a weight of zero a sub-problem could not tell a design from one that is worse in that
# objective, and the first one to come would stay for good.
_LEAST_WEIGHT = 1e-4


def simplex_weights(n: int, n_obj: int, random_state: np.random.Generator) -> Floats:
    """Spread n weight vectors over the unit simplex, the M corners first.

    The rest are scrambled Sobol points mapped to the simplex by the spacings of their sorted
    coordinates, which keeps them evenly spread for any n and M, unlike a lattice.

    Returns
    -------
    float array, [n, M]
        Positive rows that sum to 1; the least weights are a ten-thousandth.
    """
    corners = np.eye(n_obj)[:n]
    inner = n - len(corners)
    if inner <= 0:
        return _positive(corners)
    sobol = qmc.Sobol(n_obj - 1, rng=random_state)
    points = sobol.random_base2(int(np.ceil(np.log2(max(inner, 2)))))[:inner]
    edges = np.sort(points, axis=1)
    bounds = np.concatenate([np.zeros((inner, 1)), edges, np.ones((inner, 1))], axis=1)
    return _positive(np.concatenate([corners, np.diff(bounds, axis=1)]))


def _positive(W: Floats) -> Floats:
    W = np.maximum(W, _LEAST_WEIGHT)
    return W / W.sum(axis=1, keepdims=True)


def random_weights(n: int, n_obj: int, random_state: np.random.Generator) -> Floats:
    """Draw n weight vectors uniformly from the unit simplex, [n, M]."""
    return random_state.dirichlet(np.ones(n_obj), n)


def neighborhoods(W: Floats, size: int) -> NDArray[np.int64]:
    """Find the `size` nearest weight vectors of each of W [n, M], itself first: [n, size]."""
    return np.atleast_2d(cKDTree(W).query(W, k=min(size, len(W)))[1]).reshape(len(W), -1)


class Subproblems:
    """One design per weight vector, and the rule by which children replace them.

    Parameters
    ----------
    W : float array, [n, M]
    n_neighbors : int
        Size of a neighborhood, the sub-problem itself included.
    by : str
        Scalarization; see `scalarize`.

    Attributes
    ----------
    pop : Population, [n]
        The member of each sub-problem.
    F, CV : float arrays, [n, M] and [n]
        Its objectives and constraint violation.
    B : int array, [n, n_neighbors]
        The neighborhood of each sub-problem.
    """

    def __init__(self, W: Floats, n_neighbors: int, by: Scalarization) -> None:
        self.W, self.by = W, by
        self.B = neighborhoods(W, n_neighbors)
        self.pop = Population.empty()
        self.F: Floats = np.empty((0, W.shape[1]))
        self.CV: Floats = np.empty(0)

    def __len__(self) -> int:
        return len(self.W)

    def twin(self) -> Subproblems:
        """Return sub-problems of the same weights and neighborhoods, without members."""
        other = copy.copy(self)
        other.pop, other.F, other.CV = Population.empty(), self.F[:0], self.CV[:0]
        return other

    def populate(
        self, pop: Population, F: Floats, CV: Floats, frame: Frame, *, deal: bool = False
    ) -> None:
        """Give each sub-problem the design that is best for it; a design may serve several.

        With `deal`, and wherever some designs are infeasible, they are dealt out one to one
        instead, as far as they go, by the least sum of scalarized values (linear assignment). Else
        few designs might be left, and feasibility first would give all sub-problems the one of
        least violation, and with the others all diversity away.
        """
        values = scalarize(frame.scale(F)[None], self.W[:, None], self.by)
        order = np.lexsort((values, np.broadcast_to(CV, values.shape)), axis=1)
        index = order[:, 0]
        if deal or CV.max() > 0.0:
            dealt, design = linear_sum_assignment(values)
            index[dealt] = design
        self._assign(index, pop, F, CV)

    def populate_in_order(self, pop: Population, F: Floats, CV: Floats) -> None:
        """Give sub-problem k the k-th design, going round if there are fewer designs."""
        self._assign(np.arange(len(self)) % len(pop), pop, F, CV)

    def _assign(self, index: NDArray[np.int64], pop: Population, F: Floats, CV: Floats) -> None:
        self.pop, self.F, self.CV = pop[index], F[index], CV[index]

    def parents(
        self,
        subproblems: NDArray[np.int64],
        n_parents: int,
        prob_neighbors: float,
        random_state: np.random.Generator,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Choose different parents for each sub-problem: from its neighborhood, or from all.

        Returns
        -------
        parents : int array, [b, n_parents]
        local : bool array, [b]
            Whether the parents came from the neighborhood.
        """
        b, size = len(subproblems), self.B.shape[1]
        local = (random_state.random(b) < prob_neighbors) & (size >= n_parents)
        if size < n_parents:
            parents = np.empty((b, n_parents), dtype=np.int64)
        else:
            near = random_state.random((b, size)).argpartition(n_parents - 1, axis=1)[:, :n_parents]
            parents = np.take_along_axis(self.B[subproblems], near, axis=1)
        for i in np.flatnonzero(~local):
            parents[i] = random_state.choice(len(self), n_parents, replace=len(self) < n_parents)
        return parents, local

    def replace(
        self,
        pop: Population,
        F: Floats,
        CV: Floats,
        homes: NDArray[np.int64],
        local: NDArray[np.bool_],
        frame: Frame,
        random_state: np.random.Generator,
        n_max: int = 1,
    ) -> int:
        """Let each child take the place of members that it is better than.

        A child looks at the mating pool it came from, in random order, and replaces at most
        `n_max` of its members (Zhang and Li 2007 with the bound of Li and Zhang 2009).

        Parameters
        ----------
        homes : int array, [b]
            The sub-problem each child was made for.
        local : bool array, [b]
            Whether its pool is the neighborhood of that sub-problem, or everything.

        Returns
        -------
        int
            How many members were replaced.
        """
        replaced = 0
        Z, own = frame.scale(F), frame.scale(self.F)
        # Most children win nowhere, which is seen for all at once.
        everywhere = scalarize(Z[:, None], self.W, self.by)
        standing = scalarize(own, self.W, self.by)
        hopeful = better(CV[:, None], everywhere, self.CV, standing).any(axis=1)
        for i in np.flatnonzero(hopeful):
            pool = self.B[homes[i]] if local[i] else slice(None)
            wins = np.flatnonzero(better(CV[i], everywhere[i, pool], self.CV[pool], standing[pool]))
            if len(wins) == 0:
                continue
            if len(wins) > n_max:
                wins = random_state.choice(wins, n_max, replace=False)
            taken = wins if not local[i] else self.B[homes[i]][wins]
            self.pop[taken], self.F[taken], self.CV[taken] = pop[i], F[i], CV[i]
            standing[taken] = everywhere[i, taken]
            replaced += len(taken)
        return replaced
