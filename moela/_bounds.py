"""Checks of designs: numbers, bounds, and types of variables."""

from __future__ import annotations

from collections.abc import Sequence
from types import UnionType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from pymoo.core.problem import Problem
from pymoo.core.variable import Binary, BoundedVariable, Choice, Integer, Variable

from moela._arrays import Designs, Floats, numbers_of

# A value outside its bounds by this much of their range at most was only rounded.
_ROUNDING = 1e-9


class Where(NamedTuple):
    """A design for the messages about it: its name, and the advice on what to do."""

    design: str
    advice: str

    def wrong(self, name: object, value: object, expected: str) -> ValueError:
        """Return the error for a value of a variable that is not as expected."""
        return ValueError(
            f"Variable {name!r} of {self.design} must be {expected}. Got {value!r} instead; "
            f"{self.advice}."
        )


def check_number(value: object, name: object, where: Where) -> None:
    """Raise a ValueError unless the value of a variable is a number, and not NaN."""
    number = isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating)
    if not number or value != value:
        raise where.wrong(name, value, "a number")


def numbers_inside(problem: Problem, X: Designs, where: Where) -> Floats:
    """Return the numbers X [n_var] of a design, put inside of their bounds and types.

    A value that misses a bound or an integer by rounding only (1e-9 of the range) is set to it.

    Raises
    ------
    ValueError
        A value is no number, misses by more, or is none of the type; the message names it.
    """
    for j, value in enumerate(X):
        check_number(value, j, where)
    xl, xu = _limits(problem, len(X))
    values = np.asarray(X, dtype=float)
    slack = _slack(xl, xu)
    for wrong, bound, word in (
        (values < xl - slack, xl, "at least"),
        (values > xu + slack, xu, "at most"),
    ):
        for j in np.flatnonzero(wrong)[:1].tolist():
            raise where.wrong(j, X[j], f"{word} {bound[j]:g}, its bound")
    values = np.clip(values, xl, xu)
    if not is_whole(problem):
        return values
    boolean = _has_type(problem, bool | np.bool_)
    whole = np.rint(values)
    wrong = np.abs(values - whole) > _ROUNDING
    if boolean:
        wrong |= (whole != 0.0) & (whole != 1.0)
    for j in np.flatnonzero(wrong)[:1].tolist():
        raise where.wrong(j, X[j], "0 or 1" if boolean else "an integer")
    return np.asarray(whole)


def value_inside(name: str, value: Any, variable: Variable, where: Where) -> Any:
    """Return a value of a variable with a name, put inside as `numbers_inside` does."""
    if isinstance(variable, Choice):
        if not any(option == value for option in variable.options):
            options = ", ".join(map(repr, variable.options))
            raise where.wrong(name, value, f"one of {options}")
        return value
    if not isinstance(variable, BoundedVariable):
        return value
    check_number(value, name, where)
    if isinstance(variable, Binary):
        if value not in (0, 1):
            raise where.wrong(name, value, "0 or 1, False or True")
        return bool(value)
    low, high = variable.bounds
    low = -np.inf if low is None else low
    high = np.inf if high is None else high
    slack = float(_slack(low, high))
    if value < low - slack:
        raise where.wrong(name, value, f"at least {low:g}, its bound")
    if value > high + slack:
        raise where.wrong(name, value, f"at most {high:g}, its bound")
    if not isinstance(variable, Integer):
        return value if low <= value <= high else min(max(value, low), high)
    if abs(value - round(value)) > _ROUNDING:
        raise where.wrong(name, value, "an integer")
    return round(float(value))


def check_inside(problem: Problem, X: Designs, wheres: Sequence[Where]) -> None:
    """Raise unless all designs X, [n, n_var] or [n] dictionaries, are within bounds and types.

    Designs that are no numbers, such as strings, are not checked, since they have no bounds.
    """
    variables: dict[str, Variable] | None = getattr(problem, "vars", None)
    if variables:
        for x, where in zip(X, wheres, strict=True):
            if not isinstance(x, dict) or not variables.keys() <= x.keys():
                raise ValueError(
                    f"The {where.design} must be a dictionary with the variables "
                    f"{', '.join(map(str, variables))}. Got {x!r} instead; {where.advice}."
                )
            for name, variable in variables.items():
                value_inside(name, x[name], variable, where)
        return
    values = X if X.dtype.kind == "c" else numbers_of(X)
    if values is not None:
        for x, where in zip(values, wheres, strict=True):
            numbers_inside(problem, x, where)


def surely_inside(problem: Problem, X: Designs) -> bool:
    """Return whether designs X, [..., n_var] or [...] dictionaries, are within bounds and types.

    It takes a few microseconds. A few designs that `check_inside` accepts are not recognized, such
    as those that miss a bound by rounding.
    """
    if X.size == 0:
        return True
    variables: dict[str, Variable] | None = getattr(problem, "vars", None)
    if variables:
        return _surely_inside(variables, X)
    values = numbers_of(X)
    if values is None:
        return X.dtype.kind != "c"
    if is_whole(problem) and values.dtype.kind == "f" and not (values == np.rint(values)).all():
        return False
    low, high = _limits(problem, X.shape[-1])
    if _has_type(problem, bool | np.bool_):
        low, high = np.maximum(low, 0.0), np.minimum(high, 1.0)
    # Least and greatest of all take less time than those of each column, and mostly suffice. A NaN
    # fails every comparison.
    if values.min() >= low.max() and values.max() <= high.min():
        return True
    rows = values.reshape(-1, values.shape[-1])
    return bool((rows.min(axis=0) >= low).all() and (rows.max(axis=0) <= high).all())


def _surely_inside(variables: dict[str, Variable], X: Designs) -> bool:
    designs = X.ravel().tolist()
    try:
        columns = {name: [x[name] for x in designs] for name in variables}
        for name, variable in variables.items():
            if isinstance(variable, Choice):
                if not set(columns[name]) <= set(variable.options):
                    return False
            elif isinstance(variable, BoundedVariable):
                low, high = (0, 1) if isinstance(variable, Binary) else variable.bounds
                column = np.array(columns[name])
                if column.dtype.kind not in ("bi" if isinstance(variable, Integer) else "biuf"):
                    return False
                if low is not None and not column.min() >= low:
                    return False
                if high is not None and not column.max() <= high:
                    return False
                if isinstance(variable, Binary) and not ((column == 0) | (column == 1)).all():
                    return False
    except (KeyError, TypeError, ValueError):  # no such dictionaries, or options without a hash
        return False
    return True


def is_whole(problem: Problem) -> bool:
    """Return whether the variables of a problem are integers or booleans by their `vtype`."""
    return _has_type(problem, bool | int | np.bool_ | np.integer)


def _has_type(problem: Problem, kinds: type | UnionType) -> bool:
    vtype = float if problem.vtype is None else problem.vtype
    return isinstance(vtype, type) and issubclass(vtype, kinds)


def _limits(problem: Problem, n: int) -> tuple[Floats, Floats]:
    """Return the bounds of n variables, infinite where there are none."""
    xl = np.full(n, -np.inf) if problem.xl is None else np.asarray(problem.xl, dtype=float)
    xu = np.full(n, np.inf) if problem.xu is None else np.asarray(problem.xu, dtype=float)
    return xl, xu


def _slack(low: ArrayLike, high: ArrayLike) -> Floats:
    span = np.subtract(high, low)
    return _ROUNDING * np.where(np.isfinite(span), span, 0.0)
