"""MOELA: evolution and guided local search, with restarts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike
from pymoo.core.population import Population

from moela._arrays import Bools, Floats, rows
from moela._checks import count
from moela.bayesian.few import batch_within, infill_for, n_first, n_weights
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.decomposition import (
    MANY_OBJECTIVES,
    Subproblems,
    direction_weights,
    simplex_weights,
)
from moela.core.operators import any_real
from moela.core.origin import by_part, forget_details, origins, set_origin, sums_of
from moela.core.parameters import AlgorithmParameters
from moela.core.scaling import Normalization
from moela.core.volume import DirectionalVolume
from moela.evaluation.runners.outcome import tried_and_failed
from moela.evaluation.termination import planned_budget
from moela.learning.models import NO_MODELS, Models
from moela.search.allocation import add_to_log, allocation_for, evolves_alone
from moela.search.evolution import Evolution
from moela.search.guided import GuidedSearch
from moela.search.preselection import preselection_for
from moela.search.published import PublishedMOELA
from moela.search.real_mating import Exploration, RealMating, numbers
from moela.search.restarts import Restart, least_evaluations
from moela.search.settings import (
    DEFAULT,
    FEW,
    PARTS,
    REPLACED,
    SETTING_NAMES,
    SearchSettings,
    check_choices,
    default_searches,
)

# By default, parts are asked in turn until this many designs are together, each part at most once.
_BATCH = 20
# Children at a time if evolution makes nearly all designs: one for this many evaluations so far,
# within limits.
_EVALUATIONS_PER_CHILD = 50
# If all parts and the sampling find no new design this many times, all designs count as known.
_DRAWS = 20


class MOELA(ArchiveAlgorithm):
    """Multi-objective evolution and local search, guided by learned models.

    Two parts alternate. *Evolution* recombines the members of neighboring sub-problems. *Local
    search* runs greedy searches side by side, each with its own weights: a learned model picks the
    archived design that a search starts from, and another one ranks many candidate moves, so that
    only the most promising is evaluated. After an improvement, a search makes several moves on
    predictions before it evaluates a design. The front of all evaluated designs is the result. When
    the hypervolume stagnates, the search restarts from new designs with an empty archive; when the
    restart stagnates too, it continues from the archive of all designs.

    Parameters
    ----------
    n_subproblems : int
        Number of sub-problems, and of initial designs. Runs of up to 1,000 evaluations have at most
        20 of both, those of fewer than 100 at most 10. If the problem defines `neighbors`, only
        runs of up to 150 evaluations have so few sub-problems, and those of up to 500 so few
        initial designs.
    n_neighbors : int
        Size of the neighborhood of a sub-problem.
    n_searches : "auto" or int
        Number of local searches that run side by side; "auto" is the `batch_size` up to 50 if it is
        given, else two if the run has at most 1,000 evaluations, else five.
    patience : int
        Number of evaluated neighbors in a row without improvement that ends a search.
    shares : dict or None
        Relative shares of the evaluations for "evolution", "search" and "pareto" (Pareto local
        search), which are then fixed. None starts with the problem's `search_shares`; without them,
        with mostly local search if it defines `neighbors`, else with mostly evolution. Shares then
        follow what each part gains.
    restarts : "auto", True or False
        Whether a run that stagnates restarts; models are kept. "auto" does unless a variable is
        real. Those of plain functions are, unless all are booleans or the only one a permutation.
    ref_point : "auto", None or array [M]
        A point to beat: local searches aim at the hypervolume that it bounds. "auto" uses the
        problem's `ref_point`, unless most initial designs already dominate it; Gaussian processes
        always use it. None uses the nadir of the non-dominated designs so far.
    batch_size : int or None
        Number of designs per batch, of one part as far as it has so many. None asks the parts in
        turn until about twenty are together; a search adds more the less often its neighbors have
        been better. While Gaussian processes choose the designs, which they do for all of up to 150
        evaluations and for at most the first 200 of up to 1,000, batches have four designs by
        default, and never more than 100. For parallel evaluation, set it to a multiple of the
        number of workers.
    models : "auto", None or Models
        The learned models: all, none, or a choice. Designs that are no numbers, such as strings,
        have models only if the problem defines `features`.
    archive_size : int or None
        Bound on the archive; None keeps every non-dominated design.
    **kwargs
        `sampling`, `crossover`, `mutation`, `repair` (default: the problem's `operators()`, else
        by variable type), and the parameters of pymoo's `Algorithm`.

    Attributes
    ----------
    log : dict
        Contribution of each part ("initial", "evolution", "search", "pareto"): evaluations
        (`n_eval`), designs that entered the archive (`accepted`), and the hypervolume gained
        (estimated, in units of the objectives; `hypervolume`, infinite if that is no float).
        "screening" holds the same for the designs chosen by a learned model, which are counted in
        their parts, too.
    n_phases : int
        Number of search phases: the first, each restart and each return to the full archive.

    Raises
    ------
    ValueError
        If a parameter is out of range; at the start of a run, if the problem's bounds cannot be
        met, if the termination allows no evaluation, or if a design given as `sampling` is outside
        the bounds.
    TypeError
        If a parameter does not exist, with the nearest one that does, or is a class instead of an
        instance.
    EvaluationError
        During a run, if the problem does not set an output, or sets one of a wrong shape.

    References
    ----------
    Qi, Li, Pasricha, Kim: "MOELA: A multi-objective evolutionary/learning design space exploration
    framework for 3D heterogeneous manycore platforms", DATE 2023,
    arXiv 2303.06169. `MOELA.published()` is that algorithm; this class goes beyond it.

    Examples
    --------
    >>> from moela import MOELA
    >>> from pymoo.optimize import minimize
    >>> from pymoo.problems import get_problem
    >>> res = minimize(get_problem("zdt1"), MOELA(), ("n_eval", 500), seed=1)
    >>> res.algorithm.n_eval
    500
    """

    _replaced_parameters = REPLACED
    _settings: SearchSettings = DEFAULT
    _fills = True  # batches of a given size

    def __init__(
        self,
        *,
        n_subproblems: int = 50,
        n_neighbors: int = 10,
        n_searches: int | Literal["auto"] = "auto",
        patience: int = 20,
        shares: Mapping[str, float] | None = None,
        restarts: bool | Literal["auto"] = "auto",
        ref_point: ArrayLike | Literal["auto"] | None = "auto",
        batch_size: int | None = None,
        models: Models | Literal["auto"] | None = "auto",
        archive_size: int | None = None,
        **kwargs: Unpack[AlgorithmParameters],
    ) -> None:
        check_choices(shares, restarts, models)
        n_subproblems = count("MOELA", "n_subproblems", n_subproblems, at_least=2)
        super().__init__(n_subproblems, archive_size=archive_size, **kwargs)
        self.n_subproblems = n_subproblems
        self.n_neighbors = count("MOELA", "n_neighbors", n_neighbors, at_least=2)
        automatic = isinstance(n_searches, str) and n_searches == "auto"
        self.n_searches = n_searches if automatic else count("MOELA", "n_searches", n_searches)
        self.patience = count("MOELA", "patience", patience)
        self.shares = shares
        self.restarts = restarts
        self.ref_point = ref_point
        self.batch_size = None if batch_size is None else count("MOELA", "batch_size", batch_size)
        self.models = models

    @classmethod
    def published(cls, **parameters: Any) -> PublishedMOELA:
        """Return the algorithm as released with the paper, which takes parameters of its own."""
        return PublishedMOELA(**parameters)

    @classmethod
    def _tuned(cls, **parameters: Any) -> MOELA:
        """Return MOELA with other `SearchSettings`, for ablations; takes its parameters as well."""
        changed = {name: parameters.pop(name) for name in SETTING_NAMES & parameters.keys()}
        algorithm = cls(**parameters)
        algorithm._settings = replace(DEFAULT, **changed)
        # Public, and only here, so that a store tells the variant from the default.
        algorithm.tuned = changed  # type: ignore[attr-defined]
        return algorithm

    def _begin(self) -> None:
        problem, context, rng = self.problem, self.context, self.random_state
        budget = self._budget = planned_budget(self)
        spread = simplex_weights if problem.n_obj < MANY_OBJECTIVES else direction_weights
        few_of = budget if self._settings.fewer_if_few else None
        n = n_weights(few_of, self.n_subproblems, problem)
        self._weights = spread(n, problem.n_obj, rng)
        if not isinstance(self.ref_point, str):
            context.normalization = Normalization(
                problem.n_obj, self.ref_point, units=context.units
            )
        self._n_begin = n_first(few_of, self.n_init, problem)
        volume = DirectionalVolume(problem.n_obj, rng)
        least = least_evaluations(problem, self.operators, self._n_begin)
        # The state since the beginning of the run, whose archive is `front`, and of this phase.
        self.main = self.current = Restart(self.front, context.normalization, volume, least)
        self.n_phases, self.awaiting_initial = 1, True
        self.restarting = not any_real(problem) if self.restarts == "auto" else self.restarts
        models = self.models if isinstance(self.models, Models) else Models()
        models = NO_MODELS if self.models is None else models
        self._few = few = budget is not None and budget <= FEW
        context.exchange = not few
        n_searches = self.n_searches
        if isinstance(n_searches, str):
            n_searches = default_searches(self.batch_size if self._fills else None, few=few)
        self.guided = GuidedSearch(context, models, self._settings, n_searches, self.patience)
        self.preselection = preselection_for(problem, self.operators, models, few=few)
        self._form_parts()
        self.infill_few = None
        if self.shares is None and models.surrogate_size:
            varied = any(self._given[name] is not None for name in ("crossover", "mutation"))
            mating = RealMating(self.operators.codes, problem.n_var)
            encoder = self.guided.encoder
            self.infill_few = infill_for(context, encoder, mating, budget, varied=varied)
        self.log: dict[str, dict[str, float]] = {
            part: {"n_eval": 0, "accepted": 0, "hypervolume": 0.0}
            for part in ("initial", *PARTS, "screening")
        }

    def _n_first(self) -> int:
        return self._n_begin

    def _form_parts(self) -> None:
        """Create the state of evolution and allocation, which begins anew with each phase."""
        by, prob_neighbor_mating = self._settings.of_evolution(alone=evolves_alone(self.problem))
        self.evolution = Evolution(
            self.context,
            Subproblems(self._weights, self.n_neighbors, by),
            prob_neighbor_mating,
            self.preselection,
            self.guided.feasibility,
            self.guided.encoder,
            exploration=Exploration(self._settings.least_exploring) if self._few else None,
            improve=self.guided.descended,
            n_survivors=self._settings.n_survivors,
        )
        self.allocation = allocation_for(self.problem, self.shares, self.guided.knows_objectives)

    def _aim(self, F: Floats) -> None:
        """Decide what searches minimize, knowing the initial designs' objectives F [n, M]."""
        point = self.normalization.ref_point
        automatic = isinstance(self.ref_point, str)
        if automatic and point is not None and (point > F).all(axis=1).mean() > 0.5:
            self.normalization.forget_ref_point()
            point = None
        self.guided.aim("weighted_sum" if point is None else "product")

    def _leave(self) -> None:
        """End a phase that stagnates: restart, or after a restart return to the full archive."""
        if self.current is self.main:
            self._enter(self.main.fresh(self.n_answered))
            self.awaiting_initial = True
        else:
            self._return()

    def _return(self) -> None:
        """Continue from the archive of all designs."""
        self._enter(self.main)
        self.awaiting_initial = False
        self.evolution.populate(self.front.pop, self.front.working_F, self.front.working_CV)
        self.current.begin(self.n_answered)

    def _enter(self, restart: Restart) -> None:
        self.current = restart
        self.context.normalization = restart.normalization
        self.n_phases += 1
        self._form_parts()
        self.guided.restart()

    def _ask(self) -> Population:
        if self.awaiting_initial:
            pop = self._resample()
            if len(pop):
                set_origin(pop, phase=self.n_phases)
                return pop
            # Hardly any new design is left.
            self._return()
        if self.infill_few is not None and self.infill_few.used and self._budget is not None:
            size = batch_within(self.batch_size, self._budget - self.n_answered)
            part, pop = "evolution", self.infill_few.propose(size, self.front)
        else:
            part, pop = "model", self.guided.test_designs()
        if len(pop):
            set_origin(pop, part=part, phase=self.n_phases)
            return pop
        wanted = self.batch_size or _BATCH
        asked: dict[str, Population] = {}
        n_asked = 0
        while n_asked < wanted:
            part = self.allocation.in_turn()[0]
            if part in asked:
                break
            pop = self._propose(part, self.batch_size)
            if len(pop) == 0:
                if asked:
                    break
                part, pop = self._propose_elsewhere()
            self.allocation.charge(part, len(pop))
            asked[part] = pop
            n_asked += len(pop)
            if self.batch_size is not None:
                break
        if self.batch_size is not None and self._fills and n_asked:
            self._fill(asked, self.batch_size)
        pops = list(asked.values())
        pop = pops[0] if len(pops) == 1 else Population.merge(*pops)
        parts = [part for part, asked_for in asked.items() for _ in asked_for]
        set_origin(pop, part=parts, phase=self.n_phases)
        return pop

    def _fill(self, asked: dict[str, Population], size: int) -> None:
        """Let the other parts fill a batch for which one part alone has too few designs."""
        for part in self.allocation.in_turn():
            room = size - sum(map(len, asked.values()))
            if part not in asked and room >= (self.guided.n_searches if part == "search" else 1):
                asked[part] = self._propose(part, room)
                self.allocation.charge(part, len(asked[part]))

    def _propose_elsewhere(self) -> tuple[str, Population]:
        """Return a part that has new designs, or the sampling, and these designs.

        If all are known, the run ends, unless its evaluator computes known designs again.
        """
        for _ in range(_DRAWS):
            for part in sorted({"evolution", *self.allocation.base}):
                pop = self._propose(part, self.batch_size)
                if len(pop):
                    return part, pop
            pop = self._resample(least=1, again=not getattr(self.evaluator, "dedupe", True))
            if len(pop):
                return "initial", pop
        self._terminate()
        return "initial", pop

    def _propose(self, part: str, size: int | None) -> Population:
        """Return designs of a part: about `size`, or as many as suit the part."""
        if part == "search":
            return self.guided.propose(self.current.archive, size, fills=self._fills)
        if part == "pareto":
            n, fills = size or self._settings.n_around_front, self._fills and size is not None
            return self.guided.propose_around_front(self.current, n, fills=fills)
        if size is None and hasattr(self.problem, "neighbors"):
            size = self._settings.n_around_front
        elif size is None:
            size = max(_BATCH, min(self.n_answered // _EVALUATIONS_PER_CHILD, self.n_subproblems))
        return self.evolution.children(size, self.current.archive)

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self._aim(F)
        own = self.operators.kind == "own"
        if own and not self.guided.fit_encoder(rows([ind.X for ind in pop])):
            self.evolution.feasibility = self.infill_few = None
        gains = self._take_initial(pop, F, CV, accepted)
        masks = by_part(pop)
        add_to_log(self.log, masks, accepted, sums_of(gains, masks), self.context.units)
        self._train(pop, F, CV)

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        if len(pop) == 0:
            return
        gains = self.main.take(F, CV, accepted)
        masks = by_part(pop)
        gained = sums_of(gains, masks)
        add_to_log(self.log, masks, accepted, gained, self.context.units)
        self.guided.train_on_moves(pop, F)
        self._train(pop, F, CV)
        if self.current is self.main:
            self._advance_parts(masks, gained, pop, F, CV, accepted)
            if self.infill_few is not None and not self.infill_few.used:
                # Each design serves one sub-problem, so that the few best ones do not serve all.
                self.evolution.populate(*self.infill_few.designs())
                self.infill_few = None
        else:
            self._answer_restart(pop, F, CV)
        forget_details(pop)
        may_restart = self.restarting and not self.awaiting_initial
        if may_restart and self.current.stagnates(self.n_answered):
            self._leave()

    def _take(self, infills: Population | None) -> tuple[Population, Floats, Floats, Bools]:
        taken = super()._take(infills)
        assert infills is not None
        self.guided.arrived(infills)
        if self.infill_few is not None:
            self.infill_few.add_failed(infills[tried_and_failed(infills)])
        return taken

    def _train(self, pop: Population, F: Floats, CV: Floats) -> None:
        """Update the models of designs with evaluated designs [b]."""
        self.guided.train_on_designs(pop, F, CV)
        if self.infill_few is not None:
            self.infill_few.add(pop, F, CV)
        if self.preselection is not None and not self.preselection.surrogate.full:
            X = numbers(pop)
            self.preselection.surrogate.add(X, F, CV, self.normalization)

    def _answer_restart(self, pop: Population, F: Floats, CV: Floats) -> None:
        """Process designs asked for since the restart; earlier ones count for the result only."""
        recent = origins(pop, "phase", np.int64) == self.n_phases
        if not recent.any():
            return
        pop, F, CV = pop[recent], F[recent], CV[recent]
        accepted = self.current.archive.add(pop, F, CV)
        if self.awaiting_initial:
            self._take_initial(pop, F, CV, accepted)
        else:
            masks = by_part(pop)
            gained = sums_of(self.current.take(F, CV, accepted), masks)
            self._advance_parts(masks, gained, pop, F, CV, accepted)

    def _take_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> Floats:
        """Begin a phase with its initial designs [b]; return the hypervolume gained by each."""
        gains = self.current.take(F, CV, accepted, first=True)
        self.evolution.populate(pop, F, CV)
        self.current.begin(self.n_answered)
        self.awaiting_initial = False
        return gains

    def _advance_parts(
        self,
        masks: Mapping[str, Bools],
        gained: Mapping[str, float],
        pop: Population,
        F: Floats,
        CV: Floats,
        accepted: Bools,
    ) -> None:
        """Advance each part by the evaluated designs [b] that it asked for."""
        for name in PARTS:
            if name in masks:
                self.allocation.reward(name, int(np.count_nonzero(masks[name])), gained[name])
        searched = masks.get("search")
        if searched is not None:
            self.guided.advance(pop[searched], F[searched], CV[searched], accepted[searched])
        self.evolution.answer(pop, F, CV, accepted)
