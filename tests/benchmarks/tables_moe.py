"""MOELA and its rivals on the deployment of Mixture-of-Experts models, and measures of the plans.

    MOELA_DATA=... python -m tests.benchmarks.tables_moe --out docs/benchmarks/moe_problems.md

Needs MOELA_DATA and torch. ``--parts`` replaces some sections of the page and keeps the others. An
interrupted comparison of algorithms resumes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import moocore
import numpy as np
from pymoo.core.problem import Problem
from pymoo.optimize import minimize

from moe_costmodel.example.measured import example_shape
from moela import MOELA
from problems import ExpertBuffering, ExpertPlacement, GatingThresholds, MoEDeployment
from tests.benchmarks import harness, moe_bars, rivals, tables

MODULE = "tests.benchmarks.tables_moe"
TITLES = {
    "algorithms": "MOELA against pymoo's algorithms",
    "joint": "Joint search against one problem after another",
    "placement": "Placement on unseen traffic",
    "workloads": "Placement on unseen workloads",
    "buffering": "Buffers at equal memory",
    "thresholds": "Thresholds against the best k of each layer",
    "speed": "Evaluations per second",
}
HEAD = """# Deployment of Mixture-of-Experts models

Traces: DeepSeek-V2-Lite (26 layers of 64 experts, top-6), loads of DeepSeek-V3 (58 layers of 256),
and the packaged example model (6 layers of 32, top-4). Each section names its command and date.
"""


def main() -> None:
    """Make the runs and the tables."""
    parser = tables.parser(__doc__, budget=3000, store="moe")
    parser.set_defaults(seeds=5)
    parser.add_argument("--pop", type=int, default=50, help="population of pymoo's algorithms")
    parser.add_argument("--parts", nargs="+", default=list(TITLES), choices=list(TITLES))
    arguments = parser.parse_args()
    data = harness.data_folder()
    half = arguments.budget // 2
    makers: dict[str, Callable[[], str]] = {
        "algorithms": partial(algorithms, data, arguments),
        "joint": lambda: (
            "The example model, in percent of the hypervolume of all runs pooled: median (minimum "
            "to maximum) over seeds. One after another: thresholds, placement and buffers are "
            "searched alone with a quarter of the evaluations each. The last quarter evaluates "
            "combinations of their results at all batch sizes.\n\n" + joint(arguments)
        ),
        "placement": lambda: (
            "DeepSeek-V2-Lite, 4 sequences per step. Placements are fitted on the first half of "
            "the sequences. The table shows Avg Max Load on the second half, mean over the layers, "
            "relative to anti-correlation, and process seconds. The last column is a rough bound: "
            "the same swaps, fitted to the half that is scored.\n\n"
            + moe_bars.placement(data, 1, arguments.budget)
        ),
        "workloads": lambda: (
            "DeepSeek-V3 loads, 32 devices, every third layer. Balancedness is the mean divided by "
            "the largest device load. One workload shows no variation of loads, so nothing is "
            "gained from it; two workloads suffice.\n\n"
            + moe_bars.workloads(data, slice(3, None, 3))
        ),
        "buffering": lambda: (
            "DeepSeek-V2-Lite, 4 devices. Time that a step waits for copies, relative to the "
            "paper's policy with equal buffers. Ours: inactive-first LFU with marginal slots, "
            "improved by exchanges, fitted on the first half of the sequences and scored on the "
            "second. In brackets: the same policy with equal buffers, and Belady's clairvoyant "
            "policy with equal buffers, which no policy with equal buffers can beat.\n\n"
            + moe_bars.buffering(data)
        ),
        "thresholds": lambda: (
            "Example model, loss measured on 2 excerpts. All 4,096 choices of k are compared with "
            f"{half:,} evaluations of MOELA, at equal or less compute.\n\n"
            + moe_bars.thresholds(1, half, 2)
        ),
        "speed": lambda: (
            "Joint deployment, 26 layers of 64 experts, 8,222 tokens, 4 devices, half of the "
            "experts resident. One core, process time. The objectives are bit-identical to those "
            "of a model with an empty cache.\n\n" + moe_bars.speed(data)
        ),
    }  # fmt: skip
    page = HEAD
    for part in arguments.parts:
        text = makers[part]() + "\n" + harness.made_with(MODULE)
        # Read after the part is made, because another process may have written other parts.
        if arguments.out and Path(arguments.out).is_file():
            page = Path(arguments.out).read_text(encoding="utf-8")
        page = harness.with_sections(page, {TITLES[part]: text}, list(TITLES.values()))
        harness.finish([page], arguments.out)


def algorithms(data: Any, arguments: Any) -> str:
    """Return the tables of hypervolumes."""
    trace = partial(moe_bars.routing, data)
    problems = {
        "gating": partial(GatingThresholds.example, rule="any"),
        "buffering": partial(_buffering, trace),
        "placement": partial(_placement, trace),
        "deployment": partial(MoEDeployment.example, memory_budget=float("inf")),
        "deployment, slow link": slow_link,
    }
    kinds = {
        tables.OURS: MOELA,
        "NSGA-II": partial(rivals.nsga2, pop=arguments.pop),
        "NSGA-II, 100": partial(rivals.nsga2, pop=100),
        "NSGA-III": partial(rivals.nsga3, pop=arguments.pop),
        "MOEA/D": partial(rivals.moead, pop=arguments.pop),
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
        "Hypervolume of all evaluated designs, with the problem's reference point, in percent of "
        f"that of all runs pooled: median (quartiles) over {arguments.seeds} seeds after "
        f"{arguments.budget:,} evaluations. The best is bold. All algorithms start from the "
        "problem's own sampling. \"Slow link\": experts are copied at 0.1 GB/s, so that buffers "
        f"matter. {tables.tests_note(arguments.seeds)}\n",
        tables.sources(results), report.cells(names), report.against(names),
        "MOELA's evaluations to the best rival's final hypervolume:\n", report.race(names),
        report.overall(names),
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _buffering(trace: Any) -> ExpertBuffering:
    return ExpertBuffering(
        trace("intent"), expert_bytes=1.0, miss_seconds=1.0, n_devices=4, batch_size=4
    )


def _placement(trace: Any) -> ExpertPlacement:
    return ExpertPlacement(trace("intent").head(), n_devices=8)


def slow_link(**settings: Any) -> MoEDeployment:
    """Return the example's deployment with experts behind a link of 0.1 GB/s."""
    from dataclasses import replace

    from moe_costmodel import LatencyModel, Link, Measurements, RoutingTrace
    from moe_costmodel.example.measured import (
        example_hardware,
        example_measurements,
        example_memory,
        example_rest,
    )

    measured = example_measurements()
    hardware = example_hardware()
    hardware = replace(hardware, links=hardware.links | {"slow_to_fast": Link(1e8, 1e-5)})
    # Without measurements of buffered layers, the cost of copies follows from the link alone.
    rest = [record for record in measured.records if record.kind != "buffered"]
    plain = Measurements(hardware, rest, measured.clock, measured.date, measured.notes)
    latency = LatencyModel.fit(plain, method="linear", hardware=hardware)
    defaults: dict[str, Any] = {
        "rest": example_rest(), "memory": example_memory(),
        "memory_budget": float("inf"), "n_devices": 4,
    }  # fmt: skip
    return MoEDeployment(RoutingTrace.example(), hardware, latency, **(defaults | settings))


def joint(arguments: Any) -> str:
    """Return the hypervolumes of the joint search and of searching one problem after another."""
    rows = [["problem", "one after another", "joint search", "ratio", "seeds above"]]
    for name, make in (
        ("deployment", partial(MoEDeployment.example, memory_budget=float("inf"))),
        ("deployment, slow link", slow_link),
    ):
        problem = make()
        fronts: list[list[Any]] = []
        for seed in range(1, arguments.seeds + 1):
            parts = one_after_another(problem, arguments.budget, seed)
            whole = minimize(problem, MOELA(), ("n_eval", arguments.budget), seed=seed).F
            fronts.append([parts, whole])
        pooled = np.concatenate([F for group in fronts for F in group])
        percent = moocore.hypervolume(pooled, ref=problem.ref_point) / 100
        scores = np.array(
            [[moocore.hypervolume(F, ref=problem.ref_point) / percent for F in group]
             for group in fronts]
        )  # fmt: skip
        cells = [f"{np.median(v):.2f} ({v.min():.2f}–{v.max():.2f})" for v in scores.T]
        ratio = np.median(scores[:, 1]) / np.median(scores[:, 0])
        above = (scores[:, 1] > scores[:, 0]).sum()
        rows.append([name, *cells, f"{ratio:.4f}", f"{above} of {len(scores)}"])
    return harness.markdown(rows)


def one_after_another(problem: MoEDeployment, budget: int, seed: int) -> Any:
    """Return the front of combinations of the results of the single problems, [n, n_obj].

    Each single problem is searched with a quarter of the budget: thresholds, placement, buffers,
    the three parts that arXiv 2303.06182 optimizes one by one. Then combinations are evaluated.
    """
    quarter, layout = budget // 4, problem.layout
    trace = problem.windows
    middle = problem.batch_sizes[len(problem.batch_sizes) // 2]

    def solved(single: Problem) -> Any:
        return minimize(single, MOELA(), ("n_eval", quarter), seed=seed)

    gating = solved(GatingThresholds(trace, rule="top-p"))
    placed = ExpertPlacement(trace, n_devices=layout.n_devices, batch_size=middle)
    res = solved(placed)
    slots = placed.canonical(res.X[res.F[:, 0].argmin()]).astype(int)
    buffers = ExpertBuffering(
        trace, expert_bytes=example_shape().expert_bytes, miss_seconds=1e-4,
        placement=placed.decode(slots), batch_size=middle,
    )  # fmt: skip
    kept = solved(buffers)
    n_batches = len(problem.batch_sizes)
    side = max(2, int(np.sqrt(quarter / n_batches)))
    rungs = _along(gating.X[gating.F[:, 0].argsort()], side)
    sizes = _along(kept.X[kept.F[:, 0].argsort()], side - 1)
    rows = []
    for batch in range(n_batches):
        for rung in rungs:
            for size in [None, *sizes]:
                row = problem.layout.base_row(slots)
                row[layout.batch_size], row[layout.gates] = batch, rung
                if size is not None:
                    row[layout.capacities] = size[:-1]
                    row[layout.policy] = problem.policies.index(buffers.policies[int(size[-1])])
                rows.append(row)
    X = np.array(rows[: budget - 3 * quarter])
    F = problem.evaluate(X, return_values_of=["F"])
    return F[moocore.is_nondominated(F)]


def _along(X: Any, n: int) -> Any:
    """Return up to n rows at even distances."""
    return X[np.linspace(0, len(X) - 1, min(n, len(X))).round().astype(int)].astype(int)


if __name__ == "__main__":
    main()
