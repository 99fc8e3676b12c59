"""Driving one run of `moela.minimize`: evaluated designs, callbacks, interrupts, and its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import TerminateIfAny, Termination
from pymoo.termination.max_eval import MaximumFunctionCallTermination

from moela._arrays import rows
from moela.asynchronous import loop
from moela.asynchronous.evaluator import ArrivalEvaluator
from moela.evaluation.evaluator import Evaluator
from moela.evaluation.interrupts import Interrupts
from moela.evaluation.run_state import REPEATED
from moela.evaluation.runners.outcome import FAILURES, OK, EvaluationError
from moela.evaluation.storage.keys import keys_of
from moela.evaluation.storage.reader import EvaluationStore
from moela.evaluation.termination import ElapsedTime, evaluation_budget
from moela.functions.failures import all_failed, in_words
from moela.functions.known import is_known
from moela.functions.model.function_problem import FunctionProblem
from moela.functions.results.evaluations import evaluated
from moela.functions.results.result import BY_INTERRUPT, MinimizeResult
from moela.functions.results.stored import individual_of
from moela.quality.words import amount, of_kind

Callback: TypeAlias = "Callable[[MinimizeResult], object]"

# Designs of a batch that a vectorized function gets at once; no batch is larger.
_WHOLE = 1_000_000
# A run ends after so many batches with so many designs of which none is new.
_MOST_REPEATED_BATCHES, _MOST_REPEATS = 20, 2000


class RunSoFar:
    """The evaluated designs of a run so far, and whether a callback has stopped it."""

    def __init__(
        self,
        problem: Problem,
        callback: Callback | None,
        all_failed: int,
        known: Sequence[Individual] = (),
        *,
        noisy: bool = False,
    ) -> None:
        self.problem, self.callback, self.all_failed = problem, callback, all_failed
        self.known = list(known)  # results that were given
        self.individuals: list[Individual] = []
        self.n_ok = 0
        self.stopped = False
        self.exhausted = False  # whether nothing new is left to evaluate, or is found any more
        # Designs of a noisy function may be evaluated again.
        finite = isinstance(problem, FunctionProblem) and not noisy
        self._size = problem.size if finite else None
        self._keys: set[bytes] = set()  # of all results, if the space is finite
        self._note(self.known)
        self._n_repeats = self._n_batches = 0  # since the last new design
        self.failure: EvaluationError | None = None  # if all have failed

    @property
    def n(self) -> int:
        """Number of evaluated designs."""
        return len(self.individuals)

    def keep(self, batch: Population) -> None:
        """Add an evaluated batch, and call the user's callback."""
        answered = [ind for ind in evaluated(batch) if not (self.known and is_known(ind))]
        new = [ind for ind in answered if not ind.data.get(REPEATED)]
        self.individuals += new
        self._look_for_end(new, len(answered))
        self.n_ok += sum(ind.data.get("status", OK) == OK for ind in new)
        if self.n_ok == 0 and self.n >= self.all_failed:
            self.failure = all_failed(self.problem, self.individuals)
            raise self.failure
        if self.callback is not None and new:
            answer = self.callback(self.result(None, f"{self.n:,} evaluations{self.beside}"))
            if answer is not None and not isinstance(answer, bool | np.bool_):
                raise TypeError(
                    "The 'callback' parameter of minimize must return True to end the run, or "
                    f"False or None to go on. Got {of_kind(answer)} instead."
                )
            self.stopped = bool(answer) or self.stopped

    def add_recorded(self, evaluator: Evaluator, budget: int | None) -> None:
        """Add what the store holds of a run that was stopped before the algorithm got it back.

        A resumed run gets its recorded evaluations back batch by batch. Without them, a result
        would hold less than that of the call before.
        """
        number = evaluator._run.id
        if evaluator.store is None or number is None:
            return
        with EvaluationStore(evaluator.store) as store:
            recorded = sorted(store.evaluations(number), key=lambda e: e.n)
        failures = () if evaluator.on_error == "infeasible" else FAILURES
        others = [individual_of(e, self.problem) for e in recorded if e.status not in failures]
        known = Counter(self._keys_of(self.individuals))
        for individual, key in zip(others, self._keys_of(others), strict=True):
            if known[key]:
                known[key] -= 1
            elif budget is None or self.n < budget:
                self.individuals.append(individual)

    def _keys_of(self, individuals: list[Individual]) -> list[bytes]:
        if not individuals:
            return []
        return keys_of(self.problem, rows([individual.X for individual in individuals]))

    def _note(self, individuals: Sequence[Individual]) -> None:
        """Remember the designs of a finite space that are known."""
        if self._size is not None and individuals:
            X = np.array([ind.X for ind in individuals])
            self._keys.update(keys_of(self.problem, X))

    def _look_for_end(self, new: Sequence[Individual], n_answered: int) -> None:
        """Decide whether anything new can still be expected, after a batch with these designs."""
        self._note(new)
        if new:
            self._n_repeats = self._n_batches = 0
        elif n_answered:
            self._n_repeats += n_answered
            self._n_batches += 1
        self.exhausted = (
            self._n_repeats > _MOST_REPEATS and self._n_batches > _MOST_REPEATED_BATCHES
        ) or (self._size is not None and len(self._keys) >= self._size)

    @property
    def beside(self) -> str:
        """How many results were given, to follow the number of evaluations in words."""
        return f", beside {amount(len(self.known), 'known result')}" if self.known else ""

    def result(self, solver: Algorithm | None, ending: str, advice: str = "") -> MinimizeResult:
        """Return the given results and the evaluated designs as a result."""
        individuals = [*self.known, *self.individuals]
        result = MinimizeResult(self.problem, individuals, solver, ending=ending, advice=advice)
        result.n_known = len(self.known)
        return result


def drive(
    algorithm: Algorithm, evaluator: Evaluator, run: RunSoFar, interrupts: Interrupts
) -> str | None:
    """Run the algorithm; return why it was stopped, or None if it came to its end."""
    stopped = _drive(algorithm, evaluator, run, interrupts)
    if stopped == BY_INTERRUPT:
        run.add_recorded(evaluator, evaluation_budget(algorithm.termination))
    return stopped


def _drive(
    algorithm: Algorithm, evaluator: Evaluator, run: RunSoFar, interrupts: Interrupts
) -> str | None:
    going = True
    with evaluator:
        while going and algorithm.has_next():
            try:
                if isinstance(evaluator, ArrivalEvaluator):
                    going = loop.run(algorithm, evaluator, lambda: run.stopped or run.exhausted)
                else:
                    algorithm.next()
            except EvaluationError as error:
                if error is run.failure:
                    raise
                if interrupts.stopped:  # a program that the user's Ctrl-C ended as well
                    return BY_INTERRUPT
                raise in_words(run.problem, error) from None
            if evaluator.interrupted or (interrupts.stopped and algorithm.has_next()):
                return BY_INTERRUPT
            if run.stopped and algorithm.has_next():
                return "stopped by the callback"
            if run.exhausted:
                break
    return None


def chunk_size(problem: Problem, n_jobs: int | None) -> int | Literal["auto"]:
    """Return how many designs a function gets at a time: all of a batch if it takes batches."""
    return _WHOLE if takes_batches(problem) and n_jobs in (None, 1) else "auto"


def takes_batches(problem: Problem) -> bool:
    """Return whether a problem is that of a function that takes batches."""
    return isinstance(problem, FunctionProblem) and problem.vectorized


def termination_of(budget: int | None, limit: float | None) -> Termination:
    """Return the end of a run: after `budget` evaluations, or after `limit` seconds."""
    criteria: list[Termination] = []
    if budget is not None:
        criteria.append(MaximumFunctionCallTermination(budget))
    if limit is not None:
        criteria.append(ElapsedTime(limit))
    return criteria[0] if len(criteria) == 1 else TerminateIfAny(*criteria)
