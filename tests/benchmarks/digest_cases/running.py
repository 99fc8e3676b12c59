"""Helpers of the cases: runs of algorithms, and the common parts of all problems."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.core.evaluator import Evaluator
from pymoo.core.problem import ElementwiseProblem, Problem
from pymoo.core.variable import Binary, Choice, Integer, Real
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.mutation.inversion import InversionMutation
from pymoo.operators.sampling.rnd import PermutationRandomSampling
from pymoo.optimize import minimize

from moe_costmodel.example import measured as example


class Mixed(ElementwiseProblem):
    """Two objectives of a real, an integer, a binary and a categorical variable."""

    def __init__(self) -> None:
        variables = {
            "depth": Integer(bounds=(1, 9)),
            "kind": Choice(options=["fast", "slow", "exact"]),
            "on": Binary(),
            "width": Real(bounds=(0.0, 1.0)),
        }
        super().__init__(vars=variables, n_obj=2)

    def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        slow = {"fast": 0.0, "slow": 0.5, "exact": 1.0}[X["kind"]]
        cost = X["depth"] * (1.0 + X["width"]) + 2.0 * slow + X["on"]
        error = (1.0 - 0.5 * slow) / X["depth"] + (X["width"] - 0.7) ** 2 + 0.2 * (not X["on"])
        out["F"] = [cost, error]


class Tours(Problem):
    """Two lengths of a round trip of twelve towns; has operators, but no neighbors."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        towns = rng.random((2, 12, 2))
        self._lengths = np.linalg.norm(towns[:, :, None] - towns[:, None], axis=3)
        super().__init__(n_var=12, n_obj=2, xl=0, xu=11, vtype=int)

    def operators(self) -> dict[str, Any]:
        return {
            "sampling": PermutationRandomSampling(),
            "crossover": OrderCrossover(),
            "mutation": InversionMutation(),
        }

    def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        X = np.asarray(X, dtype=int)
        out["F"] = self._lengths[:, X, np.roll(X, -1, axis=1)].sum(axis=2).T


class Recorder:
    """A pymoo evaluator that keeps the evaluated designs of each batch."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.evaluator = Evaluator(callback=self._keep)

    def _keep(self, pop: Any) -> None:
        self.batches.append([pop.get("X").copy(), pop.get("F").copy(), pop.get("CV").copy()])


def solve(
    problem: Problem, algorithm: Any, n_eval: int, *, seed: int = 1, evaluator: Any = None
) -> dict[str, Any]:
    """Run an algorithm; return its front, and the evaluated designs of each batch."""
    recorder = Recorder()
    res = minimize(
        problem,
        algorithm,
        ("n_eval", n_eval),
        seed=seed,
        evaluator=recorder.evaluator if evaluator is None else evaluator,
    )
    parts = outcome(res.algorithm) | {"front": [res.X, res.F, res.G, res.CV]}
    return parts if evaluator is not None else parts | {"evaluated": recorder.batches}


def outcome(algorithm: Any) -> dict[str, Any]:
    """Return the best designs of an algorithm, and the log of its parts."""
    best = algorithm.opt
    log = getattr(algorithm, "log", {})
    return {
        "best": [best.get("X"), best.get("F"), best.get("CV")],
        "counts": [algorithm.evaluator.n_eval, *[list(entry.values()) for entry in log.values()]],
    }


def example_costs() -> dict[str, Any]:
    """Return the costs of the packaged model on four devices of two nodes."""
    return {
        "hardware": example.example_hardware(4, 2),
        "latency": example.example_latency(),
        "shape": example.example_shape(),
        "rest": example.example_rest(),
        "memory": example.example_memory(),
    }


def sampled(problem: Problem, n: int, seed: int = 1) -> Any:
    """Return n designs of the problem's sampling."""
    sampling = problem.operators()["sampling"]
    return sampling(problem, n, random_state=np.random.default_rng(seed))


def parts_of(problem: Any, n: int = 12) -> dict[str, Any]:
    """Return the common parts of all problems: evaluation, operators, neighbors, features."""
    operators = problem.operators()
    pop = sampled(problem, n)
    X = pop.get("X")
    parents = np.arange(n).reshape(-1, 2)
    crossed = operators["crossover"](
        problem, pop, parents=parents, random_state=np.random.default_rng(2)
    )
    mutated = operators["mutation"](problem, pop, random_state=np.random.default_rng(3))
    rng = np.random.default_rng(4)
    parts = {
        "bounds": [problem.xl, problem.xu, problem.ref_point],
        "sampling": X,
        "evaluation": values(problem, X),
        "crossover": crossed.get("X"),
        "mutation": mutated.get("X"),
        "neighbors": [problem.neighbors(X[0], 7, rng) for _ in range(2)],
        "neighbors of many": problem.neighbors_many(X, 3, rng),
    }
    neighbors = parts["neighbors of many"].reshape(-1, problem.n_var)
    parts["evaluation of neighbors"] = values(problem, neighbors)
    for name in ("features", "canonical"):
        if hasattr(problem, name):
            parts[name] = [getattr(problem, name)(X), getattr(problem, name)(neighbors)]
    if hasattr(problem, "starts"):
        parts["starts"] = [problem.starts(), values(problem, problem.starts())]
    return parts


def values(problem: Problem, X: Any) -> list[Any]:
    """Return the objectives and constraints of designs."""
    out = problem.evaluate(X, return_as_dictionary=True)
    return [out["F"], out.get("G"), out.get("H")]
