"""Long runs on permutations and bits: at equal evaluations, and at MOELA's process time.

    python -m tests.benchmarks.long_runs --out docs/benchmarks/long_runs.md

MOELA makes 50,000 evaluations; each rival runs until it has made as many and has taken the process
time of MOELA's first 20,000 with the same seed, or up to 19 % more. MOO-STAGE makes 20,000. The
published MOELA, which fits a forest in every generation and takes eight minutes for as many, and
the memetic algorithm with boosted trees only run for that time. Needs MOELA_DATA for the shared
instances; without it, only generated instances are used.

The reference point of each problem is the nadir of the front of an NSGA-II run of 20,000
evaluations with seed 0, plus a tenth of the front's range. Every case is kept in
`results/long_runs.json` as soon as it is measured. `--redo MOELA` measures the cases of an
algorithm again, `--redo all` everything, which is needed if the machine is another one. Rivals keep
their hypervolumes at a grid of times, so that a faster MOELA can be compared with the same runs of
theirs.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from moela import MOELA, Models
from moela.experiments.tasks import make_algorithm
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP
from tests.benchmarks import harness, rivals, tables
from tests.benchmarks.equal_time import SCHEDULED, key
from tests.benchmarks.harness import Case, Cases
from tests.benchmarks.timed import TimedRun, best_rival, median_of, warm_up

DATA = Path(__file__).parent / "results" / "long_runs.json"
POP = 100
AT = (20_000, 50_000)
# MOELA as the documentation advises where an evaluation takes less than a few milliseconds.
QUICKER = {
    "MOELA, batches of 50": partial(MOELA, batch_size=50, n_searches=5),
    "MOELA, batches of 50, no models": partial(MOELA, batch_size=50, n_searches=5, models=None),
}
# MOELA without the model that makes the difference on QAPs.
REDUCED = {"MOELA, no sums over pairs": partial(MOELA, models=Models(pair_sums=False))}
QUICK = (300, 600)
TIMED = "time"
# Times at which rivals are looked at, each 19 % after the one before; MOELA's time is rounded up.
GRID = tuple(2.0 ** (i / 4) for i in range(-16, 41))
# Largest numbers of evaluations of algorithms that are slow themselves.
AT_MOST = {"MOO-STAGE": 20_000, "MOELA published": 0, "Memetic GBT": 0}


def problems() -> dict[str, Any]:
    """Return functions that make the problems, by name."""
    makers: dict[str, Any] = {}
    folder = os.environ.get("MOELA_DATA")
    if folder:
        data = Path(folder)
        for name in ("KC20-2fl-1rl", "KC20-2fl-2uni", "KC30-3fl-1rl"):
            path = data / "mqap" / f"{name}.dat"
            makers[name] = partial(MultiObjectiveQAP.from_file, path)
        path = data / "knapsack" / "random-2D-200_1.in"
        makers["knapsack-200"] = partial(MultiObjectiveKnapsack.from_file, path)
    makers["qap-25"] = partial(MultiObjectiveQAP.random, n_facilities=25, seed=2)
    makers["knapsack-150-3"] = partial(MultiObjectiveKnapsack.random, n_items=150, n_obj=3, seed=2)
    makers["mnk-100"] = partial(MNKLandscape.random, n=100, k=4, n_obj=2, rho=0.0, seed=2)
    return makers


def algorithms(problem: Any) -> dict[str, Any]:
    """Return MOELA and its rivals, by name."""
    return {
        tables.OURS: MOELA,
        **QUICKER,
        **(REDUCED if isinstance(problem, MultiObjectiveQAP) else {}),
        **rivals.pymoo_rivals(POP, constrained=problem.has_constraints()),
        "NSGA-II, 50": partial(rivals.nsga2, pop=50),
        **rivals.our_rivals(),
        "MOELA published": MOELA.published,
        "Memetic GBT": rivals.slow_rivals(POP)["Memetic GBT"],
    }


def reference(problem: Any, n_eval: int) -> Case:
    """Return the reference point, by objective."""
    run = TimedRun(problem, rivals.nsga2(problem, pop=POP), 0, 0.0, n_eval)
    front = run.front_after(n_eval)
    point = front.max(axis=0) + 0.1 * np.ptp(front, axis=0)
    return {str(i): float(value) for i, value in enumerate(point)}


def measured(
    problem: Any, name: str, make: Any, seed: int, at: tuple[int, ...], seconds: float, ref: Any
) -> Case:
    """Return hypervolumes after numbers of evaluations and, of a rival, at the times of the grid.

    MOELA itself is given no time.
    """
    at = tuple(n for n in at if n <= AT_MOST.get(name, n))
    case: Case = {}
    # Where steps follow the length of the run, each length needs a run of its own.
    lengths = [(0.0, n) for n in at] if name in SCHEDULED else []
    lengths.append((seconds, 0 if lengths or not at else at[-1]))
    for length, n_eval in lengths:
        if length == n_eval == 0:
            continue
        run = TimedRun(problem, make_algorithm(name, make, problem), seed, length, n_eval)
        counts = {n: run.clock.seconds_at(n) for n in ([n_eval] if lengths[1:] else at) if n}
        case |= {f"seconds, {n}": round(at_second, 3) for n, at_second in counts.items()}
        first = length / (2.0 if lengths[1:] else 5.0)
        times = {clock_time(t): run.clock.evaluations_at(t) for t in GRID if first < t <= length}
        case |= {f"evaluations, {t}": n for t, n in times.items()}
        for title, n in ({str(n): n for n in counts} | times).items():
            case[title] = float(f"{run.hypervolume_after(n, ref):.8g}")
    return case


def clock_time(seconds: float) -> str:
    """Return the first time of the grid that is not before this one, as the name of a column."""
    return f"{next(t for t in GRID if t >= seconds):.3g} s"


def main() -> None:
    """Measure the cases that are missing, and write the page."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--problems", nargs="+", metavar="NAME")
    parser.add_argument("--algorithms", nargs="+", metavar="NAME")
    parser.add_argument("--redo", nargs="+", metavar="NAME", default=[])
    parser.add_argument("--out")
    arguments = parser.parse_args()
    at, chosen = AT, harness.pick(problems(), arguments.problems)
    cases = Cases(DATA)
    for name in list(cases.results):
        if {"all", name.split(" | ")[1]} & set(arguments.redo):
            del cases.results[name]
    if arguments.quick:
        cases.results, cases.path = {}, Path(os.devnull)
        arguments.seeds, at = 1, QUICK
        chosen = harness.pick(problems(), ["qap-25"])
        arguments.algorithms = ["NSGA-II", "MOEA/D batch", "VS-RLS"]
    warm: set[tuple[str, type]] = set()
    # Seed by seed, so that an interrupted benchmark has runs of every case.
    for seed in range(1, arguments.seeds + 1):
        for problem_name, make_problem in chosen.items():
            problem = make_problem()
            kinds = harness.pick(algorithms(problem), arguments.algorithms, tables.OURS)
            point = cases.get(key(problem_name, "reference", 0), partial(reference, problem, at[0]))
            ref = np.array([point[str(i)] for i in range(problem.n_obj)])
            seconds = 0.0
            for name, make in kinds.items():
                case = key(problem_name, name, seed)
                if seconds and case in cases and clock_time(seconds) not in cases.results[case]:
                    del cases.results[case]  # it ended before MOELA did, or long after
                if case not in cases and (name, type(problem)) not in warm:
                    warm_up(problem, make_algorithm(name, make, problem))
                    warm.add((name, type(problem)))
                run = partial(measured, problem, name, make, seed, at, seconds, ref)
                result = cases.get(case, run)
                if name == tables.OURS:
                    seconds = next(t for t in GRID if t >= result[f"seconds, {at[0]}"])
    report(cases, chosen, arguments.algorithms, arguments.seeds, at, arguments.out)


def runs_of(cases: Cases, problem: str, kind: str, seeds: int, first: int) -> list[Case]:
    """Return the cases of an algorithm, with what it had at MOELA's time of the same seed."""
    runs = []
    for seed in range(1, seeds + 1):
        case = dict(cases.results[key(problem, kind, seed)])
        seconds = cases.results[key(problem, tables.OURS, seed)][f"seconds, {first}"]
        at = str(first) if kind == tables.OURS else clock_time(seconds)
        case[TIMED] = case[at]
        case["evaluations"] = case.get(f"evaluations, {at}", first)
        runs.append(case)
    return runs


def report(
    cases: Cases,
    chosen: dict[str, Any],
    picked: list[str] | None,
    seeds: int,
    at: tuple[int, ...],
    out: str | None,
) -> None:
    """Write the page, and print the bars."""
    columns, variants = [*(str(n) for n in at), TIMED], QUICKER | REDUCED
    titles = {str(n): f"{n:,} evaluations" for n in at} | {TIMED: "MOELA's time"}
    rows = [["problem", "at", tables.OURS, "best rival", "its", "ratio", "its evaluations"]]
    bars, blocks = [], []
    for name, make in chosen.items():
        kinds = list(harness.pick(algorithms(make()), picked, tables.OURS))
        runs = {kind: runs_of(cases, name, kind, seeds, at[0]) for kind in kinds}
        block = [["algorithm", *(titles[c] for c in columns), "evaluations", "own seconds"]]
        medians = {
            (kind, column): median_of([run[column] for run in runs[kind]])
            for kind in kinds
            for column in columns
            if all(column in run for run in runs[kind])
        }
        for column in columns:
            of = {kind: medians[kind, column] for kind in kinds if (kind, column) in medians}
            best, ratio = best_rival(
                {k: v for k, v in of.items() if k not in variants}, tables.OURS
            )
            counts = median_of([run["evaluations"] for run in runs[best]])
            for kind in (tables.OURS, *(k for k in variants if k in of and column == TIMED)):
                title = titles[column] + kind.removeprefix(tables.OURS)
                ours = of[kind] / of[tables.OURS] * ratio
                rows.append(
                    [
                        name, title, f"{of[kind]:.5g}", best, f"{of[best]:.5g}", f"{ours:.3f}",
                        f"{counts:,.0f}" if column == TIMED else f"{int(column):,}",
                    ]
                )  # fmt: skip
                bars.append(f"bar: {name} at {title}, over the best rival's, {ours:.4f}, "
                            "at least 1")  # fmt: skip
        for kind in kinds:
            cells = [f"{medians[kind, c]:.5g}" if (kind, c) in medians else "" for c in columns]
            counts = median_of([run["evaluations"] for run in runs[kind]])
            seconds = [run[f"seconds, {at[0]}"] for run in runs[kind] if str(at[0]) in run]
            cells += [f"{counts:,.0f}", f"{median_of(seconds):.1f}" if seconds else ""]
            block.append([kind, *cells])
        blocks += [f"## {name}\n", harness.markdown(block)]
    parts = [
        harness.header(
            "Long runs on permutations and bits",
            "tests.benchmarks.long_runs",
            "Hypervolume of all evaluated designs after equal numbers of evaluations, and after "
            f"the process time of MOELA's first {at[0]:,} evaluations, evaluations included; "
            f"medians of {seeds} seeds. Rivals have up to 19 % more time. The reference point is "
            "the nadir of a front of NSGA-II, plus a tenth of its range. Populations have "
            f"{POP} members where no number is given. Rows that begin with `MOELA,` are settings "
            "for evaluations that take microseconds, or lack the model of sums over pairs. "
            "They are no rivals. `evaluations` are those in "
            f"MOELA's time, `own seconds` the process time of {at[0]:,} evaluations. Empty cells "
            "were not run: the algorithm itself takes too long.",
        ),
        harness.markdown(rows),
        *blocks,
    ]
    harness.finish(parts, out)
    print("\n".join(bars))


if __name__ == "__main__":
    main()
