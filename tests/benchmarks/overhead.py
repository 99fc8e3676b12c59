"""Time per evaluation outside the problem, as a ratio to pymoo's NSGA-II with a population of 50.

    python -m tests.benchmarks.overhead --out docs/benchmarks/overhead.md
    python -m tests.benchmarks.overhead --quick    # one round of 600 evaluations, two algorithms

CPU time of one thread. The algorithms alternate in one process, so that other load on the machine
affects all alike; compare the ratios. Uses the bundled synthetic traffic. The last lines are
`bar: what, value, must`: the ratio of MOELA on each problem.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from pymoo.problems import get_problem

import moela
from moela import MOELA, Evaluator, Models
from moela.experiments.recording import record_run
from moela.experiments.results import quartiles
from moela.experiments.tasks import make_algorithm
from moela.rivals import MOOS, MOOSTAGE
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from tests.benchmarks import harness, rivals
from tests.benchmarks.search.functions import flow_shop

BASE = "NSGA-II, 50"
# MOELA's time outside the problem, relative to that of NSGA-II, must not be more.
_MOST = 2


def algorithms() -> dict[str, Any]:
    """Return the algorithms to time, by name."""
    return {
        BASE: partial(rivals.nsga2, pop=50),
        "MOELA, models off": partial(MOELA, models=None),
        "MOELA": MOELA,
        "MOELA, no Hamming-kernel model": partial(MOELA, models=Models(hamming=False)),
        "MOELA, no surrogate": partial(MOELA, models=Models(surrogate_size=0)),
        # Batches as large as NSGA-II's, where a search evaluates the best five of ten.
        "MOELA, 50, models off": partial(MOELA, batch_size=50, models=None),
        "MOELA, 50": partial(MOELA, batch_size=50),
        "MOELA, 50, 5 searches": partial(MOELA, batch_size=50, n_searches=5),
        "MOELA published": MOELA.published,
        "MOOS": MOOS,
        "MOO-STAGE": MOOSTAGE,
        "NSGA-III, 50": partial(rivals.nsga3, pop=50),
        "AGE-MOEA-II, 50": partial(rivals.age2, pop=50),
    }


def problems() -> dict[str, Any]:
    """Return the problems, by name."""
    return {
        "noc, 5 objectives": NoC3D.example("bfs", objectives=5),
        "noc, 3 objectives": NoC3D.example("bfs", objectives=3),
        "qap 20": MultiObjectiveQAP.random(n_facilities=20, seed=1),
        "knapsack 100": MultiObjectiveKnapsack.random(n_items=100, seed=1),
        "mnk 100": MNKLandscape.random(n=100, k=4, n_obj=2, rho=0.0, seed=1),
        "zdt1": get_problem("zdt1"),
        # A permutation whose objectives are no sums over pairs of items.
        "flow shop 30": moela.problem(**flow_shop(30)),
    }


def main() -> None:
    """Measure the times and write the page."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--budget", type=int, default=5000, help="evaluations of each run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--problems", nargs="+", metavar="NAME")
    parser.add_argument("--algorithms", nargs="+", metavar="NAME")
    parser.add_argument("--long", type=int, default=20_000, help="evaluations of the long run")
    parser.add_argument("--out")
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.budget, arguments.rounds, arguments.long = 600, 1, 0
        arguments.algorithms = ["MOELA"]
    chosen = harness.pick(problems(), arguments.problems)
    kinds = harness.pick(algorithms(), arguments.algorithms, BASE, "MOELA")
    parts = [
        harness.header(
            "Time per evaluation outside the problem",
            "tests.benchmarks.overhead",
            f"CPU microseconds per evaluation: median (quartiles) of {arguments.rounds} rounds of "
            f"{arguments.budget:,} evaluations, in each of which the algorithms run one after "
            "another. `ratio` is the median over the rounds of the ratio to pymoo's NSGA-II with a "
            "population of 50. `problem` is the time inside the problem's evaluation.",
        )
    ]
    ratios = {}
    for name, problem in chosen.items():
        table, ratios[name] = times(problem, kinds, arguments.budget, arguments.rounds)
        parts += [f"## {name}\n", table]
    if arguments.long:
        parts += [
            f"## A run of {arguments.long:,} evaluations, noc, 5 objectives\n",
            by_length(arguments.long),
        ]
    harness.finish(parts, arguments.out)
    for name, ratio in ratios.items():
        print(f"bar: time outside the problem over NSGA-II's, {name}, {ratio:.2f}, {_MOST}")


def times(problem: Any, kinds: dict[str, Any], budget: int, rounds: int) -> tuple[str, float]:
    """Return the table of one problem, and the ratio of MOELA; the algorithms alternate."""
    for make in kinds.values():  # the first run compiles, imports and fills caches
        record_run(problem, make_algorithm("", make, problem), seed=0, budget=min(400, budget))
    outside: dict[str, list[float]] = {name: [] for name in kinds}
    inside: dict[str, list[float]] = {name: [] for name in kinds}
    for seed in range(1, rounds + 1):
        for name, make in kinds.items():
            algorithm = make_algorithm(name, make, problem)
            _, seconds = record_run(problem, algorithm, seed=seed, budget=budget)
            outside[name].append(1e6 * (seconds["cpu"] - seconds["evaluation_cpu"]) / budget)
            inside[name].append(1e6 * seconds["evaluation_cpu"] / budget)
    rows = [["algorithm", "outside the problem", "ratio", "problem"]]
    for name in kinds:
        q = quartiles(np.array(outside[name]))
        ratio = np.median(np.array(outside[name]) / np.array(outside[BASE]))
        rows.append(
            [
                name,
                f"{q['median']:.0f} ({q['q1']:.0f}–{q['q3']:.0f})",
                f"{ratio:.2f}",
                f"{np.median(inside[name]):.0f}",
            ]
        )
    own = np.median(np.array(outside["MOELA"]) / np.array(outside[BASE]))
    return harness.markdown(rows), float(own)


def by_length(budget: int) -> str:
    """Return the times of runs of increasing length, and of the longest with two workers."""
    problem = NoC3D.example("bfs", objectives=5)
    rows = [["run", "wall seconds", "CPU seconds", "of it outside the problem", "us/evaluation"]]
    for n in (budget // 8, budget // 4, budget // 2, budget):
        _, seconds = record_run(problem, MOELA(), seed=1, budget=n)
        apart = seconds["cpu"] - seconds["evaluation_cpu"]
        rows.append(
            [
                f"{n:,} evaluations",
                f"{seconds['wall']:.1f}",
                f"{seconds['cpu']:.1f}",
                f"{apart:.1f}",
                f"{1e6 * apart / n:.0f}",
            ]
        )
    start = time.perf_counter()
    workers = Evaluator(n_jobs=2, progress=False)
    record_run(problem, MOELA(), seed=1, budget=budget, evaluator=workers)
    wall = time.perf_counter() - start
    rows.append([f"{budget:,} evaluations, Evaluator(n_jobs=2)", f"{wall:.1f}", "", "", ""])
    return harness.markdown(rows)


if __name__ == "__main__":
    main()
