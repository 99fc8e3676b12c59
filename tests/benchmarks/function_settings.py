"""Settings of `moela.minimize`: sub-problems for small budgets, and algorithms for one objective.

    python -m tests.benchmarks.function_settings --seeds 7
    python -m tests.benchmarks.function_settings --single --seeds 7

The first prints the share of the hypervolume of all fronts together, the second the best feasible
value, both as medians over seeds.
"""

from __future__ import annotations

import argparse
from typing import Any

import moocore
import numpy as np
from joblib import Parallel, delayed
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator
from pymoo.core.problem import Problem
from pymoo.optimize import minimize

import moela
from moela import MOELA
from tests.benchmarks.function_encodings import CASES, front, make


def tour(d: dict[str, Any]) -> float:
    """Length of a tour through twenty cities."""
    points = np.random.default_rng(3).random((20, 2))[d["order"]]
    return float(np.hypot(*(points - np.roll(points, 1, axis=0)).T).sum())


def knapsack(d: dict[str, Any]) -> dict[str, float]:
    """Value and weight of some of thirty items."""
    rng = np.random.default_rng(1)
    weights, values = rng.integers(5, 50, (2, 30))
    chosen = np.array([d[f"take{i}"] for i in range(30)])
    return {"value": float(values @ chosen), "weight": float(weights @ chosen)}


def valley(d: dict[str, Any]) -> float:
    """Rosenbrock's function of six variables."""
    x = np.array(list(d.values()))
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def single(
    case: str, objective: str, **limits: tuple[float | None, float | None]
) -> dict[str, Any]:
    """Return a case with one objective; others become constraints."""
    constraints = CASES[case].get("constraints", {}) | limits
    return CASES[case] | {"objectives": objective, "constraints": constraints}


SINGLE: dict[str, dict[str, Any]] = {
    "heat sink": single("heat sink", "rise", mass=(None, 0.5)),
    "frame": single("frame", "mass", sag=(None, 5)),
    "frame, real sides": single("frame, real sides", "mass"),
    "spring": single("spring", "volume", stress=(None, 189)),
    "vessel": single("vessel", "cost", volume=(1_296_000, None)),
    "shop": single("shop", "late", energy=(None, 9)),
    "tour": {
        "function": tour,
        "variables": {"order": moela.permutation(20)},
        "objectives": "length",
    },
    "knapsack": {
        "function": knapsack,
        "variables": {f"take{i}": bool for i in range(30)},
        "objectives": {"value": "max"},
        "constraints": {"weight": (None, 350)},
    },
    "valley": {
        "function": valley,
        "variables": {f"x{i}": (-2.0, 2.0) for i in range(6)},
        "objectives": "height",
    },
}
KINDS = {"DE": DE, "GA": GA}


def evaluated(problem: Problem, algorithm: Algorithm, n_eval: int, seed: int) -> list[Any]:
    """Return objectives and violations of everything evaluated."""
    rows: list[Any] = []
    evaluator = Evaluator(callback=lambda pop: rows.extend((ind.F, ind.CV[0]) for ind in pop))
    minimize(problem, algorithm, ("n_eval", n_eval), seed=seed, evaluator=evaluator)
    return rows


def best_values(case: str, kind: str, size: int, seed: int, budgets: list[int]) -> list[float]:
    """Return the best feasible value after each budget."""
    settings = dict(SINGLE[case])
    problem = moela.problem(settings.pop("function"), **settings)
    if kind == "DE" and problem.vtype is not float:
        return [np.nan] * len(budgets)
    algorithm = KINDS[kind](pop_size=size, **problem.operators())
    rows = evaluated(problem, algorithm, max(budgets), seed)
    values = np.array([F[0] if CV <= 0 else np.inf for F, CV in rows])
    return [values[:budget].min() for budget in budgets]


def fronts(case: str, n_subproblems: int, seed: int, budgets: list[int]) -> list[Any]:
    """Return the front of feasible designs after each budget."""
    algorithm = MOELA._tuned(n_subproblems=n_subproblems, fewer_if_few=False)
    rows = evaluated(make(case, "positions"), algorithm, max(budgets), seed)
    F, ok = np.array([F for F, _ in rows]), np.array([CV <= 0 for _, CV in rows])
    return [front(F[:budget][ok[:budget]]) for budget in budgets]


def print_rows(case: str, budgets: list[int], columns: list[Any], table: Any) -> None:
    """Print the median over seeds of each column, for each budget."""
    for b, budget in enumerate(budgets):
        cells = [f"{np.median(table[column][:, b]):.4g}" for column in columns]
        print(f"| {case} | {budget} |", " | ".join(cells), "|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--single", action="store_true")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    seeds = range(args.seeds)
    if args.single:
        budgets = [200, 500, 1000]
        columns: list[Any] = [("GA", 20), ("GA", 50), ("DE", 20), ("DE", 30), ("DE", 40)]
    else:
        budgets, columns = [60, 100, 200, 300, 600], [(10,), (20,), (50,)]
    print("| problem | evaluations |", " | ".join(" ".join(map(str, c)) for c in columns), "|")
    for case in SINGLE if args.single else CASES:
        tasks = [(column, seed) for column in columns for seed in seeds]
        call: Any = best_values if args.single else fronts
        runs = Parallel(args.jobs)(delayed(call)(case, *c, seed, budgets) for c, seed in tasks)
        if not args.single:
            everything = front(np.vstack([F for run in runs for F in run]))
            ref = everything.max(axis=0) + 0.1 * np.ptp(everything, axis=0)
            whole = moocore.hypervolume(everything, ref=ref)
            runs = [[moocore.hypervolume(F, ref=ref) / whole for F in run] for run in runs]
        table = {
            c: np.array([run for run, (d, _) in zip(runs, tasks, strict=True) if d == c])
            for c in columns
        }
        print_rows(case, budgets, columns, table)


if __name__ == "__main__":
    main()
