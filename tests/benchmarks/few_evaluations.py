"""MOELA and evolution after 300 and 1,000 evaluations: smooth and classic problems, and chips.

    python -m tests.benchmarks.few_evaluations --out docs/benchmarks/few_evaluations.md

The runs are kept as those of `first_hundred` are. `--again MOELA` makes the runs of an algorithm
anew. `--problems`, `--algorithms` and `--budgets` pick some. `--inner` leaves the reference
points where random designs put them, and keeps nothing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.algorithms.moo.age2 import AGEMOEA2
from pymoo.problems import get_problem
from pymoo.problems.many.dtlz import DTLZ1, DTLZ2, DTLZ3, DTLZ4
from pymoo.problems.many.wfg import WFG
from pymoo.problems.multi.zdt import ZDT

from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from tests.benchmarks import harness
from tests.benchmarks.first_hundred import (
    OURS,
    RESULTS,
    Results,
    evolution,
    make_runs,
    nsga2,
    recorded,
    reference,
    script_arguments,
    show_bars,
    table,
)

# Of a thousand evaluations, evolution with few members often makes more.
_POP, _SMALL = 50, 20
# The front of DTLZ7 is no part of pymoo; the nadir of random designs lies beyond it.
_KNOWN_FRONTS = (ZDT, DTLZ1, DTLZ2, DTLZ3, DTLZ4)


def problems() -> dict[str, Any]:
    """Return functions that make the problems, by name."""
    return {
        **{f"zdt{i}": partial(get_problem, f"zdt{i}") for i in (1, 2, 3, 4, 6)},
        **{f"dtlz{i}": partial(get_problem, f"dtlz{i}", n_obj=3) for i in (1, 2, 3, 4, 7)},
        **{f"wfg{i}": partial(get_problem, f"wfg{i}", n_var=10, n_obj=2) for i in range(1, 10)},
        "qap 10": partial(MultiObjectiveQAP.random, n_facilities=10, seed=1),
        "qap 20": partial(MultiObjectiveQAP.random, n_facilities=20, seed=1),
        "knapsack 100": partial(MultiObjectiveKnapsack.random, n_items=100, seed=1),
        "mnk 100": partial(MNKLandscape.random, n=100, k=4, n_obj=2, rho=0.0, seed=1),
        "noc bfs, 3 objectives": partial(NoC3D.example, "bfs", objectives=3),
        "noc bfs, 5 objectives": partial(NoC3D.example, "bfs", objectives=5),
    }


def algorithms() -> dict[str, Any]:
    """Return functions of (problem, seed, budget) that return F and G of a run, by name."""
    return evolution(_POP) | {
        f"NSGA-II, {_SMALL}": recorded(partial(nsga2, pop=_SMALL)),
        "AGE-MOEA-II": age_moea,
    }


def reference_beyond(problem: Any) -> Any:
    """Return the reference point, moved beyond the front if that is known."""
    point = reference(problem)
    if isinstance(problem, WFG):  # pymoo samples these fronts at random
        return np.maximum(point, 1.1 * 2.0 * np.arange(1, problem.n_obj + 1))
    if not isinstance(problem, _KNOWN_FRONTS):
        return point
    front = problem.pareto_front()
    return np.maximum(point, front.max(axis=0) + 0.1 * np.ptp(front, axis=0))


def age_moea(problem: Any, seed: int, budget: int) -> Any:
    """Return F of the designs that AGE-MOEA-II evaluates, and no G.

    It divides by zero if all members of a front have the same distance to it; its run ends there.
    """
    algorithm = nsga2(problem, pop=_POP, kind=AGEMOEA2)
    algorithm.setup(problem, termination=("n_eval", budget), seed=seed)
    F: list[Any] = []
    while algorithm.has_next():
        pop = algorithm.ask()
        algorithm.evaluator.eval(problem, pop)
        F += list(pop.get("F"))
        try:
            algorithm.tell(infills=pop)
        except ZeroDivisionError:
            break
    return np.array(F[:budget]), np.empty(0)


def main() -> None:
    """Make the runs that are missing, and write the page."""
    parser = script_arguments(__doc__)
    parser.add_argument("--budgets", nargs="+", type=int, default=[300, 1000])
    parser.add_argument("--inner", action="store_true", help="reference points of random designs")
    arguments = parser.parse_args()
    folder: Path | None = RESULTS
    if arguments.quick:
        arguments.problems, arguments.seeds, folder = ["zdt1", "qap 10"], 1, None
        arguments.budgets, arguments.algorithms = [300], [OURS, "NSGA-II"]
    if arguments.inner:
        folder = None
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    keys = [str(seed) for seed in seeds]
    chosen, kinds = harness.pick(problems(), arguments.problems), algorithms()
    picked = harness.pick(kinds, arguments.algorithms)
    parts = [harness.header("After 300 and 1,000 evaluations", __spec__.name, _ABOUT)]
    bars = {}
    for budget in arguments.budgets:
        results = Results(folder and folder / f"few_evaluations_{budget}.json")
        point_of = reference if arguments.inner else reference_beyond
        make_runs(results, chosen, picked, seeds, budget, arguments.again, point_of=point_of)
        rows, bars[budget] = table(results, chosen, kinds, keys)
        parts += [f"## After {budget:,} evaluations\n", harness.markdown(rows)]
    harness.finish(parts, arguments.out)
    for budget, values in bars.items():
        show_bars(values, budget, "0.95")


_ABOUT = (
    "Hypervolume relative to that of the best rival: medians over the seeds. The reference point "
    "is the problem's own, or the nadir of the non-dominated among 1,000 random designs if the "
    "problem has none. If the exact front is known, the point is at least a tenth of the front's "
    "extent beyond it. Without that (`--inner`), it cuts off most of WFG1's front, and MOELA has "
    "65 % of the best rival's hypervolume there after 300 evaluations and 58 % after 1,000. The "
    f"rivals have a population of {_POP}, one of them {_SMALL}. The last column is the process "
    "time of MOELA in s, problem included."
)


if __name__ == "__main__":
    main()
