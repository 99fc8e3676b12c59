"""Evaluation statuses, the outcome of one evaluation, and the errors that failures raise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela._arrays import Bools, Floats
from moela._tracebacks import exception_of
from moela.evaluation.runners.violation import bound_violation

OK = "ok"
ERROR = "error"
INVALID = "invalid"
INFINITE = "infinite"
TIMEOUT = "timeout"
CRASHED = "crashed"
SKIPPED = "skipped"

_HAPPENED = {
    ERROR: "raised an exception",
    INVALID: "returned invalid values",
    TIMEOUT: "exceeded its timeout",
    CRASHED: "killed its worker process",
}
# The failures that raise with `on_error="raise"`. An infinite objective is not among them, since it
# is a common way to say that a design is bad.
FAILURES = frozenset(_HAPPENED)

_MOST_REASON = 200  # characters

# If a worker dies (killed by the system, a segmentation fault), the crash may have nothing to do
# with the design in hand. It is retried this many times before it counts as crashed.
CRASH_RETRIES = 2

Values = dict[str, NDArray[Any]]
"""Outputs of one evaluation by name."""


@dataclass(slots=True)
class Outcome:
    """The result of evaluating one design.

    ``values`` holds ``F`` [n_obj], ``G`` [n_ieq_constr], ``H`` [n_eq_constr] and everything else
    that the problem put into ``out``; it is empty for a failure.
    """

    status: str
    values: Values = field(default_factory=dict)
    error: str | None = None  # traceback of the worker, or description of the invalid values
    duration: float = 0.0  # seconds, including failed tries
    worker: str = ""  # host and process
    attempts: int = 1

    def __post_init__(self) -> None:
        # Lone surrogates, which file names can bring into a traceback, break logs and files.
        if self.error is not None:
            self.error = self.error.encode(errors="backslashreplace").decode()


class EvaluationError(RuntimeError):
    """An evaluation failed and ``on_error="raise"``.

    Attributes
    ----------
    X : object
        The design: a row [n_var], or a dictionary for mixed variables.
    status : str
        ``"error"`` (the evaluation raised), ``"invalid"`` (it gave NaN, a wrong shape or nothing),
        ``"timeout"`` or ``"crashed"`` (its worker died).
    traceback : str
        The traceback of the worker, or a description of the invalid values.
    """

    def __init__(self, message: str, X: object = None, status: str = ERROR, traceback: str = ""):
        super().__init__(message)
        self.X = X
        self.status = status
        self.traceback = traceback

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.X, self.status, self.traceback)


def failure(X: object, outcome: Outcome) -> EvaluationError:
    """Return the error for a failed evaluation: the design, the reason, and the remedies."""
    tries = f" in {outcome.attempts} tries" if outcome.attempts > 1 else ""
    error = outcome.error or ""
    return EvaluationError(
        f"The evaluation of a design {_HAPPENED[outcome.status]}{tries}.\n"
        f"Design: {_brief(X)}\nWorker: {outcome.worker}\n{error.rstrip()}\n"
        "Fix the problem and make the same call again, or pass "
        'evaluator=moela.Evaluator(on_error="infeasible") to go on without such designs.',
        X=X,
        status=outcome.status,
        traceback=error,
    )


def unloadable(problem_traceback: str) -> EvaluationError:
    """Return the error for a worker in which the problem cannot be unpickled."""
    return EvaluationError(
        "A worker process cannot load the problem. Define the problem in a module that the worker "
        "can import, or in the script that is run, and keep open files and locks out of it. "
        f'Otherwise use backend="threads".\n{problem_traceback.rstrip()}',
        traceback=problem_traceback,
    )


def infinite_objective(problem: str, F: Floats) -> str:
    """Return the description of a design whose objectives F [n_obj] are not all finite."""
    j = int(np.flatnonzero(~np.isfinite(F))[0])
    return f"{problem} gave F[{j}] = {F[j]}: a design with an infinite objective counts as failed."


def infinite_warning(first: str, n: int, n_eval: int) -> str:
    """Return the one warning of a run: the first of n such designs among n_eval, and the rule."""
    return (
        f"{first} So far, {n} of {n_eval} designs did. The run goes on without such designs, and "
        "this is its only warning of them."
    )


def reason(status: str, error: str | None) -> str:
    """Return why an evaluation failed, on one line: the exception of a traceback, or the status."""
    text = exception_of(error or "") or status
    return text if len(text) <= _MOST_REASON else f"{text[:_MOST_REASON]} ..."


def apply(individual: Individual, outcome: Outcome, names: Sequence[str]) -> None:
    """Set the values of a successful outcome on an individual."""
    individual.CV = None  # pymoo keeps the old one otherwise
    for name, value in outcome.values.items():
        individual.set(name, np.array(value) if isinstance(value, np.ndarray) else value)
    bound_violation(individual)
    individual.data["status"] = OK
    individual.evaluated.update(names)
    individual.evaluated.update(outcome.values)


def failed(pop: Population) -> Bools:
    """Return which individuals have no objective values: failed, or skipped beyond the budget.

    Parameters
    ----------
    pop : Population of n individuals

    Returns
    -------
    ndarray of bool, shape [n]
        True if F must not be read. Always False for an individual that no
        :class:`moela.Evaluator` has evaluated.

    Examples
    --------
    >>> from pymoo.core.population import Population
    >>> from moela import failed
    >>> failed(Population.new("X", [[0.0], [1.0]])).tolist()
    [False, False]
    """
    return np.array([ind.data.get("status", OK) != OK for ind in pop], dtype=bool)


def tried_and_failed(pop: Population) -> Bools:
    """Mark the failed evaluations, [n], but not those that were skipped."""
    return np.array([ind.data.get("status", OK) not in (OK, SKIPPED) for ind in pop], dtype=bool)


def without_numpy(X: object) -> object:
    """Return a design of mixed variables with Python's numbers, to be written; others unchanged."""
    if not isinstance(X, dict):
        return X
    return {name: x.item() if isinstance(x, np.generic) else x for name, x in X.items()}


def _brief(X: object) -> str:
    X = without_numpy(X)
    text = np.array2string(X, threshold=60, precision=17) if isinstance(X, np.ndarray) else repr(X)
    return text if len(text) <= 2000 else text[:2000] + " ..."
