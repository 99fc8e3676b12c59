"""Where evaluations are computed: here, in threads, in processes, on a dask or ray cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from moela.evaluation.runners.backends import JoblibRunner, RayRunner, dumps, limited_threads
from moela.evaluation.runners.call import evaluate
from moela.evaluation.runners.outcome import Outcome
from moela.evaluation.runners.supervisor import Job, Supervisor

PROCESSES = "processes"
THREADS = "threads"
_ALIASES = {"threading": THREADS, "supervised": PROCESSES, "sequential": "serial"}
_JOBLIB_NAMES = {THREADS: "threading"}

# Rows of a vectorized problem are evaluated in chunks of this size on every backend, for any number
# of workers: BLAS may round a row differently in a batch of another size.
VECTORIZED_CHUNK = 16


class Runner(Protocol):
    """What computes the jobs of a batch; a job is a tuple of rows that are evaluated together."""

    def run(
        self, jobs: Sequence[Job], X: Any, names: Sequence[str]
    ) -> Iterator[tuple[Job, list[Outcome]]]:
        """Yield each job, or each part of one, with an outcome per row, in any order."""

    def cancel(self) -> int:
        """Drop the jobs that have not begun; return how many go on."""

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

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""


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


def make_jobs(rows: Sequence[int], size: int) -> list[Job]:
    """Cut rows into jobs of a size; the last one may be smaller."""
    return [tuple(rows[i : i + size]) for i in range(0, len(rows), size)]


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
