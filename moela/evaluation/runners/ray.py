"""Evaluation on a ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from moela._arrays import Designs
from moela.evaluation.runners.call import Answer, Job, ProblemCall, dumps, evaluate_remotely, task
from moela.evaluation.runners.outcome import CRASH_RETRIES, EvaluationError
from moela.evaluation.runners.runner import Runner
from moela.evaluation.runners.transport import unpack


class RayRunner(Runner):
    """Evaluates in ray tasks; ray retries a task if its worker or node died."""

    def __init__(self, call: ProblemCall):
        super().__init__(call)
        import ray

        if not ray.is_initialized():
            ray.init()
        self._payload = ray.put(dumps(call))
        self._remote = ray.remote(evaluate_remotely).options(max_retries=CRASH_RETRIES)

    def submit(self, task: bytes) -> object:
        """Begin the evaluation of a task; return the reference to its answer."""
        return self._remote.remote(self._payload, task)

    def _answers(
        self, jobs: Sequence[Job], X: Designs, names: Sequence[str]
    ) -> Generator[Answer, None, None]:
        """Yield each job as it ends."""
        import ray

        waiting = [self._remote.remote(self._payload, task(job, X, names)) for job in jobs]
        try:
            while waiting:
                ready, waiting = ray.wait(waiting)
                job, outcomes = ray.get(ready[0])
                yield job, unpack(outcomes)
        except ray.exceptions.WorkerCrashedError as error:
            raise EvaluationError(
                f"An evaluation killed its ray worker {CRASH_RETRIES + 1} times ({error})."
            ) from error
        finally:
            for reference in waiting:
                ray.cancel(reference)
