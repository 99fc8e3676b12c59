"""The designs of a batch that have to be computed, and computing them."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import cast

from pymoo.core.evaluator import Evaluator
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import Design, Designs
from moela.evaluation.known import Known
from moela.evaluation.marks import Marks
from moela.evaluation.runners.call import Answer, Job
from moela.evaluation.runners.outcome import (
    FAILURES,
    INFINITE,
    OK,
    SKIPPED,
    Outcome,
    apply,
    failure,
    reason,
    without_numpy,
)
from moela.evaluation.runners.runner import Runner, make_jobs

logger = logging.getLogger("moela.evaluator")

_MOST_TEXT = 400
_FIRST = "; the run goes on without such designs, and later failures are logged at level INFO"


def unevaluated(
    evaluator: Evaluator, pop: Population | Individual, skip: bool | None, names: Sequence[str]
) -> list[Individual]:
    """Return the individuals to evaluate; ``skip`` leaves out those that have the named values."""
    if skip is None:
        skip = evaluator.skip_already_evaluated
    return [
        individual
        for individual in ([pop] if isinstance(pop, Individual) else pop)
        if not skip or not all(name in individual.evaluated for name in names)
    ]


def jobs_of(known: Known, problem: Problem, chunk_size: int) -> list[Job]:
    """Return the jobs of a batch that have at least one unknown row."""
    due = known.due
    if problem.elementwise:  # the values of a row do not depend on the others of its chunk
        due = [i for i in due if known.outcomes[i] is None]
    return [
        job for job in make_jobs(due, chunk_size) if any(known.outcomes[i] is None for i in job)
    ]


def compute(
    runner: Runner,
    jobs: Sequence[Job],
    X: Designs,
    names: Sequence[str],
    known: Known,
    *,
    raises: bool,
) -> Generator[list[tuple[int, Outcome]], None, None]:
    """Yield the rows that became known with their outcomes, job by job, as the jobs end.

    If ``raises``, a failure ends the batch with an EvaluationError: no further job begins, and
    those that had begun are finished.
    """
    culprit: tuple[int, Outcome] | None = None
    announced = False
    answers = cast("Generator[Answer, None, None]", runner.run(jobs, X, names))
    try:
        for job, outcomes in answers:
            fresh = [
                (i, o) for i, o in zip(job, outcomes, strict=True) if known.outcomes[i] is None
            ]
            for i, outcome in fresh:
                known.outcomes[i] = outcome
                if raises and culprit is None and outcome.status in FAILURES:
                    culprit = i, outcome
            yield fresh
            if culprit is not None:
                running = runner.cancel()
                if not running:
                    break
                if not announced:
                    logger.error("an evaluation failed; waiting for the %d in progress", running)
                announced = True
    finally:
        answers.close()
    if culprit is not None:
        raise failure(X[culprit[0]], culprit[1])


@dataclass(slots=True)
class HandedOut:
    """The answers of a batch in numbers."""

    n_answered: int = 0
    n_failed: int = 0
    n_infinite: int = 0
    infinite: str = ""  # description of the first infinite objective


def hand_out(
    individuals: Sequence[Individual],
    outcomes: Sequence[Outcome | None],
    names: Sequence[str],
    marks: Marks,
) -> HandedOut:
    """Set outcomes on the individuals of a batch; those without any count as skipped."""
    handed = HandedOut()
    for individual, outcome in zip(individuals, outcomes, strict=True):
        if outcome is None:
            marks.put_on(individual, SKIPPED)
            continue
        handed.n_answered += 1
        if outcome.status == OK:
            apply(individual, outcome, names)
            continue
        marks.put_on(individual, outcome.status, outcome.error)
        handed.n_failed += 1
        if outcome.status == INFINITE:
            handed.n_infinite += 1
            handed.infinite = handed.infinite or outcome.error or ""
    return handed


def report_failure(
    problem: Problem, x: Design, outcome: Outcome, *, first: bool, raises: bool
) -> None:
    """Log a failed evaluation with reason and design, and its whole text at level DEBUG.

    The first one of a run is a warning, and later ones are at level INFO. If the failure
    ``raises`` an error, which says the same, it is logged at level DEBUG only. A problem may have
    words of its own for reason and design: ``failure_text(x, error, status)``.
    """
    level = logging.WARNING if first else logging.DEBUG if raises else logging.INFO
    if logger.isEnabledFor(level):
        more = _FIRST if first else ""
        logger.log(level, "an evaluation failed %s%s", _failure_text(problem, x, outcome), more)
    logger.debug("the whole text of this failure (%s):\n%s", outcome.status, outcome.error)


def _failure_text(problem: Problem, x: Design, outcome: Outcome) -> str:
    own = getattr(problem, "failure_text", None)
    if callable(own):
        return str(own(x, outcome.error or "", outcome.status))
    listed = x.tolist() if hasattr(x, "tolist") else without_numpy(x)
    design = " ".join(str(listed).split())
    cut = f"{design[:_MOST_TEXT]} ..." if len(design) > _MOST_TEXT else design
    return f"({reason(outcome.status, outcome.error)}) for the design {cut}"
