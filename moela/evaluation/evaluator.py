"""Evaluator: what any pymoo algorithm can be given so that a long run is fast and loses nothing."""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.core.evaluator import Evaluator as PymooEvaluator
from pymoo.core.individual import Individual, calc_cv
from pymoo.core.population import Population

from moela.evaluation import progress, run_identity
from moela.evaluation.known import Known, Memory, Recorded
from moela.evaluation.runners.outcome import FAILURES, OK, SKIPPED, Outcome, apply, failure, mark
from moela.evaluation.runners.runner import (
    VECTORIZED_CHUNK,
    Runner,
    check_backend,
    configured,
    make_jobs,
    make_runner,
)
from moela.evaluation.runners.supervisor import Job
from moela.evaluation.settings import check_settings
from moela.evaluation.storage.keys import keys_of
from moela.evaluation.storage.sqlite import StoreError
from moela.evaluation.termination import evaluation_budget
from moela.provenance.signature import differences, of_problem

logger = logging.getLogger("moela.evaluator")


@dataclass(slots=True)
class _Live:
    """Handles that live in this process only and are never copied or pickled."""

    problem: Any
    algorithm: Any  # a weak reference, or None
    recorded: Recorded | None
    since: float
    pid: int = field(default_factory=os.getpid)
    runner: Runner | None = None
    configuration: Any = None
    bar: progress.Progress | None = None
    noted: float = float("-inf")


class Evaluator(PymooEvaluator):
    """Evaluate designs in parallel, remember them, survive crashes, hangs and restarts.

    Pass it to any pymoo algorithm: ``minimize(problem, NSGA2(), ("n_eval", 20_000), seed=1,
    evaluator=Evaluator(n_jobs=-1, store="run.db"))``. After a crash make the same call again: the
    store answers what is already paid for and the run goes on as if nothing had happened, bit by
    bit. The number of evaluations that the termination allows is never exceeded.

    Parameters
    ----------
    n_jobs : int, optional
        Workers; -1 means one per core. Default: 1, or what ``joblib.parallel_config`` says.
    backend : str, optional
        ``"processes"`` (supervised; the default for more than one job or with a timeout),
        ``"threads"``, ``"serial"``, ``"loky"``, ``"dask"`` (on the existing client), ``"ray"``, or
        any name registered with joblib. A surrounding ``joblib.parallel_config`` is honored.
    chunk_size : "auto" or int
        Rows that are evaluated together. Auto is 1 for an elementwise problem and 16 for a
        vectorized one, whatever the number of workers, since the last bits of a row may depend on
        its neighbors.
    store : str or Path, optional
        SQLite file in which every evaluation is recorded as it ends.
    on_error : {"raise", "infeasible"}
        What a failed evaluation becomes: an :class:`EvaluationError` with the design and the
        traceback of the worker, or an infeasible individual that is never the best (see
        :func:`moela.evaluation.runners.outcome.mark`).
    retries : int
        How often a failed evaluation is tried again first. A worker that dies does not count: its
        evaluation is tried twice more in any case.
    timeout : float, optional
        Seconds per design after which an evaluation is ended, and every process it started with
        it. Needs supervised processes.
    dedupe : bool
        Whether a design that was seen before is answered from memory or store. It counts towards
        ``n_eval`` all the same. False for noisy measurements.
    retry_failed : bool
        Whether failures in the store are tried again when a run is resumed. With
        ``on_error="raise"`` they always are.
    on_mismatch : {"raise", "new"}
        What to do if the store holds runs, but none of this problem, algorithm and seed.
    recheck : bool
        Whether one old design, the cheapest, is evaluated again and compared when a run is resumed.
        That does not count towards ``n_eval``.
    inner_max_num_threads : int or None
        BLAS and OpenMP threads in each evaluation. The same for every ``n_jobs``, since more may
        change the last bits; None leaves it to the libraries.
    progress : bool, optional
        Progress bar; by default one where standard error is a terminal.
    callback : callable, optional
        Called with the population after each batch, as in pymoo.

    Attributes
    ----------
    n_eval : int
        Designs answered, computed or known.
    n_fresh : int
        Of these, computed in this object's life.
    n_failed : int
        Answers that were failures.
    elapsed : float
        Seconds that the run has been running, over all its lives.

    Raises
    ------
    ValueError
        A parameter is out of its range, or a timeout was asked of a backend that cannot keep it.
    StoreError
        The store cannot be used; the message says why.
    EvaluationError
        An evaluation failed and ``on_error="raise"``.

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

    def __init__(
        self,
        n_jobs: int | None = None,
        backend: str | None = None,
        chunk_size: int | str = "auto",
        store: str | os.PathLike[str] | None = None,
        on_error: str = "raise",
        retries: int = 0,
        timeout: float | None = None,
        dedupe: bool = True,
        *,
        retry_failed: bool = False,
        on_mismatch: str = "raise",
        recheck: bool = True,
        inner_max_num_threads: int | None = 1,
        progress: bool | None = None,
        callback: Callable[[Population], None] | None = None,
    ):
        super().__init__(callback=callback)
        check_settings(
            n_jobs=n_jobs,
            chunk_size=chunk_size,
            on_error=on_error,
            retries=retries,
            timeout=timeout,
            on_mismatch=on_mismatch,
            inner_max_num_threads=inner_max_num_threads,
            dedupe=dedupe,
            retry_failed=retry_failed,
            recheck=recheck,
            progress=progress,
        )
        self.n_jobs = n_jobs
        self.backend = check_backend(backend, timeout)
        self.chunk_size = chunk_size
        self.store = None if store is None else Path(store).expanduser().absolute()
        self.on_error = on_error
        self.retries = retries
        self.timeout = timeout
        self.dedupe = dedupe
        self.retry_failed = retry_failed
        self.on_mismatch = on_mismatch
        self.recheck = recheck
        self.inner_max_num_threads = inner_max_num_threads
        self.progress = progress
        self._live: _Live | None = None
        self._aborted = False
        self._begun = False
        self._copied = False
        self._reset(None)

    def _reset(self, token: Any) -> None:
        """Forget the run, for a new one; ``token`` recognizes its algorithm, copies included."""
        self.n_eval = self.n_fresh = self.n_failed = 0
        self._answered = 0
        self._batch = 0
        self._token = token
        self._signature: dict[str, Any] | None = None
        self._run_id: int | None = None
        self._memory = Memory()
        self._elapsed = 0.0

    # ---- pymoo's interface -----------------------------------------------------------------------

    def eval(
        self,
        problem: Any,
        pop: Any,
        skip_already_evaluated: bool | None = None,
        evaluate_values_of: Sequence[str] | None = None,
        count_evals: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Evaluate a population or an individual in place and return it.

        Parameters are those of pymoo's ``Evaluator.eval``. Individuals beyond the evaluations that
        the termination of the algorithm still allows are left without an answer: infeasible, with
        ``get("status") == "skipped"``.
        """
        names = list(self.evaluate_values_of if evaluate_values_of is None else evaluate_values_of)
        skip = (
            self.skip_already_evaluated
            if skip_already_evaluated is None
            else skip_already_evaluated
        )
        single = isinstance(pop, Individual)
        individuals = [pop] if single else list(pop)
        todo = [
            ind
            for ind in individuals
            if not skip or not all(name in ind.evaluated for name in names)
        ]
        try:
            self._attach(problem, kwargs.get("algorithm"))
            budget = self._budget(kwargs.get("algorithm"))
            if count_evals and budget is not None:
                room = max(0, budget - self.n_eval)
                for ind in todo[room:]:
                    mark(ind, SKIPPED, problem)
                todo = todo[:room]
            if todo:
                self._answer(problem, todo, names, kwargs, budget)
        except BaseException:
            self._aborted = True
            self.close()
            raise
        self._aborted = False
        if count_evals:
            self.n_eval += len(todo)
        self._note(budget)
        if self.callback:
            self.callback(Population.create(pop) if single else pop)
        return pop

    def close(self) -> None:
        """End workers, progress bar and connection; they come back if they are needed again."""
        live, self._live = self._live, None
        if live is None:
            return
        self._elapsed += time.monotonic() - live.since
        if live.pid != os.getpid():
            return
        if live.bar is not None:
            live.bar.close()
        if live.runner is not None:
            live.runner.close()
        if live.recorded is not None:
            live.recorded.journal.close()

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def elapsed(self) -> float:
        """Seconds that the run has been running, over all its lives, without the time between."""
        running = 0.0 if self._live is None else time.monotonic() - self._live.since
        return self._elapsed + running

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_live": None, "_elapsed": self.elapsed, "_copied": True}

    # ---- which run -------------------------------------------------------------------------------

    def _attach(self, problem: Any, algorithm: Any) -> None:
        """Make sure that this object is bound to the run of this algorithm, in this process."""
        if self._live is not None and self._live.pid != os.getpid():
            self._live = None
        token = _token(algorithm)
        starts = algorithm is not None and not algorithm.is_initialized and token != self._token
        if not self._begun or (starts and self._is_free()):
            self.close()
            self._reset(token)
            self._begun = True
        live = self._live
        if live is None or live.problem is not problem:
            self._bind(problem, algorithm)

    def _is_free(self) -> bool:
        """Return whether the last run is over, so that a new algorithm means a new run.

        While it is not, the new algorithm is part of the other, as a local search may be.
        """
        if self._live is None or self._live.algorithm is None or self._aborted:
            return True
        last = self._live.algorithm()
        return last is None or last.termination.has_terminated()

    def _budget(self, algorithm: Any) -> int | None:
        """Return at how many evaluations the run ends; an algorithm inside another says nothing."""
        live = self._live
        if algorithm is None or live is None or live.algorithm is None:
            return None
        return evaluation_budget(algorithm.termination) if live.algorithm() is algorithm else None

    def _bind(self, problem: Any, algorithm: Any) -> None:
        signature = of_problem(problem)
        same_run = self._token is not None and self._token == _token(algorithm)
        if self._copied and self._signature is not None and same_run:
            # A copy of the problem came along, and what it counts or caches may have grown.
            self._signature["settings"] = signature["settings"]
        self._copied = False
        if self._signature is not None and signature != self._signature:
            if self._run_id is not None:
                changes = differences(self._signature, signature, "problem")
                raise StoreError(
                    f"A run in a store is of one problem, but the problem has changed in "
                    f"{'; '.join(changes)}. Give each problem an Evaluator of its own."
                )
            self._memory = Memory()
        if _is_dynamic(problem) and self.dedupe:
            raise ValueError(
                f"{type(problem).__name__} changes with time, so a design seen before may have "
                "another value now. Use Evaluator(dedupe=False)."
            )
        self.close()
        self._signature = signature
        reference = None if algorithm is None else weakref.ref(algorithm)
        self._live = live = _Live(problem, reference, None, time.monotonic())
        if self.store is not None:
            self._open(live, problem, algorithm)
        if progress.wanted(self.progress):
            ref_point = getattr(problem, "ref_point", None)
            live.bar = progress.Progress(self._budget(algorithm), self.n_eval, ref_point)

    def _open(self, live: _Live, problem: Any, algorithm: Any) -> None:
        assert self.store is not None
        assert self._signature is not None
        run, resumed, journal = run_identity.enter(
            self.store,
            self._run_id,
            problem=self._signature,
            problem_before=of_problem(problem, old=True),
            algorithm=algorithm,
            settings={"dedupe": self.dedupe, "chunk_size": self._chunk(problem)},
            budget=self._budget(algorithm),
            on_mismatch=self.on_mismatch,
        )
        self._run_id = run.id
        live.recorded = Recorded(
            journal,
            run,
            dedupe=self.dedupe,
            accept_failures=self.on_error != "raise",
            retry_failed=self.retry_failed,
        )
        if resumed and self.recheck and self.dedupe:
            run_identity.recheck(journal, run, self._runner(live, {}))

    def _chunk(self, problem: Any) -> int:
        if self.chunk_size != "auto":
            return int(self.chunk_size)
        return 1 if problem.elementwise else VECTORIZED_CHUNK

    def _runner(self, live: _Live, kwargs: dict[str, Any]) -> Runner:
        configuration = configured()
        requires_kwargs = getattr(live.problem, "requires_kwargs", False)
        changes = requires_kwargs or _is_dynamic(live.problem)
        if live.runner is None or live.configuration != configuration or changes:
            if live.runner is not None:
                live.runner.close()
            live.configuration = configuration
            live.runner = make_runner(
                live.problem,
                backend=self.backend,
                n_jobs=self.n_jobs,
                timeout=self.timeout,
                retries=self.retries,
                threads=self.inner_max_num_threads,
                kwargs=kwargs if requires_kwargs else {},
            )
        return live.runner

    # ---- answers ---------------------------------------------------------------------------------

    def _answer(
        self,
        problem: Any,
        individuals: list[Individual],
        names: list[str],
        kwargs: dict[str, Any],
        budget: int | None,
    ) -> None:
        live = self._live
        assert live is not None
        X = Population(individuals).get("X")
        keys = keys_of(problem, X) if self.dedupe or live.recorded else []
        known = self._look(live, problem, keys, names, len(X))
        if live.bar is not None:
            live.bar.total(budget)
            self._show(live, [o for o in known.outcomes if o is not None])

        due = known.due
        if problem.elementwise:  # where a row does not care with which others it is computed
            due = [i for i in due if known.outcomes[i] is None]
        jobs = [
            job
            for job in make_jobs(due, self._chunk(problem))
            if any(known.outcomes[i] is None for i in job)
        ]
        if jobs:
            self._compute(live, jobs, X, keys, names, kwargs, known)
        first = {key: i for i, key in reversed(list(enumerate(keys)))} if self.dedupe else {}
        for i, individual in enumerate(individuals):
            outcome = known.outcomes[i] or known.outcomes[first[keys[i]]]
            assert outcome is not None
            apply(individual, outcome, names, problem)
            self.n_failed += outcome.status != OK
        self._answered += len(individuals)
        self._batch += 1

    def _look(
        self, live: _Live, problem: Any, keys: list[bytes], names: list[str], n: int
    ) -> Known:
        if live.recorded is not None:
            known = live.recorded.look(keys, names, self._answered, self._batch)
            # The clock of the run stands where it stood when these answers were first given.
            self._elapsed += max(0.0, known.elapsed - self.elapsed)
            return known
        if self.dedupe:
            shape = (problem.n_obj, problem.n_ieq_constr, problem.n_eq_constr)
            return self._memory.look(keys, names, shape)
        return Known([None] * n, list(range(n)))

    def _compute(
        self,
        live: _Live,
        jobs: list[Job],
        X: Any,
        keys: list[bytes],
        names: list[str],
        kwargs: dict[str, Any],
        known: Known,
    ) -> None:
        runner = self._runner(live, kwargs)
        journal = live.recorded.journal if live.recorded is not None else None
        culprit: tuple[int, Outcome] | None = None
        told = False
        answers = runner.run(jobs, X, names)
        try:
            for job, outcomes in answers:
                fresh = [
                    (i, o) for i, o in zip(job, outcomes, strict=True) if known.outcomes[i] is None
                ]
                for i, outcome in fresh:
                    known.outcomes[i] = outcome
                    self._keep(live, i, keys, X, outcome)
                    if culprit is None and outcome.status in FAILURES:
                        culprit = i, outcome
                if live.bar is not None:
                    self._show(live, [outcome for _, outcome in fresh])
                if culprit is not None and self.on_error == "raise":
                    in_hand = runner.cancel()
                    if not in_hand:
                        break
                    if not told:
                        logger.error("an evaluation failed; waiting for the %d in hand", in_hand)
                    told = True
        finally:
            answers.close()  # type: ignore[attr-defined]
            if journal is not None:
                journal.flush()
        if culprit is not None and self.on_error == "raise":
            raise failure(X[culprit[0]], culprit[1])

    def _keep(self, live: _Live, i: int, keys: list[bytes], X: Any, outcome: Outcome) -> None:
        self.n_fresh += 1
        if outcome.status != OK:
            logger.info("an evaluation failed (%s): %s", outcome.status, outcome.error)
        if live.recorded is not None:
            n = self._answered + i
            live.recorded.put(n, self._batch, keys[i], X[i], outcome, self.elapsed)
        elif self.dedupe and (outcome.status == OK or self.on_error != "raise"):
            self._memory.put(keys[i], outcome)

    def _note(self, budget: int | None) -> None:
        """Write down where the run stands; give everything back when its budget is spent."""
        live = self._live
        spent = budget is not None and self.n_eval >= budget
        if live is not None and live.recorded is not None:
            now = time.monotonic()
            if spent or now - live.noted >= 1.0:  # the listing of runs can do without the rest
                live.noted = now
                live.recorded.journal.update_run(
                    live.recorded.run.id, n_eval=self.n_eval, elapsed=self.elapsed, budget=budget
                )
        if spent:
            self.close()

    def _show(self, live: _Live, outcomes: list[Outcome]) -> None:
        assert live.bar is not None
        feasible = [
            o.values["F"]
            for o in outcomes
            if o.status == OK and calc_cv(G=o.values.get("G"), H=o.values.get("H")) <= 0
        ]
        live.bar.add(len(outcomes), np.array(feasible))


def _is_dynamic(problem: Any) -> bool:
    return callable(getattr(problem, "tic", None))


def _token(algorithm: Any) -> Any:
    """Return what a run of an algorithm, and every copy and pickle of it, is recognized by."""
    return getattr(algorithm, "start_time", None)
