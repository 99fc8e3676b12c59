"""What MOELA and its rivals share: budget, operators, archive, and state that can be copied."""

from __future__ import annotations

import copy
import inspect
import logging
from typing import Any

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.result import Result
from pymoo.util.display.multi import MultiObjectiveOutput

from moela._arrays import Bools, Floats
from moela._checks import require
from moela.core.archive import Archive
from moela.core.duplicates import Seen
from moela.core.operators import Operators, resolve
from moela.core.warm_start import first_designs, is_sampling
from moela.evaluation.runners.outcome import failed
from moela.evaluation.termination import evaluation_budget

_LOG = logging.getLogger(__name__)

_RUN_STATE = (
    "archive", "data", "display", "history", "is_initialized", "n_iter", "off", "opt", "pop",
    "start_time", "termination",
)  # fmt: skip


class ArchiveAlgorithm(Algorithm):
    """A pymoo algorithm whose result is the archive of everything that it evaluated.

    Subclasses say what to ask (`_ask`) and what to do with the answers (`_answer`). Asking and
    telling may be apart: answers are recognized by what rides on the individuals, so they may come
    in any order and some may never come. The state holds arrays, individuals, a numpy Generator
    and scikit-learn models, so that it can be copied and pickled between any ask and tell.

    Parameters
    ----------
    n_init : int
        Designs sampled to begin with.
    sampling : optional
        Where they come from: a pymoo Sampling; designs as an array [n, n_var] or a list,
        dictionaries for mixed variables; a Population, the Result of an earlier run, an
        `EvaluationStore` or its path, of which the front is taken; a design that the problem can
        `encode()`. Designs that come evaluated cost nothing. Where there are fewer than `n_init`,
        the rest is drawn. Default: the problem's own, else random by variable type.
    crossover, mutation, repair : pymoo operators, optional
        Default: the problem's own (`problem.operators()`), else by variable type.
    archive_size : int or None
        Bound on the archive; None keeps every non-dominated design.
    **kwargs
        Of pymoo's `Algorithm`.
    """

    def __init__(
        self,
        *,
        n_init: int,
        sampling: Any = None,
        crossover: Any = None,
        mutation: Any = None,
        repair: Any = None,
        archive_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        # pymoo swallows what it does not know, and a misspelt setting would go unnoticed.
        known = set(inspect.signature(Algorithm.__init__).parameters) - {"self", "kwargs"}
        unknown = sorted(set(kwargs) - known)
        if unknown:
            raise TypeError(
                f"{type(self).__name__} got unknown settings: {', '.join(unknown)}. Besides "
                "its own it takes sampling, crossover, mutation, repair, archive_size and pymoo's "
                f"{', '.join(sorted(known))}."
            )
        kwargs.setdefault("output", MultiObjectiveOutput())
        super().__init__(**kwargs)
        self.termination: Any
        name = type(self).__name__
        require(name, "n_init", n_init, n_init >= 2, "an integer of at least 2")
        self.n_init = int(n_init)
        self.archive_size = archive_size
        # What a run changes, as it is before any.
        self._before_run = copy.deepcopy({key: getattr(self, key) for key in _RUN_STATE})
        self._given = {
            "sampling": sampling,
            "crossover": crossover,
            "mutation": mutation,
            "repair": repair,
        }

    # The problem is not state, and fitted estimators are only ever replaced: histories and
    # checkpoints need no copy of them every time.
    _shared_by_copies: tuple[str, ...] = ("problem",)
    # The attributes that say which algorithm this is, for its signature; known from the setup on.
    _setting_names: frozenset[str] | None = None

    # ------------------------------------------------------------------ what a subclass fills in

    def _begin(self) -> None:
        """Make the state of a fresh run; `self.operators` and `self.front` are there already."""

    def _ask(self) -> Population:
        """Return designs to evaluate, at least one, with their origin set on each individual."""
        raise NotImplementedError

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        """Take in evaluated designs [b]; `accepted` says which entered the archive."""

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        """Take in the first designs; by default like any others."""
        self._answer(pop, F, CV, accepted)

    # ------------------------------------------------------------------------ pymoo's interface

    def setup(self, problem: Problem, **kwargs: Any) -> ArchiveAlgorithm:
        """Begin a fresh run on a problem, also where this object has been through one already."""
        if self._setting_names is None:
            # What is set from here on is state of the run.
            self._setting_names = frozenset([*vars(self), "operators"])
        if self.problem is not None:
            self.__dict__.update(copy.deepcopy(self._before_run))
            self.evaluator.n_eval = 0
        elif self.termination is not None:
            # pymoo writes into the object that it is given, and that one is the caller's.
            self.termination = copy.deepcopy(self.termination)
        super().setup(problem, **kwargs)
        return self

    def _setup(self, problem: Problem, **kwargs: Any) -> None:
        if problem.n_obj < 2:
            raise ValueError(
                f"{type(self).__name__} needs a problem with at least 2 objectives. "
                f"{type(problem).__name__} has n_obj = {problem.n_obj}; use a single-objective "
                "algorithm for it."
            )
        self.operators: Operators = resolve(problem, **self._given)
        self.front = Archive(problem.n_obj, self.archive_size)
        self.seen = Seen(problem)
        self.n_answered = 0
        self._begin()

    def _initialize_infill(self) -> Population:
        return self._within_budget(self._sample())

    def _initialize_advance(self, infills: Population | None = None, **kwargs: Any) -> None:
        pop, F, CV, accepted = self._take(infills)
        if len(self.front) == 0:
            raise ValueError(
                f"Every one of the {self.n_answered} initial designs failed. Check the problem and "
                "its sampling."
            )
        self._answer_initial(pop, F, CV, accepted)

    def _infill(self) -> Population:
        return self._within_budget(self._ask())

    def _advance(self, infills: Population | None = None, **kwargs: Any) -> None:
        self._answer(*self._take(infills))

    def _set_optimum(self) -> None:
        self.pop = self.opt = self.front.pop

    def _finalize(self) -> None:
        if len(self.front) and not self.front.feasible:
            _LOG.warning("%s found %s.", type(self).__name__, self.status)

    def _post_advance(self) -> None:
        super()._post_advance()
        # Under ask and tell the evaluator may be somebody else's, and then only we have counted.
        budget = evaluation_budget(self.termination)
        if budget is not None and self.n_answered >= budget:
            self.termination.terminate()
            self.termination.update(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> ArchiveAlgorithm:
        for name in self._shared_by_copies:
            shared = getattr(self, name, None)
            memo[id(shared)] = shared
        copied = self.__class__.__new__(self.__class__)
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def result(self) -> Result:
        """Return pymoo's Result, with the `status` of the run on it.

        Where nothing feasible was found, pymoo's `X` and `F` are None, or with
        ``return_least_infeasible=True`` the non-dominated designs among those of least violation.
        They are on ``result.pop`` either way.
        """
        found = super().result()
        found.status = self.status
        return found

    # --------------------------------------------------------------------------------- the rest

    @property
    def status(self) -> str:
        """What the run has found so far, in words; says so where nothing is feasible."""
        if not self.is_initialized or len(self.front) == 0:
            return "nothing evaluated yet"
        n = f"{len(self.front)} non-dominated design{'s' if len(self.front) > 1 else ''}"
        if self.front.feasible:
            return f"{n} after {self.n_eval:,} evaluations"
        return (
            f"no feasible design after {self.n_eval:,} evaluations; {n} with the least constraint "
            f"violation, {self.front.CV[0]:.4g}"
        )

    @property
    def n_eval(self) -> int:
        """Evaluations so far, by the evaluator's count or by ours where it was not used."""
        if not self.is_initialized:
            # An evaluator that has served another run starts counting anew with the first batch.
            return self.n_answered
        return max(int(self.evaluator.n_eval), self.n_answered)

    def _within_budget(self, pop: Population) -> Population:
        budget = evaluation_budget(self.termination)
        if budget is None:
            return pop
        # Designs that come evaluated, from an earlier front, cost nothing.
        cost = np.cumsum([not ind.get("given") for ind in pop])
        return pop[cost <= budget - self.n_eval]

    def _sample(self) -> Population:
        pop = first_designs(self.problem, self.operators.sampling)
        if pop is None:
            pop = self._draw(self.operators.sampling, self.n_init)
        elif len(pop) < self.n_init:
            # A few designs are a place to begin, but nothing to recombine.
            pop = Population.merge(pop, self._draw(self._sampler(), self.n_init - len(pop)))
        fresh = np.array([len(ind.evaluated) == 0 for ind in pop], dtype=bool)
        if fresh.any():
            pop[fresh] = self.operators.repair(
                self.problem, pop[fresh], random_state=self.random_state
            )
        pop.set("part", "initial")
        pop.set("given", (~fresh).tolist())
        pop = pop[self.seen.claim(pop.get("X"))]
        return pop

    def _sampler(self) -> Any:
        """Return what draws designs, also where the first ones were given."""
        if is_sampling(self.operators.sampling):
            return self.operators.sampling
        return resolve(self.problem, **{**self._given, "sampling": None}).sampling

    def _drawn_anew(self) -> Population:
        """Draw as many designs as to begin with; only new ones come, and at least two, or none."""
        pop = self._draw(self._sampler(), self.n_init)
        pop = self.operators.repair(self.problem, pop, random_state=self.random_state)
        pop.set("part", "initial")
        pop = pop[self.seen.claim(pop.get("X"))]
        return pop if len(pop) > 1 else Population.empty()

    def _draw(self, sampling: Any, n: int) -> Population:
        drawn: Population = sampling(self.problem, n, random_state=self.random_state)
        return drawn

    def _take(self, infills: Population | None) -> tuple[Population, Floats, Floats, Bools]:
        """Check answers, count them, drop failed evaluations and archive the rest."""
        if infills is None:
            raise ValueError(
                f"{type(self).__name__}.tell() needs the evaluated population: "
                "algorithm.tell(infills=pop). Got None instead."
            )
        self.n_answered += sum(not ind.get("given") for ind in infills)
        pop = infills[~failed(infills)]
        if len(pop) == 0:
            empty = np.empty((0, self.problem.n_obj))
            return pop, empty, np.empty(0), np.empty(0, dtype=bool)
        F = self._objectives(pop)
        CV = self._violations(pop)
        return pop, F, CV, self.front.add(pop, F, CV)

    def _objectives(self, pop: Population) -> Floats:
        try:
            F = np.array([ind.F for ind in pop], dtype=float)
        except ValueError:
            F = np.empty(0)
        expected = (len(pop), self.problem.n_obj)
        if F.shape != expected:
            raise ValueError(
                f"Every told design must have {self.problem.n_obj} objectives, F of shape "
                f"{expected}. Got {[np.shape(ind.F) for ind in pop[:3]]} for the first ones; "
                "evaluate the population before tell()."
            )
        bad = np.argwhere(~np.isfinite(F))
        if len(bad):
            row, column = (int(v) for v in bad[0])
            raise ValueError(
                f"Objectives must be finite. Got F[{column}] = {F[row, column]} for the design "
                f"X = {pop[row].X}; mend the problem, or set such designs aside with "
                "evaluator=moela.Evaluator(on_error='infeasible')."
            )
        return F

    def _violations(self, pop: Population) -> Floats:
        if not self.problem.has_constraints():
            return np.zeros(len(pop))
        CV = np.maximum(np.array([ind.CV[0] for ind in pop], dtype=float), 0.0)
        if np.isnan(CV).any():
            row = int(np.flatnonzero(np.isnan(CV))[0])
            raise ValueError(
                f"Constraints must not be NaN. Got G = {pop[row].G}, H = {pop[row].H} for the "
                f"design X = {pop[row].X}; mend the problem."
            )
        return CV
