"""MOELA and its rivals on the 3D network-on-chip: five applications, three to five objectives.

    python -m tests.benchmarks.tables_noc --objectives 5 --budget 20000 --seeds 5 \
        --out docs/benchmarks/noc.md

Needs MOELA_DATA. An interrupted run resumes. `--model released --problems bfs-5` makes the table of
the released evaluator in raw units.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from moela import MOELA
from problems import NoC3D
from tests.benchmarks import harness, rivals, tables

APPLICATIONS = ("bfs", "bp", "gau", "hotspot", "pf")


def main() -> None:
    """Make the runs and the tables."""
    parser = tables.parser(__doc__, budget=20_000, store="noc")
    parser.add_argument("--objectives", type=int, nargs="+", default=[3, 4, 5], choices=[3, 4, 5])
    parser.add_argument("--model", default="published", choices=["published", "released"])
    parser.add_argument("--pop", type=int, default=50, help="population of pymoo's algorithms")
    arguments = parser.parse_args()
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
    slow = rivals.slow_rivals(arguments.pop)
    results = tables.run(problems, algorithms, slow, arguments)

    released = arguments.model == "released"
    # Percent of the box between zero and the mesh, which no front fills.
    boxes = {run.problem: run.ref_point for run in results.runs if run.ref_point is not None}
    scale = {} if released else {name: np.prod(box) / 100 for name, box in boxes.items()}
    report = tables.Report(results, scale=scale, digits=3)
    # That page has the same problems, so its title names the rival.
    against = ", against the released MOELA" if arguments.algorithms == ["MOELA published"] else ""
    unit = "raw units" if released else "percent of the box between zero and the mesh"
    parts = [
        harness.header(
            f"3D network-on-chip, {arguments.model} formulas{against}",
            "tests.benchmarks.tables_noc",
            "Hypervolume of all evaluated designs, with the mesh as reference point, in "
            f"{unit}: median (quartiles) over {arguments.seeds} seeds after {arguments.budget:,} "
            "evaluations. Larger is better, the best is bold, and `@n` marks a smaller budget. "
            "Every algorithm uses the problem's own sampling, crossover and mutation. "
            f"{tables.tests_note(arguments.seeds)}",
        )
    ]
    parts.append(tables.sources(results))
    at = [n for n in (500, 1000, 2000, 3000, 5000, 10_000, 20_000) if n <= arguments.budget]
    for m in arguments.objectives:
        block = [name for name in results.problems if name.endswith(f"-{m}")]
        if block:
            parts += [f"## {m} objectives\n", *report.standing(block, at)]
    parts += ["## All problems\n", report.overall(results.problems)]
    harness.finish(parts, arguments.out)


if __name__ == "__main__":
    main()
