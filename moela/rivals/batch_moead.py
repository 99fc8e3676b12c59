"""MOEA/D in batches: decomposition for expensive, constrained problems of any scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.core.population import Population

from moela._arrays import Bools, Floats, Ints
from moela._checks import count, one_of, require
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.decomposition import Subproblems, simplex_weights
from moela.core.scaling import SCALARIZATIONS, Frame, Scalarization
from moela.rivals.common import learn_scale, owners_of, reference_of

_ATTEMPTS = 5  # at a child that nobody has asked for yet


class BatchMOEAD(ArchiveAlgorithm):
    """MOEA/D whose children are made and evaluated in batches, with constraints and scaling.

    One member per weight vector; children of neighboring members replace at most a few members of
    the pool that their parents came from where they are better by the scalarized objective.

    What differs from the published algorithm, and why:

    - `batch_size` children are asked for at once, from different sub-problems in random order, so
      that they can be evaluated in parallel. The published one is asynchronous: each child may
      replace members before the next is made. With `batch_size=1` so does this one.
    - Objectives are scaled by the running ideal and, at the other end, `problem.ref_point` or the
      running nadir.
    - Feasibility comes first: a smaller constraint violation wins, whatever the objectives.
    - The initial designs go to the weights that they are best for, one to one where some are
      infeasible, instead of at random.
    - A child that was asked for before is not asked for again.
    - The result is an archive of everything evaluated, not the members.

    Parameters
    ----------
    n_subproblems : int
        Weight vectors, and designs sampled to begin with.
    n_neighbors : int
        Size of a neighborhood, the sub-problem itself included.
    prob_neighbor_mating : float
        Probability that both parents come from the neighborhood.
    n_replace : int
        Members that a child may replace.
    batch_size : int or None
        Children asked for at once. None: one for each sub-problem.
    scalarization : {"chebyshev", "weighted_sum", "product"}
        See `moela.core.scaling.scalarize`.
    archive_size : int or None
        Designs that the archive keeps; None means all non-dominated ones.
    **kwargs
        Of `ArchiveAlgorithm` (sampling, crossover, mutation, repair) and pymoo's
        `Algorithm`.

    References
    ----------
    Q. Zhang, H. Li. "MOEA/D: A Multiobjective Evolutionary Algorithm Based on Decomposition." IEEE
    Transactions on Evolutionary Computation 11(6), 2007.
    H. Li, Q. Zhang. "Multiobjective Optimization Problems With Complicated Pareto Sets, MOEA/D and
    NSGA-II." IEEE Transactions on Evolutionary Computation 13(2), 2009. (Both parents from
    everywhere at times; a bound on replacements.)
    K. Deb. "An efficient constraint handling method for genetic algorithms." Computer Methods in
    Applied Mechanics and Engineering 186, 2000. (Feasibility first.)

    Examples
    --------
    >>> from pymoo.optimize import minimize
    >>> from pymoo.problems import get_problem
    >>> from moela.rivals import BatchMOEAD
    >>> res = minimize(get_problem("mw1"), BatchMOEAD(batch_size=20), ("n_eval", 1000), seed=1)
    >>> res.algorithm.n_eval
    1000
    """

    def __init__(
        self,
        *,
        n_subproblems: int = 50,
        n_neighbors: int = 15,
        prob_neighbor_mating: float = 0.9,
        n_replace: int = 2,
        batch_size: int | None = None,
        scalarization: Scalarization = "chebyshev",
        archive_size: int | None = 500,
        **kwargs: Any,
    ) -> None:
        count("BatchMOEAD", "n_subproblems", n_subproblems, at_least=2)
        super().__init__(n_init=n_subproblems, archive_size=archive_size, **kwargs)
        require(
            "BatchMOEAD",
            "prob_neighbor_mating",
            prob_neighbor_mating,
            0.0 <= prob_neighbor_mating <= 1.0,
            "between 0 and 1",
        )
        one_of("BatchMOEAD", "scalarization", scalarization, SCALARIZATIONS)
        self.n_subproblems = n_subproblems
        self.n_neighbors = count("BatchMOEAD", "n_neighbors", n_neighbors)
        self.prob_neighbor_mating = float(prob_neighbor_mating)
        self.n_replace = count("BatchMOEAD", "n_replace", n_replace)
        batch_size = n_subproblems if batch_size is None else batch_size
        self.batch_size = count("BatchMOEAD", "batch_size", batch_size)
        self.scalarization: Scalarization = scalarization

    def _begin(self) -> None:
        n_obj = self.problem.n_obj
        self.frame = Frame(n_obj, reference_of(self.problem))
        W = simplex_weights(self.n_subproblems, n_obj, self.random_state)
        self.members = Subproblems(W, self.n_neighbors, self.scalarization)
        # Sub-problems that have not had a child in this round, in random order.
        self.waiting = np.empty(0, dtype=np.int64)

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        learn_scale(self.frame, self.front, F, CV)
        self.members.populate(pop, F, CV, self.frame)

    def _ask(self) -> Population:
        while len(self.waiting) < self.batch_size:
            order = self.random_state.permutation(len(self.members))
            self.waiting = np.concatenate([self.waiting, order])
        homes, self.waiting = self.waiting[: self.batch_size], self.waiting[self.batch_size :]
        asked = self._children(homes)
        fresh = self.seen.first_of_each(asked.get("X"))
        for _ in range(_ATTEMPTS):
            if fresh.all():
                break
            asked[~fresh] = self._children(homes[~fresh])
            fresh = self.seen.first_of_each(asked.get("X"))
        # Where every child is known already they are paid for again, lest the run stand still.
        asked = asked[fresh] if fresh.any() else asked
        self.seen.add(asked.get("X"))
        return asked

    def _children(self, homes: Ints) -> Population:
        parents, local = self.members.parents(
            homes, self.operators.n_parents, self.prob_neighbor_mating, self.random_state
        )
        pop = self.operators.children(self.problem, self.members.pop, parents, self.random_state)
        pop.set("owner", homes)
        pop.set("local", local)
        pop.set("part", "evolution")
        return pop

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        learn_scale(self.frame, self.front, F, CV)
        local = np.array([bool(ind.get("local")) for ind in pop], dtype=bool)
        homes = owners_of(pop)
        # Designs that somebody else put among the answers belong to no neighborhood.
        self.members.replace(
            pop, F, CV, homes, local & (homes >= 0), self.frame, self.random_state, self.n_replace
        )
