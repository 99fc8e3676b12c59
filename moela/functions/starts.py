"""Designs to start from: dictionaries, a table or its file, or an earlier result."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path

import numpy as np
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import rows
from moela.core.archive import spread
from moela.core.operators import resolve
from moela.core.warm_start import first_designs
from moela.evaluation.storage.keys import encode, keys_of
from moela.functions.model.function_problem import FunctionProblem
from moela.functions.model.given import encoded, in_list, is_study, is_table, records
from moela.functions.results.front import Candidate, DesignFront
from moela.functions.results.result import MinimizeResult
from moela.functions.tables import read_designs
from moela.quality.words import amount, of_kind

# Designs taken of an earlier result, far from each other; as many as MOELA begins with.
_MOST = 50


def start_designs(problem: Problem, start: object) -> Population | None:
    """Return the first designs of a run, not yet evaluated; None without any."""
    if start is None:
        return None
    if isinstance(start, str | os.PathLike) and Path(start).suffix.lower() == ".csv":
        start = read_designs(Path(start), problem)
    if isinstance(start, MinimizeResult):
        start = start.front
    if not isinstance(problem, FunctionProblem):
        if isinstance(start, DesignFront):
            return Population.new("X", rows([ind.X for ind in start.population]))
        if isinstance(start, Candidate | Iterator | list | tuple):
            start = in_list(start)
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
    if isinstance(start, DesignFront):
        return _of_front(start)
    if is_table(start):
        return records(problem, start, "start")
    designs = in_list(start)
    if isinstance(designs, list) and all(isinstance(item, Mapping) for item in designs):
        return designs
    hint = "."
    if isinstance(start, str | os.PathLike):
        hint = "; for a store, pass moela.MinimizeResult.from_store(path)."
    elif is_study(start):
        hint = "; pass moela.plugins.designs_of_study(study)."
    raise TypeError(
        "The 'start' parameter must be a list of dictionaries of the variables, a data frame, the "
        "path of a .csv file, the result of an earlier call, or designs of its front. Got "
        f"{of_kind(start)} instead{hint}"
    )


def _of_front(front: DesignFront) -> list[Mapping[str, object]]:
    F = front._minimized
    chosen = spread(F, _MOST) if len(front) > _MOST else np.ones(len(front), dtype=bool)
    return [design for design, kept in zip(front.designs, chosen, strict=True) if kept]


def beyond_budget(problem: Problem, start: Population | None, budget: int | None) -> list[str]:
    """Return a warning if a run ends before all designs to start from are evaluated."""
    n = 0 if start is None else len(set(keys_of(problem, start.get("X"))))
    if budget is None or n <= budget:
        return []
    return [
        f"{n - budget:,} of the {n:,} designs to start from will not be evaluated, since the run "
        f"ends after {amount(budget, 'evaluation')}. Allow more evaluations, or start from fewer "
        "designs."
    ]


def digest_of(start: Population) -> str:
    """Return a text that other first designs do not have."""
    state = blake2b(digest_size=8)
    for individual in start:
        state.update(encode(individual.X))
    return f"digest {state.hexdigest()}"


def filled(problem: Problem, start: Population, size: int, seed: int | None) -> Population:
    """Return the first designs with random ones added up to `size`."""
    missing = size - len(start)
    if missing <= 0:
        return start
    rng = np.random.default_rng(seed)
    operators = resolve(problem)
    drawn = operators.sampling(problem, missing, random_state=rng)
    return Population.merge(start, operators.repair(problem, drawn, random_state=rng))
