"""Where evaluations are computed: here, in threads, in processes, on a dask or ray cluster."""

from __future__ import annotations

import pickle
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Protocol

from moela._call import evaluate
from moela._supervisor import Job, Supervisor
from moela.policy import CRASH_RETRIES, EvaluationError, Outcome, unloadable

PROCESSES = "processes"
THREADS = "threads"
_ALIASES = {"threading": THREADS, "supervised": PROCESSES, "sequential": "serial"}
_JOBLIB_NAMES = {THREADS: "threading"}

# Rows of a vectorised problem are evaluated in chunks of this size on every backend, for any number
# of workers: BLAS may round a row differently in a batch of another size.
VECTORISED_CHUNK = 16


class Runner(Protocol):
    """What computes the jobs of a batch; a job is a tuple of rows that are evaluated together."""

    def run(
        self, jobs: Sequence[Job], X: Any, names: Sequence[str]
    ) -> Iterator[tuple[Job, list[Outcome]]]:
        """Yield each job, or each part of one, with an outcome per row, in any order."""

    def cancel(self) -> int:
        """Drop the jobs that have not begun; return how many go on."""

    def more_ready(self) -> bool:
        """Return whether the next answer can be had without waiting."""

    def close(self) -> Any:
        """Give back processes."""


class SerialRunner:
    """One row or chunk after the other, in this process."""

    def __init__(self, problem: Any, *, retries: int, threads: int | None, kwargs: dict[str, Any]):
        self.problem = problem
        self.retries = retries
        self.threads = threads
        self.kwargs = kwargs

    def run(
        self, jobs: Sequence[Job], X: Any, names: Sequence[str]
    ) -> Iterator[tuple[Job, list[Outcome]]]:
        """Yield each job as it ends, in order."""
        with limited_threads(self.threads):
            for job in jobs:
                rows = X[list(job)]
                yield job, evaluate(self.problem, rows, names, self.retries, self.kwargs)

    def cancel(self) -> int:
        """Return 0: what has not begun has not been handed over."""
        return 0

    def more_ready(self) -> bool:
        """Return False: the next answer has to be computed."""
        return False

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""


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
                self.problem, job, rows, names, self.retries, self.kwargs
            )
        if self._payload is None:
            self._payload = dumps(self.problem, self.retries, self.threads)
        # As bytes, so that no backend keeps an array on the one worker that may die with it.
        task = pickle.dumps((job, rows, list(names)))
        return joblib.delayed(_evaluate_there)(self._payload, task)

    def cancel(self) -> int:
        """Return 0: jobs handed to joblib end when the generator is closed."""
        return 0

    def more_ready(self) -> bool:
        """Return False: joblib does not say."""
        return False

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
        """Return 0: what goes on is cancelled when the generator is closed."""
        return 0

    def more_ready(self) -> bool:
        """Return False: asking would cost as much as waiting."""
        return False

    def close(self) -> None:
        """Do nothing: the cluster is the user's."""


def check_backend(backend: str | None, timeout: float | None) -> str | None:
    """Return a backend by its usual name, ready to be used.

    Raises
    ------
    ValueError
        The backend is not known, or was asked for a hard timeout that it cannot keep.
    ImportError
        The package that it needs is missing.
    """
    if backend is None:
        return None
    name = _ALIASES.get(backend, backend)
    if name not in (PROCESSES, "serial", THREADS, "ray", "dask"):
        import joblib

        if name not in joblib.parallel.BACKENDS:
            raise ValueError(
                "The 'backend' parameter of Evaluator must be None, 'processes', 'threads', "
                "'serial', 'loky', 'dask', 'ray' or a name registered with joblib. "
                f"Got {backend!r} instead."
            )
    if timeout is not None and name != PROCESSES:
        raise ValueError(
            "The 'timeout' parameter of Evaluator needs backend='processes' (or None), since only "
            f"a process of our own can be ended while it evaluates. Got backend={backend!r} "
            "instead; on a cluster, let the simulator itself stop in time."
        )
    if name in ("dask", "ray"):
        _register(name)
    return name


def make_runner(
    problem: Any,
    *,
    backend: str | None,
    n_jobs: int | None,
    timeout: float | None,
    retries: int,
    threads: int | None,
    kwargs: dict[str, Any],
) -> Runner:
    """Return the runner that these settings, and ``joblib.parallel_config``, ask for.

    Without a name the evaluations stay in this process for one job and go to supervised processes
    for more, or to the backend of a surrounding ``joblib.parallel_config``.
    """
    if backend is None and timeout is None:
        name, configured_jobs = configured()
        if name == "ray":
            backend = "ray"
        elif name is not None:
            return JoblibRunner(
                problem,
                backend=None,
                n_jobs=n_jobs,
                retries=retries,
                threads=threads,
                kwargs=kwargs,
            )
        n_jobs = configured_jobs if n_jobs is None else n_jobs

    workers = effective_jobs(n_jobs)
    if backend == "serial" or (backend is None and workers == 1 and timeout is None):
        return SerialRunner(problem, retries=retries, threads=threads, kwargs=kwargs)
    if backend == "ray":
        return RayRunner(problem, retries=retries, threads=threads)
    if backend in (None, PROCESSES):
        if getattr(problem, "requires_kwargs", False):
            raise ValueError(
                f"{type(problem).__name__} has requires_kwargs=True: it wants the algorithm itself "
                "at every evaluation, which cannot be sent to other processes. Use n_jobs=1 or "
                'backend="threads".'
            )
        return Supervisor(
            dumps(problem, retries, threads),
            n_workers=workers,
            timeout=timeout,
            retries=retries,
            threads=threads,
        )
    return JoblibRunner(
        problem,
        backend=_JOBLIB_NAMES.get(str(backend), backend),
        # A cluster has as many workers as it has.
        n_jobs=-1 if n_jobs is None and backend == "dask" else n_jobs,
        retries=retries,
        threads=threads,
        kwargs=kwargs,
    )


def effective_jobs(n_jobs: int | None) -> int:
    """Return how many workers ``n_jobs`` means on this machine (-1: one per core)."""
    if n_jobs is None:
        return 1
    if n_jobs > 0:
        return n_jobs
    import joblib

    return max(1, joblib.cpu_count() + 1 + n_jobs)


def make_jobs(problem: Any, rows: Sequence[int], chunk_size: int | None) -> list[Job]:
    """Cut rows into jobs: single ones for an elementwise problem, chunks for a vectorised one."""
    size = chunk_size or (1 if problem.elementwise else VECTORISED_CHUNK)
    return [tuple(rows[i : i + size]) for i in range(0, len(rows), size)]


def dumps(problem: Any, retries: int, threads: int | None) -> bytes:
    """Pickle a problem for a worker, classes of the running script by value.

    Raises
    ------
    EvaluationError
        The problem cannot be pickled.
    """
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
    problem: Any, job: Job, X: Any, names: Sequence[str], retries: int, kwargs: dict[str, Any]
) -> tuple[Job, list[Outcome]]:
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
    """Close a generator of joblib without its warning that tasks are cancelled, as they shall."""
    if hasattr(answers, "close"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            answers.close()


def _config(backend: str | None) -> AbstractContextManager[Any]:
    if backend is None:
        return nullcontext()
    import joblib

    return joblib.parallel_config(backend=backend)


def configured() -> tuple[str | None, int | None]:
    """Return name and n_jobs of a surrounding ``joblib.parallel_config``, (None, None) without."""
    joblib_parallel = sys.modules.get("joblib.parallel")
    if joblib_parallel is None:  # never imported, so never configured
        return None, None
    config = getattr(joblib_parallel._backend, "config", joblib_parallel.default_parallel_config)
    default = joblib_parallel.default_parallel_config
    backend, n_jobs = (
        None if config[name] is default[name] else config[name] for name in ("backend", "n_jobs")
    )
    if backend is None:
        return None, n_jobs
    kind = type(backend).__name__
    return ("ray" if kind == "RayBackend" else kind), n_jobs


def _register(name: str) -> None:
    try:
        if name == "ray":
            from ray.util.joblib import register_ray

            register_ray()  # type: ignore[no-untyped-call, unused-ignore]
        else:
            import distributed

            distributed.get_client()
    except ImportError as error:
        raise ImportError(
            f"backend={name!r} needs the package {error.name!r}: pip install 'moela[cluster]'."
        ) from error
    except ValueError as error:
        raise ValueError(
            "backend='dask' works on an existing client, and there is none. Make one first: "
            "`from distributed import Client; client = Client('scheduler-address:8786')`, or "
            "`Client()` for the cores of this machine."
        ) from error
