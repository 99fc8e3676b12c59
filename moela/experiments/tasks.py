"""The runs of an experiment: their problems, algorithms, seeds and budgets, and what signs them."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator as PymooEvaluator
from pymoo.core.problem import Problem

from moela._checks import require
from moela.evaluation.checks import takes_one_objective
from moela.experiments.files import Key, Run, Settings
from moela.experiments.recording import External
from moela.provenance.code import code_of
from moela.provenance.signature import of_algorithm, of_problem, public_name

MakeProblem: TypeAlias = Problem | Callable[[], Problem]
MakeAlgorithm: TypeAlias = Callable[..., Algorithm | External] | Algorithm | External
MakeEvaluator = Callable[[], PymooEvaluator]


@dataclass(frozen=True)
class Task:
    """A run to make."""

    key: Key
    problem: MakeProblem
    algorithm: MakeAlgorithm
    settings: Settings
    evaluator: MakeEvaluator | None
    store: Path | None


def plan(
    problems: Mapping[str, MakeProblem],
    algorithms: Mapping[str, MakeAlgorithm],
    seeds: int | Iterable[int],
    budget: int | Mapping[str, int],
    evaluator: MakeEvaluator | None,
    store: Path | None,
) -> Iterator[Task]:
    """Yield the runs of an experiment, seed by seed."""
    for name, value in (("problems", problems), ("algorithms", algorithms)):
        fits = isinstance(value, Mapping) and len(value) > 0
        require("run_experiment", name, value, fits, "a dict by name that isn't empty")
        for given_name in value:
            is_text = isinstance(given_name, str)
            require("run_experiment", name, given_name, is_text, "a dict whose names are texts")
    fits = evaluator is None or callable(evaluator)
    expected = "a function that returns an evaluator: evaluator=lambda: Evaluator(...)"
    require("run_experiment", "evaluator", evaluator, fits, expected)
    numbers = _seeds(seeds)
    signed: dict[tuple[str, str], Settings] = {}
    budgets = {name: _budget(budget, name) for name in problems}
    for name, given in problems.items():
        problem = make_problem(name, given)
        for kind, make in algorithms.items():
            algorithm = make_algorithm(kind, make, problem)
            _check_objectives(kind, algorithm, name, problem)
            signed[name, kind] = _sign(problem, algorithm)
    # Seed by seed, so that an interrupted experiment has runs of every combination.
    for seed in numbers:
        for (name, kind), settings in signed.items():
            key = Key(name, kind, seed, budgets[name])
            yield Task(key, problems[name], algorithms[kind], settings, evaluator, store)


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    given = [seeds] if isinstance(seeds, str) or not isinstance(seeds, Iterable) else list(seeds)
    fits = all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in given)
    numbers: list[int] = []
    if fits and isinstance(seeds, Iterable):
        numbers = [int(seed) for seed in given]
    elif fits:
        numbers = list(range(1, given[0] + 1))
    fits = len(numbers) > 0 and len(set(numbers)) == len(numbers) and min(numbers) >= 0
    expected = "a positive whole number, or different integers >= 0"
    require("run_experiment", "seeds", seeds, fits, expected)
    return numbers


def _budget(budget: int | Mapping[str, int], problem: str) -> int:
    if isinstance(budget, Mapping):
        expected = f"a number, or a dict with a number for {problem!r}"
        require("run_experiment", "budget", budget, problem in budget, expected)
        budget = budget[problem]
    fits = isinstance(budget, int | np.integer) and not isinstance(budget, bool) and budget >= 1
    require("run_experiment", "budget", budget, fits, "a positive number of evaluations")
    return int(budget)


def make_problem(name: str, given: MakeProblem) -> Problem:
    """Return the given problem, or the one that the given function returns."""
    problem = given if isinstance(given, Problem) else given() if callable(given) else None
    if not isinstance(problem, Problem):
        raise ValueError(
            f"The problem {name!r} must be a pymoo Problem, or a function that returns one. Got "
            f"{given if problem is None else problem!r} instead."
        )
    return problem


def make_algorithm(name: str, given: MakeAlgorithm, problem: Problem) -> Algorithm | External:
    """Return a fresh algorithm for a problem, from the given function or as a copy."""
    if isinstance(given, External):
        return given
    if isinstance(given, Algorithm):
        return copy.deepcopy(given)
    made = None
    if callable(given):
        needed = _needed(given)
        if needed > (0 if isinstance(given, type) else 1):
            raise ValueError(
                f"The algorithm {name!r} must be a function of the problem or of no argument. Got "
                f"{given!r} instead, which needs more arguments. Use lambda problem: ..., or "
                "moela.External(run) for a run(problem, n_eval, seed) that returns X and F."
            )
        made = given(problem) if needed else given()
    if not isinstance(made, Algorithm | External):
        raise ValueError(
            f"The algorithm {name!r} must be a function that returns a pymoo Algorithm or an "
            f"External runner. Got {given if made is None else made!r} instead."
        )
    return made


def _check_objectives(
    kind: str, algorithm: Algorithm | External, name: str, problem: Problem
) -> None:
    """Raise if an algorithm of pymoo for one objective is to solve a problem of several."""
    several = problem.n_obj > 1
    if several and isinstance(algorithm, Algorithm) and takes_one_objective(algorithm):
        raise ValueError(
            f"The algorithm {kind!r} must suit the {problem.n_obj} objectives of the problem "
            f"{name!r}. Got {type(algorithm).__name__}, which takes one; use NSGA2, for example, "
            "or make an experiment of its own for problems with one objective."
        )


def make_evaluator(given: MakeEvaluator | None) -> PymooEvaluator | None:
    """Return a fresh evaluator for a run, or None for pymoo's."""
    made = None if given is None else given()
    if given is not None and not isinstance(made, PymooEvaluator):
        raise ValueError(
            "The 'evaluator' parameter of run_experiment must be a function that returns an "
            f"evaluator. Got one that returns {made!r} instead; write lambda: Evaluator(...)."
        )
    return made


def _needed(function: Callable[..., object]) -> int:
    """Return the number of positional parameters without a default."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)


def _sign(problem: Problem, algorithm: Algorithm | External) -> Settings:
    """Return the signatures of problem and algorithm, with digests of their code."""
    maker = algorithm.run if isinstance(algorithm, External) else algorithm
    return {
        "problem": {**of_problem(problem), "code": code_of(problem)},
        "algorithm": {**of_algorithm(algorithm), "code": code_of(maker)},
    }


def is_external(run: Run) -> bool:
    """Return whether an optimizer that isn't a pymoo algorithm has made a run."""
    return run.settings["algorithm"].get("class") == public_name(External)
