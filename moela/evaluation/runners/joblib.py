"""Evaluation by the backends of joblib: threads, loky, and others that are registered."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from moela._arrays import Designs
from moela._threads import limited_threads
from moela.evaluation.runners.call import (
    Answer,
    Job,
    Packed,
    ProblemCall,
    dumps,
    evaluate_remotely,
    task,
)
from moela.evaluation.runners.outcome import EvaluationError
from moela.evaluation.runners.runner import Runner
from moela.evaluation.runners.transport import unpack

if TYPE_CHECKING:
    from distributed import Client

_LOST_WORKERS = frozenset({"TerminatedWorkerError", "BrokenProcessPool"})


class JoblibRunner(Runner):
    """Evaluates on a backend of joblib; None takes the one of ``joblib.parallel_config``.

    The `kwargs` of the call need a backend that shares memory.
    """

    def __init__(self, call: ProblemCall, *, backend: str | None, n_jobs: int | None):
        super().__init__(call)
        self.backend = backend
        self.n_jobs = n_jobs
        self._payload: bytes | None = None

    def _answers(
        self, jobs: Sequence[Job], X: Designs, names: Sequence[str]
    ) -> Generator[Answer, None, None]:
        """Yield each job as it ends, or after each wave of jobs if the backend cannot stream."""
        import joblib

        with _config(self.backend):
            probe = joblib.Parallel(n_jobs=self.n_jobs)
            backend = probe._backend
            workers = backend.effective_n_jobs(probe.n_jobs)
        # With one worker joblib evaluates in this process, unless the worker is that of a cluster.
        alone = workers == 1 and getattr(backend, "default_n_jobs", 1) == 1
        in_process = alone or getattr(backend, "supports_sharedmem", False)
        streams = backend.supports_return_generator
        calls = [self._delayed(job, X, names, in_process) for job in jobs]

        wave = len(calls) if streams else 4 * workers
        options = {"return_as": "generator_unordered"} if streams else {}
        limit = limited_threads(self.call.threads) if in_process else nullcontext()
        try:
            with (
                limit,
                _config(self.backend),
                joblib.Parallel(n_jobs=self.n_jobs, **options) as parallel,
            ):
                for start in range(0, len(calls), wave):
                    answers = parallel(calls[start : start + wave])
                    try:
                        for job, outcomes in answers:
                            yield job, unpack(outcomes) if not in_process else outcomes
                    finally:
                        _close(answers)
        except Exception as error:
            if type(error).__name__ not in _LOST_WORKERS:
                raise
            raise EvaluationError(
                f"A worker process died ({error}), and {self.backend or 'joblib'} cannot say which "
                "design it was evaluating. The results in a store are safe: make the same call "
                'again. If your evaluations may crash, use backend="processes".'
            ) from error

    def _delayed(
        self, job: Job, X: Designs, names: Sequence[str], in_process: bool
    ) -> tuple[Callable[..., Answer | Packed], tuple[object, ...], dict[str, object]]:
        import joblib

        if in_process:
            return joblib.delayed(_evaluate_in_process)(self.call, job, X[list(job)], names)
        if self._payload is None:
            self._payload = dumps(self.call)
        return joblib.delayed(evaluate_remotely)(self._payload, task(job, X, names))


def configured() -> tuple[str | None, int | None]:
    """Return name and n_jobs of a surrounding ``joblib.parallel_config``, else (None, None)."""
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


def configured_client() -> Client:
    """Return the dask client of a surrounding ``joblib.parallel_config(backend="dask")``."""
    import joblib

    client: Client = joblib.parallel._backend.config["backend"].client
    return client


def _evaluate_in_process(call: ProblemCall, job: Job, X: Designs, names: Sequence[str]) -> Answer:
    # The limit is set per thread as well, since OpenMP, unlike BLAS, keeps one for each thread.
    return job, call(X, names)


def _close(answers: Iterator[Answer] | list[Answer]) -> None:
    """Close a generator of joblib without its warning that tasks are canceled, as intended."""
    if not isinstance(answers, list):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            answers.close()  # type: ignore[attr-defined]


def _config(backend: str | None) -> AbstractContextManager[object]:
    if backend is None:
        return nullcontext()
    import joblib

    return joblib.parallel_config(backend=backend)
