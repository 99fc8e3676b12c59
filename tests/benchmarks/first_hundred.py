"""MOELA, evolution and Bayesian methods after a hundred evaluations.

    python -m tests.benchmarks.first_hundred --out docs/benchmarks/first_hundred.md

Each case is kept in a JSON file as soon as it is done, so an interrupted run resumes. `--again
MOELA` makes the runs of an algorithm anew. `--problems` and `--algorithms` pick some. Optuna's
Gaussian processes and BoTorch are slow, so a run of theirs stops after `--seconds` of process time.

The Gaussian processes of Optuna, BoTorch and its qLogNEHVI need the packages optuna, torch and
botorch; without them, results in the JSON file are still shown.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import moocore
import numpy as np
from pymoo.core.evaluator import Evaluator
from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating
from pymoo.core.population import Population
from pymoo.problems import get_problem

from moela import MOELA
from moela.core.operators import resolve
from moela.experiments.recording import record_run
from moela.rivals import BatchMOEAD
from problems import MultiObjectiveQAP, NoC3D, engineering
from tests.benchmarks import harness, rivals, tables
from tests.benchmarks.adapters import run_adapter, start_designs
from tests.benchmarks.botorch_rival import run_qlognehvi

RESULTS = Path(__file__).parent / "results"
OURS = tables.OURS
N_RANDOM = 1000
# Evaluations of a run, and first designs of the rivals.
BUDGET, _POP = 100, 20
# The hypervolume is kept after each of this many equal parts of the budget.
N_PARTS = 10
SIX = ("SpeedReducer", "GearTrain", "PressureVessel", "WeldedBeam", "DiscBrake", "CarSideImpact")
# Optimizers of vectors and mixed variables; a network-on-chip has no encoding for them.
BAYESIAN = ("GP (Optuna)", "TPE (Optuna)", "qLogNEHVI")


def problems() -> dict[str, Any]:
    """Return functions that make the problems of the bars, by name."""
    return {
        **{f"zdt{i}": partial(get_problem, f"zdt{i}") for i in (1, 2, 3)},
        "dtlz2": partial(get_problem, "dtlz2", n_obj=3),
        "wfg4": partial(get_problem, "wfg4", n_var=10, n_obj=2),
        **{name: getattr(engineering, name) for name in SIX},
        "noc bfs, 5 objectives": partial(NoC3D.example, "bfs", objectives=5),
        "qap 10": partial(MultiObjectiveQAP.random, n_facilities=10, seed=1),
    }


def checks() -> dict[str, Any]:
    """Return functions that make problems on which nothing was chosen, by name."""
    others = [name for name in engineering.__all__ if name not in SIX]
    return {
        "zdt4": partial(get_problem, "zdt4"),
        "zdt6": partial(get_problem, "zdt6"),
        "dtlz7": partial(get_problem, "dtlz7", n_obj=3),
        "wfg1": partial(get_problem, "wfg1", n_var=10, n_obj=2),
        **{name: getattr(engineering, name) for name in others},
    }


def nsga2(problem: Any, *, pop: int, kind: Any = rivals.NSGA2) -> Any:
    """Return NSGA-II (or another algorithm of the same form) with operators for the variables."""
    if resolve(problem).mating is None:
        return kind(pop_size=pop, **rivals.operators(problem))
    distinct = MixedVariableDuplicateElimination()
    return kind(
        pop_size=pop,
        sampling=resolve(problem).sampling,
        mating=MixedVariableMating(eliminate_duplicates=distinct),
        eliminate_duplicates=distinct,
    )


def evolution(pop: int) -> dict[str, Any]:
    """Return functions of (problem, seed, budget) that return F and G of a run, by name."""
    return {
        OURS: recorded(lambda problem: MOELA()),
        "NSGA-II": recorded(partial(nsga2, pop=pop)),
        "MOEA/D batch": recorded(lambda problem: BatchMOEAD(n_subproblems=pop)),
    }


def recorded(make: Any) -> Any:
    """Return a function that runs the algorithm that `make` returns for a problem."""

    def run(problem: Any, seed: int, budget: int) -> Any:
        arrays, _ = record_run(problem, make(problem), seed=seed, budget=budget)
        return arrays["F"], arrays.get("G", np.empty(0))

    return run


def algorithms(pop: int, seconds: float) -> dict[str, Any]:
    """Return these, and the same of Bayesian methods, which stop after `seconds`."""

    def adapted(name: str) -> Any:
        def run(problem: Any, seed: int, budget: int) -> Any:
            return run_adapter(name, problem, budget, seed, pop_size=pop, seconds=seconds)[1:]

        return run

    def botorch(problem: Any, seed: int, budget: int) -> Any:
        return run_qlognehvi(problem, budget, seed, pop_size=pop, seconds=seconds)[1:]

    return evolution(pop) | {
        "TPE (Optuna)": adapted("optuna-tpe"),
        "GP (Optuna)": adapted("optuna-gp"),
        "qLogNEHVI": botorch,
    }


def reference(problem: Any) -> Any:
    """Return the problem's reference point, else the nadir of the front of random designs."""
    point = getattr(problem, "ref_point", None)
    if point is not None:
        return np.asarray(point, dtype=float)
    X = np.array(start_designs(problem, N_RANDOM, 0))
    drawn = Evaluator().eval(problem, Population.new("X", X))
    F = drawn.get("F")[drawn.get("feasible").ravel()]
    return moocore.filter_dominated(F).max(axis=0)


def curve(run: Any, problem: Any, seed: int, budget: int, point: Any) -> dict[str, Any]:
    """Make a run; return its hypervolumes after each part of the budget, and process seconds."""
    begin = time.process_time()
    F, G = run(problem, seed, budget)
    seconds = time.process_time() - begin
    feasible = np.ones(len(F), dtype=bool) if G.size == 0 else (G <= 0.0).all(axis=1)
    values = []
    for part in range(1, N_PARTS + 1):
        n = budget * part // N_PARTS
        kept = F[:n][feasible[:n]]
        values.append(float(moocore.hypervolume(kept, ref=point)) if len(kept) else 0.0)
    return {
        "hypervolume": [float(f"{v:.7g}") for v in values],
        "n_eval": len(F),
        "seconds": round(seconds, 1),
    }


class Results:
    """Runs by problem, algorithm and seed, kept in a JSON file.

    Parameters
    ----------
    path : Path or None
        None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.runs: dict[str, dict[str, dict[str, Any]]] = {}
        if path is not None and path.exists():
            self.runs = json.loads(path.read_text(encoding="utf-8"))

    def of(self, problem: str, algorithm: str) -> dict[str, Any]:
        """Return the runs of an algorithm on a problem, by seed."""
        return self.runs.setdefault(problem, {}).setdefault(algorithm, {})

    def save(self) -> None:
        """Write the file, a line for each algorithm on a problem."""
        if self.path is None:
            return
        blocks = []
        for problem, by_algorithm in sorted(self.runs.items()):
            lines = [
                f"{json.dumps(name)}: {json.dumps(runs, separators=(',', ':'))}"
                for name, runs in sorted(by_algorithm.items())
                if runs
            ]
            blocks.append(f"{json.dumps(problem)}: {{\n" + ",\n".join(lines) + "\n}")
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")


def make_runs(
    results: Results,
    chosen: Any,
    kinds: Any,
    seeds: Any,
    budget: int,
    again: Any = (),
    *,
    point_of: Any = reference,
) -> None:
    """Make the runs that are missing: all problems with one seed before any with the next."""
    for seed in seeds:
        for problem_name, make in chosen.items():
            problem = make()
            point = point_of(problem)
            for algorithm, run in kinds.items():
                if algorithm in BAYESIAN and problem_name.startswith("noc"):
                    continue
                runs = results.of(problem_name, algorithm)
                if str(seed) in runs and algorithm not in again:
                    continue
                runs[str(seed)] = curve(run, problem, seed, budget, point)
                results.save()
                at = runs[str(seed)]
                print(
                    f"{problem_name}, {algorithm}, seed {seed}: {at['hypervolume'][-1]:.6g}, "
                    f"{at['n_eval']} evaluations, {at['seconds']} s",
                    flush=True,
                )


def script_arguments(description: str | None) -> argparse.ArgumentParser:
    """Return the arguments of a script that keeps such runs."""
    parser = harness.script_parser(description)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--problems", nargs="+", metavar="NAME")
    parser.add_argument("--algorithms", nargs="+", metavar="NAME")
    parser.add_argument("--again", nargs="+", metavar="NAME", default=[])
    parser.add_argument("--out")
    return parser


def main() -> None:
    """Make the runs that are missing, and write the page."""
    parser = script_arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="process time of slow runs")
    parser.add_argument("--store", help="JSON file; default: in tests/benchmarks/results")
    arguments = parser.parse_args()
    listed = problems()
    makers = listed | checks()
    kinds = algorithms(_POP, arguments.seconds)
    path: Path | None = Path(arguments.store) if arguments.store else RESULTS / "first_hundred.json"
    if arguments.quick:
        arguments.problems, arguments.seeds, path = ["zdt1", "GearTrain"], 1, None
        arguments.algorithms = [OURS, "NSGA-II", "TPE (Optuna)"]
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    results = Results(path)
    chosen = harness.pick(makers, arguments.problems)
    picked = harness.pick(kinds, arguments.algorithms)
    make_runs(results, chosen, picked, seeds, BUDGET, arguments.again)
    keys = [str(seed) for seed in seeds]
    rows, bars = table(results, listed if not arguments.problems else chosen, kinds, keys)
    others = {n: m for n, m in makers.items() if n not in listed}
    checked, _ = table(results, others if not arguments.problems else {}, kinds, keys)
    parts = [
        harness.header("The first hundred evaluations", __spec__.name, ABOUT),
        harness.markdown(rows),
    ]
    if len(checked) > 1:
        parts += ["## Problems on which nothing was chosen\n", harness.markdown(checked)]
    harness.finish(parts, arguments.out)
    show_bars(bars, BUDGET, "0.98")


def show_bars(bars: list[tuple[str, float, int]], budget: int, least: str) -> None:
    """Print a line for each bar."""
    for problem_name, ratio, _ in bars:
        print(f"bar: {problem_name} at {budget}, of the best, {ratio:.3f}, {least}")
    if bars:
        print(f"bar: mean rank at {budget}, {np.mean([rank for _, _, rank in bars]):.2f}, 1.3")


ABOUT = (
    f"Hypervolume after {BUDGET} evaluations, relative to that of the best rival: medians "
    "over the seeds. The reference point is the problem's own, or the nadir of the non-dominated "
    f"among 1,000 random designs if the problem has none. All rivals begin with {_POP} designs. "
    "Where `seeds` is a range, the slow methods of Optuna and BoTorch have fewer, mostly one. "
    "`GP (Optuna)` proposes one design at a time, `qLogNEHVI` (BoTorch) ten. `@n` marks runs that "
    "stopped early, for their process time, with n evaluations; an empty cell is a method that was "
    "not run, since it takes minutes. Permutations are the order "
    "of keys between 0 and 1 for the methods of Optuna and BoTorch; these do not apply to the "
    "network-on-chip. The last column is the process time of MOELA in s, problem included."
)


def table(
    results: Results, chosen: Any, kinds: Any, seeds: list[str]
) -> tuple[list[list[str]], list[tuple[str, float, int]]]:
    """Return the rows of the page, and (problem, ratio to the best rival, rank) for each."""
    others = [name for name in kinds if name != OURS]
    rows = [["problem", "seeds", OURS, *others, "seconds"]]
    bars = []
    for name in chosen:
        by_algorithm = {
            kind: [run for seed, run in results.of(name, kind).items() if seed in seeds]
            for kind in kinds
        }
        known = {kind: runs for kind, runs in by_algorithm.items() if runs}
        if OURS not in known or len(known) < 2:
            continue
        median = {
            kind: float(np.median([run["hypervolume"][-1] for run in runs]))
            for kind, runs in known.items()
        }
        best = max(value for kind, value in median.items() if kind != OURS)
        cells = []
        for kind in (OURS, *others):
            if kind not in known:
                cells.append("")
                continue
            ratio = median[kind] / best if best > 0 else float(median[kind] > 0)
            n = int(np.median([run["n_eval"] for run in known[kind]]))
            most = max(run["n_eval"] for run in known[OURS])
            cells.append(f"{ratio:.3f}" + (f" @{n}" if n < most else ""))
        counts = [len(runs) for runs in known.values()]
        span = str(counts[0]) if min(counts) == max(counts) else f"{min(counts)}–{max(counts)}"
        seconds = np.median([run["seconds"] for run in known[OURS]])
        rows.append([name, span, *cells, f"{seconds:.1f}"])
        ratio = median[OURS] / best if best > 0 else 1.0
        rank = 1 + sum(v > median[OURS] for kind, v in median.items() if kind != OURS)
        bars.append((name, ratio, rank))
    return rows, bars


if __name__ == "__main__":
    main()
