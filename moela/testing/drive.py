"""Ways to run an algorithm under observation, for the checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.result import Result
from pymoo.optimize import minimize

MakeAlgorithm = Callable[..., Algorithm]

_LIMIT = 10_000  # asks after which a run counts as one that does not end


class Recorder(Evaluator):
    """An evaluator that remembers every design that it evaluated, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.designs: list[str] = []
        self.F: list[NDArray[np.float64]] = []
        self.CV: list[float] = []

    def _eval(self, problem: Problem, pop: Population, *args: Any, **kwargs: Any) -> None:
        super()._eval(problem, pop, *args, **kwargs)
        self.note(pop)

    def note(self, pop: Population) -> None:
        """Remember evaluated designs."""
        self.designs += [key(ind.X) for ind in pop]
        self.F += [np.array(ind.F, dtype=float) for ind in pop]
        self.CV += [float(ind.CV[0]) for ind in pop]

    def front(self) -> set[tuple[float, ...]]:
        """Objectives of the feasible and non-dominated among the designs evaluated."""
        F = np.array([f for f, cv in zip(self.F, self.CV, strict=True) if cv <= 0.0])
        return as_set(F[~dominated(F)]) if len(F) else set()


def key(x: Any) -> str:
    """Write a design as text that is equal for equal designs."""
    if isinstance(x, dict):
        return repr(sorted((name, getattr(v, "item", lambda v=v: v)()) for name, v in x.items()))
    return repr(np.asarray(x).tolist())


def as_set(F: Any) -> set[tuple[float, ...]]:
    """Turn objectives [n, M] into a set of rows."""
    return {tuple(row) for row in np.asarray(F, dtype=float).tolist()}


def dominated(F: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark rows that another row dominates; written out plainly, apart from the package's own."""
    no_worse = np.all(F[None] <= F[:, None], axis=2)
    better = np.any(F[None] < F[:, None], axis=2)
    return np.any(no_worse & better, axis=1)


def run(
    make: MakeAlgorithm, problem: Problem, n_eval: int, seed: int = 1, **kwargs: Any
) -> tuple[Result, Recorder]:
    """Run `minimize` with a recorder."""
    recorder = Recorder()
    res = minimize(problem, make(), ("n_eval", n_eval), seed=seed, evaluator=recorder, **kwargs)
    return res, recorder


def set_up(make: MakeAlgorithm, problem: Problem, n_eval: int, seed: int = 1) -> Algorithm:
    """Make an algorithm ready for ask and tell."""
    algorithm = make()
    algorithm.setup(problem, termination=("n_eval", n_eval), seed=seed)
    return algorithm


def ask(algorithm: Algorithm) -> Population:
    """Ask, and complain about an algorithm that has nothing to ask."""
    infills = algorithm.ask()
    assert infills is not None, "ask() must return a population. Got None instead."
    assert len(infills) > 0, "ask() must return at least one design while the run goes on. Got 0."
    return infills


def evaluate(problem: Problem, infills: Population, recorder: Recorder) -> None:
    """Evaluate designs with nothing of the algorithm's."""
    Recorder.eval(recorder, problem, infills)


def drive(
    algorithm: Algorithm,
    problem: Problem,
    recorder: Recorder,
    answer: Callable[[int, Population], Population] = lambda step, infills: infills,
) -> None:
    """Ask, evaluate and tell until the run ends.

    Parameters
    ----------
    answer : callable
        Takes the number of the ask and the evaluated designs; returns those that are told.
    """
    for step in range(_LIMIT):
        if not algorithm.has_next():
            return
        infills = ask(algorithm)
        evaluate(problem, infills, recorder)
        algorithm.tell(infills=answer(step, infills))
    raise AssertionError(f"The run must end. It has not after {_LIMIT} asks.")
