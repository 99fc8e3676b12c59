"""MOEA/D in batches: decomposition for expensive, constrained problems of any scale."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from pymoo.core.population import Population

from moela._arrays import Bools, Floats
from moela._checks import count, one_of, require
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.decomposition import Subproblems, simplex_weights
from moela.core.origin import origins
from moela.core.parameters import AlgorithmParameters
from moela.core.scaling import SCALARIZATIONS, Scalarization

# Number of attempts to replace children that are duplicates.
_ATTEMPTS = 5


class BatchMOEAD(ArchiveAlgorithm):
    """MOEA/D whose children are made and evaluated in batches, with constraints and scaling.

    There is one member per weight vector. A child of neighboring members replaces at most a few
    members of its mating pool, if its scalarized value is better.

    Differences from the published algorithm:

    - `batch_size` children are requested at once, from different sub-problems in random order, so
      that they can be evaluated in parallel. In the published algorithm, each child may replace
      members before the next one is made; with `batch_size=1` it is the same here.
    - Objectives are scaled by the running ideal and by `problem.ref_point` or the running nadir.
    - Feasibility comes first: a smaller constraint violation wins, whatever the objectives.
    - Initial designs are assigned to the weights that they are best for, one to one if some are
      infeasible, instead of at random.
    - Duplicates are not evaluated again.
    - The result is the archive of all evaluated designs, not the members.

    Parameters
    ----------
    n_subproblems : int
        Number of weight vectors, and of initial designs.
    n_neighbors : int
        Size of a neighborhood, including the sub-problem itself.
    prob_neighbor_mating : float
        Probability that both parents come from the neighborhood.
    n_replace : int
        Number of members that a child may replace.
    batch_size : int or None
        Number of children requested at once; None for one per sub-problem.
    scalarization : {"chebyshev", "weighted_sum", "product", "p_norm"}
        Largest weighted coordinate, weighted sum, weighted product of the distances to the
        reference point, or weighted norm of power 8.
    archive_size : int or None
        Bound on the archive; None keeps every non-dominated design.
    **kwargs
        `sampling`, `crossover`, `mutation`, `repair`, and the parameters of pymoo's `Algorithm`.

    References
    ----------
    Q. Zhang, H. Li. "MOEA/D: A Multiobjective Evolutionary Algorithm Based on Decomposition." IEEE
    Transactions on Evolutionary Computation 11(6), 2007.
    H. Li, Q. Zhang. "Multiobjective Optimization Problems With Complicated Pareto Sets, MOEA/D and
    NSGA-II." IEEE Transactions on Evolutionary Computation 13(2), 2009. (Parents from
    all members at times; a bound on replacements.)
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
        **kwargs: Unpack[AlgorithmParameters],
    ) -> None:
        count("BatchMOEAD", "n_subproblems", n_subproblems, at_least=2)
        super().__init__(n_subproblems, archive_size=archive_size, **kwargs)
        p = prob_neighbor_mating
        require("BatchMOEAD", "prob_neighbor_mating", p, 0.0 <= p <= 1.0, "between 0 and 1")
        one_of("BatchMOEAD", "scalarization", scalarization, SCALARIZATIONS)
        self.n_subproblems = n_subproblems
        self.n_neighbors = count("BatchMOEAD", "n_neighbors", n_neighbors)
        self.prob_neighbor_mating = float(prob_neighbor_mating)
        self.n_replace = count("BatchMOEAD", "n_replace", n_replace)
        batch_size = n_subproblems if batch_size is None else batch_size
        self.batch_size = count("BatchMOEAD", "batch_size", batch_size)
        self.scalarization: Scalarization = scalarization

    def _begin(self) -> None:
        W = simplex_weights(self.n_subproblems, self.problem.n_obj, self.random_state)
        self.members = Subproblems(W, self.n_neighbors, self.scalarization)
        # Sub-problems that have not had a child in this round, in random order.
        self.waiting = np.empty(0, dtype=np.int64)

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self.normalization.update_feasible(F, CV, self.front)
        self.members.populate(pop, F, CV, self.normalization)

    def _ask(self) -> Population:
        while len(self.waiting) < self.batch_size:
            order = self.random_state.permutation(len(self.members))
            self.waiting = np.concatenate([self.waiting, order])
        chosen, self.waiting = self.waiting[: self.batch_size], self.waiting[self.batch_size :]
        members, duplicates = self.members, self.context.duplicates
        pop = members.children(chosen, self.prob_neighbor_mating, self.context)
        new = duplicates.first_of_each(pop.get("X"))
        for _ in range(_ATTEMPTS):
            if new.all():
                break
            pop[~new] = members.children(chosen[~new], self.prob_neighbor_mating, self.context)
            new = duplicates.first_of_each(pop.get("X"))
        # If all children are duplicates, they are evaluated again, so that the run goes on.
        pop = pop[new] if new.any() else pop
        duplicates.add(pop.get("X"))
        return pop

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self.normalization.update_feasible(F, CV, self.front)
        self.members.replace(
            pop, F, CV, origins(pop, "subproblem", np.int64),
            origins(pop, "from_neighborhood", bool), self.normalization, self.random_state,
            self.n_replace,
        )  # fmt: skip
