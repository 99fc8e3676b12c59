"""Evaluation on clusters of dask and ray."""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError
from concurrent.futures import wait as wait_for
from contextlib import suppress
from typing import TYPE_CHECKING

from moela._arrays import Designs
from moela.evaluation.runners.call import (
    Answer,
    Job,
    Packed,
    ProblemCall,
    dumps,
    evaluate_remotely,
    task,
)
from moela.evaluation.runners.outcome import CRASH_RETRIES, CRASHED, EvaluationError, Outcome
from moela.evaluation.runners.runner import Runner
from moela.evaluation.runners.transport import unpack

if TYPE_CHECKING:
    from distributed import Client
    from tornado.ioloop import IOLoop

# Ctrl-C is treated this soon on systems on which it does not end a wait.
_WAIT_SECONDS = 0.5
_START_SECONDS = 10.0  # for a cluster that starts its first worker when there is work
_GONE_SECONDS = 120.0  # until a cluster without workers ends the run
# A worker that cannot even load the function of a task ends itself; this needs Python only.
_PROBE = "__import__('moela.evaluation.runners.call') and None"
# Tasks for each thread of a cluster: one in hand, and one that it need not wait for.
_TASKS_PER_THREAD = 2


class DaskRunner(Runner):
    """Evaluates on a dask cluster, which gives the tasks of a dead worker to another one.

    If several workers die with a task, dask gives it up. The other tasks of these workers may be
    innocent. So if a batch has several such tasks, each of their designs is evaluated alone, after
    all others. Only a design with which workers die again counts as crashed.

    Parameters
    ----------
    call : ProblemCall
    n_jobs : int, optional
        Designs that are evaluated at a time. By default, or if negative, as many as the cluster has
        threads.
    client : distributed.Client, optional
        By default, the current one.
    """

    def __init__(self, call: ProblemCall, n_jobs: int | None, client: Client | None = None):
        super().__init__(call)
        import distributed

        self._client = distributed.get_client() if client is None else client
        self._n_jobs = n_jobs
        self._probed = False  # whether the workers were found to have moela
        self._worked = time.monotonic()  # when the cluster was last found to have workers
        self._send()

    def _send(self) -> None:
        """Send the problem to the cluster."""
        payload = dumps(self.call)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            # Made by a task, so that the cluster makes it again if the workers that hold it die.
            self._payload = self._client.submit(bytes, payload, pure=False)  # type: ignore[no-untyped-call, unused-ignore]

    def n_workers(self) -> int:
        """Return how many designs the cluster evaluates at a time.

        Raises
        ------
        ValueError
            The cluster has no worker, and none starts within 10 seconds.
        EvaluationError
            The workers cannot import moela.
        """
        if not self._probed:
            self._probe()
        n = max(1, self._n_threads())  # workers may be about to be started again
        return n if self._n_jobs is None or self._n_jobs < 0 else min(n, self._n_jobs)

    def _probe(self) -> None:
        """Raise an error if the cluster has no workers, or workers without moela."""
        probe, begun = self._begin(eval, _PROBE), time.monotonic()
        while not wait_for([probe], _WAIT_SECONDS).done:
            if time.monotonic() - begun > _START_SECONDS and self._n_threads() == 0:
                probe.cancel()
                raise ValueError(
                    "backend='dask' needs a cluster with at least one worker. Got a client "
                    "without any; start workers first, or wait for them: "
                    "client.wait_for_workers(1)."
                )
        error = probe.exception()
        if isinstance(error, ImportError):
            raise EvaluationError(
                f"The dask workers cannot import moela ({type(error).__name__}: {error}). Install "
                "moela and the packages of your problem there, in the same versions as here."
            )
        self._probed = True

    def _n_threads(self) -> int:
        n: int = sum(self._client.nthreads().values())  # type: ignore[no-untyped-call, unused-ignore]
        return n

    def submit(self, job: Job, X: Designs, names: Sequence[str]) -> Future[Packed]:
        """Begin the evaluation of a job, which are rows of X; return the future of its answer."""
        self._worked = time.monotonic()
        return self._begin(evaluate_remotely, self._payload, task(job, X, names))

    def _begin(self, function: Callable[..., object], *arguments: object) -> Future[Packed]:
        """Begin a call on the cluster; return its future.

        The futures of dask's own executor never end if a result is lost with its worker, and all
        workers that compute it again die.
        """
        # `pure=False`: a design that is evaluated again is not answered from dask's memory.
        remote = self._client.submit(function, *arguments, pure=False)  # type: ignore[no-untyped-call, unused-ignore]
        future: Future[Packed] = Future()
        future.add_done_callback(lambda ended: ended.cancelled() and remote.cancel())  # type: ignore[no-untyped-call, unused-ignore]
        loop: IOLoop = self._client.loop  # type: ignore[assignment, unused-ignore]
        loop.add_callback(_relay, remote, future)
        return future

    def ended(self, futures: Iterable[Future[Packed]], seconds: float) -> set[Future[Packed]]:
        """Wait for the first of futures to end; return those that have, none after some seconds.

        Raises
        ------
        EvaluationError
            The cluster has had no worker for two minutes.
        """
        done, _ = wait_for(futures, seconds, FIRST_COMPLETED)
        if done or self._n_threads():
            self._worked = time.monotonic()
        elif time.monotonic() - self._worked > _GONE_SECONDS:
            raise EvaluationError(
                f"The dask cluster has had no worker for {_GONE_SECONDS:g} seconds. Start workers; "
                "the results in a store are safe: make the same call again."
            )
        return done

    def outcomes(self, future: Future[Packed]) -> list[Outcome] | int:
        """Return the outcomes of a job that has ended, or how many workers have died with it.

        It is 0 if it has not begun, because workers died as they got the problem.

        Raises
        ------
        EvaluationError
            The workers cannot evaluate anything.
        """
        try:
            _, packed = future.result()
        except EvaluationError:
            raise
        except Exception as error:
            if type(error).__name__ == "KilledWorker":
                task, _, allowed_failures = error.args
                if task == self._payload.key:
                    self._send()
                return allowed_failures + 1 if task.startswith(evaluate_remotely.__name__) else 0
            raise EvaluationError(
                f"dask could not evaluate a design ({type(error).__name__}: {error}). Scheduler "
                "and workers need moela and the packages of your problem, in the same versions as "
                "here. The results in a store are safe: make the same call again."
            ) from error
        return unpack(packed)

    def _answers(
        self, jobs: Sequence[Job], X: Designs, names: Sequence[str]
    ) -> Generator[Answer, None, None]:
        """Yield each job as it ends, then those that dask has given up, row by row."""
        given_up: list[tuple[Job, int]] = []
        n_workers = self.n_workers()
        exactly = self._n_jobs is not None and self._n_jobs > 0
        for job, outcomes in self._ended(
            jobs, X, names, n_workers if exactly else _TASKS_PER_THREAD * n_workers
        ):
            if isinstance(outcomes, int):
                given_up.append((job, outcomes))
            else:
                yield job, outcomes
        rows: list[Job] = [(i,) for job, _ in given_up for i in job]
        if len(rows) == 1:  # workers died with no other design
            yield rows[0], [crashed(given_up[0][1])]
            return
        for row, outcomes in self._ended(rows, X, names, 1):
            yield row, [crashed(outcomes)] if isinstance(outcomes, int) else outcomes

    def _ended(
        self, jobs: Iterable[Job], X: Designs, names: Sequence[str], most: int
    ) -> Iterator[tuple[Job, list[Outcome] | int]]:
        """Evaluate jobs, at most so many at a time; yield each as it ends."""
        todo, running = deque(jobs), dict[Future[Packed], Job]()
        try:
            while todo or running:
                while todo and len(running) < most:
                    job = todo.popleft()
                    running[self.submit(job, X, names)] = job
                for future in self.ended(running, _WAIT_SECONDS):
                    job, outcomes = running.pop(future), self.outcomes(future)
                    if outcomes == 0:
                        todo.append(job)
                    else:
                        yield job, outcomes
        finally:
            for future in running:
                future.cancel()


async def _relay(remote: Awaitable[Packed], future: Future[Packed]) -> None:
    """Pass the end of a dask future on."""
    with suppress(InvalidStateError):  # it was canceled in the meantime
        try:
            future.set_result(await remote)
        except Exception as error:
            future.set_exception(error)
        except BaseException as error:  # such as the CancelledError of asyncio
            future.set_exception(RuntimeError(f"{type(error).__name__} {error}"))


class RayRunner(Runner):
    """Evaluates in ray tasks; ray retries a task if its worker or node died."""

    def __init__(self, call: ProblemCall):
        super().__init__(call)
        import ray

        if not ray.is_initialized():
            ray.init()
        self._payload = ray.put(dumps(call))
        self._remote = ray.remote(evaluate_remotely).options(max_retries=CRASH_RETRIES)

    def submit(self, job: Job, X: Designs, names: Sequence[str]) -> object:
        """Begin the evaluation of a job, which are rows of X; return its reference."""
        return self._remote.remote(self._payload, task(job, X, names))

    def outcomes(self, reference: object) -> list[Outcome] | int:
        """Return the outcomes of a job that has ended, or how many workers have died with it."""
        import ray

        try:
            _, packed = ray.get(reference)  # type: ignore[call-overload, unused-ignore]
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
            return CRASH_RETRIES + 1
        return unpack(packed)

    def _answers(
        self, jobs: Sequence[Job], X: Designs, names: Sequence[str]
    ) -> Generator[Answer, None, None]:
        """Yield each job as it ends; a job of several rows that ray has given up, row by row."""
        import ray

        waiting = {self.submit(job, X, names): job for job in jobs}
        try:
            while waiting:
                ready, _ = ray.wait([*waiting])
                job = waiting.pop(ready[0])
                outcomes = self.outcomes(ready[0])
                if not isinstance(outcomes, int):
                    yield job, outcomes
                elif len(job) == 1:
                    yield job, [crashed(outcomes)]
                else:
                    waiting |= {self.submit((i,), X, names): (i,) for i in job}
        finally:
            for reference in waiting:
                ray.cancel(reference)


def crashed(n_workers: int) -> Outcome:
    """Return the outcome of a design with which so many workers of a cluster have died."""
    which = "a worker" if n_workers == 1 else f"each of {n_workers} workers"
    error = f"It was tried on {which} of the cluster, which died."
    return Outcome(CRASHED, error=error, attempts=n_workers)
