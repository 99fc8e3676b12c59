"""Thin feasible sets: what a thousand evaluations find where few designs are feasible.

    python -m tests.benchmarks.feasible [--problems mw4 ...] [--quick]

The value of a run is the hypervolume of its feasible designs, in the box of the feasible fronts of
all runs on the problem, and a tenth of its size beyond the worst values. The median evaluations
until the first feasible design and the number of runs without one are shown, too. The feasible
fronts are kept in `tests/benchmarks/results`, by problem, algorithm and seed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from moocore import is_nondominated
from pymoo.core.problem import Problem
from pymoo.operators.crossover.pntx import TwoPointCrossover
from pymoo.operators.mutation.bitflip import BitflipMutation
from pymoo.operators.sampling.rnd import BinaryRandomSampling
from pymoo.problems import get_problem

from moela import MOELA
from moela.quality.indicators import hypervolume
from moela.rivals import BatchMOEAD
from problems.engineering import (
    CarSideImpact,
    DiscBrake,
    HelicalSpring,
    PressureVessel,
    SpeedReducer,
    WeldedBeam,
)
from tests.benchmarks import harness, rivals
from tests.benchmarks.harness import Cases
from tests.benchmarks.many_objectives import evaluated

DATA = Path(__file__).parent / "results" / "feasible.json"
MOST_KEPT = 100


class ThinKnapsack(Problem):
    """A knapsack with two profits whose weight must lie in a narrow band."""

    def __init__(self, n_items: int = 60, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.weights = rng.integers(10, 100, n_items)
        self.profits = rng.integers(10, 100, (2, n_items))
        self.low, self.high = 0.30 * self.weights.sum(), 0.31 * self.weights.sum()
        super().__init__(n_var=n_items, n_obj=2, n_ieq_constr=2, xl=0, xu=1, vtype=bool)

    def operators(self) -> dict[str, Any]:
        """Return pymoo's operators for bits."""
        return {
            "sampling": BinaryRandomSampling(),
            "crossover": TwoPointCrossover(),
            "mutation": BitflipMutation(),
        }

    def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        weight = X @ self.weights
        out["F"] = -(X @ self.profits.T).astype(float)
        limits = [weight - self.high, self.low - weight]
        out["G"] = np.column_stack(limits) / self.weights.sum()


def knapsack() -> Any:
    """Return the thin knapsack."""
    return ThinKnapsack()


def without_nan(name: str) -> Any:
    """Return a problem of pymoo whose constraints are violated if they are not numbers.

    Those of CTP are not where both variables are 0, since rounding leaves the root of a negative.
    """
    problem = get_problem(name)
    evaluate = problem._evaluate

    def mended(X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        evaluate(X, out, *args, **kwargs)
        out["G"] = np.where(np.isnan(out["G"]), 1.0, out["G"])

    problem._evaluate = mended
    return problem


PROBLEMS: dict[str, Callable[[], Any]] = {
    **{name: partial(get_problem, name) for name in ("bnh", "osy", "tnk", "srn")},
    **{f"ctp{i}": partial(without_nan, f"ctp{i}") for i in (1, 2, 4, 6, 8)},
    **{f"mw{i}": partial(get_problem, f"mw{i}") for i in (1, 2, 3, 4, 7, 9, 14)},
    "c1dtlz1": partial(get_problem, "c1dtlz1"),
    "c2dtlz2": partial(get_problem, "c2dtlz2"),
    "c3dtlz4": partial(get_problem, "c3dtlz4"),
    "welded beam": WeldedBeam,
    "disc brake": DiscBrake,
    "speed reducer": SpeedReducer,
    "pressure vessel": PressureVessel,
    "helical spring": HelicalSpring,
    "car side impact": CarSideImpact,
    "thin knapsack": knapsack,
}
ALGORITHMS: dict[str, Callable[[Any], Any]] = {
    "MOELA": lambda problem: MOELA(),
    "NSGA-II": partial(rivals.nsga2, pop=50),
    "NSGA-III": partial(rivals.nsga3, pop=50),
    "AGE-MOEA-II": partial(rivals.age2, pop=50),
    "MOEA/D batch": lambda problem: BatchMOEAD(),
}


def result(name: str, algorithm: str, seed: int, n_eval: int) -> dict[str, Any]:
    """Return the feasible front of a run, and when it found the first feasible design."""
    problem = PROBLEMS[name]()
    F, CV = evaluated(problem, ALGORITHMS[algorithm](problem), seed, n_eval)
    feasible = np.flatnonzero(CV <= 0.0)
    front = F[feasible]
    front = front[is_nondominated(front)] if len(front) else front
    some = np.unique(np.linspace(0, len(front) - 1, min(len(front), MOST_KEPT)).astype(int))
    front = front[front[:, 0].argsort()][some] if len(front) else front
    first = int(feasible[0]) + 1 if len(feasible) else n_eval + 1
    return {"first": first, "front": [[float(f"{v:.6g}") for v in f] for f in front]}


def values(found: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """Return the median hypervolume of each algorithm, as a share of the box of all fronts."""
    fronts = [np.array(run["front"]) for runs in found.values() for run in runs if run["front"]]
    if not fronts:
        return dict.fromkeys(found, 0.0)
    points = np.concatenate(fronts)
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    point = np.full(points.shape[1], 1.1)

    def value(run: dict[str, Any]) -> float:
        return hypervolume((np.array(run["front"]) - low) / span, point) if run["front"] else 0.0

    return {name: float(np.median([value(run) for run in runs])) for name, runs in found.items()}


def main() -> None:
    """Run, and print the table and the bars."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    parser.add_argument("--budget", type=int, default=1000, help="evaluations of each run")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=list(ALGORITHMS))
    arguments = parser.parse_args()
    names, algorithms = arguments.problems, arguments.algorithms
    if arguments.quick:
        arguments.budget, arguments.seeds = 300, 1
        names, algorithms = ["tnk"], ["MOELA", "NSGA-II"]
    cases = Cases(None if arguments.quick else DATA, show=False)
    rows, ratios = [["problem", *algorithms, "MOELA over the best"]], {}
    for name in names:
        found: dict[str, list[dict[str, Any]]] = {}
        for algorithm in algorithms:
            for seed in range(1, arguments.seeds + 1):
                case = f"{name}; {algorithm}; {arguments.budget}; {seed}"
                make = partial(result, name, algorithm, seed, arguments.budget)
                found.setdefault(algorithm, []).append(cases.get(case, make))
        medians = values(found)
        best = max((value for key, value in medians.items() if key != "MOELA"), default=0.0)
        ratios[name] = medians["MOELA"] / best if best > 0.0 else 1.0
        cells = []
        for algorithm in algorithms:
            firsts = [run["first"] for run in found[algorithm]]
            none = sum(first > arguments.budget for first in firsts)
            cells.append(f"{medians[algorithm]:.3f} ({np.median(firsts):.0f}; {none})")
        rows.append([name, *cells, f"{ratios[name]:.3f}"])
        print(rows[-1], flush=True)
    print(harness.markdown(rows))
    for name, ratio in ratios.items():
        print(f"bar: hypervolume over the best rival's, {name}, {ratio:.3f}, at least 0.95")


if __name__ == "__main__":
    main()
