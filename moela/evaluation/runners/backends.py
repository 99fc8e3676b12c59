"""The choice of a backend: its name is checked, and its runner made."""

from __future__ import annotations

from moela._checks import require
from moela.evaluation.runners.call import ProblemCall
from moela.evaluation.runners.cluster import DaskRunner, RayRunner
from moela.evaluation.runners.joblib import JoblibRunner, configured, configured_client
from moela.evaluation.runners.runner import Runner, SerialRunner
from moela.evaluation.runners.supervisor import Supervisor

PROCESSES = "processes"
THREADS = "threads"
_ALIASES = {"threading": THREADS, "supervised": PROCESSES, "sequential": "serial"}
_JOBLIB_NAMES = {THREADS: "threading"}


def check_backend(backend: str | None, timeout: float | None) -> str | None:
    """Return a backend by its usual name, ready to be used."""
    if backend is None:
        return None
    name = _ALIASES.get(backend, backend)
    if name not in (PROCESSES, "serial", THREADS, "ray", "dask"):
        import joblib

        expected = "None, 'processes', 'threads', 'serial', 'loky', 'dask', 'ray' or a name "
        known = name in joblib.parallel.BACKENDS
        require("Evaluator", "backend", backend, known, expected + "registered with joblib")
    if timeout is not None and name != PROCESSES:
        raise ValueError(
            "The 'timeout' parameter of Evaluator must be None unless backend is 'processes' or "
            f"None, since other backends cannot end an evaluation. Got backend={backend!r} and "
            f"timeout={timeout!r} instead. On a cluster, let the simulator end itself in time."
        )
    if name in ("dask", "ray"):
        _register(name)
    return name


def make_runner(
    call: ProblemCall, name: str | None, n_jobs: int | None, timeout: float | None
) -> Runner:
    """Return the runner for these settings and a surrounding ``joblib.parallel_config``.

    Without a name, evaluations stay in this process for one job and go to supervised processes for
    more, or to the backend of a surrounding ``joblib.parallel_config``.
    """
    if name is None and timeout is None:
        configured_name, configured_jobs = configured()
        if configured_name == "ray":
            name = "ray"
        elif configured_name == "DaskDistributedBackend":
            jobs = configured_jobs if n_jobs is None else n_jobs
            return DaskRunner(call, jobs, configured_client())
        elif configured_name is not None:
            return JoblibRunner(call, backend=None, n_jobs=n_jobs)
        n_jobs = configured_jobs if n_jobs is None else n_jobs

    workers = effective_jobs(n_jobs)
    if name == "serial" or (name is None and workers == 1 and timeout is None):
        return SerialRunner(call)
    if name == "ray":
        return RayRunner(call)
    if name is None or name == PROCESSES:
        return Supervisor(call, workers, timeout)
    if name == "dask":
        return DaskRunner(call, n_jobs)
    return JoblibRunner(call, backend=_JOBLIB_NAMES.get(name, name), n_jobs=n_jobs)


def effective_jobs(n_jobs: int | None) -> int:
    """Return the number of workers that ``n_jobs`` means on this machine (-1: one per core)."""
    if n_jobs is None:
        return 1
    if n_jobs > 0:
        return n_jobs
    import joblib

    return max(1, joblib.cpu_count() + 1 + n_jobs)


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
            "backend='dask' needs an existing client, but there is none. Make one first: "
            "`from distributed import Client; client = Client('scheduler-address:8786')`, or "
            "`Client()` for the cores of this machine."
        ) from error
