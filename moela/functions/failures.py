"""Failed evaluations in the words of the user's function and design."""

from __future__ import annotations

from collections.abc import Sequence

from pymoo.core.individual import Individual
from pymoo.core.problem import Problem

from moela.evaluation.runners.outcome import EvaluationError
from moela.evaluation.storage.errors import StoreMismatchError
from moela.functions.model.outputs import own_message
from moela.functions.model.view import ProblemView
from moela.functions.model.words import design_text

_GO_ON = (
    "Fix the function and make the same call again, or pass on_error='infeasible' to go on without "
    "such designs."
)
_HAPPENED = {
    "error": "raised an exception",
    "timeout": "exceeded its timeout",
    "crashed": "killed its worker process",
    "invalid": "returned invalid values",
}


def in_words(problem: Problem, error: EvaluationError) -> EvaluationError:
    """Return the error of an evaluation with the design as the function got it."""
    if error.X is None:  # a worker could not load the function
        return error
    return _failure(problem, error.X, error.status, error.traceback, _GO_ON)


def all_failed(problem: Problem, individuals: Sequence[Individual]) -> EvaluationError:
    """Return the error for a run of which all evaluations have failed, with the first one."""
    first = individuals[0]
    return _failure(
        problem,
        first.X,
        str(first.data.get("status")),
        str(first.data.get("error") or ""),
        f"All of the first {len(individuals)} evaluations failed, this one first. Fix the function "
        "and make the same call again.",
    )


def _failure(
    problem: Problem, x: object, status: str, traceback: str, advice: str
) -> EvaluationError:
    view = ProblemView(problem)
    design = view.design(x)  # type: ignore[arg-type]
    own = own_message(traceback)
    if own:
        message = f"{own}\n{advice}"
    else:
        happened = _HAPPENED.get(status, status)
        message = (
            f"{view.title} {happened} for the design {design_text(design)}.\n"
            f"{traceback.rstrip()}\n{advice}"
        )
    return EvaluationError(message, X=design, status=status, traceback=traceback)


def mismatch(error: StoreMismatchError) -> StoreMismatchError:
    """Return the error of a store that holds another run, with advice for `moela.minimize`."""
    message = str(error)
    found, mark, _ = message.partition("\nTo continue that run, undo these changes.")
    if not mark:
        return error
    return StoreMismatchError(
        f"{found}\nTo continue that run, undo these changes. To begin another run, name another "
        "file: store='other.db'. To begin it with the designs of an earlier result, pass "
        "start=result."
    )
