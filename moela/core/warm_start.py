"""Initial designs of a run: from an earlier front, a store, given designs, or a sampling."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.operator import Operator
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.result import Result
from pymoo.core.variable import Binary, BoundedVariable, Choice, Integer, Variable
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.sampling.rnd import PermutationRandomSampling

from moela._arrays import Design, Designs, rows
from moela.core.operators import Operators

# A value outside its bounds by this much of their range at most was only rounded.
_ROUNDING = 1e-9

_EXPECTED = (
    "The 'sampling' parameter must be a pymoo Sampling, designs as an array [n, n_var] or a list, "
    "a DataFrame, a Population, the result of an earlier run, an EvaluationStore or the path of "
    "one, or a design object that the problem can encode()"
)


def first_designs(problem: Problem, sampling: object) -> Population | None:
    """Turn the value of the parameter `sampling` into individuals, or None if it is an operator.

    It may hold designs [n, n_var] or [n_var], dictionaries of named variables, objects that the
    problem's `encode()` understands, or a list of these; or be a DataFrame, a Population, a pymoo
    Result, of which the optimum is taken, a result of `moela.minimize`, or an `EvaluationStore` or
    its path, of which the front is taken. A problem whose variables have names reads dictionaries
    and tables by its own `read_designs(given, parameter)`. Individuals are copies, since a run
    writes into them. Those that are already evaluated keep their objectives, which are not checked,
    and cost nothing.
    """
    if is_sampling(sampling):
        return None
    pop = _read(problem, sampling)
    if len(pop) == 0:
        raise ValueError(f"{_EXPECTED}, with one design at least. Got none in {sampling!r}.")
    for i, ind in enumerate(pop):
        _check(problem, ind, i)
    return pop


def put_inside(problem: Problem, operators: Operators, pop: Population) -> None:
    """Put given designs into the problem's bounds and types, in place; raise if one is outside.

    A value that misses a bound or an integer by rounding only (1e-9 of the range) is set to it. If
    the design was already evaluated, it will be evaluated again, since its objectives are those of
    another design.
    """
    variables = getattr(problem, "vars", None)
    for i, ind in enumerate(pop):
        before, evaluated = ind.X, bool(ind.evaluated)
        if variables:
            X: Design = {
                name: _value_inside(name, before[name], variable, i)
                for name, variable in variables.items()
            }
            same = before == X
        else:
            X = _numbers_inside(problem, operators, before, i)
            same = np.array_equal(before, X)
        if evaluated and not same:
            ind.reset(data=False)
            ind.data.pop("status", None)
        ind.X = X
    if not variables and len(pop):
        _check_legal(problem, operators, rows([ind.X for ind in pop]))


def is_sampling(sampling: object) -> bool:
    """Return whether `sampling` is an operator that draws designs, rather than designs."""
    return isinstance(sampling, Operator) or (callable(sampling) and not isinstance(sampling, type))


def _read(problem: Problem, sampling: object) -> Population:
    if isinstance(sampling, str | os.PathLike):
        from moela.evaluation.storage.reader import EvaluationStore

        with EvaluationStore(sampling) as store:
            return store.front()
    if isinstance(sampling, Result):
        if sampling.opt is None:
            raise ValueError(
                "The Result given as 'sampling' holds no feasible design. Give its algorithm's "
                "designs instead: sampling=result.pop."
            )
        return _read(problem, sampling.opt)
    if isinstance(sampling, Individual):
        sampling = Population.create(sampling)
    if isinstance(sampling, Population):
        return Population.create(*[_bare(ind) for ind in sampling])
    front = getattr(sampling, "front", None)
    if callable(front):
        pop: Population = front()
        return pop
    # Of a result of moela.minimize: dictionaries of the variables.
    sampling = getattr(front, "designs", sampling)
    return Population.new("X", _designs(problem, sampling))


def _bare(individual: Individual) -> Individual:
    """Copy an individual without the data of an earlier run."""
    copied = individual.copy()
    copied.data = {key: value for key, value in copied.data.items() if key == "status"}
    return copied


def _designs(problem: Problem, sampling: object) -> Designs:
    read = getattr(problem, "read_designs", None)
    if callable(read):
        sampling = read(sampling, "sampling")
    sampling = _from_frame(problem, sampling)
    if isinstance(sampling, dict) or _encodes(problem, sampling):
        sampling = [sampling]
    if isinstance(sampling, list | tuple) and len(sampling):
        sampling = [
            problem.encode(x) if _encodes(problem, x) else _by_number(problem, x) for x in sampling
        ]
        if isinstance(sampling[0], dict):
            return rows(sampling)
    try:
        X = np.asarray(sampling)
    except ValueError:
        raise ValueError(f"{_EXPECTED}. Got rows of different lengths instead.") from None
    if X.dtype == object and not (X.ndim == 1 and X.size and isinstance(X[0], dict)):
        raise ValueError(f"{_EXPECTED}. Got {type(sampling).__name__} instead: {sampling!r}.")
    return X if X.dtype == object else np.atleast_2d(X)


def _encodes(problem: Problem, design: object) -> bool:
    plain = (np.ndarray, list, tuple, dict, int, float, str)
    return callable(getattr(problem, "encode", None)) and not isinstance(design, plain)


def _by_number(problem: Problem, design: object) -> object:
    """Return a dictionary of x0, x1, ... as a vector, if variables have no other names."""
    names = [f"x{j}" for j in range(problem.n_var)]
    if getattr(problem, "vars", None) or not isinstance(design, dict) or set(design) != set(names):
        return design
    return np.array([design[name] for name in names])


def _check(problem: Problem, ind: Individual, i: int) -> None:
    """Check the shape of the i-th given design, and that it holds numbers."""
    variables = getattr(problem, "vars", None)
    if variables:
        if not isinstance(ind.X, dict) or set(ind.X) != set(variables):
            raise ValueError(
                f"A design given as 'sampling' must be a dictionary with the variables "
                f"{', '.join(map(str, variables))}. Got {ind.X!r} instead."
            )
    elif np.shape(ind.X) != (problem.n_var,):
        raise ValueError(
            f"A design given as 'sampling' must have the problem's {problem.n_var} variables. Got "
            f"shape {np.shape(ind.X)} instead."
        )
    else:
        for j, value in enumerate(ind.X):
            _check_number(value, j, i)
    if not ind.evaluated:
        return
    for name, size, what in (
        ("F", problem.n_obj, "objectives"),
        ("G", problem.n_ieq_constr, "inequality constraints"),
        ("H", problem.n_eq_constr, "equality constraints"),
    ):
        value = getattr(ind, name)
        if np.shape([] if value is None else value) != (size,):
            raise ValueError(
                f"An evaluated design given as 'sampling' must have the problem's {size} {what}. "
                f"Got {name} = {value} instead; give its X alone to have it evaluated."
            )


def _check_number(value: Any, name: object, i: int) -> None:
    number = isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating)
    if not number or np.isnan(value):
        raise _wrong(i, name, value, "a number")


def _wrong(i: int, name: object, value: object, expected: str) -> ValueError:
    return ValueError(
        f"Variable {name!r} of design {i} given as 'sampling' must be {expected}. Got {value!r} "
        "instead; correct the design, or leave it out."
    )


def _numbers_inside(problem: Problem, operators: Operators, X: Designs, i: int) -> Designs:
    """Return the numbers X [n_var] of the i-th given design inside their bounds."""
    n, X = problem.n_var, np.asarray(X)
    xl = np.full(n, -np.inf) if problem.xl is None else np.asarray(problem.xl, dtype=float)
    xu = np.full(n, np.inf) if problem.xu is None else np.asarray(problem.xu, dtype=float)
    values = np.asarray(X, dtype=float)
    slack = _slack(xl, xu)
    for wrong, bound, word in (
        (values < xl - slack, xl, "at least"),
        (values > xu + slack, xu, "at most"),
    ):
        for j in np.flatnonzero(wrong)[:1].tolist():
            raise _wrong(i, j, X[j], f"{word} {bound[j]:g}, its bound")
    values = np.clip(values, xl, xu)
    vtype = float if problem.vtype is None else problem.vtype
    if isinstance(vtype, type) and issubclass(vtype, bool | int | np.bool_ | np.integer):
        boolean = issubclass(vtype, bool | np.bool_)
        whole = np.rint(values)
        wrong = np.abs(values - whole) > _ROUNDING
        if boolean:
            wrong |= (whole != 0.0) & (whole != 1.0)
        for j in np.flatnonzero(wrong)[:1].tolist():
            raise _wrong(i, j, X[j], "0 or 1" if boolean else "an integer")
        values = whole
        # The default operators compute with the type; a problem's own may have another.
        kinds = {"binary": bool, "integer": int}
        if operators.kind in kinds and (X.dtype == float or operators.kind == "binary"):
            return whole.astype(kinds[operators.kind])
    return X if np.array_equal(values, X) else values


def _slack(low: Any, high: Any) -> Any:
    span = np.subtract(high, low)
    return _ROUNDING * np.where(np.isfinite(span), span, 0.0)


def _value_inside(name: str, value: Any, variable: Variable, i: int) -> Any:
    """Return a value of a mixed variable of the i-th given design inside its bounds."""
    if isinstance(variable, Choice):
        if not any(option == value for option in variable.options):
            options = ", ".join(map(repr, variable.options))
            raise _wrong(i, name, value, f"one of {options}")
        return value
    if not isinstance(variable, BoundedVariable):
        return value
    _check_number(value, name, i)
    if isinstance(variable, Binary):
        if value not in (0, 1):
            raise _wrong(i, name, value, "0 or 1, False or True")
        return bool(value)
    low, high = variable.bounds
    low = -np.inf if low is None else low
    high = np.inf if high is None else high
    slack = float(_slack(low, high))
    if value < low - slack:
        raise _wrong(i, name, value, f"at least {low:g}, its bound")
    if value > high + slack:
        raise _wrong(i, name, value, f"at most {high:g}, its bound")
    if not isinstance(variable, Integer):
        return value if low <= value <= high else min(max(value, low), high)
    if abs(value - round(value)) > _ROUNDING:
        raise _wrong(i, name, value, "an integer")
    return round(float(value))


def _check_legal(problem: Problem, operators: Operators, X: Designs) -> None:
    """Check given designs by the rules that the problem itself has beyond bounds."""
    if callable(getattr(problem, "check", None)):
        try:
            problem.check(X)
        except ValueError as error:
            raise ValueError(f"Designs given as 'sampling' must be legal. {error}") from error
        return
    own = problem.operators().get("sampling") if hasattr(problem, "operators") else None
    ordered = isinstance(operators.crossover, OrderCrossover)
    if ordered or isinstance(own, PermutationRandomSampling):
        expected = np.arange(problem.n_var)
        for i in np.flatnonzero((np.sort(X, axis=1) != expected).any(axis=1))[:1].tolist():
            raise ValueError(
                f"Design {i} given as 'sampling' must be a permutation of 0 to "
                f"{problem.n_var - 1}. Got {X[i]} instead; correct the design, or leave it out."
            )


def _from_frame(problem: Problem, sampling: Any) -> object:
    """Turn a DataFrame or one of its rows into designs; return anything else as it is.

    Columns with the names of the variables, or x0, x1, ... as in the frame of a store, are taken.
    Columns without names are taken in their order.
    """
    columns = getattr(sampling, "columns", getattr(sampling, "index", None))
    if not callable(getattr(sampling, "to_dict", None)) or columns is None:
        return sampling
    variables = getattr(problem, "vars", None)
    names = list(variables or (f"x{j}" for j in range(problem.n_var)))
    missing = [str(name) for name in names if name not in columns]
    if not variables:
        named = [str(name) for name in columns if isinstance(name, str)]
        if missing and named:
            raise ValueError(
                "A DataFrame given as 'sampling' must have the columns x0 to "
                f"x{problem.n_var - 1}, or columns without names, in the order of the variables. "
                f"Got the columns {', '.join(named)}; rename them."
            )
        return np.asarray(sampling if missing else sampling[names])
    if missing:
        raise ValueError(
            "A DataFrame given as 'sampling' must have a column for each variable. It has none for "
            f"{', '.join(missing)}."
        )
    return sampling[names].to_dict(*(["records"] if sampling.ndim == 2 else []))
