"""MOELA and its rivals on the network-on-chip after the same process time.

    python -m tests.benchmarks.equal_time --out docs/benchmarks/equal_time.md

Needs MOELA_DATA for the shared applications; without it, only synthetic traffic is used. Every case
is kept in `results/equal_time.json` as soon as it is measured. `--redo MOELA` measures the cases of
an algorithm again, `--redo all` everything, which is needed if the machine is another one.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from moela import MOELA
from moela.experiments.tasks import make_algorithm
from problems import NoC3D
from tests.benchmarks import harness, rivals, tables
from tests.benchmarks.harness import Case, Cases
from tests.benchmarks.timed import TimedRun, best_rival, median_of, warm_up

DATA = Path(__file__).parent / "results" / "equal_time.json"
SECONDS = (1.0, 2.0, 5.0)
POP = 50
# Their steps depend on how long the run will be, so that each time needs a run of its own.
SCHEDULED = ("VS-RLS",)


def problems(objectives: tuple[int, ...] = (3, 5)) -> dict[str, Any]:
    """Return functions that make the problems, by name."""
    makers: dict[str, Any] = {}
    folder = os.environ.get("MOELA_DATA")
    files = sorted((Path(folder) / "noc").glob("*_traffic.csv")) if folder else []
    for m in objectives:
        for path in files:
            name = path.stem.removesuffix("_traffic")
            makers[f"{name}-{m}"] = partial(NoC3D.from_traffic, path, objectives=m)
        for name in ("bfs", "hotspot"):
            makers[f"synthetic {name}-{m}"] = partial(NoC3D.example, name, objectives=m)
    return makers


def algorithms() -> dict[str, Any]:
    """Return MOELA and all rivals, by name."""
    return {
        tables.OURS: MOELA,
        **rivals.pymoo_rivals(POP),
        "NSGA-II, 100": partial(rivals.nsga2, pop=100),
        **rivals.our_rivals(),
        **rivals.slow_rivals(POP),
    }


def measured(problem: Any, name: str, make: Any, seed: int, seconds: tuple[float, ...]) -> Case:
    """Return hypervolumes in percent of the box, and evaluations, at each time."""
    case: Case = {}
    box = float(np.prod(problem.ref_point)) / 100.0
    runs = seconds if name in SCHEDULED else seconds[-1:]
    for length in runs:
        run = TimedRun(problem, make_algorithm(name, make, problem), seed, length)
        for at in (length,) if name in SCHEDULED else seconds:
            n = run.clock.evaluations_at(at)
            case[f"{at:g} s"] = float(f"{run.hypervolume_after(n, problem.ref_point) / box:.6g}")
            case[f"evaluations, {at:g} s"] = n
    return case


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
    seconds, kinds = SECONDS, harness.pick(algorithms(), arguments.algorithms, tables.OURS)
    chosen = harness.pick(problems(), arguments.problems)
    cases = Cases(DATA)
    for name in list(cases.results):
        if {"all", name.split(" | ")[1]} & set(arguments.redo):
            del cases.results[name]
    if arguments.quick:
        cases.results, cases.path = {}, Path(os.devnull)
        arguments.seeds, seconds = 1, (0.5, 1.0)
        chosen = {"synthetic bfs-5": problems()["synthetic bfs-5"]}
        kinds = harness.pick(kinds, ["NSGA-II", "MOEA/D batch", "VS-RLS"], tables.OURS)
    warm = False
    # Seed by seed, so that an interrupted benchmark has runs of every case.
    for seed in range(1, arguments.seeds + 1):
        for problem_name, make_problem in chosen.items():
            missing = {n: m for n, m in kinds.items() if key(problem_name, n, seed) not in cases}
            if not missing:
                continue
            problem = make_problem()
            if not warm:
                for name, make in kinds.items():
                    warm_up(problem, make_algorithm(name, make, problem))
                warm = True
            for name, make in missing.items():
                run = partial(measured, problem, name, make, seed, seconds)
                cases.get(key(problem_name, name, seed), run)
    names = [f"{at:g} s" for at in seconds]
    report(cases, list(chosen), list(kinds), arguments.seeds, names, arguments.out)


def key(problem: str, algorithm: str, seed: int) -> str:
    """Return the name of a case."""
    return f"{problem} | {algorithm} | {seed}"


def report(
    cases: Cases, names: list[str], kinds: list[str], seeds: int, times: list[str], out: str | None
) -> None:
    """Write the page, and print the bars."""
    numbers = range(1, seeds + 1)
    rows = [["problem", "time", tables.OURS, "best rival", "its", "ratio", "evaluations"]]
    places = [["algorithm", *(f"mean rank, {t}" for t in times), "worst share of MOELA's"]]
    ratios, first = [], 0
    medians: dict[tuple[str, str], dict[str, float]] = {}
    for name in names:
        for at in times:
            found = {
                kind: [cases.results[key(name, kind, seed)][at] for seed in numbers]
                for kind in kinds
            }
            of = {kind: median_of(values) for kind, values in found.items()}
            medians[name, at] = of
            best, ratio = best_rival(of, tables.OURS)
            ratios.append(ratio)
            first += ratio >= 1.0
            counts = [
                median_of(
                    [cases.results[key(name, kind, s)][f"evaluations, {at}"] for s in numbers]
                )
                for kind in (tables.OURS, best)
            ]
            rows.append(
                [
                    name, at, f"{of[tables.OURS]:.4g}", best, f"{of[best]:.4g}", f"{ratio:.3f}",
                    f"{counts[0]:,.0f} to {counts[1]:,.0f}",
                ]
            )  # fmt: skip
    for kind in kinds:
        ranks, shares = [], []
        for at in times:
            each = [
                1 + sum(v > medians[name, at][kind] for v in medians[name, at].values())
                for name in names
            ]
            ranks.append(f"{np.mean(each):.2f}")
            shares += [medians[n, at][kind] / max(medians[n, at][tables.OURS], 1e-300)
                       for n in names]  # fmt: skip
        places.append([kind, *ranks, f"{min(shares):.3f}"])
    scheduled = "VS-RLS, whose steps follow the length of the run, makes a run for each time. "
    scheduled = scheduled if "VS-RLS" in kinds else ""
    parts = [
        harness.header(
            "Equal process time on the network-on-chip",
            "tests.benchmarks.equal_time",
            "Hypervolume of all evaluated designs after the same process time, evaluations "
            "included, with the mesh as reference point, in percent of the box between zero and "
            f"the mesh; medians of {seeds} seeds. Populations have {POP} members where no number "
            f"is given. {scheduled}`evaluations` are MOELA's and the best rival's. All cases of a "
            "seed and a problem are measured one after another in one process, on one thread.",
        ),
        harness.markdown(rows),
        "## All problems\n",
        harness.markdown(places),
    ]
    harness.finish(parts, out)
    n = len(ratios)
    median = float(np.median(ratios))
    print(f"bar: first at equal process time, {first} of {n}, must {n}")
    print(f"bar: hypervolume over the best rival's in the median, {median:.3f}, at least 1.15")
    print(f"bar: hypervolume over the best rival's in the median, {median:.3f}, aim 1.5")


if __name__ == "__main__":
    main()
