"""Calling a problem and checking what it answers; this is the code that runs in the workers."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.problem import Problem

from moela.evaluation.runners.outcome import ERROR, INVALID, OK, Outcome

_HOST = socket.gethostname()


def worker_name() -> str:
    """Return host and process, as recorded beside each evaluation."""
    return f"{_HOST}:{os.getpid()}"


def evaluate(
    problem: Any,
    X: Any,
    names: Sequence[str],
    retries: int = 0,
    kwargs: dict[str, Any] | None = None,
) -> list[Outcome]:
    """Evaluate the rows of X together; where that raises, one by one, to find the culprit.

    Parameters
    ----------
    problem : pymoo Problem
    X : ndarray [n, n_var], or object array of n dictionaries (mixed variables)
    names : sequence of str
        What to compute, as pymoo's ``evaluate_values_of``.
    retries : int
        How often a row that fails is tried again.
    kwargs : dict, optional
        Passed on to the problem if it has ``requires_kwargs``.

    Returns
    -------
    list of n Outcome
        It never raises an ``Exception`` of the problem's.
    """
    n = len(X)
    start = time.perf_counter()
    try:
        outcomes = _rows(problem, X, names, kwargs or {})
    except _NoAnswerError as error:
        outcomes = [Outcome(INVALID, error=str(error)) for _ in range(n)]
        retries = 0
    except (Exception, SystemExit):  # a script's way to give up, called as a function
        if n > 1:
            return [evaluate(problem, X[i : i + 1], names, retries, kwargs)[0] for i in range(n)]
        outcomes = [Outcome(ERROR, error=traceback.format_exc())]
    seconds = (time.perf_counter() - start) / n

    for i, outcome in enumerate(outcomes):
        outcome.duration = seconds
        outcome.worker = worker_name()
        if outcome.status != OK and retries > 0:
            again = evaluate(problem, X[i : i + 1], names, retries - 1, kwargs)[0]
            again.duration += seconds
            again.attempts += 1
            outcomes[i] = again
    return outcomes


class _NoAnswerError(ValueError):
    """What the problem gave has a wrong shape or is missing; single rows would fare no better."""


def _rows(problem: Any, X: Any, names: Sequence[str], kwargs: dict[str, Any]) -> list[Outcome]:
    n = len(X)
    kind = type(problem)
    if kind.evaluate is Problem.evaluate and kind.do is Problem.do:
        out = _checked(problem, X, names, kwargs)
    else:
        out = problem.evaluate(X, return_values_of=list(names), return_as_dictionary=True, **kwargs)
    columns = {name: np.asarray(value) for name, value in out.items() if value is not None}
    for name, column in columns.items():
        if len(column) != n:
            raise _NoAnswerError(
                f"{_title(problem)} gave {len(column)} rows of {name} for {n} designs."
            )
    return [_row(problem, {name: column[i] for name, column in columns.items()}) for i in range(n)]


def _checked(
    problem: Problem, X: Any, names: Sequence[str], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Do as ``Problem.evaluate`` does, with a look at the raw shapes in between.

    pymoo reshapes whatever has the right number of elements, so that a transposed F goes through
    unseen, and it fills what was never set with infinity.
    """
    if isinstance(X, np.ndarray) and X.dtype != object and X.shape[1] != problem.n_var:
        raise _NoAnswerError(f"{_title(problem)} has {problem.n_var} variables. Got {X.shape[1]}.")
    kwargs = kwargs if problem.requires_kwargs else {}
    raw: dict[str, Any] = dict.fromkeys(names)
    if problem.elementwise:
        problem._evaluate_elementwise(X, raw, **kwargs)
    else:
        problem._evaluate_vectorized(X, raw, **kwargs)

    widths = {"F": problem.n_obj, "G": problem.n_ieq_constr, "H": problem.n_eq_constr}
    for name, width in widths.items():
        if name in names and raw.get(name) is None and width > 0:
            raise _NoAnswerError(
                f'{_title(problem)} never set out["{name}"]; its _evaluate must set it for every '
                "design."
            )
    for name, width in widths.items():
        if raw.get(name) is not None:
            _check_shape(problem, name, raw[name], len(X), width)

    out: dict[str, Any] = {}
    for name, value in problem._format_dict(raw, len(X), names).items():
        array = np.array(value)
        if problem.replace_nan_values_by is not None:
            array[np.isnan(array)] = problem.replace_nan_values_by
        try:
            out[name] = array.astype(np.float64)
        except (TypeError, ValueError):
            out[name] = array
    if problem.callback is not None:
        problem.callback(X, out)
    return out


def _check_shape(problem: Problem, name: str, value: Any, n: int, width: int) -> None:
    if isinstance(value, list):  # pymoo takes a list as a list of columns
        value = np.column_stack(value) if value else np.empty((n, 0))
    shape = np.shape(value)
    flat = shape[:1] + tuple(s for s in shape[1:] if s != 1)
    fits: set[tuple[int, ...]] = {(n, width)} if width != 1 else {(n,), (n, 1)}
    if n == 1:
        fits.add((width,))
    if shape not in fits and flat not in fits and not (width == 0 and 0 in shape):
        per_row = f"[{n}, {width}] for {n} designs" if n > 1 else f"{width} values for a design"
        raise _NoAnswerError(
            f'{_title(problem)} must set out["{name}"] to {per_row}. Got shape {shape} instead.'
        )


def _row(problem: Any, values: dict[str, NDArray[Any]]) -> Outcome:
    F = values.get("F")
    if F is not None and not np.all(np.isfinite(F)):
        return Outcome(
            INVALID, error=f"{_title(problem)} gave F = {F}: objectives must be finite numbers."
        )
    for name in ("G", "H"):
        if name in values and np.any(np.isnan(values[name])):
            return Outcome(
                INVALID, error=f"{_title(problem)} gave {name} = {values[name]}, which holds NaN."
            )
    return Outcome(OK, values)


def _title(problem: Any) -> str:
    return type(problem).__name__


def single_threaded_environment(threads: int) -> dict[str, str]:
    """Return the environment variables that hold BLAS, OpenMP and numba to so many threads."""
    names = (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    )
    return dict.fromkeys(names, str(threads))
