"""MOELA and its rivals on the network-on-chip after the same process time.

    python -m tests.benchmarks.equal_time --out docs/benchmarks/equal_time.md

Needs MOELA_DATA for the shared applications; without it, only synthetic traffic is used. Every run
is kept in `results/equal_time.json` as soon as it is measured. `--redo MOELA` measures the runs of
an algorithm again, `--redo all` everything, which is needed if the machine is another one.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from moela import MOELA
from problems import NoC3D
from tests.benchmarks import harness, rivals
from tests.benchmarks.harness import Case
from tests.benchmarks.search.reports import best_rival
from tests.benchmarks.search.runs import Make, Run, rounded
from tests.benchmarks.search.study import OURS, Found, Report, Study
from tests.benchmarks.search.timed import SCHEDULED, timed_run

SECONDS = (1.0, 2.0, 5.0)
POP = 50


def problems() -> dict[str, Any]:
    """Return functions that make the problems, by name."""
    makers: dict[str, Any] = {}
    folder = os.environ.get("MOELA_DATA")
    files = sorted((Path(folder) / "noc").glob("*_traffic.csv")) if folder else []
    for m in (3, 5):
        for path in files:
            name = path.stem.removesuffix("_traffic")
            makers[f"{name}-{m}"] = partial(NoC3D.from_traffic, path, objectives=m)
        for name in ("bfs", "hotspot"):
            makers[f"synthetic {name}-{m}"] = partial(NoC3D.example, name, objectives=m)
    return makers


def times(budget: int) -> list[float]:
    """Return the times at which a run of so many seconds is looked at."""
    return [at for at in SECONDS if at <= budget]


def measure(run: Run, make_problem: Make, make: Make) -> Case:
    """Return hypervolumes in percent of the box, and evaluations, at each time."""
    problem = make_problem()
    case: Case = {}
    box = float(np.prod(problem.ref_point)) / 100.0
    for length in times(run.budget) if run.algorithm in SCHEDULED else [run.budget]:
        made = timed_run(run, problem, make, length)
        for at in [length] if run.algorithm in SCHEDULED else times(run.budget):
            n = made.clock.evaluations_at(at)
            (volume,) = rounded([made.hypervolume_after(n, problem.ref_point) / box])
            case |= {f"{at:g} s": volume, f"evaluations, {at:g} s": n}
    return case


def report(found: Found) -> Report:
    """Return the tables, and the bars."""
    (budget,) = found.budgets
    titles = [f"{at:g} s" for at in times(budget)]
    rows = [["problem", "time", OURS, "best rival", "its", "ratio", "evaluations"]]
    medians: dict[tuple[str, str], dict[str, float]] = {}
    ratios = []
    for name in found.problems:
        runs = found.runs(name, budget)
        for at in titles:
            of = {k: float(np.median([run[at] for run in each])) for k, each in runs.items()}
            medians[name, at] = of
            best, ratio = best_rival(of)
            ratios.append(ratio)
            counts = (
                np.median([run[f"evaluations, {at}"] for run in runs[kind]])
                for kind in (OURS, best)
            )
            rows.append(
                [
                    name, at, f"{of[OURS]:.4g}", best, f"{of[best]:.4g}", f"{ratio:.3f}",
                    " to ".join(f"{count:,.0f}" for count in counts),
                ]
            )  # fmt: skip
    places = [["algorithm", *(f"mean rank, {t}" for t in titles), "worst share of MOELA's"]]
    for kind in found.algorithms:
        ranks = []
        for at in titles:
            of_all = [medians[name, at] for name in found.problems]
            ranks.append(np.mean([1 + sum(v > of[kind] for v in of.values()) for of in of_all]))
        least = min(of[kind] / max(of[OURS], 1e-300) for of in medians.values())
        places.append([kind, *(f"{rank:.2f}" for rank in ranks), f"{least:.3f}"])
    n, median = len(ratios), float(np.median(ratios))
    first = sum(ratio >= 1.0 for ratio in ratios)
    what = f"hypervolume over the best rival's in the median, {median:.3f}"
    bars = [
        f"first at equal process time, {first} of {n}, must {n}",
        f"{what}, at least 1.15",
        f"{what}, aim 1.5",
    ]
    return [harness.markdown(rows), "## All problems\n", harness.markdown(places)], bars


STUDY = Study(
    title="Equal process time on the network-on-chip",
    about="Hypervolume of all evaluated designs after the same process time, evaluations included, "
    "with the mesh as reference point, in percent of the box between zero and the mesh; medians of "
    f"{{seeds}} seeds. Populations have {POP} members where no number is given. VS-RLS, whose "
    "steps follow the length of the run, makes a run for each time. `evaluations` are MOELA's and "
    "the best rival's. All cases of a seed and a problem are measured one after another in one "
    "process, on one thread.",
    problems=problems(),
    algorithms={
        OURS: MOELA,
        **rivals.pymoo_rivals(POP),
        "NSGA-II, 100": partial(rivals.nsga2, pop=100),
        **rivals.our_rivals(),
        **rivals.slow_rivals(POP),
    },
    measure=measure,
    report=report,
    store="equal_time",
    budgets=(5,),
    quick={
        "problems": ["synthetic bfs-5"],
        "algorithms": ["NSGA-II", "MOEA/D batch", "VS-RLS"],
        "budgets": [2],
    },
)

if __name__ == "__main__":
    STUDY.main(sys.argv[1:], __spec__.name)
