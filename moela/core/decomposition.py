"""Decomposition: weight vectors, neighborhoods, members of sub-problems and their replacement."""

from __future__ import annotations

import copy

import numpy as np
from pymoo.core.population import Population
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.stats import qmc

from moela._arrays import Bools, Floats, Ints
from moela.core.context import SearchContext
from moela.core.origin import set_origin
from moela.core.scaling import Normalization, Scalarization, better

# With a weight of zero, a sub-problem could not tell a design from one that is worse in that
# objective, and whichever came first would stay forever.
_LEAST_WEIGHT = 1e-4
# From so many objectives on, weights are chosen by the directions in which they lead, and nearly
# all designs are non-dominated, so that being archived says little about a design.
MANY_OBJECTIVES = 6
# A direction has no smaller coordinate, so that weights do not depend on a single objective.
_LEAST_COORDINATE = 1e-2


def simplex_weights(n: int, n_obj: int, random_state: np.random.Generator) -> Floats:
    """Spread n weight vectors over the unit simplex, the M corners first.

    The rest are scrambled Sobol points mapped to the simplex by the spacings of their sorted
    coordinates. Unlike a lattice, these are evenly spread for any n and M. Returns positive rows
    that sum to 1, [n, M].
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


def direction_weights(n: int, n_obj: int, random_state: np.random.Generator) -> Floats:
    """Return Chebyshev weights that lead in n directions spread over the unit simplex, [n, M].

    The largest weighted coordinate is least where coordinates are in proportion to 1 / W (Qi, Ma,
    Liu, Jiao, Sun and Wu 2014, "MOEA/D with adaptive weight adjustment", Evolutionary Computation
    22(2)). Weights that are spread over the simplex themselves lead most sub-problems to the edges
    of a front, the more so the more objectives there are.
    """
    W = 1.0 / np.maximum(simplex_weights(n, n_obj, random_state), _LEAST_COORDINATE)
    return W / W.sum(axis=1, keepdims=True)


def _positive(W: Floats) -> Floats:
    W = np.maximum(W, _LEAST_WEIGHT)
    return W / W.sum(axis=1, keepdims=True)


def random_weights(n: int, n_obj: int, random_state: np.random.Generator) -> Floats:
    """Draw n weight vectors uniformly from the unit simplex, [n, M]."""
    return random_state.dirichlet(np.ones(n_obj), n)


def neighborhoods(W: Floats, size: int) -> Ints:
    """Find the `size` nearest weight vectors of each of W [n, M], itself first: [n, size]."""
    return np.atleast_2d(cKDTree(W).query(W, k=min(size, len(W)))[1]).reshape(len(W), -1)


class Subproblems:
    """Sub-problems with weights W [n, M], the member of each, and the replacement of members.

    `B` [n, n_neighbors] holds the neighborhood of each, itself included; `pop`, `F` [n, M] and
    `CV` [n] are the members.
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
        """Return sub-problems with the same weights and neighborhoods, without members."""
        other = copy.copy(self)
        other.pop, other.F, other.CV = Population.empty(), self.F[:0], self.CV[:0]
        return other

    def populate(
        self,
        pop: Population,
        F: Floats,
        CV: Floats,
        normalization: Normalization,
        *,
        one_to_one: bool = False,
    ) -> None:
        """Assign to each sub-problem the best design for it; a design may serve several.

        With `one_to_one`, and whenever some designs are infeasible, designs and sub-problems are
        paired instead, by the least sum of scalarized values (linear assignment). With feasibility
        first, all sub-problems would otherwise get the design of least violation, and diversity
        would be lost.
        """
        values = normalization.scalarize(F[None], self.W[:, None], self.by)
        order = np.lexsort((values, np.broadcast_to(CV, values.shape)), axis=1)
        index = order[:, 0]
        if one_to_one or CV.max() > 0.0:
            # Next to penalties of 2^100 a sum would lose all differences among the other designs.
            limited = normalization.scalarize(
                normalization.learned(F)[None], self.W[:, None], self.by
            )
            paired, design = linear_sum_assignment(limited)
            index[paired] = design
        self._assign(index, pop, F, CV)

    def extent(self, normalization: Normalization) -> Floats:
        """Return the values of objectives [M] that the corners of the front have, or infinity.

        The first M weights must be those of the corners. A member is at the corner of an objective
        if it is feasible, and its scaled value is larger than the sum of the others.
        """
        n_obj = self.W.shape[1]
        out = np.full(n_obj, np.inf)
        if len(self.pop) >= n_obj:
            Z, own = normalization.scale(self.F[:n_obj]), np.diag(self.F[:n_obj])
            at_corner = (2.0 * np.diag(Z) > Z.sum(axis=1)) & (self.CV[:n_obj] <= 0.0)
            out[at_corner] = own[at_corner]
        return out

    def populate_in_order(self, pop: Population, F: Floats, CV: Floats) -> None:
        """Assign the k-th design to sub-problem k, starting over if there are fewer designs."""
        self._assign(np.arange(len(self)) % len(pop), pop, F, CV)

    def _assign(self, index: Ints, pop: Population, F: Floats, CV: Floats) -> None:
        self.pop, self.F, self.CV = pop[index], F[index], CV[index]

    def parents(
        self,
        subproblems: Ints,
        n_parents: int,
        prob_neighbors: float,
        random_state: np.random.Generator,
    ) -> tuple[Ints, Bools]:
        """Choose different parents for each sub-problem: from its neighborhood, or from all.

        Returns the parents [b, n_parents], and which came from the neighborhood, [b].
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

    def children(
        self, subproblems: Ints, prob_neighbors: float, context: SearchContext
    ) -> Population:
        """Make a child for each of these sub-problems [b], with both on its origin."""
        parents, local = self.parents(
            subproblems, context.operators.n_parents, prob_neighbors, context.random_state
        )
        pop = context.children(self.pop, parents)
        set_origin(pop, part="evolution", subproblem=subproblems, from_neighborhood=local)
        return pop

    def replace(
        self,
        pop: Population,
        F: Floats,
        CV: Floats,
        subproblems: Ints,
        local: Bools,
        normalization: Normalization,
        random_state: np.random.Generator,
        n_max: int = 1,
        values: Floats | None = None,
    ) -> int:
        """Let each child replace members that it is better than; return how many are replaced.

        A child is compared with its mating pool in random order: the neighborhood of the
        sub-problem that it was made for if it is `local`, else all members. It replaces at most
        `n_max` of them (Zhang and Li 2007 with the bound of Li and Zhang 2009). `values` [b, n] are
        the scalarized values of the children for all sub-problems, if these are known.
        """
        replaced = 0
        # Most children win nowhere; these are found for all at once.
        if values is None:
            values = normalization.scalarize(F[:, None], self.W, self.by)
        incumbent = normalization.scalarize(self.F, self.W, self.by)
        promising = better(CV[:, None], values, self.CV, incumbent).any(axis=1)
        for i in np.flatnonzero(promising):
            pool = self.B[subproblems[i]] if local[i] else slice(None)
            wins = np.flatnonzero(better(CV[i], values[i, pool], self.CV[pool], incumbent[pool]))
            if len(wins) == 0:
                continue
            if len(wins) > n_max:
                wins = random_state.choice(wins, n_max, replace=False)
            taken = self.B[subproblems[i]][wins] if local[i] else wins
            self.pop[taken], self.F[taken], self.CV[taken] = pop[i], F[i], CV[i]
            incumbent[taken] = values[i, taken]
            replaced += len(taken)
        return replaced

    def improvement(
        self, F: Floats, CV: Floats, subproblems: Ints, normalization: Normalization
    ) -> Floats:
        """Return the largest relative improvement by each design on a nearby member, [b].

        It is the relative reduction of the scalarized value, or of the violation if the member is
        infeasible; in [0, 1].
        """
        violation = self.CV[self.B[subproblems]]
        of_value = self.reductions(F, subproblems, normalization)
        with np.errstate(over="ignore"):
            of_violation = (violation - CV[:, None]) / np.where(violation > 0, violation, np.inf)
        share = np.where(violation > 0, of_violation, np.where(CV[:, None] > 0, 0.0, of_value))
        return np.asarray(np.clip(share, 0.0, 1.0).max(axis=1))

    def reductions(self, F: Floats, subproblems: Ints, normalization: Normalization) -> Floats:
        """Return by which share each design reduces the values of nearby members, [b, size]."""
        near = self.B[subproblems]
        members = normalization.scalarize(self.F[near], self.W[near], self.by)
        designs = normalization.scalarize(F[:, None], self.W[near], self.by)
        return np.asarray((members - designs) / np.maximum(np.abs(members), 1e-9))
