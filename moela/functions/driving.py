"""Driving one run of `moela.minimize`: evaluated designs, callbacks, interrupts, and its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import TerminateIfAny, Termination
from pymoo.termination.max_eval import MaximumFunctionCallTermination

from moela.asynchronous import loop
from moela.asynchronous.evaluator import ArrivalEvaluator
from moela.evaluation.evaluator import Evaluator
from moela.evaluation.interrupts import Interrupts
from moela.evaluation.runners.outcome import OK, EvaluationError
from moela.evaluation.termination import ElapsedTime
from moela.functions.failures import all_failed, in_words
from moela.functions.known import is_known
from moela.functions.model.function_problem import FunctionProblem
from moela.functions.results.evaluations import evaluated
from moela.functions.results.result import BY_INTERRUPT, MinimizeResult
from moela.quality.words import amount, of_kind

Callback: TypeAlias = "Callable[[MinimizeResult], object]"

# Designs of a batch that a vectorized function gets at once; no batch is larger.
_WHOLE = 1_000_000


class RunSoFar:
    """The evaluated designs of a run so far, and whether a callback has stopped it."""

    def __init__(
        self,
        problem: Problem,
        callback: Callback | None,
        all_failed: int,
        known: Sequence[Individual] = (),
    ) -> None:
        self.problem, self.callback, self.all_failed = problem, callback, all_failed
        self.known = list(known)  # results that were given
        self.individuals: list[Individual] = []
        self.n_ok = 0
        self.stopped = False
        self.failure: EvaluationError | None = None  # if all have failed

    @property
    def n(self) -> int:
        """Number of evaluated designs."""
        return len(self.individuals)

    def keep(self, batch: Population) -> None:
        """Add an evaluated batch, and call the user's callback."""
        new = [ind for ind in evaluated(batch) if not (self.known and is_known(ind))]
        self.individuals += new
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
    going = True
    with evaluator:
        while going and algorithm.has_next():
            try:
                if isinstance(evaluator, ArrivalEvaluator):
                    going = loop.run(algorithm, evaluator, lambda: run.stopped)
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
    return None


def chunk_size(problem: Problem, n_jobs: int | None) -> int | Literal["auto"]:
    """Return how many designs a function gets at a time: all of a batch if it takes batches."""
    alone = n_jobs in (None, 1)
    return (
        _WHOLE if isinstance(problem, FunctionProblem) and problem.vectorized and alone else "auto"
    )


def termination_of(budget: int | None, limit: float | None) -> Termination:
    """Return the end of a run: after `budget` evaluations, or after `limit` seconds."""
    criteria: list[Termination] = []
    if budget is not None:
        criteria.append(MaximumFunctionCallTermination(budget))
    if limit is not None:
        criteria.append(ElapsedTime(limit))
    return criteria[0] if len(criteria) == 1 else TerminateIfAny(*criteria)
