"""MOELA and its rivals on the deployment of Mixture-of-Experts models, and measures of the plans.

    MOELA_DATA=... python -m tests.benchmarks.tables_moe --out docs/benchmarks/moe_problems.md

Needs MOELA_DATA. ``--parts`` replaces some sections of the page and keeps the others. An
interrupted comparison of algorithms resumes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Any

import moocore
import numpy as np

from moe_costmodel import (
    LatencyModel,
    Link,
    Measurements,
    RoutingTrace,
    balancedness,
    replicate_and_pack,
)
from moe_costmodel.example import measured
from moela import MOELA
from problems import ExpertBuffering, ExpertPlacement, GatingThresholds, MoEDeployment
from tests.benchmarks import harness, rivals, tables
from tests.benchmarks.moe_parts import routing

MODULE = "tests.benchmarks.tables_moe"
HEAD = """# Deployment of Mixture-of-Experts models

Traces: DeepSeek-V2-Lite (26 layers of 64 experts, top-6), loads of DeepSeek-V3 (58 layers of 256),
and the packaged example model (6 layers of 32, top-4). Each section names its command and date.
"""
ALGORITHMS = (
    "Hypervolume of all evaluated designs, with the problem's reference point, in percent of that "
    "of all runs pooled: median (quartiles) over the seeds. The best is bold. All algorithms start "
    'from the problem\'s own sampling. "Slow link": experts are copied at 0.1 GB/s, so that '
    "buffers matter."
)
WORKLOADS = (
    "DeepSeek-V3 loads, 32 devices, every third layer. Balancedness is the mean divided by the "
    "largest device load. One workload shows no variation of loads, so nothing is gained from it; "
    "two workloads suffice."
)


def algorithms(arguments: Any) -> str:
    """Return the tables of hypervolumes."""
    problems = {
        "gating": partial(GatingThresholds.example, rule="any"),
        "buffering": _buffering,
        "placement": lambda: ExpertPlacement(routing("intent").head(), n_devices=8),
        "deployment": partial(MoEDeployment.example, memory_budget=float("inf")),
        "deployment, slow link": slow_link,
    }
    kinds = {
        tables.OURS: MOELA,
        "NSGA-II": partial(rivals.nsga2, pop=50),
        "NSGA-II, 100": partial(rivals.nsga2, pop=100),
        "NSGA-III": partial(rivals.nsga3, pop=50),
        "MOEA/D": partial(rivals.moead, pop=50),
    }
    results = tables.run(problems, kinds, {}, arguments)
    names = list(results.problems)
    points = {run.problem: run.ref_point for run in results.runs if run.ref_point is not None}
    scale = {
        name: moocore.hypervolume(results.pooled_front(name), ref=points[name]) / 100
        for name in names
    }
    report = tables.Report(results, scale=scale, digits=2)
    parts = [
        f"{arguments.seeds} seeds, {arguments.budget:,} evaluations. "
        f"{tables.tests_note(arguments.seeds)}\n",
        tables.sources(results), report.cells(names), report.against(names),
        "MOELA's evaluations to the best rival's final hypervolume:\n", report.race(names),
        report.overall(names),
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _buffering() -> ExpertBuffering:
    return ExpertBuffering(
        routing("intent"), expert_bytes=1.0, miss_seconds=1.0, n_devices=4, batch_size=4
    )


def slow_link() -> MoEDeployment:
    """Return the example's deployment with experts behind a link of 0.1 GB/s."""
    found, hardware = measured.example_measurements(), measured.example_hardware()
    hardware = replace(hardware, links=hardware.links | {"slow_to_fast": Link(1e8, 1e-5)})
    # Without measurements of buffered layers, the cost of copies follows from the link alone.
    rest = [record for record in found.records if record.kind != "buffered"]
    plain = Measurements(hardware, rest, found.clock, found.date, found.notes)
    latency = LatencyModel.fit(plain, method="linear", hardware=hardware)
    return MoEDeployment(
        RoutingTrace.example(), hardware, latency, rest=measured.example_rest(),
        memory=measured.example_memory(), memory_budget=float("inf"), n_devices=4,
    )  # fmt: skip


def workloads(_: Any) -> str:
    """Return balancedness on DeepSeek-V3 workloads that a placement was not fitted to."""
    paths = sorted((harness.data_folder() / "loads/deepseek-v3").glob("*.json"))
    loads = [RoutingTrace.load(path).loads()[:, 3::3] for path in paths]
    traces = [RoutingTrace.from_counts(part) for part in loads]
    rows = [["fitted on, scored on the others", "replicas", "replicate-and-pack", "spread pairs",
             "gain", "least gain"]]  # fmt: skip
    for n_fitted, replicas in product((5, 4, 3, 2, 1), (0, 32)):
        sets = list(combinations(range(len(paths)), n_fitted))
        picked = sets if len(sets) <= 6 else [sets[i] for i in range(0, len(sets), len(sets) // 6)]
        both = []
        for chosen in picked:
            problem = ExpertPlacement([traces[i] for i in chosen], n_devices=32, replicas=replicas)
            spread = [p for n, p in problem.named_starts.items() if n.startswith("spread")][-1]
            packed = replicate_and_pack(
                np.concatenate([loads[i] for i in chosen]), 32, n_replicas=replicas
            )
            other = np.concatenate([loads[i] for i in range(len(paths)) if i not in chosen])
            both.append([balancedness(p, other).mean() for p in (packed, spread)])
        scores = np.array(both)
        gain = scores[:, 1] - scores[:, 0]
        rows.append(
            [f"{n_fitted} of {len(paths)}, {len(picked)} choices", str(replicas),
             *(f"{v:.3f}" for v in scores.mean(axis=0)), f"{gain.mean():+.3f}",
             f"{gain.min():+.3f}"]
        )  # fmt: skip
    return harness.markdown(rows)


PARTS = {
    "algorithms": ("MOELA against pymoo's algorithms", ALGORITHMS, algorithms),
    "workloads": ("Placement on unseen workloads", WORKLOADS, workloads),
}


def main() -> None:
    """Make the runs and the tables."""
    parser = tables.parser(__doc__, budget=2000, store="moe")
    parser.set_defaults(seeds=5)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    arguments = parser.parse_args()
    page = HEAD
    for part in arguments.parts:
        title, about, make = PARTS[part]
        text = f"{about}\n\n{make(arguments)}\n{harness.made_with(MODULE)}"
        # Read after the part is made, because another process may have written other parts.
        if arguments.out and Path(arguments.out).is_file():
            page = Path(arguments.out).read_text(encoding="utf-8")
        titles = [title for title, _, _ in PARTS.values()]
        page = harness.with_sections(page, {title: text}, titles)
        harness.finish([page], arguments.out)


if __name__ == "__main__":
    main()
