"""Designs to start from: dictionaries, a data frame, or an earlier result."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import rows
from moela.core.archive import spread
from moela.core.operators import resolve
from moela.core.warm_start import first_designs
from moela.functions.model.given import encoded, is_table, records
from moela.functions.model.problem import FunctionProblem
from moela.functions.results.result import MinimizeResult
from moela.quality.words import of_kind

# Designs taken of an earlier result, far from each other; as many as MOELA begins with.
_MOST = 50


def start_designs(problem: Problem, start: object) -> Population | None:
    """Return the first designs of a run, not yet evaluated; None without any."""
    if start is None:
        return None
    if not isinstance(problem, FunctionProblem):
        if isinstance(start, MinimizeResult):
            individuals = start.front._individuals
            return Population.new("X", rows([ind.X for ind in individuals]))
        return first_designs(problem, start)
    designs = _designs(problem, start)
    if not designs:
        raise ValueError(
            "The 'start' parameter must hold at least one design. Got none instead; leave it out "
            "to start from random designs."
        )
    X = [encoded(problem, design, i, "start") for i, design in enumerate(designs)]
    return Population.new("X", rows(X))


def _designs(problem: FunctionProblem, start: object) -> list[Mapping[str, object]]:
    if isinstance(start, MinimizeResult):
        return _of_result(start)
    if isinstance(start, Mapping):
        return [start]
    if is_table(start):
        return records(problem, start, "start")
    if isinstance(start, list | tuple) and all(isinstance(item, Mapping) for item in start):
        return list(start)
    raise TypeError(
        "The 'start' parameter must be a list of dictionaries of the variables, a data frame, or "
        f"the result of an earlier call. Got {of_kind(start)} instead."
    )


def _of_result(result: MinimizeResult) -> list[Mapping[str, object]]:
    front = result.front
    F = front.F * result._view.signs
    chosen = spread(F, _MOST) if len(front) > _MOST else np.ones(len(front), dtype=bool)
    return [design for design, kept in zip(front.designs, chosen, strict=True) if kept]


def filled(problem: Problem, start: Population, size: int, seed: int | None) -> Population:
    """Return the first designs with random ones added up to `size`."""
    missing = size - len(start)
    if missing <= 0:
        return start
    rng = np.random.default_rng(seed)
    operators = resolve(problem)
    drawn = operators.sampling(problem, missing, random_state=rng)
    return Population.merge(start, operators.repair(problem, drawn, random_state=rng))
