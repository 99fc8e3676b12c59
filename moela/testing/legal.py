"""Checks that designs are legal: within bounds, of the type of the variables, no NaN."""

from __future__ import annotations

import numpy as np
from pymoo.core.problem import Problem
from pymoo.core.variable import Binary, Choice, Integer, Variable

from moela._arrays import Designs


def assert_legal(problem: Problem, X: Designs, what: str) -> None:
    """Raise an AssertionError unless designs X are legal for a problem.

    Parameters
    ----------
    problem : Problem
        Bounds that are None are not checked. Its `check(X)`, if it exists, raises a ValueError.
    X : array
        Designs [n, n_var], or [n] dictionaries.
    what : str
        Who made the designs, for the message.
    """
    variables = getattr(problem, "vars", None)
    if variables:
        for x in X:
            _assert_legal_mixed(variables, x, what)
    else:
        X = np.asarray(X)
        assert X.shape[1:] == (problem.n_var,), (
            f"{what} must give rows of {problem.n_var} variables. Got shape {X.shape} instead."
        )
        _assert_legal_numbers(problem, X, what)
    if hasattr(problem, "check"):
        try:
            verdict = problem.check(X)
        except ValueError as error:
            raise AssertionError(f"{what} must give legal designs. {error}") from error
        assert np.asarray(verdict).dtype != bool or np.all(verdict), (
            "check(X) must raise a ValueError for illegal designs, since nobody reads what it "
            f"returns. It returned {verdict!r} for the designs of {what}."
        )


def _assert_legal_numbers(problem: Problem, X: Designs, what: str) -> None:
    """Check the bounds that there are, and that numbers are numbers, whole ones if they must be."""
    low, high = problem.bounds()
    # The comparisons are false for NaN.
    wrong = {} if X.dtype == object else {"which is NaN": X != X}
    if low is not None:
        wrong["below xl"] = ~(X >= low)
    if high is not None:
        wrong["above xu"] = ~(X <= high)
    if X.dtype.kind == "f" and _whole(problem.vtype):
        wrong["no whole number"] = X != np.rint(X)
    for reason, marks in wrong.items():
        at = np.argwhere(marks)
        assert not len(at), (
            f"{what} must keep the bounds and the type of the variables. Got "
            f"X{at[0].tolist()} = {X[tuple(at[0])]}, {reason}."
        )


def _whole(vtype: object) -> bool:
    return isinstance(vtype, type) and issubclass(vtype, bool | np.bool_ | int | np.integer)


def _assert_legal_mixed(variables: dict[str, Variable], x: object, what: str) -> None:
    assert isinstance(x, dict), f"{what} must give dictionaries of variables. Got {x!r} instead."
    assert set(x) == set(variables), f"{what} must give every variable. Got {sorted(x)} instead."
    for name, variable in variables.items():
        if isinstance(variable, Choice):
            legal = x[name] in variable.options
        elif isinstance(variable, Binary):
            legal = x[name] in (True, False)
        else:
            legal = variable.bounds[0] <= x[name] <= variable.bounds[1]
            legal = legal and not (isinstance(variable, Integer) and x[name] % 1)
        assert legal, f"{what} must give legal values. Got {name} = {x[name]!r}."
