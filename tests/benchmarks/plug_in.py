"""LearnedLocalSearch as the mating of NSGA-II: evaluations to NSGA-II's own final hypervolume.

    python -m tests.benchmarks.plug_in --out docs/benchmarks/plug_in.md

NSGA-II with a population of 50 makes a run; then NSGA-II with `mating=LearnedLocalSearch()` makes
one of the same length, seed and initial sampling. Hypervolumes are those of all evaluated designs.
Results are kept in `docs/benchmarks/data`, after each run.
"""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2

from moela import LearnedLocalSearch
from moela.experiments.recording import record_run
from moela.quality.indicators import hypervolume
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from tests.benchmarks import harness, rivals

DATA = Path(__file__).parents[2] / "docs" / "benchmarks" / "data" / "plug_in.json"
POP = 50
# Hypervolumes are taken at these fractions of the budget.
FRACTIONS = (0.1, 0.2, 1 / 3, 0.5, 1.0)


def problems() -> dict[str, Any]:
    """Return the problems, by name."""
    return {
        "noc bfs, 5 objectives": NoC3D.example("bfs", objectives=5),
        "noc hotspot, 3 objectives": NoC3D.example("hotspot", objectives=3),
        "qap 20": MultiObjectiveQAP.random(n_facilities=20, seed=1),
        "knapsack 100": MultiObjectiveKnapsack.random(n_items=100, seed=1),
        "mnk 100": MNKLandscape.random(n=100, k=4, n_obj=2, rho=0.0, seed=1),
    }


def more_problems() -> dict[str, Any]:
    """Return the other problems that the settings of the plug-in were chosen on."""
    return {
        "mnk 100, another": MNKLandscape.random(n=100, k=4, n_obj=2, rho=0.0, seed=7),
        "mnk 60, k 6": MNKLandscape.random(n=60, k=6, n_obj=2, rho=0.0, seed=2),
        "mnk 150, k 2, 3 objectives": MNKLandscape.random(n=150, k=2, n_obj=3, rho=0.0, seed=3),
        "mnk 100, rho -0.4": MNKLandscape.random(n=100, k=4, n_obj=2, rho=-0.4, seed=4),
        "qap 30": MultiObjectiveQAP.random(n_facilities=30, seed=2),
    }


def plugged(problem: Any) -> NSGA2:
    """Return NSGA-II with the plug-in."""
    operators = rivals.operators(problem)
    return NSGA2(
        pop_size=POP,
        sampling=operators["sampling"],
        repair=operators.get("repair"),
        mating=LearnedLocalSearch(),
    )


def curve(problem: Any, algorithm: NSGA2, seed: int, budget: int) -> dict[str, Any]:
    """Return hypervolumes at `FRACTIONS` of the budget, and seconds outside the problem."""
    begin = time.process_time()
    arrays, seconds = record_run(problem, algorithm, seed=seed, budget=budget)
    own = time.process_time() - begin - seconds["evaluation_cpu"]
    F = arrays["F"]
    values = [hypervolume(F[: round(f * budget)], problem.ref_point) for f in FRACTIONS]
    return {"hypervolume": [float(v) for v in values], "seconds": round(own, 2)}


def main() -> None:
    """Make the runs that are missing, and write the page."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--budget", type=int, default=5000)
    parser.add_argument("--problems", nargs="+", metavar="NAME")
    parser.add_argument(
        "--more", action="store_true", help="only other problems, which its settings were chosen on"
    )
    parser.add_argument("--out")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.budget = 1, 900
    known = json.loads(DATA.read_text()) if DATA.exists() and not arguments.quick else {}
    names = ", ".join(f"{f:.0%}" for f in FRACTIONS)
    header = ["problem", "NSGA-II", *(f"at {f:.0%}" for f in FRACTIONS), "own time"]
    rows, bars = [header], []
    makers = {"NSGA-II": partial(rivals.nsga2, pop=POP), "plug-in": plugged}
    chosen = more_problems() if arguments.more else problems()
    for name, problem in harness.pick(chosen, arguments.problems).items():
        runs = known.setdefault(f"{name}, {arguments.budget}", {"NSGA-II": [], "plug-in": []})
        for seed in range(1, arguments.seeds + 1):
            for kind, make in makers.items():
                if len(runs[kind]) < seed:
                    runs[kind].append(curve(problem, make(problem), seed, arguments.budget))
            if not arguments.quick:
                DATA.parent.mkdir(exist_ok=True)
                DATA.write_text(json.dumps(known, indent=None, separators=(",", ":")))
        base = np.array([r["hypervolume"][-1] for r in runs["NSGA-II"][: arguments.seeds]])
        with_it = np.array([r["hypervolume"] for r in runs["plug-in"][: arguments.seeds]])
        ratio = np.median(with_it / base[:, None], axis=0)
        seconds = [np.median([r["seconds"] for r in runs[kind]]) for kind in runs]
        times = f"{seconds[1] / max(seconds[0], 1e-9):.1f}"
        rows.append([name, f"{np.median(base):.4g}", *(f"{r:.3f}" for r in ratio), times])
        bars.append((name, ratio))
        print(rows[-1], flush=True)
    parts = [
        harness.header(
            "NSGA-II with learned local search",
            "tests.benchmarks.plug_in",
            f"Hypervolume of all evaluated designs of `NSGA2(mating=LearnedLocalSearch())` at "
            f"{names} of {arguments.budget:,} evaluations, relative to that of NSGA-II at the end "
            f"of its run with the same seed; medians of {arguments.seeds} seeds. `NSGA-II` is the "
            "median of its own final hypervolume, `own time` the CPU time outside the problem, "
            "relative to NSGA-II's.",
        ),
        harness.markdown(rows),
    ]
    harness.finish(parts, arguments.out)
    for name, ratio in bars:
        print(f"bar: {name}, of NSGA-II's final after a third, {ratio[2]:.3f}, at least 1")
        print(f"bar: {name}, of NSGA-II's final after a fifth, {ratio[1]:.3f}, aim 1")


if __name__ == "__main__":
    main()
