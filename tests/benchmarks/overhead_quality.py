"""Hypervolume after 5,000 evaluations, as a ratio to an earlier version of MOELA.

    python -m tests.benchmarks.overhead_quality                   # seven seeds, ten problems
    python -m tests.benchmarks.overhead_quality --quick           # one seed, short runs
    python -m tests.benchmarks.overhead_quality --version old     # measure the earlier version

Less time outside the problem must not cost quality. `results/overhead_quality.json` holds the
hypervolume of every run, by version, problem and seed. A run that is in the file is not made again;
`--fresh` makes the runs of this version again. Reference points are the problem's own for
networks-on-chip, a tenth beyond the nadir of the exact front for test functions, and for the others
a tenth beyond the nadir of the front that the earlier version found with seed 1.

The last lines are `bar: what, value, must`.
"""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from moocore import hypervolume
from pymoo.optimize import minimize
from pymoo.problems import get_problem

from moela import MOELA
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from problems.engineering import WeldedBeam
from tests.benchmarks import harness

RESULTS = Path(__file__).parent / "results" / "overhead_quality.json"
OLD, NEW = "old", "new"
# A median may be lower by this share on one problem; the mean over the problems may not.
_LOWEST = 0.99


def problems() -> dict[str, Any]:
    """Return functions that make the problems, by name."""
    return {
        "noc, 5 objectives": partial(NoC3D.example, "bfs", objectives=5),
        "noc, 3 objectives": partial(NoC3D.example, "bfs", objectives=3),
        "qap 20": partial(MultiObjectiveQAP.random, n_facilities=20, seed=1),
        "knapsack 100": partial(MultiObjectiveKnapsack.random, n_items=100, seed=1),
        "mnk 100": partial(MNKLandscape.random, n=100, k=4, n_obj=2, rho=0.0, seed=1),
        "zdt1": partial(get_problem, "zdt1"),
        "dtlz2": partial(get_problem, "dtlz2"),
        "mnk 64, 3 objectives": partial(MNKLandscape.random, n=64, k=8, n_obj=3, seed=1),
        "wfg4": partial(get_problem, "wfg4", n_var=12, n_obj=3),
        "welded beam": WeldedBeam,
    }


class Hypervolumes:
    """Hypervolumes in the file, and the reference points that they are measured with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        empty: dict[str, Any] = {"ref_point": {}, OLD: {}, NEW: {}}
        self.data = json.loads(path.read_text()) if path.exists() else empty

    def run(self, version: str, name: str, make: Any, seed: int, budget: int) -> float:
        """Return the hypervolume of a run, made now unless it is in the file."""
        key = f"{name}, {budget}"
        known = self.data[version].setdefault(key, {})
        if str(seed) not in known:
            problem = make()
            start = time.process_time()
            F = minimize(problem, MOELA(), ("n_eval", budget), seed=seed).F
            seconds = time.process_time() - start
            point = np.array(self.data["ref_point"].setdefault(name, self._point(problem, F)))
            known[str(seed)] = float(hypervolume(F, ref=point))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.data, indent=1, sort_keys=True) + "\n")
            print(f"{version}, {name}, seed {seed}: {known[str(seed)]:.6g}, {seconds:.1f} s")
        return float(known[str(seed)])

    @staticmethod
    def _point(problem: Any, F: Any) -> list[float]:
        if isinstance(problem, NoC3D):
            return [float(value) for value in problem.ref_point]
        classic = (MultiObjectiveQAP, MultiObjectiveKnapsack, MNKLandscape, WeldedBeam)
        exact = None if isinstance(problem, classic) else problem.pareto_front()
        front = F if exact is None else exact
        return [float(value) for value in front.max(axis=0) + 0.1 * np.ptp(front, axis=0)]


def main() -> None:
    """Make the runs, and print a table and the bars."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--budget", type=int, default=5000, help="evaluations of each run")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--problems", nargs="+", metavar="NAME")
    parser.add_argument("--version", choices=(OLD, NEW), default=NEW)
    parser.add_argument("--fresh", action="store_true", help="forget the runs of this version")
    parser.add_argument("--quick", action="store_true", help="one seed, 600 evaluations")
    parser.add_argument("--store", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    budget, seeds = (600, 1) if arguments.quick else (arguments.budget, arguments.seeds)
    store = Hypervolumes(arguments.store)
    chosen = harness.pick(problems(), arguments.problems)
    if arguments.fresh:
        for name in chosen:
            store.data[arguments.version].pop(f"{name}, {budget}", None)
    for seed in range(1, seeds + 1):
        for name, make in chosen.items():
            store.run(arguments.version, name, make, seed, budget)
    report(store, list(chosen), seeds, budget)


def report(store: Hypervolumes, names: list[str], seeds: int, budget: int) -> None:
    """Print the ratio of medians on each problem whose runs both versions have made."""
    ratios = {}
    for name in names:
        runs = [store.data[version].get(f"{name}, {budget}", {}) for version in (NEW, OLD)]
        paired = [str(seed) for seed in range(1, seeds + 1)]
        paired = [seed for seed in paired if all(seed in known for known in runs)]
        if paired:
            new, old = (np.median([known[seed] for seed in paired]) for known in runs)
            ratios[name] = new / old
    if not ratios:
        return
    for name, ratio in ratios.items():
        print(f"bar: hypervolume after {budget:,}, {name}, new over old, {ratio:.4f}, {_LOWEST}")
    mean = np.mean(list(ratios.values()))
    print(f"bar: hypervolume after {budget:,}, mean over the problems, {mean:.4f}, 1")


if __name__ == "__main__":
    main()
