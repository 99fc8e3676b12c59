"""The interface of runners, which compute the jobs of a batch, and the serial runner."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from weakref import WeakKeyDictionary

from pymoo.core.problem import Problem

from moela._arrays import Designs
from moela._threads import limited_threads
from moela.evaluation.runners.call import Answer, Job, ProblemCall, evaluate
from moela.evaluation.runners.outcome import Outcome
from moela.evaluation.runners.transport import LeftOut

logger = logging.getLogger("moela.evaluator")

# Rows of a vectorized problem are evaluated in chunks of this size on every backend, for any number
# of workers: BLAS may round a row differently in a batch of another size.
VECTORIZED_CHUNK = 16


CLOSED = "The Evaluator was closed during an evaluation, which was ended."

# The keys that were left out are named once for each problem, whose runner may change.
_named: WeakKeyDictionary[Problem, set[str]] = WeakKeyDictionary()


class Runner(ABC):
    """A backend, by default one whose jobs end when their generator is closed."""

    def __init__(self, call: ProblemCall):
        self.call = call

    def run(self, jobs: Sequence[Job], X: Designs, names: Sequence[str]) -> Iterator[Answer]:
        """Yield each job, or each part of one, as it ends, in any order.

        Values that could not be kept are left out; a warning names the key.
        """
        answers = self._answers(jobs, X, names)
        try:
            for job, outcomes in answers:
                yield job, self.kept(outcomes)
        finally:
            answers.close()

    def kept(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Remove the values that could not be kept from outcomes; a warning names the key."""
        for outcome in outcomes:
            for name, value in list(outcome.values.items()):
                if isinstance(value, LeftOut):
                    del outcome.values[name]
                    self._name(name, value.reason)
        return outcomes

    @abstractmethod
    def _answers(
        self, jobs: Sequence[Job], X: Designs, names: Sequence[str]
    ) -> Generator[Answer, None, None]:
        """Do the work of `run`, but leave `LeftOut` values in their places."""

    def _name(self, key: str, reason: str) -> None:
        problem = self.call.problem
        try:
            named = _named.setdefault(problem, set())
        except TypeError:  # a problem that defines equality need not have a hash
            named = set()
        if key not in named:
            named.add(key)
            logger.warning(
                'out["%s"] of %s %s; it is left out, and the other outputs of the design are kept',
                key,
                type(problem).__name__,
                reason,
            )

    def cancel(self) -> int:
        """Drop the jobs that have not begun; return how many continue."""
        return 0

    def close(self) -> None:  # noqa: B027 (most runners need nothing here)
        """Release the processes that belong to the runner."""


class SerialRunner(Runner):
    """Evaluates one job after the other in this process."""

    def _answers(
        self, jobs: Sequence[Job], X: Designs, names: Sequence[str]
    ) -> Generator[Answer, None, None]:
        """Yield each job as it ends, in order."""
        call = self.call
        with limited_threads(call.threads):
            for job in jobs:
                yield job, evaluate(call.problem, X[list(job)], names, call.retries, call.kwargs)


def make_jobs(rows: Sequence[int], size: int) -> list[Job]:
    """Cut rows into jobs of a size; the last one may be smaller."""
    return [tuple(rows[i : i + size]) for i in range(0, len(rows), size)]
