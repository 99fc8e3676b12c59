"""Time per evaluation outside the problem, as a ratio to pymoo's NSGA-II with a population of 50.

    python -m tests.benchmarks.overhead --out docs/benchmarks/overhead.md
    python -m tests.benchmarks.overhead --quick    # one round of 600 evaluations, two algorithms

CPU time of one thread. The algorithms alternate in one process, so that other load on the machine
affects all alike; compare the ratios. Uses the bundled synthetic traffic. The last lines are
`bar: what, value, must`: the ratio of MOELA on each problem.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from pymoo.problems import get_problem

import moela
from moela import MOELA
from moela.experiments.recording import record_run
from moela.experiments.results import quartiles
from moela.experiments.tasks import make_algorithm
from problems import NoC3D
from tests.benchmarks import harness, rivals
from tests.benchmarks.search.functions import flow_shop
from tests.benchmarks.search.short import CLASSIC
from tests.benchmarks.search.study import OURS

BASE = "NSGA-II, 50"
# MOELA's time outside the problem, relative to that of NSGA-II, must not be more.
_MOST = 2


def algorithms() -> dict[str, Any]:
    """Return the algorithms to time, by name."""
    return {
        BASE: partial(rivals.nsga2, pop=50),
        OURS: MOELA,
        "MOELA, models off": partial(MOELA, models=None),
        # Batches as large as NSGA-II's, where a search evaluates the best five of ten.
        "MOELA, 50": partial(MOELA, batch_size=50),
        "MOELA, 50, 5 searches": partial(MOELA, batch_size=50, n_searches=5),
        "MOELA, 50, models off": partial(MOELA, batch_size=50, models=None),
    }


def problems() -> dict[str, Any]:
    """Return functions that make the problems, by name."""
    return {
        "noc, 5 objectives": partial(NoC3D.example, "bfs", objectives=5),
        "noc, 3 objectives": partial(NoC3D.example, "bfs", objectives=3),
        **CLASSIC,
        "zdt1": partial(get_problem, "zdt1"),
        # A permutation whose objectives are no sums over pairs of items.
        "flow shop 30": lambda: moela.problem(**flow_shop(30)),
    }


def main() -> None:
    """Measure the times and write the page."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--budget", type=int, default=5000, help="evaluations of each run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--problems", nargs="+", metavar="NAME")
    parser.add_argument("--algorithms", nargs="+", metavar="NAME")
    parser.add_argument("--out")
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.budget, arguments.rounds, arguments.algorithms = 600, 1, [OURS]
    chosen = harness.pick(problems(), arguments.problems)
    kinds = harness.pick(algorithms(), arguments.algorithms, BASE, OURS)
    about = (
        f"CPU microseconds per evaluation: median (quartiles) of {arguments.rounds} rounds of "
        f"{arguments.budget:,} evaluations, in each of which the algorithms run one after "
        "another. `ratio` is the median over the rounds of the ratio to pymoo's NSGA-II with a "
        "population of 50. `problem` is the time inside the problem's evaluation."
    )
    parts = [harness.header("Time per evaluation outside the problem", __spec__.name, about)]
    ratios = {}
    for name, make in chosen.items():
        table, ratios[name] = times(make(), kinds, arguments.budget, arguments.rounds)
        parts += [f"## {name}\n", table]
    harness.finish(parts, arguments.out)
    for name, ratio in ratios.items():
        harness.bar(f"time outside the problem over NSGA-II's, {name}", f"{ratio:.2f}", f"{_MOST}")


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
    ratios = {
        k: float(np.median(np.array(v) / np.array(outside[BASE]))) for k, v in outside.items()
    }
    rows = [["algorithm", "outside the problem", "ratio", "problem"]]
    for name in kinds:
        q = quartiles(np.array(outside[name]))
        spread = f"{q['median']:.0f} ({q['q1']:.0f}–{q['q3']:.0f})"
        rows.append([name, spread, f"{ratios[name]:.2f}", f"{np.median(inside[name]):.0f}"])
    return harness.markdown(rows), ratios[OURS]


if __name__ == "__main__":
    main()
