"""Evaluating through joblib (threads, loky, dask) and on a ray cluster."""

from __future__ import annotations

import pickle
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from moela.evaluation.runners.call import evaluate
from moela.evaluation.runners.outcome import CRASH_RETRIES, EvaluationError, Outcome, unloadable
from moela.evaluation.runners.supervisor import Job


class JoblibRunner:
    """Threads, loky, dask or whatever else is registered with joblib.

    Parameters
    ----------
    problem : Problem
    backend : str or None
        Name of a joblib backend; None takes the one of ``joblib.parallel_config``.
    n_jobs : int or None
    retries : int
    threads : int or None
        BLAS and OpenMP threads per worker.
    kwargs : dict
        Passed to a problem with ``requires_kwargs``; needs threads.
    """

    def __init__(
        self,
        problem: Any,
        *,
        backend: str | None,
        n_jobs: int | None,
        retries: int,
        threads: int | None,
        kwargs: dict[str, Any],
    ):
        self.backend = backend
        self.n_jobs = n_jobs
        self.threads = threads
        self.retries = retries
        self.problem = problem
        self.kwargs = kwargs
        self._payload: bytes | None = None

    def run(
        self, jobs: Sequence[Job], X: Any, names: Sequence[str]
    ) -> Iterator[tuple[Job, list[Outcome]]]:
        """Yield each job as it ends; on a backend that cannot tell, after each wave of jobs."""
        import joblib

        with _config(self.backend):
            probe = joblib.Parallel(n_jobs=self.n_jobs)
            backend = probe._backend
            workers = backend.effective_n_jobs(probe.n_jobs)
        # With one worker joblib evaluates here, unless the worker is that of a cluster.
        here = workers == 1 and getattr(backend, "default_n_jobs", 1) == 1
        in_process = here or getattr(backend, "supports_sharedmem", False)
        streams = backend.supports_return_generator
        calls = [self._call(job, X, names, in_process) for job in jobs]

        wave = len(calls) if streams else 4 * workers
        options = {"return_as": "generator_unordered"} if streams else {}
        limit = limited_threads(self.threads) if in_process else nullcontext()
        try:
            with (
                limit,
                _config(self.backend),
                joblib.Parallel(n_jobs=self.n_jobs, **options) as parallel,
            ):
                for start in range(0, len(calls), wave):
                    answers = parallel(calls[start : start + wave])
                    try:
                        for answer in answers:  # noqa: UP028 (would close it on an early end)
                            yield answer
                    finally:
                        _give_up(answers)
        except Exception as error:
            if type(error).__name__ not in _LOST_WORKERS:
                raise
            raise EvaluationError(
                f"A worker process died ({error}), and {self.backend or 'joblib'} cannot say which "
                "design it had in hand. What a store has is safe: make the same call again, with "
                'backend="processes" where workers are known to die.'
            ) from error

    def _call(self, job: Job, X: Any, names: Sequence[str], in_process: bool) -> Any:
        import joblib

        rows = X[list(job)]
        if in_process:
            return joblib.delayed(_evaluate_here)(
                self.problem, job, rows, names, self.retries, self.threads, self.kwargs
            )
        if self._payload is None:
            self._payload = dumps(self.problem, self.retries, self.threads)
        # As bytes, so that no backend keeps an array on the one worker that may die with it.
        task = pickle.dumps((job, rows, list(names)))
        return joblib.delayed(_evaluate_there)(self._payload, task)

    def cancel(self) -> int:
        """Return 0: jobs handed to joblib end when the generator is closed."""
        return 0

    def close(self) -> None:
        """Do nothing: joblib looks after its workers."""


class RayRunner:
    """Tasks on a ray cluster; ray itself tries a task again whose worker or node died.

    Parameters
    ----------
    problem : Problem
    retries : int
    threads : int or None
        BLAS and OpenMP threads per worker.
    """

    def __init__(self, problem: Any, *, retries: int, threads: int | None):
        import ray

        if not ray.is_initialized():
            ray.init()
        self._payload = ray.put(dumps(problem, retries, threads))
        self._remote = ray.remote(_evaluate_there).options(max_retries=CRASH_RETRIES)

    def run(
        self, jobs: Sequence[Job], X: Any, names: Sequence[str]
    ) -> Iterator[tuple[Job, list[Outcome]]]:
        """Yield each job as it ends."""
        import ray

        waiting = [
            self._remote.remote(self._payload, pickle.dumps((job, X[list(job)], list(names))))
            for job in jobs
        ]
        try:
            while waiting:
                ready, waiting = ray.wait(waiting)
                yield ray.get(ready[0])
        except ray.exceptions.WorkerCrashedError as error:
            raise EvaluationError(
                f"An evaluation ended its ray worker {CRASH_RETRIES + 1} times ({error})."
            ) from error
        finally:
            for reference in waiting:
                ray.cancel(reference)

    def cancel(self) -> int:
        """Return 0: what goes on is canceled when the generator is closed."""
        return 0

    def close(self) -> None:
        """Do nothing: the cluster is the user's."""


def dumps(problem: Any, retries: int, threads: int | None) -> bytes:
    """Pickle a problem for a worker, classes of the running script by value.

    Raises
    ------
    EvaluationError
        The problem cannot be pickled.
    ValueError
        The problem wants the algorithm at every evaluation.
    """
    if getattr(problem, "requires_kwargs", False):
        raise ValueError(
            f"{type(problem).__name__} has requires_kwargs=True: it wants the algorithm itself at "
            "every evaluation, which cannot be sent to other processes. Use n_jobs=1 or "
            'backend="threads".'
        )
    import cloudpickle  # type: ignore[import-untyped, unused-ignore]

    try:
        return cloudpickle.dumps((problem, retries, threads))
    except Exception as error:
        raise EvaluationError(
            f"{type(problem).__name__} cannot be sent to another process ({error}). Keep open "
            "files, locks and connections out of it (open them where _evaluate needs them), or use "
            'n_jobs=1 or backend="threads".'
        ) from error


def limited_threads(threads: int | None) -> AbstractContextManager[Any]:
    """Return a context in which BLAS and OpenMP use so many threads in this process."""
    if threads is None:
        return nullcontext()
    return _controller(len(sys.modules)).limit(limits=threads)


@lru_cache(maxsize=1)
def _controller(_modules: int) -> Any:
    # Looking for libraries takes a while, so only after something was imported.
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped, unused-ignore]

    return ThreadpoolController()


def _evaluate_here(
    problem: Any,
    job: Job,
    X: Any,
    names: Sequence[str],
    retries: int,
    threads: int | None,
    kwargs: dict[str, Any],
) -> tuple[Job, list[Outcome]]:
    with limited_threads(threads):  # OpenMP keeps a limit per thread, other than BLAS
        return job, evaluate(problem, X, names, retries, kwargs)


def _evaluate_there(payload: bytes, task: bytes) -> tuple[Job, list[Outcome]]:
    problem, retries, threads = _loaded(blake2b(payload).digest(), payload)
    job, X, names = pickle.loads(task)
    with limited_threads(threads):
        return job, evaluate(problem, X, names, retries)


_last_problem: dict[bytes, Any] = {}


def _loaded(digest: bytes, payload: bytes) -> Any:
    if digest not in _last_problem:
        _last_problem.clear()
        try:
            _last_problem[digest] = pickle.loads(payload)
        except Exception:
            raise unloadable(traceback.format_exc()) from None
    return _last_problem[digest]


_LOST_WORKERS = frozenset({"TerminatedWorkerError", "BrokenProcessPool", "KilledWorker"})


def _give_up(answers: Any) -> None:
    """Close a generator of joblib without its warning that tasks are canceled, as they shall."""
    if hasattr(answers, "close"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            answers.close()


def _config(backend: str | None) -> AbstractContextManager[Any]:
    if backend is None:
        return nullcontext()
    import joblib

    return joblib.parallel_config(backend=backend)
