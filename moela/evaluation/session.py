"""The handles that an evaluator keeps open for a run: workers, store, progress bar, clock."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.problem import Problem

from moela._arrays import Floats
from moela.evaluation.interrupts import Interrupts
from moela.evaluation.known import Known, StoredAnswers
from moela.evaluation.optimum import repeat_selections
from moela.evaluation.progress import Progress
from moela.evaluation.runners.backends import make_runner
from moela.evaluation.runners.call import ProblemCall
from moela.evaluation.runners.joblib import configured
from moela.evaluation.runners.outcome import OK, Outcome
from moela.evaluation.runners.runner import CLOSED, Runner
from moela.evaluation.runners.violation import violation
from moela.evaluation.runs.open_run import OpenRun
from moela.evaluation.storage.schema import planned_of
from moela.evaluation.termination import evaluation_budget

# The listing of runs need not be more recent than this.
_NOTE_SECONDS = 1.0


def is_dynamic(problem: Problem) -> bool:
    """Return whether a problem changes with time, as pymoo's dynamic problems do."""
    return callable(getattr(problem, "tic", None))


def refuse_dynamic(problem: Problem) -> None:
    """Raise a ValueError if a problem changes with time, so that known designs may not answer."""
    if is_dynamic(problem):
        raise ValueError(
            f"{type(problem).__name__} changes with time, so a known design may have other "
            "values now. Use Evaluator(dedupe=False)."
        )


class Session:
    """The handles for one problem in one process; they are never copied or pickled."""

    def __init__(
        self, problem: Problem, algorithm: Algorithm | None, interrupts: Interrupts | None = None
    ):
        self.problem = problem
        self.answers: StoredAnswers | None = None  # with a store
        self.opened: OpenRun | None = None  # the run of those answers
        self.bar: Progress | None = None  # if it is shown
        self._interrupts = None if algorithm is None else interrupts
        if self._interrupts is not None:
            self._interrupts.__enter__()
        self._algorithm = None if algorithm is None else weakref.ref(algorithm)
        if algorithm is not None:
            repeat_selections(algorithm)
        self._began = time.monotonic()
        self._pid = os.getpid()
        self._runner: Runner | None = None
        self._configuration: object = None
        self._noted = float("-inf")
        self._closed = False

    @property
    def inherited(self) -> bool:
        """Whether the session belongs to the process from which this one was forked."""
        return self._pid != os.getpid()

    @property
    def seconds(self) -> float:
        """Seconds since the session began."""
        return time.monotonic() - self._began

    @property
    def algorithm(self) -> Algorithm | None:
        """The algorithm of the run, if there is one and it still exists."""
        return None if self._algorithm is None else self._algorithm()

    @property
    def store_failed(self) -> bool:
        """Whether the store was deleted or damaged, or cannot be written any more."""
        return self.answers is not None and self.answers.journal.failed

    def is_over(self) -> bool:
        """Return whether the algorithm has terminated or is gone."""
        algorithm = self.algorithm
        return algorithm is None or algorithm.termination.has_terminated()

    def budget(self, algorithm: Algorithm | None) -> int | None:
        """Return the number of evaluations at which the run ends, if its termination says so.

        An algorithm inside the one of the session does not decide that.
        """
        same = self._algorithm is not None and self._algorithm() is algorithm
        return evaluation_budget(algorithm.termination) if algorithm is not None and same else None

    def planned(self, algorithm: Algorithm) -> int | None:
        """Return the budget with which the run began, as its store recorded it.

        A resumed run may have a larger one now.
        """
        if self.opened is not None and algorithm is self.algorithm:
            return planned_of(self.opened.run)
        return evaluation_budget(algorithm.termination)

    def runner(
        self, call: ProblemCall, backend: str | None, n_jobs: int | None, timeout: float | None
    ) -> Runner:
        """Return the runner; a new one if the configuration of joblib or the problem changed."""
        if self._closed:  # by a signal handler, since this batch began
            raise RuntimeError(CLOSED)
        configuration = configured()
        changes = getattr(call.problem, "requires_kwargs", False) or is_dynamic(call.problem)
        if self._runner is None or self._configuration != configuration or changes:
            if self._runner is not None:
                self._runner.close()
            self._configuration = configuration
            self._runner = make_runner(call, backend, n_jobs, timeout)
            if self._closed:
                self._runner.close()
                raise RuntimeError(CLOSED)
        return self._runner

    def note(self, n_eval: int, elapsed: float, budget: int | None, *, last: bool) -> None:
        """Write the progress of the run into the store, unless that was done just before."""
        now = time.monotonic()
        if self.answers is not None and (last or now - self._noted >= _NOTE_SECONDS):
            self._noted = now
            run, journal = self.answers.run, self.answers.journal
            journal.note_progress(run.id, n_eval, elapsed, budget)
            if last:
                journal.flush(last=True)

    def show(self, outcomes: Sequence[Outcome]) -> None:
        """Show computed outcomes as progress."""
        if self.bar is not None:
            n_failed = sum(outcome.status != OK for outcome in outcomes)
            self.bar.add(len(outcomes), _feasible(outcomes), n_failed)

    def show_known(self, known: Known, budget: int | None) -> None:
        """Show known answers as progress towards a budget."""
        if self.bar is not None:
            self.bar.total(budget)
            outcomes = [outcome for outcome in known.outcomes if outcome is not None]
            self.bar.known(len(outcomes), _feasible(outcomes), known.n_replayed)

    def show_total(self, n_eval: int) -> None:
        """Show how many designs were answered, those that a batch repeats included."""
        if self.bar is not None:
            self.bar.answered(n_eval)

    @property
    def stopped(self) -> bool:
        """Whether Ctrl-C has asked for the end of the run."""
        return self._interrupts is not None and self._interrupts.stopped

    @contextmanager
    def working(self) -> Iterator[None]:
        """Mark the time in which evaluations are in progress, for signals and signs of life."""
        parts = [part for part in (self._interrupts, self.bar) if part is not None]
        before = [part.busy for part in parts]
        for part in parts:
            part.busy = True
        try:
            yield
        finally:
            for part, busy in zip(parts, before, strict=True):
                part.busy = busy

    def terminate(self, algorithm: Algorithm | None) -> None:
        """End the algorithm of the run, and the one inside it that has just evaluated."""
        for each in (self.algorithm, algorithm):
            if each is not None:
                each.termination.terminate()

    def close(self) -> None:
        """End workers, progress bar and connection."""
        if self.inherited:
            return
        self._closed = True
        if self._interrupts is not None:
            self._interrupts.__exit__()
        if self.bar is not None:
            self.bar.close()
        if self._runner is not None:
            self._runner.close()
        if self.answers is not None:
            self.answers.journal.close()


def _feasible(outcomes: Sequence[Outcome]) -> Floats:
    """Return the objectives [k, n_obj] of the feasible outcomes."""
    return np.array(
        [
            outcome.values["F"]
            for outcome in outcomes
            if outcome.status == OK
            and violation(outcome.values.get("G"), outcome.values.get("H")) <= 0
        ]
    )
