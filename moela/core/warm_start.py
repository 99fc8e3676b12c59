"""Initial designs of a run: from an earlier front, a store, given designs, or a sampling."""

from __future__ import annotations

import os
from math import lgamma, log
from typing import Any

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.operator import Operator
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.result import Result
from pymoo.core.sampling import Sampling
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.sampling.rnd import PermutationRandomSampling

from moela._arrays import Design, Designs, numbers_of, rows
from moela._bounds import Where, check_inside, check_number, is_whole, numbers_inside, value_inside
from moela.core.individuals import is_changed
from moela.core.operators import Operators, resolve
from moela.core.origin import listed_origins

_LOG_CHANCE = log(1e-6)
_GIVEN = "given as 'sampling'"
_EXPECTED = (
    "The 'sampling' parameter must be a pymoo Sampling, designs as an array [n, n_var] or a list, "
    "a DataFrame, a Population, the result or the front of an earlier run, an EvaluationStore or "
    "the path of one, or a design object that the problem can encode()"
)


def first_designs(problem: Problem, sampling: object) -> Population | None:
    """Turn the value of the parameter `sampling` into individuals, or None if it is an operator.

    It may hold designs [n, n_var] or [n_var], dictionaries of named variables, objects that the
    problem's `encode()` understands, or a list of these; or be a DataFrame, a Population, a pymoo
    Result, of which the optimum is taken, a result of `moela.minimize`, an `EvaluationStore` or its
    path, of which the front is taken, or a front. A problem whose variables have names reads
    dictionaries and tables by its own `read_designs(given, parameter)`. Individuals are copies,
    since a run writes into them. Those that are already evaluated keep their objectives, which are
    not checked, and cost nothing.
    """
    if is_sampling(sampling):
        return None
    pop = _read(problem, sampling)
    if len(pop) == 0:
        raise ValueError(f"{_EXPECTED}, with one design at least. Got none in {sampling!r}.")
    for i, ind in enumerate(pop):
        _check(problem, ind, i)
    return pop


def permuted(problem: Problem, X: Designs) -> bool:
    """Return whether designs X [b, n] are permutations of 0 to n - 1, and not by chance.

    pymoo has no type for permutations. Its problems of permutations have integers from 0 to n - 1
    or to n. Of a million sets of b designs drawn from such bounds, fewer than one holds nothing but
    permutations.
    """
    n = problem.n_var
    if getattr(problem, "vars", None) or not is_whole(problem) or np.ndim(X) != 2 or len(X) < 2:
        return False
    xl, xu = np.broadcast_to(problem.xl, n), np.broadcast_to(problem.xu, n)
    if xl.any() or not ((xu == n - 1).all() or (xu == n).all()):
        return False
    log_chance = lgamma(n + 1) - n * log(xu[0] + 1)
    certain = len(X) * log_chance < _LOG_CHANCE
    return certain and bool((np.sort(X, axis=1) == np.arange(n)).all())


def operators_for(problem: Problem, given: dict[str, object]) -> Operators:
    """Choose the operators of a run that was given some of them, or designs as its sampling."""
    sampling = given["sampling"]
    permutations = False
    # Only then is it worth reading the designs.
    if sampling is not None and not is_sampling(sampling) and is_whole(problem):
        pop = first_designs(problem, sampling)
        permutations = pop is not None and permuted(problem, rows([ind.X for ind in pop]))
    return resolve(problem, **given, permutations=permutations)  # type: ignore[arg-type]


def sampler(problem: Problem, operators: Operators, given: dict[str, object]) -> Sampling:
    """Return the operator that samples designs, even if the initial ones were given."""
    if is_sampling(operators.sampling):
        return operators.sampling
    rest = {**given, "sampling": None}
    return resolve(problem, **rest, permutations=operators.permutes).sampling  # type: ignore[arg-type]


def put_inside(
    problem: Problem, operators: Operators, pop: Population, n_given: int | None = None
) -> None:
    """Put given designs into the problem's bounds and types, in place; raise if one is outside.

    A value that misses a bound or an integer by rounding only (1e-9 of the range) is set to it. If
    the design was already evaluated, it will be evaluated again, since its objectives are those of
    another design.

    The first `n_given` designs were given, by default all. The others were drawn beside them, and a
    repair reads all as one array, so that given floats make floats of drawn integers, too. The
    drawn ones get their type back.
    """
    variables = getattr(problem, "vars", None)
    given = pop[:n_given]
    for i, ind in enumerate(given):
        before, evaluated, where = ind.X, bool(ind.evaluated), _where(i)
        if variables:
            X: Design = {
                name: value_inside(name, before[name], variable, where)
                for name, variable in variables.items()
            }
            same = before == X
        else:
            X = _typed(problem, operators, before, where)
            same = np.array_equal(before, X)
        if evaluated and not same:
            ind.reset(data=False)
            ind.data.pop("status", None)
        ind.X = X
    if variables or len(given) == 0:
        return
    _check_legal(problem, operators, rows([ind.X for ind in given]), _GIVEN)
    for ind in pop[len(given) :]:
        ind.X = _of_type(problem, operators, np.asarray(ind.X))


def check_answered(problem: Problem, operators: Operators, pop: Population, owner: str) -> None:
    """Raise if one of the told designs that `owner` has not asked for is not legal.

    Designs that were changed after they were asked for are checked, too. A value that misses a
    bound by rounding only is accepted.
    """
    parts = listed_origins(pop, "part")
    places = [i for i, ind in enumerate(pop) if parts[i] is None or is_changed(ind)]
    if not places:
        return
    named = getattr(problem, "vars", None)
    for i, ind in zip(places, pop[places], strict=True):
        shape = np.shape(ind.X)
        if not isinstance(ind.X, dict) and (named or shape != (problem.n_var,)):
            raise ValueError(
                f"Design {i} told to {owner} must have the problem's {problem.n_var} variables. "
                f"Got shape {shape} instead."
            )
    X, how = rows([ind.X for ind in pop[places]]), f"told to {owner}"
    check_inside(problem, X, [_where(i, how) for i in places])
    if X.dtype != object:
        _check_legal(problem, operators, X, how)


def _where(i: int, how: str = _GIVEN) -> Where:
    return Where(f"design {i} {how}", "correct the design, or leave it out")


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
    return Population.new("X", _designs(problem, _of_front(sampling, front)))


def _of_front(given: object, held_front: object) -> object:
    """Return the designs of a result or a front, or `given` itself if it is something else.

    The front of `moela.minimize` has dictionaries of the variables, that of `front_of` rows X.
    """
    for front in (given, held_front):
        if "designs" in _attributes(front):
            return _attributes(front)["designs"]
    held = _attributes(given)
    if not {"X", "F"} <= held.keys():
        return given
    if held["X"] is None:
        raise ValueError(
            "The front given as 'sampling' holds no designs. Pass X= to Front, or give the designs."
        )
    return held["X"]


def _attributes(given: object) -> dict[str, object]:
    """Return the attributes set on an object, which the columns of a DataFrame are not."""
    return getattr(given, "__dict__", {})


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
    elif problem.has_bounds() or numbers_of(np.asarray(ind.X)) is not None:
        for j, value in enumerate(ind.X):
            check_number(value, j, _where(i))
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


def _typed(problem: Problem, operators: Operators, X: Designs, where: Where) -> Designs:
    """Return the numbers X [n_var] of a given design inside of their bounds, in their type."""
    X = np.asarray(X)
    if numbers_of(X) is None:
        return X
    values = numbers_inside(problem, X, where)
    return _of_type(problem, operators, X if np.array_equal(values, X) else values)


def _of_type(problem: Problem, operators: Operators, X: Designs) -> Designs:
    """Return whole numbers X [n_var] in the type that the default operators compute with.

    A problem's own operators may compute with another.
    """
    whole, values = is_whole(problem), numbers_of(X)
    if values is None:
        return X
    if whole and operators.kind == "binary":
        return X.astype(bool)
    integers = operators.permutes or (whole and operators.kind == "integer")
    if integers and X.dtype.kind not in "iu" and bool((values == np.rint(values)).all()):
        return X.astype(int)
    return X


def _check_legal(problem: Problem, operators: Operators, X: Designs, how: str) -> None:
    """Check given designs by the rules that the problem itself has beyond bounds."""
    if callable(getattr(problem, "check", None)):
        try:
            problem.check(X)
        except ValueError as error:
            raise ValueError(f"Designs {how} must be legal. {error}") from error
        return
    own = problem.operators().get("sampling") if hasattr(problem, "operators") else None
    ordered = isinstance(operators.crossover, OrderCrossover)
    if ordered or operators.permutes or isinstance(own, PermutationRandomSampling):
        expected = np.arange(problem.n_var)
        for i in np.flatnonzero((np.sort(X, axis=1) != expected).any(axis=1))[:1].tolist():
            raise ValueError(
                f"Design {i} {how} must be a permutation of 0 to "
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
