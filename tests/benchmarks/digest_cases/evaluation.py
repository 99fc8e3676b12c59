"""Cases of the evaluator: stores, workers, failures."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem

from moela import MOELA, EvaluationStore, Evaluator
from problems import NoC3D

from .running import Mixed, solve


class Constrained(ElementwiseProblem):
    """Two objectives and a constraint."""

    version = "1"

    def __init__(self) -> None:
        super().__init__(n_var=6, n_obj=2, n_ieq_constr=1, xl=0.0, xu=1.0)

    def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        g = 1 + 9 * x[1:].mean()
        out["F"] = [x[0], g * (1 - np.sqrt(x[0] / g))]
        out["G"] = [0.2 - x[0] - x[1]]


class Failing(ElementwiseProblem):
    """Raises for a fifth of the designs, and returns NaN for others."""

    def __init__(self) -> None:
        super().__init__(n_var=6, n_obj=2, xl=0.0, xu=1.0)

    def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        if x[1] > 0.8:
            raise RuntimeError("the simulator has crashed")
        out["F"] = [np.nan, 0.0] if x[2] > 0.9 else [x[0], 1 - x[0] + x[1:].sum()]


def stored(path: Path) -> dict[str, Any]:
    """Return the content of a store; evaluations in the order of the requests."""
    with EvaluationStore(path) as store:
        evaluations = sorted(store.evaluations(), key=lambda e: e.n)
        population, front = store.population(), store.front()
        runs = [
            [run.seed, run.n_eval, run.budget, run.n_fresh, run.n_failed] for run in store.runs()
        ]
    return {
        "runs": runs,
        "evaluations": [[e.n, e.batch, e.X, e.F, e.G, e.status] for e in evaluations],
        "population": np.sort(population.get("F"), axis=0),
        "stored front": np.sort(front.get("F"), axis=0),
    }


def with_a_store() -> dict[str, Any]:
    """Return a run with a store, and what the store then holds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.db"
        with Evaluator(store=path) as evaluator:
            parts = solve(Constrained(), MOELA(n_subproblems=20), 300, seed=3, evaluator=evaluator)
        return parts | {"store": stored(path)}


def workers(**options: Any) -> dict[str, Any]:
    """Return runs on two workers."""
    parts = {}
    for name, problem in (("noc", NoC3D.example(objectives=3)), ("mixed", Mixed())):
        with Evaluator(**options) as evaluator:
            parts[name] = solve(
                problem, MOELA(n_subproblems=20), 200, seed=3, evaluator=evaluator
            ) | {"fresh": evaluator.n_fresh}
    return parts


def failures() -> dict[str, Any]:
    """Return a run in which some evaluations fail."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.db"
        with Evaluator(store=path, on_error="infeasible") as evaluator:
            parts = solve(Failing(), MOELA(n_subproblems=20), 250, seed=3, evaluator=evaluator)
        return parts | {"failed": evaluator.n_failed, "store": stored(path)}


def from_a_store() -> dict[str, Any]:
    """Return a run that starts from a stored front, and stores with and without mixed designs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.db"
        with Evaluator(store=path) as evaluator:
            solve(Constrained(), NSGA2(pop_size=20), 200, evaluator=evaluator)
        warm = solve(Constrained(), MOELA(n_subproblems=20, sampling=path), 150, seed=2)
        other = Path(folder) / "mixed.db"
        with Evaluator(store=other) as evaluator:
            solve(Mixed(), MOELA(n_subproblems=15), 100, evaluator=evaluator)
        return {"warm": warm, "store": stored(path), "mixed store": stored(other)}


CASES = {
    "evaluator with a store": with_a_store,
    "evaluator two workers": partial(workers, n_jobs=2),
    "evaluator two threads": partial(workers, n_jobs=2, backend="threads"),
    "evaluator failures": failures,
    "evaluator warm start from a store": from_a_store,
}
