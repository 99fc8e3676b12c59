"""The failures of a run: evaluations, by reason and with an example, and empty batches."""

from __future__ import annotations

from collections import Counter

from pymoo.core.algorithm import Algorithm
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela.evaluation.marks import Marks
from moela.evaluation.runners.outcome import SKIPPED, reason, tried_and_failed
from moela.quality.words import counted

# Different reasons that are counted; the rest counts together.
_MOST_REASONS = 1000


def example_of(problem: Problem, individual: Individual) -> Population:
    """Return an infeasible copy of a failed design, with objectives that pymoo can read."""
    copied, data = Individual(X=individual.X), individual.data
    Marks(problem).put_on(copied, data.get("status", SKIPPED), data.get("error"))
    return Population.create(copied)


def check_asked(algorithm: Algorithm, pop: Population) -> None:
    """Raise a RuntimeError if an algorithm asks for no design although its run goes on.

    Such a run would never end, since nothing is evaluated.
    """
    if len(pop) or not algorithm.has_next():
        return
    source = "_ask()" if algorithm._has_begun else "sampling"
    raise RuntimeError(
        f"{type(algorithm).__name__} must ask for at least one design while its run goes on. Its "
        f"{source} returned none; return designs that are known already if no others are left."
    )


class FailureCounts:
    """How many evaluations failed for which reason, and the traceback of the first."""

    def __init__(self) -> None:
        self.first = ""
        self._reasons: Counter[str] = Counter()

    def count(self, pop: Population) -> None:
        """Count the failures among evaluated individuals."""
        for ind in pop[tried_and_failed(pop)]:
            status, error = ind.data["status"], ind.data.get("error")
            self.first = self.first or error or status
            text = reason(status, error)
            known = text in self._reasons or len(self._reasons) < _MOST_REASONS
            self._reasons[text if known else "other reasons"] += 1

    def __bool__(self) -> bool:
        return bool(self._reasons)

    def __str__(self) -> str:
        return counted(self._reasons)
