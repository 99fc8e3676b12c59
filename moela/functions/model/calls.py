"""Checks of functions that users pass, and of calls with parameters that a function lacks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

from pymoo.core.algorithm import Algorithm

from moela.provenance.signature import LAMBDA
from moela.quality.words import nearest, of_kind

P = ParamSpec("P")
T = TypeVar("T")

# What other libraries call the parameters.
_ELSEWHERE = {
    "variables": ("bounds", "dimensions", "domain", "parameters", "search_space", "space"),
    "n_eval": (
        "budget", "max_evals", "maxiter", "n_calls", "n_evals", "n_evaluations", "n_iter",
        "n_trials", "num_samples", "termination",
    ),
    "objectives": ("direction", "directions", "senses"),
    "on_error": ("catch",),
    "seed": ("random_seed", "random_state", "rng"),
    "n_jobs": ("cores", "max_workers", "n_workers", "num_workers", "workers"),
    "start": ("initial", "points_to_evaluate", "sampling", "x0"),
    "known": ("evaluated_rewards", "history", "previous", "y0"),
    "store": ("checkpoint", "storage"),
    "algorithm": ("method", "sampler"),
}  # fmt: skip
# Parameters of pymoo's function of the same name, which take a problem and an algorithm.
_OF_PYMOO = {
    "copy_algorithm", "copy_termination", "display", "evaluator", "output",
    "return_least_infeasible", "save_history",
}  # fmt: skip
_OF_TRIALS = ("params", "report", "set_user_attr", "should_prune", "user_attrs")
_PYMOO_HINT = " With a pymoo problem and algorithm, use minimize from pymoo.optimize."
_OURS = {theirs: ours for ours, names in _ELSEWHERE.items() for theirs in names}


def checked_call(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function, with errors for unknown and missing parameters that say what to do."""
    signature = inspect.signature(function)
    name = f"moela.{function.__name__}"
    known = list(signature.parameters)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        unknown = [key for key in kwargs if key not in known]
        if unknown:
            ours = _OURS.get(unknown[0].lower())
            hint = f" Use {ours!r}." if ours in known else nearest(unknown[0], known)
            if unknown[0] in _OF_PYMOO and function.__name__ == "minimize":
                hint = _PYMOO_HINT
            raise TypeError(
                f"{name} has no parameter {unknown[0]!r}.{hint} Its parameters are "
                f"{', '.join(known)}."
            )
        if len(args) > 1:
            pymoo = isinstance(args[1], Algorithm)
            raise TypeError(
                f"{name} takes one argument without a name, {known[0]!r}. Got {len(args)}; name "
                f"the others: {name}({known[0]}, {known[1]}=..., {known[2]}=...)."
                f"{_PYMOO_HINT if pymoo else ''}"
            )
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(
                f"{name}: {error}. Call it as {name}({known[0]}, {known[1]}={{...}}, "
                f"{known[2]}=[...], ...)."
            ) from None
        return function(*args, **kwargs)

    return checked


def name_of(function: object) -> str:
    """Return the name of a function for messages."""
    inner = getattr(function, "func", function)  # of a functools.partial
    name = getattr(inner, "__name__", None)
    return LAMBDA if name == "<lambda>" else str(name or type(inner).__name__)


def check_function(function: object, vectorized: bool = False) -> None:
    """Raise a TypeError unless a function can be called with one dictionary."""
    what = "a dictionary of arrays" if vectorized else "a dictionary of the variables"
    form = f"a function that takes {what} and returns a dictionary of numbers"
    if not callable(function):
        raise TypeError(
            f"The 'function' parameter must be {form}. Got {of_kind(function)} instead."
        )
    if inspect.isclass(function):
        raise TypeError(
            f"The 'function' parameter must be {form}. Got the class {function.__name__} instead; "
            f"pass a method of an object: {function.__name__}(...).method."
        )
    call = getattr(function, "func", function)
    call = call if inspect.isroutine(call) else getattr(call, "__call__", call)  # noqa: B004
    if inspect.iscoroutinefunction(call):
        raise TypeError(
            f"The 'function' parameter must be {form}. Got the async function "
            f"{name_of(function)} instead; wrap it: lambda d: asyncio.run({name_of(function)}(d))."
        )
    if inspect.isgeneratorfunction(call):
        raise TypeError(
            f"The 'function' parameter must be {form}. Got the generator {name_of(function)} "
            "instead; use return instead of yield."
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a builtin
        return
    try:
        signature.bind({})
    except TypeError:
        name = name_of(function)
        got = f"{name}{signature}"
        write = f"def {name}(d): and d['x'], or pass lambda d: {name}(**d)"
        if name == LAMBDA:
            got = f"lambda {str(signature)[1:-1]}".rstrip()
            write = "lambda d: and d['x'] in place of x"
        raise TypeError(
            f"The 'function' parameter must take one argument, {what}. Got {got} instead; "
            f"write {write}."
        ) from None


def takes_one(function: Callable[..., object]) -> bool:
    """Return whether a function can be called with one argument; True if that is not known."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a builtin
        return True
    try:
        signature.bind(None)
    except TypeError:
        return False
    return True


def misnamed(
    function: Callable[..., object], variables: Iterable[str], error: BaseException
) -> str:
    """Return a sentence about a function that may use its dictionary as if it were a variable.

    The sentence is empty unless all parameters have the names of variables, and the error is one
    that such a use raises.
    """
    if not isinstance(error, (TypeError, IndexError, AttributeError)):
        return ""
    try:
        parameters = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # of a builtin
        return ""
    if _of_trial(error):
        return (
            " It gets a dictionary of the variables. An objective of Optuna works as it is with "
            f"lambda d: {name_of(function)}(optuna.trial.FixedTrial(d))."
        )
    if not parameters or not set(parameters) <= set(variables):
        return ""
    name = parameters[0]
    if len(parameters) > 1:
        write = f"pass lambda d: {name_of(function)}(**d)"
        if name_of(function) == LAMBDA:
            write = f"write lambda d: with d[{name!r}] in place of {name}"
        return f" It gets a dictionary of the variables as {name!r}; {write}."
    return f" Its argument {name!r} is a dictionary of the variables; take {name}[{name!r}]."


def _of_trial(error: Exception) -> bool:
    """Return whether a function has used its dictionary as a trial of Optuna."""
    name = getattr(error, "name", None) or ""
    of_dict = isinstance(error, AttributeError) and isinstance(getattr(error, "obj", None), dict)
    return of_dict and (name.startswith("suggest_") or name in _OF_TRIALS)
