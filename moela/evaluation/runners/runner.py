"""The interface of runners, which compute the jobs of a batch, and the serial runner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from moela._arrays import Designs
from moela._threads import limited_threads
from moela.evaluation.runners.call import Answer, Job, ProblemCall, evaluate

# Rows of a vectorized problem are evaluated in chunks of this size on every backend, for any number
# of workers: BLAS may round a row differently in a batch of another size.
VECTORIZED_CHUNK = 16


class Runner(ABC):
    """A backend, by default one whose jobs end when their generator is closed."""

    @abstractmethod
    def run(self, jobs: Sequence[Job], X: Designs, names: Sequence[str]) -> Iterator[Answer]:
        """Yield each job, or each part of one, as it ends, in any order."""

    def cancel(self) -> int:
        """Drop the jobs that have not begun; return how many continue."""
        return 0

    def close(self) -> None:  # noqa: B027 (most runners need nothing here)
        """Release the processes that belong to the runner."""


class SerialRunner(Runner):
    """Evaluates one job after the other in this process."""

    def __init__(self, call: ProblemCall):
        self.call = call

    def run(self, jobs: Sequence[Job], X: Designs, names: Sequence[str]) -> Iterator[Answer]:
        """Yield each job as it ends, in order."""
        call = self.call
        with limited_threads(call.threads):
            for job in jobs:
                yield job, evaluate(call.problem, X[list(job)], names, call.retries, call.kwargs)


def make_jobs(rows: Sequence[int], size: int) -> list[Job]:
    """Cut rows into jobs of a size; the last one may be smaller."""
    return [tuple(rows[i : i + size]) for i in range(0, len(rows), size)]
