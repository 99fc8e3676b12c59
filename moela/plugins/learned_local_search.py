"""Learned local search for algorithms of pymoo, as its mating or as its callback."""

from __future__ import annotations

from copy import copy

import numpy as np
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.rvea import RVEA
from pymoo.core.algorithm import Algorithm, LoopwiseAlgorithm
from pymoo.core.individual import Individual
from pymoo.core.infill import InfillCriterion
from pymoo.core.mating import Mating
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import Floats, Ints
from moela._checks import require
from moela.core.archive import weakly_dominated
from moela.core.operators import Operators, resolve
from moela.evaluation.runners.outcome import failed
from moela.evaluation.runners.violation import violation_of
from moela.evaluation.termination import evaluation_budget
from moela.learning.models import Models
from moela.plugins.engine import Engine
from moela.plugins.matings import given_operators, tournament_of


class LearnedLocalSearch(InfillCriterion):
    """MOELA's learned local search for algorithms of pymoo.

    As the `mating` of a genetic algorithm, it makes its children: some by crossover and mutation as
    before, the others by local searches. Learned models rank many candidate moves, so that only the
    most promising is evaluated. Local searches begin from the non-dominated designs of everything
    evaluated. If the problem has `neighbors()`, they make 18 of 19 designs of a generation; else
    what each way to make a design has gained decides how often it is used.

    As the `callback` of an algorithm, it evaluates designs of local searches after each iteration,
    and puts those that are better into the algorithm's population. Algorithms that make their
    designs without a mating, such as CMOPSO, ignore the parameter `mating`; they need the callback.

    For mixed variables, give the algorithm
    ``eliminate_duplicates=MixedVariableDuplicateElimination()`` of pymoo as well.

    Moves are those of the problem's `neighbors()`, else moves by the type of the variables.

    Parameters
    ----------
    mating : Mating, optional
        Makes the children that are not from local search. By default, binary tournaments by rank
        and crowding distance choose the parents, or the algorithm's own tournaments if its members
        have no rank, as in SPEA2. The operators are those of the problem's `operators()`, else
        those for its type of variables. Designs are permutations if the algorithm's sampling or
        crossover makes permutations, or if its population consists of them.
    models : "auto" or Models
        The learned models; "auto" uses all.

    Raises
    ------
    ValueError
        A parameter is not what it must be, or, as soon as it is used, the problem has a single
        objective.

    Examples
    --------
    >>> from moela import LearnedLocalSearch
    >>> from problems import MNKLandscape
    >>> from pymoo.algorithms.moo.nsga2 import NSGA2
    >>> from pymoo.optimize import minimize
    >>> problem = MNKLandscape.random(n=30, k=3, n_obj=2, seed=1)
    >>> operators = problem.operators()
    >>> algorithm = NSGA2(
    ...     pop_size=20, sampling=operators["sampling"], mating=LearnedLocalSearch()
    ... )
    >>> res = minimize(problem, algorithm, ("n_eval", 200), seed=1)
    >>> len(res.pop)
    20
    """

    def __init__(self, mating: Mating | None = None, models: Models | str = "auto") -> None:
        super().__init__()
        holds = models == "auto" or isinstance(models, Models)
        require("LearnedLocalSearch", "models", models, holds, '"auto" or moela.Models(...)')
        if isinstance(mating, Algorithm):
            raise ValueError(
                "The callback of an algorithm must be an object. Got the class LearnedLocalSearch "
                "instead; write callback=LearnedLocalSearch()."
            )
        holds = mating is None or isinstance(mating, InfillCriterion)
        require("LearnedLocalSearch", "mating", mating, holds, "None or a Mating of pymoo")
        self.mating = mating
        self.models = models
        self._engine: Engine | None = None
        self._operators: Operators | None = None
        self._begun: float | None = None  # start time of the algorithm that the engine belongs to
        self._inside = False
        self._n_eval = 0  # evaluations at the last call as a callback
        self._limit = np.inf  # evaluations of a run of RVEA
        self._limited: float | None = None  # start time of that run

    def __getattr__(self, name: str) -> object:
        if name in ("selection", "crossover", "mutation"):
            raise AttributeError(
                f"LearnedLocalSearch has no {name} of its own, which this algorithm takes from its "
                "mating to make children itself. Pass callback=LearnedLocalSearch() instead of "
                "mating=LearnedLocalSearch()."
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def do(
        self,
        problem: Problem,
        pop: Population,
        n_offsprings: int,
        random_state: np.random.Generator | None = None,
        algorithm: Algorithm | None = None,
        **kwargs: object,
    ) -> Population:
        """Return up to `n_offsprings` new designs, as pymoo's Mating does."""
        rng = np.random.default_rng() if random_state is None else random_state
        engine = self._engine_for(problem, pop, n_offsprings, rng, algorithm)
        if engine is None:
            return self._children(problem, pop, n_offsprings, rng, algorithm)
        return engine.designs(
            n_offsprings, lambda n: self._children(problem, pop, n, rng, algorithm)
        )

    def __call__(self, algorithm: Algorithm) -> None:
        """Evaluate designs of local searches after an iteration, as the callback of pymoo."""
        if self._inside or algorithm.pop is None or len(algorithm.pop) == 0:
            return
        problem, rng = algorithm.problem, algorithm.random_state
        # As many as the algorithm has evaluated since the last time.
        n_eval = int(algorithm.evaluator.n_eval)
        n = n_eval - (self._n_eval if algorithm.start_time == self._begun else 0)
        budget = self._budget(algorithm)
        if budget is not None:
            n = min(n, budget - n_eval)
        engine = self._engine_for(problem, algorithm.pop, n, rng, algorithm)
        if engine is None or n <= 0:
            return
        pop = engine.designs(n, lambda k: self._children(problem, algorithm.pop, k, rng, algorithm))
        self._inside = True
        try:
            algorithm.evaluator.eval(problem, pop, algorithm=algorithm)
        finally:
            self._inside = False
        self._n_eval = int(algorithm.evaluator.n_eval)
        engine.learn(pop)
        self._insert(algorithm, pop[~failed(pop)])
        algorithm._set_optimum()
        if isinstance(algorithm, RVEA):
            _fit_generations(algorithm, budget)
        algorithm.termination.update(algorithm)

    def _budget(self, algorithm: Algorithm) -> int | None:
        """Return the number of evaluations at which a run ends, None if it is not known.

        RVEA ends after a number of generations, into which it also turns a number of evaluations.
        Its run has as many evaluations as without local searches.
        """
        if not isinstance(algorithm, RVEA):
            return evaluation_budget(algorithm.termination)
        if self._limited != algorithm.start_time:
            left = algorithm.termination.n_max_gen - algorithm.n_gen
            self._limit = algorithm.evaluator.n_eval + left * algorithm.n_offsprings
            self._limited = algorithm.start_time
        return int(self._limit) if np.isfinite(self._limit) else None

    def _engine_for(
        self,
        problem: Problem,
        pop: Population,
        size: int,
        rng: np.random.Generator,
        algorithm: Algorithm | None,
    ) -> Engine | None:
        """Return the engine of a run, knowing all evaluated designs; None before any succeeded."""
        token = getattr(algorithm, "start_time", None)
        if self._engine is not None and token == self._begun:
            for group in (_newest(algorithm), pop):
                self._engine.learn(group[[bool(ind.evaluated) for ind in group]])
            return self._engine
        if problem.n_obj < 2:
            raise ValueError(
                "LearnedLocalSearch needs a problem with at least 2 objectives. Got "
                f"{type(problem).__name__} with n_obj = {problem.n_obj}."
            )
        known = pop[[bool(ind.evaluated) for ind in pop]]
        known = known[~failed(known)]
        given = given_operators(problem, pop, algorithm, self.mating)
        self._operators = resolve(problem, **given)
        if len(known) < 2:
            return None
        models = Models(surrogate_size=0) if isinstance(self.models, str) else self.models
        one_by_one = isinstance(algorithm, LoopwiseAlgorithm)
        self._engine = Engine(problem, 2 if one_by_one else max(2, size), models, given)
        self._engine.begin(problem, known, rng)
        self._begun = token
        return self._engine

    def _children(
        self,
        problem: Problem,
        pop: Population,
        n: int,
        rng: np.random.Generator,
        algorithm: Algorithm | None,
    ) -> Population:
        """Return about n children by crossover and mutation."""
        if self.mating is not None:
            made: Population = self.mating.do(
                problem, pop, n, algorithm=algorithm, random_state=rng
            )
            return made
        assert self._operators is not None
        n_parents, own = self._operators.n_parents, tournament_of(algorithm, pop)
        parents = (
            _tournaments(pop, n * n_parents, rng).reshape(n, -1)
            if own is None
            else own(
                problem, pop, n, n_parents, to_pop=False, random_state=rng, algorithm=algorithm
            )
        )
        return self._operators.children(problem, pop, parents, rng)

    def _insert(self, algorithm: Algorithm, pop: Population) -> None:
        """Put new designs into the population of an algorithm."""
        survives = type(algorithm)._advance is GeneticAlgorithm._advance
        if isinstance(algorithm, GeneticAlgorithm) and survives:
            algorithm._advance(infills=pop)
            return
        if isinstance(algorithm, MOEAD):
            for individual in pop:
                _replace(algorithm, individual)
            return
        F = np.array([ind.F for ind in pop])
        CV = np.array([violation_of(ind) for ind in pop])
        for individual, f, cv in zip(pop, F, CV, strict=True):
            beaten = _beaten(algorithm.pop, f, cv)
            if len(beaten):
                i = algorithm.random_state.choice(beaten)
                # What the algorithm keeps with its members: velocities, ranks, crowding distances.
                for key, value in algorithm.pop[i].data.items():
                    individual.data.setdefault(key, copy(value))
                algorithm.pop[i] = individual


def _fit_generations(algorithm: RVEA, budget: int | None) -> None:
    """Let the generations end with the evaluations, since RVEA's penalty grows until then."""
    if budget is None:
        return
    left = max(0, budget - int(algorithm.evaluator.n_eval))
    # The termination may be the caller's.
    algorithm.termination = copy(algorithm.termination)
    n_each = 2 * algorithm.n_offsprings  # half of them are its own
    algorithm.termination.n_max_gen = algorithm.n_gen + -(-left // n_each)


def _newest(algorithm: Algorithm | None) -> Population:
    """Return the designs that an algorithm has asked for last; MOEA/D asks for an individual."""
    newest: Population | Individual | None = None if algorithm is None else algorithm.off
    if newest is None:
        return Population.empty()
    return Population.create(newest) if isinstance(newest, Individual) else newest


def _tournaments(pop: Population, n: int, rng: np.random.Generator) -> Ints:
    """Return the winners [n] of binary tournaments by rank, then crowding distance, then chance."""
    pairs = rng.integers(len(pop), size=(n, 2))
    rank, crowding = _column(pop, "rank", len(pop)), _column(pop, "crowding", 0.0)
    order = np.lexsort((rng.random(len(pop)), -crowding, rank))
    place = np.empty(len(pop), dtype=np.int64)
    place[order] = np.arange(len(pop))
    return pairs[np.arange(n), place[pairs].argmin(axis=1)]


def _column(pop: Population, name: str, missing: float) -> Floats:
    values = (ind.data.get(name) for ind in pop)
    return np.array([missing if value is None else value for value in values], dtype=float)


def _replace(algorithm: MOEAD, individual: Individual) -> None:
    """Let a design replace members around the sub-problem that gains most from it."""
    algorithm.ideal = np.minimum(algorithm.ideal, individual.F)
    weights = {"weights": algorithm.ref_dirs, "ideal_point": algorithm.ideal}
    members = algorithm.decomposition.do(algorithm.pop.get("F"), **weights)
    design = algorithm.decomposition.do(individual.F[None], **weights)
    algorithm._replace(int(np.argmax(members - np.ravel(design))), individual)


def _beaten(pop: Population, f: Floats, cv: float) -> Ints:
    """Return the members that a design with objectives f [M] and violation cv is better than."""
    F = np.array([ind.F for ind in pop])
    CV = np.array([violation_of(ind) for ind in pop])
    worse = weakly_dominated(F, f[None]) & (F != f).any(axis=1)
    return np.flatnonzero(np.where(CV == cv, worse, CV > cv))
