"""The search inside a plug-in: MOELA, whose evolution is the mating of another algorithm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypedDict

import numpy as np
from pymoo.core.crossover import Crossover
from pymoo.core.individual import Individual
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.core.sampling import Sampling
from pymoo.core.termination import NoTermination

from moela._arrays import Designs, Floats
from moela.core.decomposition import random_weights
from moela.core.origin import set_origin
from moela.learning.models import Models
from moela.search.allocation import Allocation
from moela.search.moela import MOELA
from moela.search.screening import Screening
from moela.search.settings import DEFAULT


class GivenOperators(TypedDict, total=False):
    """Operators of an algorithm that its local searches shall have, too."""

    sampling: Sampling
    crossover: Crossover
    mutation: Mutation
    repair: Repair


Mate = Callable[[int], Population]
"""Returns about so many unevaluated designs of the algorithm's own."""

# Designs that a local search proposes at a time, and the fewest searches. With four designs each,
# 12 searches brought 98 % of the hypervolume of five after 1,667 evaluations of a QAP.
_DESIGNS_PER_SEARCH, _LEAST_SEARCHES = 10, 5
# Candidates around a design, half of them two moves away, and the neighbors that these begin from.
_N_CANDIDATES, _N_BASES = 200, 5
# Designs that the searches propose together; a generation has several such batches.
_BATCH = 10
# With the problem's own moves, 18 of 19 designs of a generation are from local searches. Shares
# that follow gains use the algorithm's mating and Pareto local search more. With them, five
# MNK-landscapes and two QAPs had 95 to 101 % of NSGA-II's final hypervolume after a third of its
# evaluations. With these shares they had 99 to 105 %, and have 98 to 106 % with later models
# (medians of 13 seeds; four landscapes and a QAP of them:
# `python -m tests.benchmarks.search plug_in_more`). MOEA/D, which asks for one design at a
# time, had 99 % of its hypervolume with these shares and does not get them.
_SHARES = {"evolution": 1.0, "search": 18.0}
# Once objectives are known sums over pairs, designs of the mating are local optima.
_SHARES_IF_KNOWN = {"evolution": 4.0, "search": 1.0}
# Calls of the mating until its designs may be known ones.
_TRIES = 3
_SEEN = "seen_by_plugin"


class Engine(MOELA):
    """Local search and Pareto local search beside the mating of another algorithm.

    If the problem has `neighbors`, local searches make nearly all designs of a generation. Else
    what each of the three has gained decides how often it is used, as in MOELA. Everything that is
    evaluated, whoever asked for it, goes into the archive that searches start from, and into the
    models.

    Parameters
    ----------
    problem : Problem
    size : int
        Designs that are asked for at a time.
    models : Models
    operators : dict of pymoo operators by "sampling", "crossover", "mutation" and "repair"
        Those that are not of the problem, or by its type of variables.
    """

    _settings = replace(DEFAULT, n_candidates=_N_CANDIDATES)
    # Batches are asked for until there are enough designs.
    _fills = False

    def __init__(
        self, problem: Problem, size: int, models: Models, operators: GivenOperators
    ) -> None:
        n_searches = max(_LEAST_SEARCHES, size // _DESIGNS_PER_SEARCH)
        super().__init__(
            n_searches=n_searches,
            batch_size=min(_BATCH, max(1, size // 2)),
            shares=_SHARES if size >= _BATCH and hasattr(problem, "neighbors") else None,
            models=models,
            restarts=False,
            **operators,
        )
        self._mate: Mate | None = None

    def _form_parts(self) -> None:
        super()._form_parts()
        if self.shares is not None:
            known = self.guided.knows_objectives
            self.allocation = Allocation(
                self.shares, adapt=False, base_if_known=_SHARES_IF_KNOWN, known=known
            )

    def begin(self, problem: Problem, pop: Population, random_state: np.random.Generator) -> None:
        """Begin with an evaluated population."""
        seed = int(random_state.integers(2**31))
        self.setup(problem, seed=seed, termination=NoTermination())
        self.context.duplicates.add(pop.get("X"))
        for ind in pop:
            ind.data[_SEEN] = True
        self._initialize_advance(infills=pop)
        self.is_initialized = True

    def _begin(self) -> None:
        super()._begin()
        guided = self.guided
        guided.screening = TwoStepScreening(
            self.context,
            guided.encoder,
            guided.move_ranking,
            guided.feasibility,
            needs_features=guided.screening.needs_features,
            n_candidates=guided.screening.n_candidates,
        )

    def learn(self, pop: Population) -> None:
        """Learn from those evaluated individuals that it has not learned from before."""
        new = pop[[not ind.data.get(_SEEN, False) for ind in pop]]
        if len(new):
            for ind in new:
                ind.data[_SEEN] = True
            self.context.duplicates.add(new.get("X"))
            self._advance(infills=new)

    def designs(self, n: int, mate: Mate) -> Population:
        """Return at most n unevaluated designs, new ones as far as there are any."""
        self._mate = mate
        made: list[Individual] = []
        try:
            while len(made) < n:
                # The algorithm may drop designs without an answer.
                self.guided.await_none()
                pop = self._infill()
                if len(pop) == 0:
                    break
                made.extend(pop)
        finally:
            self._mate = None
        return Population.create(*made[:n])

    def _within_budget(self, pop: Population) -> Population:
        # The algorithm around it has the budget, and ends its run if there is no new design.
        return pop

    def _propose(self, part: str, size: int | None) -> Population:
        if part != "evolution" or self._mate is None:
            return super()._propose(part, size)
        pop, size = Population.empty(), size or 1
        for _ in range(_TRIES):
            made = self._mate(size - len(pop))
            if len(made) == 0:
                break
            if self.guided.knows_objectives():
                rng, n_obj = self.context.random_state, self.problem.n_obj
                made = self.guided.descended(made, random_weights(len(made), n_obj, rng))
            pop = Population.merge(pop, made[self.context.duplicates.claim(made.get("X"))])
            if len(pop) >= size:
                break
        pop = pop if len(pop) else made
        set_origin(pop, subproblem=0)
        return pop


class TwoStepScreening(Screening):
    """Screening of candidates one and two moves away.

    Half of the candidates are neighbors. Once a model can rank them, the others are neighbors of
    the best of these, each the best for weights of its own. A model that predicts single moves well
    says of many pairs of moves whether they are worth an evaluation.
    """

    def _propose(self, X: Designs, k: int, step: Floats | float) -> tuple[Designs, Floats]:
        n_second = k // 2 // _N_BASES
        if self.model is None or not self.model.ready or n_second == 0:
            return super()._propose(X, k, step)
        near, features = super()._propose(X, k - _N_BASES * n_second, step)
        change = self.model.predict(self.encoder(X), features)
        normalization, n, n_obj = self.context.normalization, len(X), change.shape[2]
        scaled = normalization.scale(change) - normalization.scale(np.zeros(n_obj))
        W = random_weights(n * _N_BASES, n_obj, self.context.random_state)
        best = np.einsum("nkm,nbm->nbk", scaled, W.reshape(n, _N_BASES, -1)).argmin(axis=2)
        bases = near[np.arange(n)[:, None], best].reshape(n * _N_BASES, *near.shape[2:])
        steps = np.repeat(np.broadcast_to(np.asarray(step, dtype=float), (n,)), _N_BASES)
        second, second_features = super()._propose(bases, n_second, steps)
        shape = n, _N_BASES * n_second
        return (
            np.concatenate([near, second.reshape(*shape, *near.shape[2:])], axis=1),
            np.concatenate([features, second_features.reshape(*shape, -1)], axis=1),
        )
