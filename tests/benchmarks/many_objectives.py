"""Six, eight and ten objectives: MOELA against algorithms that were made for many objectives.

    python -m tests.benchmarks.many_objectives --out docs/benchmarks/many_objectives.md
    python -m tests.benchmarks.many_objectives --quick

The value of a run is the hypervolume of all designs that it has evaluated, in a box that is the
same for all runs on a problem, estimated along the same 8,192 directions for each. Results are kept
in `tests/benchmarks/results`, by problem, algorithm and seed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from moocore import is_nondominated
from pymoo.problems import get_problem

from moela import MOELA
from moela.quality.indicators import sphere_directions
from moela.rivals import BatchMOEAD
from problems import NoC3D
from tests.benchmarks import harness, rivals
from tests.benchmarks.harness import Cases

DATA = Path(__file__).parent / "results" / "many_objectives.json"
N_DIRECTIONS = 8192
# Of the network-on-chip: the five objectives of the paper, and two further metrics.
SEVEN = ("mean", "deviation", "latency", "energy", "thermal", "packet_latency", "peak_load")


def dtlz(name: str, n_obj: int) -> Callable[[], tuple[Any, Any, Any]]:
    """Return a function that makes a DTLZ problem with ten distance variables, and its box."""
    return lambda: (
        get_problem(name, n_var=n_obj + 9, n_obj=n_obj), np.zeros(n_obj), np.full(n_obj, 1.1)
    )  # fmt: skip


def wfg(name: str, n_obj: int) -> Callable[[], tuple[Any, Any, Any]]:
    """Return a function that makes a WFG problem of 24 variables, and its box."""
    return lambda: (
        get_problem(name, n_var=24, n_obj=n_obj, k=2 * (n_obj - 1)),
        np.zeros(n_obj),
        2.2 * np.arange(1, n_obj + 1),
    )


def noc(application: str) -> tuple[Any, Any, Any]:
    """Return a network-on-chip with seven metrics, and the box of a fixed sample of designs."""
    problem = NoC3D.example(application, objectives=list(SEVEN))
    X = problem.operators()["sampling"](problem, 200, random_state=np.random.default_rng(0))
    F = problem.evaluate(X.get("X"), return_values_of=["F"])
    return problem, 2 * F.min(axis=0) - np.median(F, axis=0), np.median(F, axis=0)


PROBLEMS: dict[str, Callable[[], tuple[Any, Any, Any]]] = {
    **{
        f"{name}, {n_obj}": dtlz(name, n_obj) for name in ("dtlz2", "dtlz4") for n_obj in (6, 8, 10)
    },
    **{f"{name}, 8": wfg(name, 8) for name in ("wfg2", "wfg4", "wfg9")},
    "noc bfs, 7": partial(noc, "bfs"),
}
ALGORITHMS: dict[str, Callable[[Any], Any]] = {
    "MOELA": lambda problem: MOELA(),
    "NSGA-III": partial(rivals.nsga3, pop=100),
    "AGE-MOEA-II": partial(rivals.age2, pop=100),
    "MOEA/D batch": lambda problem: BatchMOEAD(n_subproblems=100),
    "NSGA-II": partial(rivals.nsga2, pop=100),
}


def evaluated(problem: Any, algorithm: Any, seed: int, n_eval: int) -> tuple[Any, Any]:
    """Return the objectives [n, M] and violations [n] of all designs that a run evaluates."""
    algorithm.setup(problem, termination=("n_eval", n_eval), seed=seed, verbose=False)
    F, CV, n = [], [], 0
    while algorithm.has_next() and n < n_eval:
        pop = algorithm.infill()
        algorithm.evaluator.eval(problem, pop, algorithm=algorithm)
        F.append(np.array([ind.F for ind in pop]))
        CV.append(np.array([float(ind.CV[0]) for ind in pop]))
        n += len(pop)
        algorithm.advance(infills=pop)
    return np.concatenate(F)[:n_eval], np.concatenate(CV)[:n_eval]


def volume(F: Any, low: Any, high: Any) -> float:
    """Return the share of the box that F [n, M] dominates, along `N_DIRECTIONS` directions."""
    Z = (F - low) / (high - low)
    Z = Z[(Z < 1.0).all(axis=1)]
    if len(Z) == 0:
        return 0.0
    room = 1.0 - Z[is_nondominated(Z)]
    rays = sphere_directions(room.shape[1], N_DIRECTIONS)
    # Along a ray, the box ends where the first coordinate does.
    most = (1.0 / rays).min(axis=1)
    reach = np.zeros(len(rays))
    for part in np.array_split(room, 1 + len(room) // 256):
        along = np.full((len(part), len(rays)), np.inf)
        for j in range(room.shape[1]):
            np.minimum(along, part[:, j, None] / rays[:, j], out=along)
        np.maximum(reach, along.max(axis=0), out=reach)
    n_obj = room.shape[1]
    return float((reach**n_obj).mean() / (most**n_obj).mean())


def result(name: str, algorithm: str, seed: int, n_eval: int) -> dict[str, float]:
    """Return the hypervolume of a run."""
    problem, low, high = PROBLEMS[name]()
    F, _ = evaluated(problem, ALGORITHMS[algorithm](problem), seed, n_eval)
    return {"hypervolume": volume(F, low, high)}


def main() -> None:
    """Run, write the page, and print the bars."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--out")
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    parser.add_argument("--budget", type=int, default=10_000, help="evaluations of each run")
    parser.add_argument("--redo", nargs="+", choices=ALGORITHMS, default=[], help="run these again")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=list(ALGORITHMS))
    arguments = parser.parse_args()
    names, algorithms = arguments.problems, arguments.algorithms
    if arguments.quick:
        arguments.budget, arguments.seeds = 500, 1
        names, algorithms = ["dtlz2, 8"], ["MOELA", "NSGA-III"]
    cases = Cases(None if arguments.quick else DATA)
    for case in list(cases.results):
        if case.split("; ")[1] in arguments.redo:
            del cases.results[case]
    rows, ratios = [["problem", *algorithms, "MOELA over the best"]], {}
    for name in names:
        medians = {}
        for algorithm in algorithms:
            values = []
            for seed in range(1, arguments.seeds + 1):
                case = f"{name}; {algorithm}; {arguments.budget}; {seed}"
                make = partial(result, name, algorithm, seed, arguments.budget)
                values.append(cases.get(case, make)["hypervolume"])
            medians[algorithm] = float(np.median(values))
        others = max(value for key, value in medians.items() if key != "MOELA")
        ratios[name] = medians["MOELA"] / others
        rows.append([name, *(f"{medians[a]:.4g}" for a in algorithms), f"{ratios[name]:.3f}"])
    parts = [
        harness.header(
            "Many objectives",
            "tests.benchmarks.many_objectives",
            f"Hypervolume of all designs of {arguments.budget:,} evaluations in a box that is the "
            f"same for all runs on a problem: medians of {arguments.seeds} seeds. The number in a "
            "problem's name is that of its objectives. DTLZ problems have ten distance variables, "
            f"WFG problems have 24 variables. It is estimated along {N_DIRECTIONS:,} directions. "
            "Rivals have a population of 100.",
        ),
        harness.markdown(rows),
    ]
    harness.finish(parts, arguments.out)
    for name, ratio in ratios.items():
        print(f"bar: hypervolume over the best rival's, {name}, {ratio:.3f}, above 1")


if __name__ == "__main__":
    main()
