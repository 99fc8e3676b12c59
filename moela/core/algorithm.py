"""Base class of MOELA and its rivals: budget, operators, archive, and state that can be copied."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.crossover import Crossover
from pymoo.core.individual import Individual
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.core.result import Result
from pymoo.core.sampling import Sampling
from pymoo.core.termination import Termination
from pymoo.util.display.multi import MultiObjectiveOutput

from moela._arrays import Bools, Floats
from moela._checks import count, instance
from moela.core.archive import ARCHIVED, Archive, ArchivedDesigns, check_size
from moela.core.context import SearchContext
from moela.core.duplicates import Duplicates
from moela.core.failures import FailureCounts, check_asked, example_of
from moela.core.individuals import Answered, checked_objectives, checked_violations, population_of
from moela.core.operators import KINDS, Operators
from moela.core.origin import origins, set_origin
from moela.core.parameters import ClassGiven, PymooParameters, refuse_unknown
from moela.core.scaling import Normalization
from moela.core.units import Units
from moela.core.warm_start import check_answered, first_designs, operators_for, put_inside, sampler
from moela.evaluation.checks import CheckedEvaluator, check_budget, check_problem
from moela.evaluation.runners.outcome import (
    INFINITE,
    SKIPPED,
    failed,
    infinite_objective,
    infinite_warning,
)
from moela.evaluation.termination import check_termination, evaluation_budget

_LOG = logging.getLogger(__name__)

_RUN_STATE = (
    "archive", "data", "display", "history", "is_initialized", "n_iter", "off", "opt", "pop",
    "start_time", "termination",
)  # fmt: skip


# What underflows inside an algorithm, such as a kernel between distant designs, is as good as 0.
_QUIET = np.errstate(under="ignore")


class ArchiveAlgorithm(Algorithm):
    """A pymoo algorithm whose result is the archive of all evaluated designs.

    Subclasses define which designs to request (`_ask`) and how to process the results (`_answer`).
    Ask and tell may be separate: an answer is recognized by the `Origin` on its individual, so
    answers may come in any order, and some may never come. The state consists of arrays,
    individuals, a numpy Generator and scikit-learn models, so that it can be copied and pickled
    between any ask and tell.

    Initial designs come from `sampling`: an operator, or designs in any form that `first_designs`
    reads, to which sampled ones are added up to `n_init`. Operators that are not given are the
    problem's own (`problem.operators()`), else those for its type of variables. `front` is the
    archive, bounded by `archive_size`. A class with another name for `n_init` passes it as
    `n_first`, so that `n_init` is none of its parameters.
    """

    def __init__(
        self,
        n_first: int | None = None,
        /,
        *,
        n_init: int | None = None,
        sampling: object = None,
        crossover: Crossover | None = None,
        mutation: Mutation | None = None,
        repair: Repair | None = None,
        archive_size: int | None = None,
        **kwargs: Unpack[PymooParameters],
    ) -> None:
        # pymoo ignores unknown parameters, so a misspelled one would go unnoticed.
        other_name = n_first is not None and n_init is not None
        refuse_unknown(type(self), {*kwargs, "n_init"} if other_name else kwargs)
        operators = dict(zip(KINDS, (sampling, crossover, mutation, repair), strict=True))
        for name, value in {**operators, **kwargs}.items():
            instance(type(self).__name__, name, value)
        kwargs.setdefault("output", MultiObjectiveOutput())
        kwargs.setdefault("evaluator", CheckedEvaluator())
        super().__init__(**kwargs)
        self.termination: Termination
        self.display: object
        self.archive: Population | None
        self.is_initialized: bool
        self.n_init = count(
            type(self).__name__, "n_init", n_init if n_first is None else n_first, at_least=2
        )
        self.archive_size = archive_size
        # What a run changes, as it was before.
        self._before_run = copy.deepcopy({key: getattr(self, key) for key in _RUN_STATE})
        self._given: dict[str, Any] = operators

    problem: Any = ClassGiven()
    pop = ArchivedDesigns()
    opt = ArchivedDesigns()
    # The evaluator need not hide failures, since only their status is read.
    leaves_out_failures = True

    # The problem is not state, and fitted estimators are only ever replaced: histories and
    # checkpoints need no copy of them every time.
    _shared_by_copies: tuple[str, ...] = ("problem",)
    # What to use instead of parameters that do not exist, or no longer; see `refuse_unknown`.
    _replaced_parameters: ClassVar[Mapping[str, str]] = {
        "reference": "Use 'ref_point' if the algorithm has it, else the problem's ref_point.",
    }
    # The attributes that say which algorithm this is, for its signature; known from the setup on.
    _setting_names: frozenset[str] | None = None

    def _begin(self) -> None:
        """Create the state of a new run; `operators`, `context` and `front` already exist."""

    def _ask(self) -> Population:
        """Return at least one design to evaluate, with the origin of each individual set."""
        raise NotImplementedError

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        """Process evaluated designs [b], F and CV in working units.

        `accepted` marks those that entered the archive.
        """

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        """Process the initial designs; by default like any others."""
        self._answer(pop, F, CV, accepted)

    def setup(self, problem: Problem, **kwargs: object) -> ArchiveAlgorithm:
        """Begin a new run on a problem, even if this object has been used for a run before."""
        check_problem(type(self).__name__, problem)
        check_termination(type(self).__name__, kwargs.get("termination", self.termination))
        instance(type(self).__name__, "evaluator", kwargs.get("evaluator"))
        if self._setting_names is None:
            # What is set from here on is state of the run.
            self._setting_names = frozenset([*vars(self), "operators"])
        if self.problem is not None:
            for name, value in copy.deepcopy(self._before_run).items():
                setattr(self, name, value)
            self.evaluator.n_eval = 0
        elif self.termination is not None:
            # pymoo changes the object that it is given, which belongs to the caller.
            self.termination = copy.deepcopy(self.termination)
        super().setup(problem, **kwargs)
        check_budget(self.termination)
        return self

    def infill(self) -> Population:
        """Return the designs to evaluate next, numbered by iteration as pymoo does."""
        if self.problem is None:
            raise RuntimeError(
                f"{type(self).__name__}.ask() needs a problem. Call setup(problem, ...) first."
            )
        infills = self._infill() if self.is_initialized else self._initialize_infill()
        for individual in infills:  # faster than pymoo's `Population.set`
            individual.data["n_gen"] = individual.data["n_iter"] = self.n_iter
        return infills

    def advance(self, infills: Population | None = None, **kwargs: object) -> Result | None:
        """Process evaluated designs; return the result if the run has ended, else None."""
        # pymoo's method would put the front together after each iteration, for nobody.
        self.off = infills
        if self.is_initialized:
            proceeds = self._advance(infills=infills, **kwargs) is not False
        else:
            self.n_iter, self.pop, proceeds = 1, infills, True
            self._initialize_advance(infills=infills, **kwargs)
            self.is_initialized = True
        if proceeds:
            self._post_advance()
        if self.archive is not None and infills is not None:
            self.archive = self.archive.add(infills)
        if not self.termination.has_terminated():
            return None
        self.finalize()
        return self.result()

    def ask(self) -> Population:
        """Return the designs to evaluate next; pass them to `tell` with their objectives."""
        return self._answered.asked(super().ask())

    def tell(self, infills: object = None, **kwargs: object) -> Result | None:
        """Process evaluated designs, in any order and number; return the result at the end.

        Parameters
        ----------
        infills : Population, Individual or list of Individual
            Designs from `ask`, or others. A design that was told before is ignored.

        Raises
        ------
        TypeError
            `infills` is something else.
        ValueError
            A design has no objectives or constraints, or others than the problem, or NaN; or one
            that the algorithm has not asked for is out of bounds. No design of the call counts.
        """
        if infills is None:
            return self.advance(**kwargs)
        title = type(self).__name__
        pop = population_of(title, infills)
        if self.problem is None:
            raise RuntimeError(f"{title}.tell() needs a problem. Call setup(problem, ...) first.")
        check_answered(self.problem, self.operators, pop, title)
        new = pop[self._answered.new(pop)]
        if len(new) == 0 < len(pop):
            return None
        result = self.advance(new, **kwargs)
        self._answered.add(new)
        return result

    def _setup(self, problem: Problem, **kwargs: object) -> None:
        if problem.n_obj < 2:
            raise ValueError(
                f"{type(self).__name__} needs a problem with at least 2 objectives. "
                f"{type(problem).__name__} has n_obj = {problem.n_obj}; use a single-objective "
                "algorithm for it."
            )
        check_size(type(self).__name__, "archive_size", self.archive_size, problem.n_obj)
        self.operators: Operators = operators_for(problem, self._given)
        units = Units()
        self.front = Archive(problem.n_obj, self.archive_size, units)
        self.context = SearchContext(
            problem,
            self.operators,
            Duplicates(problem),
            Normalization(problem.n_obj, getattr(problem, "ref_point", None), units=units),
            self.random_state,
            units,
        )
        self.n_answered = 0  # evaluations told so far
        self._answered = Answered(problem)
        # Of these, designs with an infinite objective that only this class saw.
        self._n_infinite = 0
        self._failures = FailureCounts()
        self._has_begun = False  # whether a design has succeeded, so that the search has begun
        self._example: Population | None = None  # a failed design, until one succeeds
        self._begin()

    @property
    def normalization(self) -> Normalization:
        """Scaling of the objectives that the run uses now."""
        return self.context.normalization

    def _initialize_infill(self) -> Population:
        self._initialize()
        return self._within_budget(self._sample())

    @_QUIET
    def _initialize_advance(self, infills: Population | None = None, **kwargs: object) -> None:
        taken = self._take(infills)
        if len(self.front):
            self._receive_first(*taken)
        elif self.n_answered:
            _LOG.warning(
                "%s has no design to begin with: all of the %d initial designs failed. Others are "
                "sampled. If that is not what you expect, check the problem and its sampling. The "
                "first failure:\n%s",
                type(self).__name__,
                self.n_answered,
                self._failures.first.rstrip(),
            )

    def _receive_first(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self._has_begun, self._example = True, None
        self._answer_initial(pop, F, CV, accepted)

    @_QUIET
    def _infill(self) -> Population:
        return self._within_budget(self._ask() if self._has_begun else self._resample(again=True))

    @_QUIET
    def _advance(self, infills: Population | None = None, **kwargs: object) -> None:
        taken = self._take(infills)
        if self._has_begun:
            self._answer(*taken)
        elif len(self.front):
            self._receive_first(*taken)

    def _set_optimum(self) -> None:
        # pymoo's terminations need a design even if none has succeeded.
        self.pop = self.opt = ARCHIVED if len(self.front) else self._example

    def _finalize(self) -> None:
        if not self.front.feasible:
            _LOG.warning("%s found %s.", type(self).__name__, self.status)

    def _post_advance(self) -> None:
        display: object = self.display
        if len(self.front) == 0:
            # Its columns would count and measure the failed design.
            self.display = _no_display
        try:
            super()._post_advance()
        finally:
            self.display = display
        # With ask and tell, somebody else's evaluator may be used; then only this class counts.
        budget = evaluation_budget(self.termination)
        if budget is not None and self.n_answered >= budget:
            self._terminate()

    def _terminate(self) -> None:
        self.termination.terminate()
        self.termination.update(self)

    def __deepcopy__(self, memo: dict[int, object]) -> ArchiveAlgorithm:
        for name in self._shared_by_copies:
            shared = getattr(self, name, None)
            memo[id(shared)] = shared
        copied = self.__class__.__new__(self.__class__)
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def result(self) -> Result:
        """Return pymoo's Result, with the `status` of the run on it.

        If no feasible design was found, pymoo's `X` and `F` are None, or with
        ``return_least_infeasible=True`` the non-dominated designs among those of least violation.
        They are on ``result.pop`` either way.
        """
        opt = self.opt
        try:
            if self.is_initialized and len(self.front) == 0:
                self.opt = self.front.pop  # instead of a failed design
            result = super().result()
        finally:
            self.opt = opt
        result.status = self.status
        return result

    @property
    def status(self) -> str:
        """Summary of the run so far: what it found, and which evaluations failed, by reason."""
        if not self.is_initialized:
            return "nothing evaluated yet"
        failures = f"; {self._failures}" if self._failures else ""
        return self.front.summary(self.n_eval) + failures

    def __repr__(self) -> str:
        title = type(self).__name__
        if self.problem is None:
            return f"{title}, not run yet"
        return f"{title} on {type(self.problem).__name__}: {self.status}"

    @property
    def n_eval(self) -> int:
        """Number of evaluations so far, counted by the evaluator if it was used."""
        if not self.is_initialized:
            # An evaluator that has served another run restarts its count with the first batch.
            return self.n_answered
        return max(int(self.evaluator.n_eval), self.n_answered)

    def _within_budget(self, pop: Population) -> Population:
        check_asked(self, pop)
        budget = evaluation_budget(self.termination)
        if budget is None or len(pop) <= budget - self.n_eval:
            return pop
        return pop[np.cumsum(~origins(pop, "already_evaluated", bool)) <= budget - self.n_eval]

    def _sample(self) -> Population:
        pop = first_designs(self.problem, self.operators.sampling)
        n_given = 0 if pop is None else len(pop)
        if pop is None:
            pop = self._draw(self._sampler(), self._n_first())
        elif len(pop) < self._n_first():
            # A few designs are a place to begin, but too few to recombine.
            pop = Population.merge(pop, self._draw(self._sampler(), self._n_first() - len(pop)))
        new = np.array([len(ind.evaluated) == 0 for ind in pop], dtype=bool)
        if new.any():
            pop[new] = self.operators.repair(self.problem, pop[new], random_state=self.random_state)
        # After the repair, which may be what brings given designs inside.
        put_inside(self.problem, self.operators, pop, n_given)
        new = np.array([len(ind.evaluated) == 0 for ind in pop], dtype=bool)
        set_origin(pop, part="initial", already_evaluated=~new)
        return pop[self.context.duplicates.claim(pop.get("X"))]

    def _n_first(self) -> int:
        """Return how many designs a run, or a phase of it, begins with."""
        return self.n_init

    def _sampler(self) -> Sampling:
        return sampler(self.problem, self.operators, self._given)

    def _resample(self, *, least: int = 2, again: bool = False) -> Population:
        """Sample as many designs as a run begins with, and return the new ones.

        If fewer than `least` are new, return none of them, or with `again` all.
        """
        pop = self._draw(self._sampler(), self._n_first())
        pop = self.operators.repair(self.problem, pop, random_state=self.random_state)
        set_origin(pop, part="initial")
        new = self.context.duplicates.first_of_each(pop.get("X"))
        if np.count_nonzero(new) >= least:
            return pop[self.context.duplicates.claim(pop.get("X"))]
        return pop if again else Population.empty()

    def _draw(self, sampling: Sampling, n: int) -> Population:
        drawn: Population = sampling(self.problem, n, random_state=self.random_state)
        return drawn

    def _take(self, infills: Population | None) -> tuple[Population, Floats, Floats, Bools]:
        """Check, count and archive answers; return those that have not failed, in working units."""
        if infills is None:
            raise ValueError(
                f"{type(self).__name__}.tell() needs the evaluated population: "
                "algorithm.tell(infills=pop). Got None instead."
            )
        pop, failures = infills, failed(infills)
        counted = ~origins(infills, "already_evaluated", bool)
        if failures.any():
            pop = infills[~failures]
            # A design that was skipped, beyond the budget or after Ctrl-C, was not evaluated.
            counted &= np.array([ind.data.get("status") != SKIPPED for ind in infills], dtype=bool)
        F, CV = checked_objectives(self.problem, pop), checked_violations(self.problem, pop)
        self.n_answered += int(np.count_nonzero(counted))
        if failures.any():
            self._failures.count(infills)
        finite = np.isfinite(F).all(axis=1)
        if not finite.all():
            self._set_aside(pop[~finite], F[~finite])
            pop, F, CV = pop[finite], F[finite], CV[finite]
        if not self._has_begun and len(pop) == 0:
            failure = infills[0] if len(infills) else Individual()
            self._example = example_of(self.problem, failure)
        accepted, units = self.front.add(pop, F, CV), self.context.units
        if len(pop):
            units.see(F, CV, F[:0] if units.complete else self.front.F)
        return pop, units.objectives(F), units.violations(CV), accepted

    def _set_aside(self, pop: Population, F: Floats) -> None:
        """Let designs with infinite objectives F [b, M] count as failed, and warn once a run."""
        title = type(self.problem).__name__
        for ind, row in zip(pop, F, strict=True):
            ind.data["status"], ind.data["error"] = INFINITE, infinite_objective(title, row)
        if self._n_infinite == 0:
            first = pop[0].data["error"]
            _LOG.warning("%s", infinite_warning(first, len(pop), self.n_answered))
        self._n_infinite += len(pop)


def _no_display(algorithm: Algorithm) -> None:
    """Show nothing."""
