"""MOMAD: decomposition, scalar local search, and Pareto local search on an external archive."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela._arrays import Bools, Floats, Ints, rows
from moela._checks import count, one_of
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.decomposition import Subproblems, simplex_weights
from moela.core.scaling import SCALARIZATIONS, Frame, Scalarization
from moela.rivals.common import fresh_neighbors, learn_scale, owners_of, reference_of, restarts
from moela.search.local_search import LocalSearches

Phase = Literal["search", "explore", "restart"]


class MOMAD(ArchiveAlgorithm):
    """Memetic algorithm based on decomposition, with two kinds of local search.

    It keeps one design per weight vector (in the paper P_L), an archive of everything that is
    non-dominated (P_E), and the archive members whose neighborhoods are still to be searched
    (P_P). Each generation has three phases:

    1. *restart*: every sub-problem gets a new start, a child of its neighborhood or a perturbation
       of its own design;
    2. *search*: from each start a local search with first improvement descends on the scalarized
       objective of its sub-problem;
    3. *explore*: Pareto local search looks at the neighborhood of members of P_P once; what enters
       the archive is explored in the next generation.

    Designs from all phases replace worse ones of P_L and enter P_E and P_P.

    What differs from the published algorithm, and why:

    - A neighborhood is a sample of `n_explore_neighbors` random neighbors, and a local search
      ends after `patience` failures in a row. The published one lists whole neighborhoods (2-opt,
      exchange of items), which a general problem does not offer.
    - The local searches of all sub-problems advance side by side, so that a batch has one design
      of each.
    - At most `n_explore` designs are explored in a generation, drawn at random; with many
      objectives most designs are non-dominated and one round would eat the budget.
    - Objectives are scaled by the running ideal and, at the other end, `problem.ref_point` or the
      running nadir; feasibility comes first.
    - Designs that were asked for before are not asked for again.

    Parameters
    ----------
    n_subproblems : int
        Weight vectors, and designs sampled to begin with.
    n_neighbors : int
        Size of the neighborhood of a sub-problem, itself included.
    restart : {"crossover", "perturbation"}
        Where a search starts: at a child of two designs of the neighborhood, as in the paper for
        the knapsack problem, or at the sub-problem's design after `n_kicks` random moves, as in
        the paper for the traveling salesman problem.
    n_kicks : int
    patience : int
        Failures in a row that end a local search.
    n_explore, n_explore_neighbors : int
        Designs explored by Pareto local search in a generation, and neighbors of each.
    n_replace : int
        Members of P_L that a design may replace.
    scalarization : {"chebyshev", "weighted_sum", "product"}
        See `moela.core.scaling.scalarize`. With the weighted sum the searches end on the supported
        part of a front, and the Pareto local search fills in the rest.
    archive_size : int or None
        Designs that the archive keeps; None means all non-dominated ones.
    **kwargs
        Of `ArchiveAlgorithm` (sampling, crossover, mutation, repair) and pymoo's
        `Algorithm`.

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

    def __init__(
        self,
        *,
        n_subproblems: int = 50,
        n_neighbors: int = 10,
        restart: Literal["crossover", "perturbation"] = "crossover",
        n_kicks: int = 3,
        patience: int = 10,
        n_explore: int = 50,
        n_explore_neighbors: int = 10,
        n_replace: int = 2,
        scalarization: Scalarization = "weighted_sum",
        archive_size: int | None = 500,
        **kwargs: Any,
    ) -> None:
        count("MOMAD", "n_subproblems", n_subproblems, at_least=2)
        super().__init__(n_init=n_subproblems, archive_size=archive_size, **kwargs)
        one_of("MOMAD", "restart", restart, ("crossover", "perturbation"))
        one_of("MOMAD", "scalarization", scalarization, SCALARIZATIONS)
        self.n_subproblems = n_subproblems
        self.n_neighbors = count("MOMAD", "n_neighbors", n_neighbors)
        self.restart = restart
        self.n_kicks = count("MOMAD", "n_kicks", n_kicks)
        self.patience = count("MOMAD", "patience", patience)
        self.n_explore = count("MOMAD", "n_explore", n_explore, at_least=0)
        self.n_explore_neighbors = count("MOMAD", "n_explore_neighbors", n_explore_neighbors)
        self.n_replace = count("MOMAD", "n_replace", n_replace)
        self.scalarization: Scalarization = scalarization

    def _begin(self) -> None:
        n_obj = self.problem.n_obj
        self.frame = Frame(n_obj, reference_of(self.problem))
        W = simplex_weights(self.n_subproblems, n_obj, self.random_state)
        self.members = Subproblems(W, self.n_neighbors, self.scalarization)
        self.searches = LocalSearches(n_obj, self.scalarization, self.patience)
        # The sub-problem of each running search, by search id.
        self.home_of: dict[int, int] = {}
        self.phase: Phase = "search"
        # P_P: what has entered the archive and has not been explored, and what is being explored.
        self.promising: list[Individual] = []
        self.exploring: list[Individual] = []

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        learn_scale(self.frame, self.front, F, CV)
        self.members.populate(pop, F, CV, self.frame)
        self._keep_promising(pop, accepted)
        homes = np.arange(len(self.members))
        self._begin_searches(self.members.pop, self.members.F, self.members.CV, homes)

    # ---------------------------------------------------------------------------------------- ask

    def _ask(self) -> Population:
        for _ in range(10):
            if self.phase == "search":
                pop = self._moves()
            elif self.phase == "explore":
                pop = self._exploration()
            else:
                # What is asked here begins searches when it is answered.
                pop, self.phase = self._starts(), "search"
            if len(pop):
                return pop
        return restarts(self, len(self.members))

    def _moves(self) -> Population:
        """Propose one neighbor for each running search; none when all have ended."""
        if len(self.searches):
            pop = fresh_neighbors(
                self, list(self.searches.X), self.searches.ids, 1, "search", self.searches.step
            )
            # A search without new neighbors has nowhere to go.
            self._end_searches(~np.isin(self.searches.ids, owners_of(pop)))
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
            nobody = np.full(len(chunk), -1)
            pop = fresh_neighbors(
                self, [ind.X for ind in chunk], nobody, self.n_explore_neighbors, "explore"
            )
            if len(pop):
                return pop
        self.phase = "restart"
        return Population.empty()

    def _starts(self) -> Population:
        """Make a new start for each sub-problem."""
        homes = np.arange(len(self.members))
        if self.restart == "crossover":
            parents, _ = self.members.parents(
                homes, self.operators.n_parents, 1.0, self.random_state
            )
            pop = self.operators.children(
                self.problem, self.members.pop, parents, self.random_state
            )
        else:
            X = rows([ind.X for ind in self.members.pop])
            for _ in range(self.n_kicks):
                X = self.operators.neighbors(self.problem, X, 1, self.random_state)[:, 0]
            pop = Population.new("X", X)
        pop.set("owner", homes)
        pop.set("part", "restart")
        return pop[self.seen.claim(pop.get("X"))]

    def _choose_promising(self) -> None:
        alive = {id(ind) for ind in self.front.pop}
        left = [ind for ind in self.promising if id(ind) in alive]
        order = self.random_state.permutation(len(left))[: self.n_explore]
        self.exploring = [left[i] for i in order]
        self.promising = []

    # ------------------------------------------------------------------------------------- answer

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        learn_scale(self.frame, self.front, F, CV)
        owners = owners_of(pop)
        part = np.array([str(ind.get("part")) for ind in pop])
        moves = np.flatnonzero(part == "search")
        starts = np.flatnonzero((part == "restart") & (owners >= 0))
        homes = np.full(len(pop), -1)
        homes[starts] = owners[starts]
        homes[moves] = [self.home_of.get(int(owner), -1) for owner in owners[moves]]
        self.members.replace(
            pop, F, CV, homes, homes >= 0, self.frame, self.random_state, self.n_replace
        )
        self._keep_promising(pop, accepted)
        if len(moves):
            finished = self.searches.receive(
                owners[moves], pop[moves], F[moves], CV[moves], self.frame
            )
            self._end_searches(finished)
        if len(starts):
            self._begin_searches(pop[starts], F[starts], CV[starts], owners[starts])

    def _keep_promising(self, pop: Population, accepted: Bools) -> None:
        self.promising.extend(pop[accepted])

    def _begin_searches(self, pop: Population, F: Floats, CV: Floats, homes: Ints) -> None:
        W = self.members.W[homes]
        ids = self.searches.begin(pop, F, CV, W, np.empty((len(pop), 0)))
        self.home_of.update(zip(ids.tolist(), homes.tolist(), strict=True))

    def _end_searches(self, finished: Bools) -> None:
        for id_ in self.searches.ids[finished]:
            del self.home_of[int(id_)]
        self.searches.drop(finished)
