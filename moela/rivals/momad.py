"""MOMAD: decomposition, scalar local search, and Pareto local search on an external archive."""

from __future__ import annotations

from typing import ClassVar, Literal, Unpack

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela._arrays import Bools, Floats, Ints, rows
from moela._checks import count, one_of
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.decomposition import Subproblems, simplex_weights
from moela.core.origin import Part, asked_by, origins, set_origin
from moela.core.parameters import AlgorithmParameters
from moela.core.scaling import SCALARIZATIONS, Scalarization
from moela.rivals.common import new_neighbors, restarts
from moela.search.local_search import LocalSearches


class MOMAD(ArchiveAlgorithm):
    """Memetic algorithm based on decomposition, with two kinds of local search.

    The algorithm keeps one design per weight vector (P_L in the paper), an archive of all
    non-dominated designs (P_E), and the archive members whose neighborhoods have not been searched
    (P_P). Each generation has three phases:

    1. *restart*: every sub-problem gets a new start, a child of its neighborhood or a perturbation
       of its own design;
    2. *search*: from each start, a local search with first improvement minimizes the scalarized
       objective of its sub-problem;
    3. *explore*: Pareto local search evaluates neighbors of members of P_P once; those that enter
       the archive are explored in the next generation.

    Designs of all phases replace worse ones of P_L and enter P_E and P_P.

    Differences from the published algorithm:

    - A neighborhood is a sample of `n_explore_neighbors` random neighbors, and a local search
      ends after `patience` failures in a row. The published algorithm enumerates neighborhoods
      (2-opt, exchange of items), which a general problem does not offer.
    - The local searches of all sub-problems advance side by side, so that a batch has one design
      of each.
    - At most `n_explore` designs, drawn at random, are explored in a generation. With many
      objectives most designs are non-dominated, and one round would use up the budget.
    - Objectives are scaled by the running ideal and by `problem.ref_point` or the running nadir;
      feasibility comes first.
    - Duplicates are not evaluated again.

    Parameters
    ----------
    n_subproblems : int
        Number of weight vectors, and of initial designs.
    n_neighbors : int
        Size of the neighborhood of a sub-problem, including itself.
    restart : {"crossover", "perturbation"}
        Start of a search: a child of designs of the neighborhood, as in the paper for the knapsack
        problem, or a perturbation of the sub-problem's design, as in the paper for the traveling
        salesman problem.
    n_perturbation_moves : int
        Number of random moves of a perturbation.
    patience : int
        Number of failures in a row that ends a local search.
    n_explore, n_explore_neighbors : int
        Number of designs explored by Pareto local search in a generation, and neighbors of each.
    n_replace : int
        Number of members of P_L that a design may replace.
    scalarization : {"chebyshev", "weighted_sum", "product", "p_norm"}
        Largest weighted coordinate, weighted sum, weighted product of the distances to the
        reference point, or weighted norm of power 8. With the weighted sum, searches end on the
        supported part of a front, and Pareto local search fills in the rest.
    archive_size : int or None
        Bound on the archive; None keeps every non-dominated design.
    **kwargs
        `sampling`, `crossover`, `mutation`, `repair`, and the parameters of pymoo's `Algorithm`.

    References
    ----------
    L. Ke, Q. Zhang, R. Battiti. "Hybridization of Decomposition and Local Search for Multiobjective
    Optimization." IEEE Transactions on Cybernetics 44(10), 2014.

    Examples
    --------
    >>> from pymoo.optimize import minimize
    >>> from pymoo.problems import get_problem
    >>> from moela.rivals import MOMAD
    >>> res = minimize(get_problem("zdt1"), MOMAD(), ("n_eval", 1000), seed=1)
    >>> res.algorithm.n_eval
    1000
    """

    _replaced_parameters: ClassVar = {"n_kicks": "Use 'n_perturbation_moves'."}

    def __init__(
        self,
        *,
        n_subproblems: int = 50,
        n_neighbors: int = 10,
        restart: Literal["crossover", "perturbation"] = "crossover",
        n_perturbation_moves: int = 3,
        patience: int = 10,
        n_explore: int = 50,
        n_explore_neighbors: int = 10,
        n_replace: int = 2,
        scalarization: Scalarization = "weighted_sum",
        archive_size: int | None = 500,
        **kwargs: Unpack[AlgorithmParameters],
    ) -> None:
        count("MOMAD", "n_subproblems", n_subproblems, at_least=2)
        super().__init__(n_subproblems, archive_size=archive_size, **kwargs)
        one_of("MOMAD", "restart", restart, ("crossover", "perturbation"))
        one_of("MOMAD", "scalarization", scalarization, SCALARIZATIONS)
        self.n_subproblems = n_subproblems
        self.n_neighbors = count("MOMAD", "n_neighbors", n_neighbors)
        self.restart = restart
        self.n_perturbation_moves = count("MOMAD", "n_perturbation_moves", n_perturbation_moves)
        self.patience = count("MOMAD", "patience", patience)
        self.n_explore = count("MOMAD", "n_explore", n_explore, at_least=0)
        self.n_explore_neighbors = count("MOMAD", "n_explore_neighbors", n_explore_neighbors)
        self.n_replace = count("MOMAD", "n_replace", n_replace)
        self.scalarization: Scalarization = scalarization

    def _begin(self) -> None:
        n_obj = self.problem.n_obj
        W = simplex_weights(self.n_subproblems, n_obj, self.random_state)
        self.members = Subproblems(W, self.n_neighbors, self.scalarization)
        self.searches = LocalSearches(n_obj, self.scalarization, self.patience)
        # The sub-problem of each running search, by search id.
        self.subproblem_of: dict[int, int] = {}
        self.phase: Part = "search"
        # P_P: designs that entered the archive and were not explored, and those being explored.
        self.promising: list[Individual] = []
        self.exploring: list[Individual] = []

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self.normalization.update_feasible(F, CV, self.front)
        self.members.populate(pop, F, CV, self.normalization)
        self.promising.extend(pop[accepted])
        subproblems = np.arange(len(self.members))
        self._begin_searches(self.members.pop, self.members.F, self.members.CV, subproblems)

    def _ask(self) -> Population:
        for _ in range(10):
            if self.phase == "search":
                pop = self._moves()
            elif self.phase == "explore":
                pop = self._exploration()
            else:
                # Searches begin when these designs are evaluated.
                pop, self.phase = self._starts(), "search"
            if len(pop):
                return pop
        return restarts(self, len(self.members))

    def _moves(self) -> Population:
        """Propose one neighbor for each running search; none when all have ended."""
        running = self.searches
        if len(running):
            pop = new_neighbors(self, list(running.X), running.ids, 1, "search", running.step)
            # A search without new neighbors ends.
            self._end_searches(~np.isin(running.ids, origins(pop, "search")))
            if len(pop):
                return pop
        self.phase = "explore"
        self._choose_promising()
        return Population.empty()

    def _exploration(self) -> Population:
        """Propose neighbors of the next designs to explore; none when all have been."""
        size = max(len(self.members) // self.n_explore_neighbors, 1)
        while self.exploring:
            chunk, self.exploring = self.exploring[:size], self.exploring[size:]
            X, no_search = [ind.X for ind in chunk], np.full(len(chunk), -1)
            pop = new_neighbors(self, X, no_search, self.n_explore_neighbors, "explore")
            if len(pop):
                return pop
        self.phase = "restart"
        return Population.empty()

    def _starts(self) -> Population:
        """Make a new start for each sub-problem."""
        subproblems = np.arange(len(self.members))
        if self.restart == "crossover":
            pop = self.members.children(subproblems, 1.0, self.context)
        else:
            X = rows([ind.X for ind in self.members.pop])
            for _ in range(self.n_perturbation_moves):
                X = self.context.neighbors(X, 1)[:, 0]
            pop = Population.new("X", X)
        set_origin(pop, part="restart", subproblem=subproblems)
        return pop[self.context.duplicates.claim(pop.get("X"))]

    def _choose_promising(self) -> None:
        alive = {id(ind) for ind in self.front.pop}
        left = [ind for ind in self.promising if id(ind) in alive]
        order = self.random_state.permutation(len(left))[: self.n_explore]
        self.exploring = [left[i] for i in order]
        self.promising = []

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self.normalization.update_feasible(F, CV, self.front)
        ids, subproblems = (origins(pop, name, np.int64) for name in ("search", "subproblem"))
        moves = np.flatnonzero(asked_by(pop, "search"))
        starts = np.flatnonzero(asked_by(pop, "restart") & (subproblems >= 0))
        subproblems[moves] = [self.subproblem_of.get(id_, -1) for id_ in ids[moves].tolist()]
        self.members.replace(
            pop, F, CV, subproblems, subproblems >= 0, self.normalization, self.random_state,
            self.n_replace,
        )  # fmt: skip
        self.promising.extend(pop[accepted])
        if len(moves):
            answers = ids[moves], pop[moves], F[moves], CV[moves]
            self._end_searches(self.searches.receive(*answers, self.normalization))
        if len(starts):
            self._begin_searches(pop[starts], F[starts], CV[starts], subproblems[starts])

    def _begin_searches(self, pop: Population, F: Floats, CV: Floats, subproblems: Ints) -> None:
        W = self.members.W[subproblems]
        ids = self.searches.begin(pop, F, CV, W, np.empty((len(pop), 0)))
        self.subproblem_of.update(zip(ids.tolist(), subproblems.tolist(), strict=True))

    def _end_searches(self, finished: Bools) -> None:
        for id_ in self.searches.ids[finished]:
            del self.subproblem_of[int(id_)]
        self.searches.drop(finished)
