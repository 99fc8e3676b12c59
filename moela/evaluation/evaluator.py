"""A pymoo Evaluator that evaluates in parallel, records results, and resumes interrupted runs."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator as PymooEvaluator
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._checks import instance
from moela.evaluation import progress
from moela.evaluation.answering import Answering
from moela.evaluation.batch import unevaluated
from moela.evaluation.checks import check_budget, check_problem
from moela.evaluation.interrupts import Interrupts, store_advice
from moela.evaluation.one_thread import OneThread
from moela.evaluation.optimum import leave_out_failures
from moela.evaluation.run_state import RunState, StoreEntry, token_of
from moela.evaluation.runners.backends import check_backend
from moela.evaluation.runners.call import ProblemCall
from moela.evaluation.runners.outcome import SKIPPED
from moela.evaluation.runners.runner import VECTORIZED_CHUNK, Runner
from moela.evaluation.runs.open_run import sign
from moela.evaluation.session import Session, refuse_dynamic
from moela.evaluation.settings import check_name, check_settings
from moela.files import descriptors
from moela.quality.durations import Duration, seconds


class Evaluator(PymooEvaluator):
    """Evaluate designs in parallel, record each one, and resume interrupted runs.

    Pass it to any pymoo algorithm: ``minimize(problem, NSGA2(), ("n_eval", 20_000), seed=1,
    evaluator=Evaluator(n_jobs=-1, store="run.db"))``. After a crash make the same call again:
    results already in the store are reused, and the run continues exactly where it stopped, bit for
    bit. The number of evaluations that the termination allows is never exceeded.

    Parameters
    ----------
    n_jobs : int, optional
        Workers; -1 means one per core. Default: that of ``joblib.parallel_config``, else 1.
    backend : str, optional
        ``"processes"`` (supervised; the default for more than one job or with a timeout),
        ``"threads"``, ``"serial"``, ``"loky"``, ``"dask"`` (on the existing client), ``"ray"``, or
        any name registered with joblib. A surrounding ``joblib.parallel_config`` is honored.
    chunk_size : "auto" or int
        Rows that are evaluated together. Auto is 1 for an elementwise problem and 16 for a
        vectorized one for any number of workers, since the last bits of a row may depend on the
        other rows of its chunk.
    store : str or Path, optional
        SQLite file in which every evaluation is recorded as it ends.
    on_error : {"raise", "infeasible"}
        Whether a failed evaluation raises an :class:`EvaluationError` with the design and the
        traceback of the worker, or becomes an infeasible individual that is never the best. A
        design with an infinite objective becomes one either way, with one warning a run.
    retries : int
        How often a failed evaluation is tried again first. If a worker dies, its design is retried
        twice regardless of this setting.
    timeout : float, str or timedelta, optional
        Time per design (seconds, "90s", "2h"), after which an evaluation is killed with every
        process that it started, except those that left its process group (``os.setsid``); on
        Windows, only the worker is killed. Needs supervised processes. Only a timeout ends an
        evaluation that hangs or that has been stopped (``SIGSTOP``).
    dedupe : bool
        Whether known designs are answered from memory or store. They count towards ``n_eval`` like
        any other. Use False for noisy measurements.
    retry_failed : bool
        Whether failures in the store are tried again when a run is resumed. With
        ``on_error="raise"`` they always are.
    on_mismatch : {"raise", "new"}
        Whether to raise or begin a new run if the store holds runs, but none of this problem,
        algorithm and seed.
    on_interrupt : {"raise", "finish"}
        With "finish", Ctrl-C ends the run after the batch in hand, and pymoo's ``minimize`` returns
        the result so far. A second Ctrl-C raises KeyboardInterrupt. Only in the main thread.
    recheck : bool
        Whether the cheapest old design is evaluated again and compared when a run is resumed. That
        does not count towards ``n_eval``.
    inner_max_num_threads : int or None
        BLAS and OpenMP threads in each evaluation, the same for every ``n_jobs``, since another
        number may change the last bits; None leaves it to the libraries.
    progress : bool, optional
        Progress bar. By default one is shown on a terminal and in a notebook; elsewhere, the logger
        "moela.progress" gets a line a minute at level INFO. False shows neither.
    callback : callable, optional
        Called with the population after each batch, as in pymoo.

    Attributes
    ----------
    n_eval : int
        Designs answered, whether computed or known.
    n_fresh : int
        Designs computed by this object.
    n_failed : int
        Answers that were failures.
    interrupted : bool
        Whether Ctrl-C has ended the run, with ``on_interrupt="finish"``.
    elapsed : float
        Seconds that the run has been running, including earlier processes that made a part of it.

    Raises
    ------
    ValueError
        A parameter is out of its range, or the backend cannot end evaluations after a timeout.
    StoreError
        The store cannot be used; the message says why.
    EvaluationError
        An evaluation failed and ``on_error="raise"``.
    RuntimeError
        Two threads use the object at once, or a second run begins in another thread before the
        first has ended. Make one Evaluator for each run; several may share a store file.

    Examples
    --------
    >>> from pymoo.algorithms.moo.nsga2 import NSGA2
    >>> from pymoo.optimize import minimize
    >>> from pymoo.problems import get_problem
    >>> from moela import Evaluator
    >>> evaluator = Evaluator(n_jobs=2, backend="threads", on_error="infeasible", progress=False)
    >>> res = minimize(get_problem("zdt1"), NSGA2(20), ("n_eval", 200), seed=1, evaluator=evaluator)
    >>> evaluator.n_eval, evaluator.n_failed
    (200, 0)
    """

    # Whether the store keeps designs in the order in which their evaluations end.
    by_arrival = False
    # Whether a design that the run has answered before counts as an evaluation once more.
    counts_repeats = True
    # Whether a stored run keeps to its chunk size, on which last bits may depend.
    keeps_chunks = True
    # Seconds of running after which no further evaluation of a batch begins, wherever possible.
    time_limit: float | None = None

    def __init__(
        self,
        n_jobs: int | None = None,
        backend: str | None = None,
        chunk_size: int | Literal["auto"] = "auto",
        store: str | os.PathLike[str] | None = None,
        on_error: Literal["raise", "infeasible"] = "raise",
        retries: int = 0,
        timeout: Duration | None = None,
        dedupe: bool = True,
        *,
        retry_failed: bool = False,
        on_mismatch: Literal["raise", "new"] = "raise",
        on_interrupt: Literal["raise", "finish"] = "raise",
        recheck: bool = True,
        inner_max_num_threads: int | None = 1,
        progress: bool | None = None,
        callback: Callable[[Population], None] | None = None,
    ):
        super().__init__(callback=callback)
        self.n_jobs = n_jobs
        self.chunk_size = chunk_size
        check_name("Evaluator", store)
        self.store = None if store is None else Path(store).expanduser().absolute()
        self.on_error = on_error
        self.retries = retries
        self.timeout = seconds("timeout", timeout, "Evaluator")
        self.dedupe = dedupe
        self.retry_failed = retry_failed
        self.on_mismatch = on_mismatch
        self.on_interrupt = on_interrupt
        self.recheck = recheck
        self.inner_max_num_threads = inner_max_num_threads
        self.progress = progress
        check_settings(self.__dict__)
        self.backend = check_backend(backend, self.timeout)
        self._session: Session | None = None
        self._problem: weakref.ref[Problem] | None = None  # of the last session
        self._one_thread = OneThread()
        self.interrupts: Interrupts | None = None  # of a caller that treats Ctrl-C itself
        self._aborted = False
        self._begun = False
        self._copied = False
        self._reset(None)

    def _reset(self, token: object) -> None:
        self.n_eval = self.n_fresh = self.n_failed = 0
        self.interrupted = False
        self._run = RunState(token)

    def eval(
        self,
        problem: Problem,
        pop: Population | Individual,
        skip_already_evaluated: bool | None = None,
        evaluate_values_of: Sequence[str] | None = None,
        count_evals: bool = True,
        **kwargs: object,
    ) -> Population | Individual:
        """Evaluate a population or an individual in place and return it.

        Parameters are those of pymoo's ``Evaluator.eval``. Individuals beyond the evaluations that
        the termination of the algorithm still allows are skipped: infeasible, with
        ``get("status") == "skipped"``.
        """
        names = list(self.evaluate_values_of if evaluate_values_of is None else evaluate_values_of)
        with self._one_thread:
            self._check_thread(kwargs.get("algorithm"))
            individuals = [pop] if isinstance(pop, Individual) else pop
            todo = unevaluated(self, pop, skip_already_evaluated, names)
            self._evaluate(problem, individuals, todo, names, count_evals, kwargs)
        if self.callback:
            self.callback(Population.create(pop) if isinstance(pop, Individual) else pop)
        return pop

    def _evaluate(
        self,
        problem: Problem,
        individuals: Iterable[Individual],
        todo: list[Individual],
        names: list[str],
        count_evals: bool,
        kwargs: dict[str, object],
    ) -> None:
        """Evaluate those of the individuals that are due, and mark what has failed among all."""
        algorithm = kwargs.get("algorithm")
        try:
            session = self._attach(problem, algorithm)
            marks = self._run.marks
            assert marks is not None
            budget = session.budget(algorithm)
            room, n = len(todo), 0
            if count_evals and budget is not None:
                room = max(0, budget - self.n_eval)
            counted = not self.counts_repeats and count_evals
            keys = self._run.keys(problem, todo) if counted else []
            room = self._run.reach(keys, room) if keys else room
            if session.stopped:  # by Ctrl-C, after the batch before
                room = 0
            for ind in todo[room:]:
                marks.put_on(ind, SKIPPED)
            todo = todo[:room]
            if todo:
                n = self._answering(session).answer(todo, names, kwargs, budget)
            if keys:
                n, n_failed = self._run.repeats(keys, todo, n)
                self.n_failed -= n_failed
            marks.update(individuals, algorithm)
            if marks.in_use and algorithm is not None:
                leave_out_failures(algorithm, marks)
            if count_evals:
                self.n_eval += n
            session.show_total(self.n_eval)
            over = budget is not None and self.n_eval >= budget
            if session.stopped:
                self.interrupted = not over
                session.terminate(algorithm)
                over = algorithm is session.algorithm  # one inside it may not know yet
            session.note(self.n_eval, self.elapsed, budget, last=over)
        except BaseException as error:
            if descriptors.reached(error):
                error.add_note(descriptors.ADVICE)
            self._aborted = True
            self.close()
            raise
        self._aborted = False
        if over:
            self.close()

    def planned(self, problem: Problem, algorithm: Algorithm) -> int | None:
        """Return the budget with which the run of an algorithm began; None if it had none."""
        with self._one_thread:
            self._check_thread(algorithm)
            return self._attach(problem, algorithm).planned(algorithm)

    def close(self) -> None:
        """Release workers, progress bar and connection; they are opened again when needed."""
        self._one_thread.check_close()
        session, self._session = self._session, None
        if session is not None:
            self._run.elapsed += session.seconds
            session.close()

    def __repr__(self) -> str:
        store = "" if self.store is None else f", store={str(self.store)!r}"
        counts = f"{self.n_eval:,} evaluations, {self.n_fresh:,} computed, {self.n_failed:,} failed"
        return f"Evaluator(n_jobs={self.n_jobs}{store}): {counts}"

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def elapsed(self) -> float:
        """Seconds that the run has been running, without the time between its processes."""
        session = self._session  # another thread may close it
        return self._run.elapsed + (0.0 if session is None else session.seconds)

    def __getstate__(self) -> dict[str, object]:
        run = replace(self._run, elapsed=self.elapsed)
        left_out = dict.fromkeys(("_session", "_problem", "interrupts"))
        return {**self.__dict__, **left_out, "_run": run, "_copied": True}

    def _check_thread(self, algorithm: Algorithm | None) -> None:
        """Raise RuntimeError if this call belongs to a second run, in another thread."""
        session, first = self._session, None
        if session is not None and not (session.inherited or self._aborted or session.is_over()):
            first = session.algorithm
        inside = algorithm is not None and token_of(algorithm) != self._run.token
        self._one_thread.check_run(first, inside=inside)

    def _attach(self, problem: Problem, algorithm: Algorithm | None) -> Session:
        """Return a session for the run of this algorithm in this process."""
        instance("Evaluator.eval", "problem", problem)
        if self._session is not None and self._session.inherited:
            self._session = None
        token = token_of(algorithm)
        starts = algorithm is not None and not algorithm.is_initialized and token != self._run.token
        # Until the last run has ended, a new algorithm is a part of it, such as a local search.
        over = self._session is None or self._aborted or self._session.is_over()
        if not self._begun or (starts and over):
            self.close()
            self._reset(token)
            self._begun = True
        if self._session is None or self._session.problem is not problem:
            self._session = self._bind(problem, algorithm)
        return self._session

    def _bind(self, problem: Problem, algorithm: Algorithm | None) -> Session:
        check_problem("Evaluator.eval", problem)
        check_budget(getattr(algorithm, "termination", None))
        run, signed = self._run, sign(problem)
        same_run = run.token is not None and run.token == token_of(algorithm)
        copied, self._copied = self._copied and same_run, False
        # What the problem has changed in itself is no change of the problem.
        same = copied or (self._problem is not None and self._problem() is problem)
        self._problem = weakref.ref(problem)
        if self.dedupe:
            refuse_dynamic(problem)
        run.bind(problem, signed, same=same, copied=copied)
        self.close()
        self._session = session = Session(problem, algorithm, self._session_interrupts())
        if self.store is not None:
            entry = StoreEntry(self, run, session, self._chunk(problem), self._runner)
            try:
                entry.enter(self.store, signed, algorithm)
            except BaseException:
                self.close()  # else Ctrl-C would stay with a run that has never begun
                raise
        ref_point = getattr(problem, "ref_point", None)
        budget = session.budget(algorithm)
        session.bar = progress.begin(self.progress, budget, self.n_eval, ref_point)
        return session

    def _session_interrupts(self) -> Interrupts | None:
        """Return how Ctrl-C is treated in a session; None leaves it alone."""
        if self.on_interrupt == "raise" or self.interrupts is not None:
            return self.interrupts
        advice = "To be able to go on, pass Evaluator(store='run.db') next time."
        return Interrupts(advice if self.store is None else store_advice(self.store), busy=False)

    def _chunk(self, problem: Problem) -> int:
        if self.chunk_size != "auto":
            return int(self.chunk_size)
        return 1 if problem.elementwise else VECTORIZED_CHUNK

    def _runner(self, session: Session, kwargs: dict[str, object]) -> Runner:
        problem = session.problem
        passed = kwargs if getattr(problem, "requires_kwargs", False) else {}
        call = ProblemCall(problem, self.retries, self.inner_max_num_threads, passed)
        return session.runner(call, self.backend, self.n_jobs, self.timeout)

    def _answering(self, session: Session) -> Answering:
        return Answering(self, self._run, session, self._chunk(session.problem), self._runner)
