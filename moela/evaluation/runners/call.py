"""Calling a problem, here or in another process, and checking its output."""

from __future__ import annotations

import copy
import functools
import io
import operator
import os
import pickle
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from types import CodeType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pymoo.core.problem import LoopedElementwiseEvaluation, Problem

from moela._arrays import Designs, column, unmasked
from moela._threads import limited_threads
from moela._tracebacks import formatted
from moela.evaluation.runners.forks import SameProcess
from moela.evaluation.runners.outcome import (
    ERROR,
    FAILURES,
    INFINITE,
    INVALID,
    OK,
    EvaluationError,
    Outcome,
    Values,
    infinite_objective,
    unloadable,
)
from moela.evaluation.runners.signals import note_sender, outlive_interrupts, raise_interrupt
from moela.evaluation.runners.transport import INTERRUPTED, MOST_BYTES, TOO_LARGE, pack
from moela.files import descriptors
from moela.files.guard import brief

Job = tuple[int, ...]
"""Rows of a batch that are evaluated together."""

Answer = tuple[Job, list[Outcome]]
"""A job, or a part of one, with an outcome per row."""

_HOST = socket.gethostname()
_NONE: Mapping[str, object] = {}
_NO_FILE = "<dynamic-code>"
# Names of scripts in processes of multiprocessing, and of those that runpy runs.
_SCRIPTS = ("__mp_main__", "<run_path>")
_JUDGED = frozenset("FGH")  # objectives and constraints, which must be numbers
_FLOATS = frozenset({"F", "G", "H", "dF", "dG", "dH"})  # and their gradients
_IMMUTABLE = (bool, int, float, complex, str, bytes, np.generic, type(None))


def worker_name() -> str:
    """Return host and process, as recorded with each evaluation."""
    return f"{_HOST}:{os.getpid()}"


@dataclass(frozen=True)
class ProblemCall:
    """A problem, and the settings with which its designs are evaluated."""

    problem: Problem
    retries: int = 0  # of a design that fails
    threads: int | None = None  # of BLAS and OpenMP; None leaves the number to the libraries
    kwargs: Mapping[str, object] = field(default_factory=dict)  # for one that has requires_kwargs

    def __call__(self, X: Designs, names: Sequence[str]) -> list[Outcome]:
        """Evaluate the rows of X within the limit of threads; see `evaluate`."""
        with limited_threads(self.threads):
            return evaluate(self.problem, X, names, self.retries, self.kwargs)

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if getattr(self.problem, "elementwise_runner", self) is None:  # not to be serialized
            self.problem.elementwise_runner = LoopedElementwiseEvaluation()


def evaluate(
    problem: Problem,
    X: Designs,
    names: Sequence[str],
    retries: int = 0,
    kwargs: Mapping[str, object] = _NONE,
) -> list[Outcome]:
    """Evaluate the rows of X together; if that raises, one by one, to find the row that fails.

    An exception of the problem becomes an outcome and is never raised, except KeyboardInterrupt,
    alone or in a group, which ends the run. A child that the problem forks and that returns to here
    is ended. The problem gets copies of the rows, and its outputs are copied, so that it can change
    neither later.
    """
    n = len(X)
    start = time.perf_counter()
    try:
        with SameProcess():
            outcomes = _rows(problem, _copied(X), names, kwargs)
    except NoAnswerError as error:
        outcomes = [Outcome(INVALID, error=str(error)) for _ in range(n)]
        retries = 0
    # A script that is called as a function may exit, a task of asyncio be canceled, Rust panic.
    except BaseException as error:
        raise_interrupt(error)
        outcomes = [Outcome(ERROR, error=formatted(error))]
    if len(outcomes) < n:
        # The rows failed together. In the handler above, each row's traceback would include theirs.
        return [evaluate(problem, X[i : i + 1], names, retries, kwargs)[0] for i in range(n)]
    seconds = (time.perf_counter() - start) / n

    for i, outcome in enumerate(outcomes):
        outcome.duration = seconds
        outcome.worker = worker_name()
        if outcome.status in FAILURES and retries > 0:
            again = evaluate(problem, X[i : i + 1], names, retries - 1, kwargs)[0]
            again.duration += seconds
            again.attempts += 1
            outcomes[i] = again
    return outcomes


class NoAnswerError(ValueError):
    """An output is missing or has a wrong shape; evaluating row by row would not help."""


def _rows(
    problem: Problem, X: Designs, names: Sequence[str], kwargs: Mapping[str, object]
) -> list[Outcome]:
    n = len(X)
    out = outputs(problem, X, names, kwargs)
    # A problem may give the same array each time and change it.
    columns = {name: np.array(value) for name, value in out.items() if value is not None}
    for name, values in columns.items():
        if len(values) != n:
            raise NoAnswerError(
                f"{_title(problem)} must give a row of {name} per design. Got {len(values)} rows "
                f"for {n} designs instead."
            )
    return [
        _row(problem, {name: _kept(values[i]) for name, values in columns.items()})
        for i in range(n)
    ]


def outputs(
    problem: Problem, X: Designs, names: Sequence[str], kwargs: Mapping[str, object]
) -> Values:
    """Evaluate as ``problem.evaluate`` does, but raise a NoAnswerError for a wrong raw shape.

    The shapes are not seen if the class of the problem overrides ``evaluate`` or ``do``.
    """
    kind = type(problem)
    if kind.evaluate is Problem.evaluate and kind.do is Problem.do:
        return _checked(problem, X, names, kwargs)
    values: Values = problem.evaluate(
        X, return_values_of=list(names), return_as_dictionary=True, **kwargs
    )
    return values


def _checked(
    problem: Problem, X: Designs, names: Sequence[str], kwargs: Mapping[str, object]
) -> Values:
    """Do as ``Problem.evaluate`` does, but check the raw shapes in between.

    pymoo reshapes any array with the right number of elements, so that a transposed F is accepted
    silently, and it fills outputs that were never set with infinity.
    """
    if isinstance(X, np.ndarray) and X.dtype != object and X.shape[1] != problem.n_var:
        raise NoAnswerError(
            f"A design of {_title(problem)} must have {problem.n_var} variables. "
            f"Got {X.shape[1]} instead."
        )
    kwargs = kwargs if problem.requires_kwargs else _NONE
    raw: dict[str, Any] = dict.fromkeys(names)
    if not problem.elementwise:
        problem._evaluate_vectorized(X, raw, **kwargs)
    elif type(problem)._evaluate_elementwise is Problem._evaluate_elementwise:
        _evaluate_rows(problem, X, raw, kwargs)
    else:
        problem._evaluate_elementwise(X, raw, **kwargs)
    raw = dict(raw)  # a thread that the problem left behind may go on to set outputs

    widths = {"F": problem.n_obj, "G": problem.n_ieq_constr, "H": problem.n_eq_constr}
    for name, width in widths.items():
        if raw.get(name) is not None:
            raw[name] = unmasked(raw[name])
            _check_shape(problem, name, raw[name], len(X), width)
        elif name in names and width > 0:
            raise NoAnswerError(
                f'{_title(problem)} never set out["{name}"]. Its _evaluate must set it for every '
                "design."
            )

    out: Values = {}
    for name, value in problem._format_dict(raw, len(X), names).items():
        array = np.array(value)
        if problem.replace_nan_values_by is not None:
            array[np.isnan(array)] = problem.replace_nan_values_by
        if name not in _FLOATS and array.dtype.kind != "f":
            out[name] = array  # as the problem has it: a cast would make numbers of texts
            continue
        is_complex = np.iscomplexobj(array)
        if is_complex and not array.imag.any():
            is_complex, array = False, array.real.copy()
        try:
            # A cast would drop imaginary parts, with which a row is invalid.
            out[name] = array if is_complex else array.astype(np.float64, copy=False)
        except (TypeError, ValueError, OverflowError):
            if name in widths:
                raise _no_numbers(problem, X, name, array) from None
            out[name] = array
    if problem.callback is not None:
        problem.callback(X, out)
    return out


def _evaluate_rows(
    problem: Problem, X: Designs, raw: dict[str, Any], kwargs: Mapping[str, object]
) -> None:
    """Do as pymoo's ``_evaluate_elementwise`` does, but keep masks and copy the outputs of rows.

    A problem may set the same array for each row and change it.
    """
    evaluate_row = _EvaluatedRow(problem.elementwise_func(problem, (), kwargs), len(X) > 1)
    for row in problem.elementwise_runner(evaluate_row, X):
        for name, value in row.items():
            if raw.get(name) is None:
                raw[name] = []
            raw[name].append(value)
    for name, values in raw.items():
        if values is not None:
            raw[name] = np.array(values) if name in _FLOATS else column(values)


@dataclass(frozen=True)
class _EvaluatedRow:
    """A function of a design that copies its outputs; picklable, since a pool may call it."""

    function: Callable[[Any], Mapping[str, Any]]
    copies: bool

    def __call__(self, x: object) -> dict[str, Any]:
        out = dict(self.function(x))
        for name in _JUDGED & out.keys():
            out[name] = unmasked(out[name])  # before rows become one array, which has no mask
        return {name: _copied(value) for name, value in out.items()} if self.copies else out


def _no_numbers(problem: Problem, X: Designs, name: str, array: Designs) -> ValueError:
    """Return the error for objectives or constraints [n, ...] of which one is no number."""
    for x, row in zip(X, array, strict=False):
        for value in np.ravel(row).tolist():
            try:
                float(value)
            except (TypeError, ValueError, OverflowError):
                text = (
                    f'{_title(problem)} must set out["{name}"] to numbers in the range of floats. '
                    f"Got {brief(value)} ({type(value).__name__})"
                )
                # Several rows are evaluated one by one, to find those that fail.
                return NoAnswerError(f"{text}.") if len(X) == 1 else ValueError(f"{text} for {x}.")
    return NoAnswerError(f'{_title(problem)} must set out["{name}"] to numbers.')


def _copied(value: Any) -> Any:
    """Return a copy of a value, or the value itself if it cannot be copied."""
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return value.copy()
    if isinstance(value, _IMMUTABLE):
        return value
    try:
        return copy.deepcopy(value)
    except BaseException as error:  # of the methods of a user's object
        raise_interrupt(error)
        return value


def _kept(value: Any) -> Any:
    """Return a value of one row as an outcome holds it."""
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.hasobject:
        return _copied(value)
    return TOO_LARGE if value.nbytes > MOST_BYTES else value  # numbers have been copied already


def _check_shape(problem: Problem, name: str, value: ArrayLike, n: int, width: int) -> None:
    if isinstance(value, list):  # pymoo takes a list as a list of columns
        value = np.column_stack(value) if value else np.empty((n, 0))
    shape = np.shape(value)
    if shape == (n, width):
        return
    flat = shape[:1] + tuple(s for s in shape[1:] if s != 1)
    fits: set[tuple[int, ...]] = {(n, width)} if width != 1 else {(n,), (n, 1)}
    if n == 1:
        fits.add((width,))
    if shape not in fits and flat not in fits and not (width == 0 and 0 in shape):
        per_row = f"[{n}, {width}] for {n} designs" if n > 1 else f"{width} values for a design"
        raise NoAnswerError(
            f'{_title(problem)} must set out["{name}"] to {per_row}. Got shape {shape} instead.'
        )


def complex_error(problem: Problem, values: Values) -> str:
    """Describe the objective or constraint of one row that is not real; empty if all are.

    Those whose imaginary part is 0, in a batch of complex numbers, become real in place.
    """
    for name in ("F", "G", "H"):
        value = values.get(name)
        if value is None or not np.iscomplexobj(value):
            continue
        if value.imag.any():
            return (
                f"{_title(problem)} gave {name} = {value}: objectives and constraints must be real "
                "numbers. Take the real part or the absolute value."
            )
        values[name] = value.real.astype(np.float64)
    return ""


def _row(problem: Problem, values: Values) -> Outcome:
    error = complex_error(problem, values)
    if error:
        return Outcome(INVALID, error=error)
    F = values.get("F")
    finite = F is None or np.isfinite(F).all()
    if F is not None and not finite and np.isnan(F).any():
        error = f"F = {F}: objectives must be finite numbers."
    for name in ("G", "H"):
        if not error and np.size(values.get(name, ())) and np.isnan(values[name]).any():
            error = f"{name} = {values[name]}, which holds NaN."
    if error:
        return Outcome(INVALID, error=f"{_title(problem)} gave {error}")
    if F is not None and not finite:
        return Outcome(INFINITE, error=infinite_objective(_title(problem), F))
    return Outcome(OK, values)


def _title(problem: Problem) -> str:
    return type(problem).__name__


_last_call: dict[bytes, ProblemCall] = {}
Packed = tuple[Job, bytes]
"""A job with its outcomes as `transport.pack` packs them."""


def dumps(call: ProblemCall) -> bytes:
    """Pickle a problem and its settings for workers, classes of the running script by value.

    A worker evaluates one design after the other, whatever the problem's `elementwise_runner` is.
    """
    name = _title(call.problem)
    if getattr(call.problem, "requires_kwargs", False):
        raise ValueError(
            f"{name} has requires_kwargs=True: it needs the algorithm itself at every evaluation, "
            'which cannot be sent to other processes. Use n_jobs=1 or backend="threads".'
        )
    note_sender()
    try:
        return _pickled(call)
    except Exception as error:
        if descriptors.reached(error):  # which is no fault of the problem
            raise
        raise EvaluationError(
            f"{name} cannot be sent to another process ({error}). Keep open files, locks and "
            "connections out of it (open them in _evaluate), or use n_jobs=1 or "
            'backend="threads".'
        ) from error


def _pickled(call: ProblemCall) -> bytes:
    import cloudpickle  # type: ignore[import-untyped, unused-ignore]

    runner = getattr(call.problem, "elementwise_runner", None)
    for name in _SCRIPTS:  # only this process knows the script by this name
        if name in sys.modules:
            cloudpickle.register_pickle_by_value(sys.modules[name])

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc, unused-ignore]
        def reducer_override(self, value: object) -> object:
            if value is runner and runner is not None:
                return LoopedElementwiseEvaluation, ()
            if isinstance(value, CodeType) and CodeType in self.dispatch_table:
                make, arguments = self.dispatch_table[CodeType](value)
                # For tracebacks with lines of the source. cloudpickle 3.1.2 leaves the file out.
                file = value.co_filename
                return make, tuple(file if a == _NO_FILE else a for a in arguments)
            if isinstance(value, _CACHED) and not _importable(value):
                parameters = value.cache_parameters()
                return _cached, (value.__wrapped__, parameters["maxsize"], parameters["typed"])
            if type(value) is functools.cached_property:  # with a lock until Python 3.12
                state = {k: v for k, v in vars(value).items() if k not in ("func", "lock")}
                return functools.cached_property, (value.func,), state
            return super().reducer_override(value)

    with io.BytesIO() as file:
        Pickler(file).dump(call)
        return file.getvalue()


_CACHED = type(functools.cache(len))


def _cached(function: Callable[..., object], maxsize: int | None, typed: bool) -> object:
    """Return a function with an empty cache of its results."""
    return functools.lru_cache(maxsize, typed)(function)


def _importable(function: Callable[..., object]) -> bool:
    """Return whether a process that knows nothing of the script can import a function."""
    import cloudpickle.cloudpickle as by_value  # type: ignore[import-untyped, unused-ignore]

    module = getattr(function, "__module__", None)
    if module is None or module == "__main__" or module in by_value.list_registry_pickle_by_value():
        return False
    try:
        found = operator.attrgetter(function.__qualname__)(sys.modules[module])
    except (AttributeError, KeyError):  # of a function in a function
        return False
    return found is function


def task(job: Job, X: Designs, names: Sequence[str]) -> bytes:
    """Return the designs of a job as bytes."""
    # A backend may keep an array on a single worker, which may die with it.
    return pickle.dumps((job, X[list(job)], list(names)))


def evaluate_remotely(payload: bytes, task: bytes) -> Packed:
    """Evaluate a task in a worker, which keeps the last problem that it was sent."""
    digest = blake2b(payload).digest()
    call = _last_call.get(digest)
    if call is None:
        outlive_interrupts()
        try:
            with SameProcess():
                call = pickle.loads(payload)
        except BaseException as error:
            raise_interrupt(error)
            raise unloadable(traceback.format_exc()) from None
        _last_call.clear()  # a worker may have several threads, so none reads it a second time
        _last_call[digest] = call
    job, X, names = pickle.loads(task)
    try:
        outcomes = call(X, names)
    except KeyboardInterrupt:
        return job, INTERRUPTED
    with SameProcess():  # an object may fork as it is pickled
        return job, pack(outcomes)
