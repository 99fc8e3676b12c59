"""Failed evaluations in the words of the user's function and design."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pymoo
from pymoo.core.individual import Individual
from pymoo.core.problem import Problem

from moela._tracebacks import without_callers
from moela.evaluation.runners.outcome import EvaluationError
from moela.evaluation.storage.errors import StoreMismatchError
from moela.functions.model.function_problem import FunctionProblem
from moela.functions.model.outputs import own_message
from moela.functions.model.view import ProblemView
from moela.quality.words import design_text

# Packages whose functions call the user's: their frames come first in a traceback.
_CALLERS = (Path(__file__).parents[1], Path(pymoo.__file__).parent)
_AGAIN = "Fix the function and make the same call again."
_INFEASIBLE = "on_error='infeasible'"
_GO_ON = f"{_AGAIN[:-1]}, or pass {_INFEASIBLE} to go on without such designs."
_OTHER_FILE = (
    "begin another run in another file, store='other.db', with known={store!r} if its results "
    "hold there, too, or start=result to evaluate the designs of an earlier result again."
)
# Where the advice of a store's errors begins, and what it is for `moela.minimize`.
_STORE_ADVICE = {
    "To continue that run, undo these changes.": (
        "\nTo continue that run, undo these changes. Otherwise {other}"
    ),
    ", or on_mismatch='new'": ".",
    "The evaluation has changed since.": (
        ". The function has changed since: {other} If the function gives another result "
        "each time, pass noisy=True."
    ),
}
_HAPPENED = {
    "error": "raised an exception",
    "timeout": "exceeded its timeout",
    "crashed": "killed its worker process",
    "invalid": "returned invalid values",
}


def in_words(problem: Problem, error: EvaluationError) -> EvaluationError:
    """Return the error of an evaluation with the design as the function got it."""
    if error.X is None:  # the function could not be sent to a worker, or not be loaded there
        title = ProblemView(problem).title
        message = str(error).replace(type(problem).__name__, title)
        message = message.replace("open them in _evaluate", f"open them in {title}")
        return EvaluationError(message, traceback=error.traceback)
    advice = _GO_ON
    if not isinstance(problem, FunctionProblem):
        advice = advice.replace("the function", f"{type(problem).__name__}._evaluate")
    return _failure(problem, error.X, error.status, error.traceback, advice)


def all_failed(problem: Problem, individuals: Sequence[Individual]) -> EvaluationError:
    """Return the error for a run of which all evaluations have failed, with the first one."""
    first, n = individuals[0], len(individuals)
    which = (
        "The only evaluation failed."
        if n == 1
        else (f"All of the first {n} evaluations failed, this one first.")
    )
    return _failure(
        problem,
        first.X,
        str(first.data.get("status")),
        str(first.data.get("error") or ""),
        f"{which} {_AGAIN}",
    )


def _failure(
    problem: Problem, x: object, status: str, traceback: str, advice: str
) -> EvaluationError:
    view = ProblemView(problem)
    design = view.design(x)  # type: ignore[arg-type]
    own = own_message(traceback)
    if own:
        # A missing or misnamed output is a mistake in the function, and a failed design hides it.
        # A value that is not finite may be no mistake, and its message says so.
        advice = advice.replace(_GO_ON, "" if _INFEASIBLE in own else _AGAIN)
        message = f"{own}\n{advice}".rstrip()
    else:
        happened = _HAPPENED.get(status, status)
        message = (
            f"{view.title} {happened} for the design {design_text(design)}.\n"
            f"{without_callers(traceback, _CALLERS).rstrip()}\n{advice}"
        )
    return EvaluationError(message, X=design, status=status, traceback=traceback)


@contextmanager
def named_as_passed() -> Iterator[None]:
    """Let errors about settings name `minimize`, to which the user has passed them."""
    try:
        yield
    except (TypeError, ValueError) as error:
        message = re.sub(r" parameter of (Evaluator|MOELA) ", " parameter of minimize ", str(error))
        if message == str(error):
            raise
        raise type(error)(message) from None


def of_same_problem(error: StoreMismatchError) -> bool:
    """Return whether a store holds a run of the same problem by another algorithm or seed."""
    changes = re.findall(r"^  (problem|algorithm|seed|settings)\b", str(error), flags=re.MULTILINE)
    return bool(changes) and "problem" not in changes


def begins_anew(error: StoreMismatchError) -> str:
    """Return that a new run begins in a store that holds this problem, and what differs."""
    changes = re.findall(r"^  ((?:algorithm|seed|settings)\b.*)", str(error), flags=re.MULTILINE)
    most_similar = str(error).partition("The most similar one")[2].partition("\n")[0]
    return (
        f"a new run begins in the store; the most similar one there{most_similar} "
        f"{'; '.join(changes)}"
    )


def in_other_words(error: StoreMismatchError, store: object) -> StoreMismatchError:
    """Return the error of a store that holds something else, with advice for `moela.minimize`."""
    message, other = str(error), _OTHER_FILE.format(store=str(store))
    for mark, advice in _STORE_ADVICE.items():
        found, mark, _ = message.partition(mark)
        if mark:
            return StoreMismatchError(found.rstrip(" .,;") + advice.format(other=other))
    return error
