"""MOELA and its rivals on QAP, knapsack, MNK-landscapes, and the 3D network-on-chip.

Needs MOELA_DATA. The budget of classic problems is 5,000 evaluations for KC10 and the
MNK-landscapes of 18 bits and 50,000 for the other instances, or --budget if that is smaller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import moocore
import numpy as np

from moela import MOELA
from moela.experiments.run import ExperimentResults
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from tests.benchmarks import harness, rivals, tables

SMALL, LARGE = 5000, 50_000


def classic(words: Sequence[str]) -> None:
    """Make the runs and the tables of classic problems, against exact fronts where known."""
    parser = tables.parser(__doc__, budget=LARGE, store="classic")
    parser.add_argument("--pop", type=int, default=100, help="population of the rivals")
    arguments = tables.parsed(parser, words, ["KC10-2fl-1rl", "KC20-2fl-1rl"])
    pop = arguments.pop
    slow = rivals.slow_rivals(pop) | rivals.other_libraries("optuna-nsga2", "optuna-tpe", pop=pop)
    results = ExperimentResults([])
    for limit, constrained, problems in families():
        chosen = harness.pick(problems, arguments.problems)
        if chosen:
            algorithms = {
                tables.OURS: MOELA,
                **rivals.pymoo_rivals(pop, constrained=constrained),
                "NSGA-II, 50": partial(rivals.nsga2, pop=50),
                **rivals.our_rivals(),
                **rivals.other_libraries("pygmo-nsga2", "pygmo-moead", "jmetal-nsga2", pop=pop),
            }
            budget = min(limit, arguments.budget)
            results = results + tables.run(chosen, algorithms, slow, arguments, budget)
    # Pages differ in the rivals or the problems, so the title names them.
    title = ", ".join(arguments.problems or ["Classic combinatorial problems"])
    others = any("(" in name for name in arguments.algorithms or ())
    title += ", against other libraries" if others else ""
    harness.finish(report(results, arguments.seeds, title), arguments.out)


def families() -> list[tuple[int, bool, dict[str, Any]]]:
    """Return (budget, constrained or not, problems by name) of each family."""
    data = harness.data_folder()
    qap = {path.stem: path for path in sorted((data / "mqap").glob("*.dat"))}
    knapsack = {path.stem: path for path in sorted((data / "knapsack").glob("random-?D-?00*.in"))}
    kc10 = {name: path for name, path in qap.items() if name.startswith("KC10")}
    mnk = {
        f"mnk-{n}-{k}-{m} rho {rho:g}": partial(
            MNKLandscape.random, n=n, k=k, n_obj=m, rho=rho, seed=1
        )
        for n, k, m, rho in ((18, 4, 2, 0.0), (18, 4, 3, -0.4), (100, 4, 2, 0.0), (100, 8, 3, 0.2))
    }
    small = {name: make for name, make in mnk.items() if name.startswith("mnk-18")}
    return [
        (
            SMALL,
            False,
            {n: partial(MultiObjectiveQAP.from_file, p) for n, p in kc10.items()} | small,
        ),
        (
            LARGE,
            False,
            {n: partial(MultiObjectiveQAP.from_file, p) for n, p in qap.items() if n not in kc10}
            | {name: make for name, make in mnk.items() if name not in small},
        ),
        (
            LARGE,
            True,
            {n: partial(MultiObjectiveKnapsack.from_file, p) for n, p in knapsack.items()},
        ),
    ]


def report(results: ExperimentResults, seeds: int, title: str) -> list[str]:
    """Return the parts of the report."""
    makers = {name: make for _, _, problems in families() for name, make in problems.items()}
    fronts = {name: makers[name]().pareto_front() for name in results.problems}
    known = [n for n in results.problems if fronts[n] is not None and len(fronts[n]) > 1]
    single = [n for n in results.problems if fronts[n] is not None and len(fronts[n]) == 1]
    unknown = [n for n in results.problems if fronts[n] is None]
    parts = [
        harness.header(
            title,
            "tests.benchmarks.search",
            f"Hypervolume of all evaluated designs: median (quartiles) over {seeds} seeds. The "
            "best is bold, and `@n` marks a smaller budget. Every algorithm starts from the "
            f"problem's own sampling. {tables.tests_note(seeds)}",
        )
    ]
    parts.append(tables.sources(results))
    if known:
        points = {name: reference(name, fronts[name]) for name in known}
        scale = {name: moocore.hypervolume(fronts[name], ref=points[name]) / 100 for name in known}
        exact = tables.Report(results.select(problem=known), points, scale, digits=2)
        parts += [
            "## Percent of the exact front's hypervolume\n\nThe reference point is the "
            "nadir of the exact front, plus a tenth of its range for QAP and MNK.\n",
            *exact.standing(known), coverage(results, known, fronts),
        ]  # fmt: skip
    if single:
        parts += ["## Success rate on exact fronts of one point\n",
                  coverage(results, single, fronts)]  # fmt: skip
    if unknown:
        pooled = {n: results.ref_point(n, "pooled") for n in unknown}
        scale = {
            n: moocore.hypervolume(results.pooled_front(n), ref=pooled[n]) / 100 for n in unknown
        }
        best = tables.Report(results.select(problem=unknown), pooled, scale, digits=2)
        parts += [
            "## Exact front unknown: percent of the pooled front's hypervolume\n\nThe pooled front "
            "holds the non-dominated points of all runs. The reference point is its nadir plus a "
            "tenth of its range.\n",
            *best.standing(unknown),
        ]  # fmt: skip
    if known + unknown:
        own: dict[str, Any] = {n: reference(n, fronts[n]) for n in known}
        everything = tables.Report(results, own | dict.fromkeys(unknown, "pooled"))
        parts += ["## All problems\n", everything.overall(known + unknown)]
    return parts


def reference(name: str, front: Any) -> Any:
    """Return the reference point for an exact front [k, M]."""
    nadir = front.max(axis=0)
    margin = 0.0 if name.startswith("random-") else 0.1
    return nadir + margin * (nadir - front.min(axis=0))


def coverage(results: ExperimentResults, problems: list[str], fronts: Mapping[str, Any]) -> str:
    """Return the mean share of the exact front's points that were evaluated."""
    rows = [["points of the exact front found, %", *problems]]
    for algorithm in results.algorithms:
        row = [algorithm]
        for problem in problems:
            shares = []
            for run in results.select(problem=problem, algorithm=algorithm).runs:
                # An exact point is never dominated, so if it was evaluated, it is on the front.
                gap = np.abs(fronts[problem][:, None] - run.front_F[None])
                close = gap <= 1e-9 * np.abs(fronts[problem][:, None]) + 1e-12
                shares.append(close.all(axis=2).any(axis=1).mean())
            row.append(f"{100 * np.mean(shares):.1f}" if shares else "")
        rows.append(row)
    return harness.markdown(rows)


# ------------------------------------------------------------------------- the network-on-chip

APPLICATIONS = ("bfs", "bp", "gau", "hotspot", "pf")
PROGRESS = (500, 1000, 2000, 3000, 5000, 10_000, 20_000)


def noc(words: Sequence[str]) -> None:
    """Make the runs and the tables of five applications, three to five objectives."""
    parser = tables.parser(__doc__, budget=20_000, store="noc")
    parser.add_argument("--objectives", type=int, nargs="+", default=[3, 4, 5], choices=[3, 4, 5])
    parser.add_argument("--model", default="published", choices=["published", "released"])
    parser.add_argument("--pop", type=int, default=50, help="population of pymoo's algorithms")
    arguments = tables.parsed(parser, words, ["bfs-5"])
    arguments.store = f"{arguments.store}-{arguments.model}"
    data = harness.data_folder() / "noc"
    problems = {
        f"{app}-{m}": partial(
            NoC3D.from_traffic, data / f"{app}_traffic.csv", objectives=m, model=arguments.model
        )
        for m in arguments.objectives
        for app in APPLICATIONS
    }
    algorithms = {
        tables.OURS: MOELA,
        **rivals.pymoo_rivals(arguments.pop),
        "NSGA-II, 100": partial(rivals.nsga2, pop=100),
        **rivals.our_rivals(),
    }
    results = tables.run(problems, algorithms, rivals.slow_rivals(arguments.pop), arguments)
    released = arguments.model == "released"
    # Percent of the box between zero and the mesh, which no front fills.
    boxes = {run.problem: run.ref_point for run in results.runs if run.ref_point is not None}
    scale = {} if released else {name: np.prod(box) / 100 for name, box in boxes.items()}
    report = tables.Report(results, scale=scale, digits=3)
    # That page has the same problems, so its title names the rival.
    against = ", against the released MOELA" if arguments.algorithms == ["MOELA published"] else ""
    unit = "raw units" if released else "percent of the box between zero and the mesh"
    header = harness.header(
        f"3D network-on-chip, {arguments.model} formulas{against}",
        "tests.benchmarks.search",
        "Hypervolume of all evaluated designs, with the mesh as reference point, in "
        f"{unit}: median (quartiles) over {arguments.seeds} seeds after {arguments.budget:,} "
        "evaluations. Larger is better, the best is bold, and `@n` marks a smaller budget. "
        "Every algorithm uses the problem's own sampling, crossover and mutation. "
        f"{tables.tests_note(arguments.seeds)}",
    )
    parts = [header, tables.sources(results)]
    at = [n for n in PROGRESS if n <= arguments.budget]
    for m in arguments.objectives:
        block = [name for name in results.problems if name.endswith(f"-{m}")]
        if block:
            parts += [f"## {m} objectives\n", *report.standing(block, at)]
    parts += ["## All problems\n", report.overall(results.problems)]
    harness.finish(parts, arguments.out)
