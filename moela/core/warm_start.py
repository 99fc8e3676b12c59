"""Initial designs of a run: from an earlier front, a store, given designs, or a sampling."""

from __future__ import annotations

import os

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.operator import Operator
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.result import Result

from moela._arrays import Designs, rows

_EXPECTED = (
    "The 'sampling' parameter must be a pymoo Sampling, designs as an array [n, n_var] or a list, "
    "a Population, the Result of an earlier run, an EvaluationStore or the path of one, or a "
    "design object that the problem can encode()"
)


def first_designs(problem: Problem, sampling: object) -> Population | None:
    """Turn the value of the parameter `sampling` into individuals, or None if it is an operator.

    It may hold designs [n, n_var] or [n_var], dictionaries for mixed variables, objects that the
    problem's `encode()` understands, or a list of these; or be a Population, a pymoo Result, of
    which the optimum is taken, or an `EvaluationStore` or its path, of which the front is taken.
    Individuals are copies, since a run writes into them. Those that are already evaluated keep
    their objectives, which are not checked, and cost nothing.
    """
    if is_sampling(sampling):
        return None
    pop = _read(problem, sampling)
    if len(pop) == 0:
        raise ValueError(f"{_EXPECTED}, with one design at least. Got none in {sampling!r}.")
    for ind in pop:
        _check(problem, ind)
    return pop


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
    return Population.new("X", _designs(problem, sampling))


def _bare(individual: Individual) -> Individual:
    """Copy an individual without the data of an earlier run."""
    copied = individual.copy()
    copied.data = {key: value for key, value in copied.data.items() if key == "status"}
    return copied


def _designs(problem: Problem, sampling: object) -> Designs:
    if isinstance(sampling, dict) or _encodes(problem, sampling):
        sampling = [sampling]
    if isinstance(sampling, list | tuple) and len(sampling):
        sampling = [problem.encode(x) if _encodes(problem, x) else x for x in sampling]
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


def _check(problem: Problem, ind: Individual) -> None:
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
    if ind.evaluated and np.shape(ind.F) != (problem.n_obj,):
        raise ValueError(
            f"An evaluated design given as 'sampling' must have the problem's {problem.n_obj} "
            f"objectives. Got F = {ind.F} instead; give its X alone to have it evaluated."
        )
