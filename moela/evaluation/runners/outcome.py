"""What an evaluation can come to, and how a failed one looks to an algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.individual import Individual
from pymoo.core.population import Population

OK = "ok"
ERROR = "error"
INVALID = "invalid"
TIMEOUT = "timeout"
CRASHED = "crashed"
SKIPPED = "skipped"

FAILURES = frozenset({ERROR, INVALID, TIMEOUT, CRASHED})

# pymoo's algorithms read F of every individual, and on a problem without constraints they never
# look at CV. So a failure carries a number there that every real design dominates. It is finite,
# and its square is too, so that norms and scalarizations of it neither overflow nor give NaN.
PENALTY = 1e100

# A worker that dies (killed by the system, a segmentation fault) says nothing about the design it
# had in hand, so the design is tried again this many times before the blame falls on it.
CRASH_RETRIES = 2


@dataclass(slots=True)
class Outcome:
    """What became of one design.

    Attributes
    ----------
    status : str
        ``"ok"``, or one of the failures ``"error"`` (the evaluation raised), ``"invalid"`` (it gave
        NaN, infinity, a wrong shape or nothing), ``"timeout"``, ``"crashed"`` (its worker died).
    values : dict of str to ndarray
        One row per name: ``F`` [n_obj], ``G`` [n_ieq_constr], ``H`` [n_eq_constr] and whatever else
        the problem put into ``out``. Empty for a failure.
    error : str or None
        The traceback of the worker, or what was wrong with the values.
    duration : float
        Seconds that the evaluation took, those of tries that failed included.
    worker : str
        Host and process that computed it.
    attempts : int
        How often it was tried.
    """

    status: str
    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    error: str | None = None
    duration: float = 0.0
    worker: str = ""
    attempts: int = 1


class EvaluationError(RuntimeError):
    """An evaluation failed and ``on_error="raise"``.

    Attributes
    ----------
    X : object
        The design: a row [n_var], or a dictionary for mixed variables.
    status : str
        How it failed, see :class:`Outcome`.
    traceback : str
        The traceback of the worker, or what was wrong with the values.
    """

    def __init__(self, message: str, X: Any = None, status: str = ERROR, traceback: str = ""):
        super().__init__(message)
        self.X = X
        self.status = status
        self.traceback = traceback

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.X, self.status, self.traceback)


def failure(X: Any, outcome: Outcome) -> EvaluationError:
    """Return the error that tells of a failed evaluation: what, where, and what can be done."""
    tries = f" in {outcome.attempts} tries" if outcome.attempts > 1 else ""
    what = {
        ERROR: "raised an exception",
        INVALID: "gave values that are not an answer",
        TIMEOUT: "ran out of time",
        CRASHED: "ended its worker process",
    }[outcome.status]
    error = outcome.error or ""
    return EvaluationError(
        f"The evaluation of a design {what}{tries}.\n"
        f"Design: {_brief(X)}\nWorker: {outcome.worker}\n{error.rstrip()}\n"
        'Mend the problem and make the same call again, or pass on_error="infeasible" to go on '
        "without such designs.",
        X=X,
        status=outcome.status,
        traceback=error,
    )


def unloadable(problem_traceback: str) -> EvaluationError:
    """Return the error that tells of a worker in which the problem cannot be unpickled."""
    return EvaluationError(
        "A worker process cannot load the problem. Define it in a module that can be imported "
        "there, or in the script that is run, and keep open files and locks out of it; or use "
        f'backend="threads".\n{problem_traceback.rstrip()}',
        traceback=problem_traceback,
    )


def mark(individual: Individual, status: str, problem: Any, error: str | None = None) -> None:
    """Make an individual look as a failure looks: infeasible and dominated by everything.

    F, G and H hold :data:`PENALTY`, CV too, also where the problem has no constraints, and the
    status and the traceback are in ``individual.data``. An algorithm of ours leaves it out of ideal
    point, archive and model by :func:`failed`; one of pymoo's finds it infeasible where it asks,
    and worse than any real design where it does not.
    """
    individual.F = np.full(problem.n_obj, PENALTY)
    individual.G = np.full(problem.n_ieq_constr, PENALTY)
    individual.H = np.full(problem.n_eq_constr, PENALTY)
    individual.CV = np.array([PENALTY])
    individual.data["status"] = status
    individual.data["error"] = error
    individual.evaluated.update(("F", "G", "H"))


def apply(individual: Individual, outcome: Outcome, names: Sequence[str], problem: Any) -> None:
    """Give an individual the answer to its design: values, or the looks of a failure."""
    if outcome.status != OK:
        mark(individual, outcome.status, problem, outcome.error)
        return
    individual.CV = None  # pymoo keeps the old one otherwise
    for name, value in outcome.values.items():
        individual.set(name, np.array(value) if np.ndim(value) else value)
    individual.data["status"] = OK
    individual.evaluated.update(names)
    individual.evaluated.update(outcome.values)


def failed(pop: Population) -> NDArray[np.bool_]:
    """Return which individuals carry no answer: failed, or left out because the budget was spent.

    Parameters
    ----------
    pop : Population of n individuals

    Returns
    -------
    ndarray of bool, shape [n]
        True where F must not be read. An individual that :class:`moela.Evaluator` never saw is
        taken at its word (False).

    Examples
    --------
    >>> from pymoo.core.population import Population
    >>> from moela import failed
    >>> failed(Population.new("X", [[0.0], [1.0]])).tolist()
    [False, False]
    """
    return np.array([ind.data.get("status", OK) != OK for ind in pop], dtype=bool)


def _brief(X: Any) -> str:
    text = np.array2string(X, threshold=60, precision=17) if isinstance(X, np.ndarray) else repr(X)
    return text if len(text) <= 2000 else text[:2000] + " ..."
