"""`moela run moe`: a Pareto front of deployments of a Mixture-of-Experts model, and its exports.

With ``--model`` it plans the serving of a whole model on GPUs (`moela.commands.run.serving`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela._arrays import Floats
from moela.commands.measure import parse_shape
from moela.commands.parser import add_examples, not_negative, positive
from moela.commands.run import serving, serving_inputs
from moela.commands.run.moe_inputs import Inputs, read
from moela.commands.run.results import ResultFolder
from moela.commands.run.search import (
    ALGORITHMS,
    add_options,
    check_options,
    make_algorithm,
    make_folder,
    search,
)
from moela.quality.front import largest_box
from moela.quality.table import Row, Table

if TYPE_CHECKING:
    from moe_costmodel import Plan, RoutingTrace
    from moe_costmodel.plans.engines.export import Export
    from problems import MoEDeployment

_LONGEST_TABLE = 12


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Plan the deployment of an MoE model. With --model, a whole model is served on GPUs from\n"
        "measured kernels; without it, MoE layers run on the hardware whose kernels were measured."
    )
    serving_inputs.add_options(parser, required=False)
    # fmt: off
    add = parser.add_argument_group("GPUs, with --model").add_argument
    add("--gpu", metavar="NAME", help="kind of GPU, such as h200_sxm")
    add("--gpus", type=positive, metavar="N", help="number of GPUs (default: those of a machine)")
    add("--prices", metavar="FILE", help="price list of GPUs, JSON or CSV, for the cost")
    add = parser.add_argument_group("inputs without --model").add_argument
    add("--trace", nargs="+", metavar="NPZ",
        help="recorded routing or loads, one file per window (default: the packaged example)")
    add("--context", type=float, metavar="N",
        help="tokens that each token attends to (default: as recorded; needed for loads)")
    add("--hardware", metavar="JSON", help="the machine (default: this one)")
    add("--kernels", metavar="FILE",
        help="kernel times: file of `moela measure`, or a parquet of aiconfigurator "
             "(default: measured now)")
    add("--fit", default="auto", metavar="NAME",
        help="latency model: auto, linear, smooth, trees, blend")
    add("--shape", type=parse_shape, metavar="E,K,D,F[,gated]", help="the model's MoE layer: "
        "number of experts, experts per token, model width, expert width")
    add("--dtype", default="float32", metavar="TYPE", help="type of the weights, for --shape")
    add("--devices", type=positive, metavar="N",
        help="number of devices (default: the hardware's; without a file, 4)")
    add("--nodes", type=positive, metavar="N",
        help="number of nodes of the devices (default: the hardware's, or 1)")
    add("--holdout", type=float, default=0.25, metavar="SHARE",
        help="share of the last trace to check plans with")
    add("--measure-s", type=float, default=12.0, metavar="S", help="seconds for measuring kernels")
    add("--threads", type=positive, default=1, metavar="N", help="threads of the kernels (CPU)")
    add("--clock", choices=("wall", "cpu"),
        help="elapsed time, or that of the process (default: cpu for one thread, else wall)")
    add = parser.add_argument_group("objectives and limits").add_argument
    add("--mode", choices=("decode", "prefill", "mixed", "disaggregated"), metavar="MODE",
        help="decode or prefill; with --model also mixed or disaggregated (default: decode, with "
        "--model mixed)")
    add("--slo-ms", type=float, metavar="MS",
        help="upper limit on the 99th-percentile step time (ms)")
    add("--memory-gib", type=float, metavar="GIB",
        help="memory of a device in GiB (default: the hardware's)")
    add("--max-quality-loss", type=float, metavar="LOSS", help="upper limit on the quality loss")
    add("--objectives", nargs="+", metavar="NAME",
        help="objectives to minimize (default: time per token and step, memory, loss; with --model "
        "tokens_per_s_per_user and tokens_per_s_per_gpu)")
    add("--aggregate", choices=("mean", "worst"), default="mean", help="mean or worst of windows")
    add("--batch-sizes", type=int, nargs="+", metavar="N",
        help="batch sizes to choose from (default: powers of two)")
    add("--replicas", type=not_negative, default=0, metavar="N",
        help="redundant experts of a layer: slots beyond one per expert")
    add("--rule", default="top-p", metavar="NAME", help="gate rule: top-p, skip, top-k or any")
    # fmt: on
    algorithms = [name for name in ALGORITHMS if name != "moead"]
    add_options(parser, algorithms, evals=3000, out="plan")
    add_examples(
        parser,
        "moela run moe --model config.json --gpu h200_sxm --gpus 16 --slo-ttft 2000 --slo-tpot 50",
        "moela run moe --devices 2 --slo-ms 40 --out plan/",
        "moela run moe --trace t.npz --hardware h.json --shape 64,6,2048,1408,gated --store moe.db",
        "moela moe verify plan/plan.json",
    )


def run(arguments: argparse.Namespace) -> int:
    """Optimize, and write the front, its best plan with explanations and exports, and pictures."""
    if arguments.model is not None:
        return serving.run(arguments)
    serving_inputs.check_forms(arguments)
    arguments.mode = arguments.mode or "decode"
    check_options(arguments)
    out = make_folder(arguments)
    (out / "plans").mkdir(exist_ok=True)
    inputs = read(arguments)
    if inputs.kernels is not None:
        inputs.kernels.save(out / "kernels.json")
    problem = inputs.problem
    found = search(problem, arguments, make_algorithm(arguments.algorithm, problem))
    folder = ResultFolder(out, found, arguments, problem.ref_point)
    if inputs.kernels is not None:
        folder.files.append("kernels.json")
    if not folder.result.feasible:
        return folder.end_without_design(
            f"No deployment met all limits ({', '.join(problem.constraint_names)}) in "
            f"{folder.result.n_eval} evaluations.",
            "Relax one, or give more --evals.",
        )
    with folder.rescuing():
        return write(folder, inputs)


def write(folder: ResultFolder, inputs: Inputs) -> int:
    """Write the result of a run into a folder and print a table of it."""
    from moe_costmodel.plans.ungated import plan_notes
    from problems.moe.deployment.pictures import plot_deployments

    problem, limits = inputs.problem, inputs.problem.limits
    F, X, out = folder.F, folder.X, folder.out
    best = best_row(F, np.array([limits.get(name, np.nan) for name in folder.names]))
    plan = problem.decode(X[best])
    folder.write_front(_columns(problem, folder))
    shown = np.linspace(0, len(F) - 1, min(len(F), _LONGEST_TABLE)).astype(int)
    rows = sorted({best, *shown.tolist()})
    for i in rows:
        problem.decode(X[i]).save(out / "plans" / f"{i:04d}.json")
    folder.files.append("plans/")
    plan.save(folder.path("plan.json"))
    folder.path("plan.txt").write_text(plan.explain() + "\n", encoding="utf-8")
    ungated = plan_notes(plan, problem.model.evaluate, limits)
    exported = _export(problem, plan, out, ungated)
    checked, verdict = _checked(problem, plan, inputs.unseen)
    folder.path("check.txt").write_text(checked + "\n", encoding="utf-8")
    if problem.n_obj > 1:
        plot_deployments(problem, X, F, best, folder.path("front.png"))
    today = problem.today()
    folder.write_record(
        "moela run moe",
        "MoEDeployment",
        problem.version,
        shape=problem.model.shape.to_dict(),
        quality_loss=problem.quality_kind,
        limits=limits,
        today=None if today is None else dict(zip(folder.names, today.tolist(), strict=True)),
        best=folder.row(best),
        exports=exported,
        notes=inputs.notes,
        extrapolated=list(plan.outside),
        plan_provenance=plan.provenance,
    )
    lines: list[object] = [_table(problem, folder, rows, best), "(* dominates the largest box)"]
    reasons = dict.fromkeys(reason for i in rows for reason in problem.outside(X[i]))
    if reasons:
        lines.append("(! times are extrapolated, and their intervals wider)")
    lines += [f"! {reason}" for reason in reasons]
    lines += [f"note: {note}" for note in inputs.notes]
    lines.append(verdict)
    lines.append(f"{len(F)} deployments in {out}/: {', '.join(folder.files)}")
    lines.append(f"plan.json is row {best}")
    lines += [f"  {engine}: {outcome}" for engine, outcome in exported.items()]
    lines += [f"note: {note}" for note in ungated]
    return folder.finish([*lines, plan.summary()])


def best_row(F: Floats, limits: Floats | None = None) -> int:
    """Return the row of F [n, M] that dominates the largest box, wide objectives as logarithms.

    Throughput and memory span orders of magnitude over a front, so their ratios are compared. The
    box ends at the limits [M] if an objective has one (else NaN), or at the worst of the front:
    using less of a budget that is met with room to spare is worth little.
    """
    corner = F.max(axis=0)
    if limits is not None:
        corner = np.fmax(corner, limits)
    ratios = (F > 0).all(axis=0) & (corner > 10 * F.min(axis=0))
    logs = [np.log(np.where(ratios, values, 1.0)) for values in (F, corner)]
    points, ref_point = (
        np.where(ratios, log, values) for log, values in zip(logs, (F, corner), strict=True)
    )
    return largest_box(points, ref_point)


def _columns(problem: MoEDeployment, front: ResultFolder) -> dict[str, list[object]]:
    """Return the decisions and the intervals of the objectives of every row."""
    rows = []
    for x, interval in zip(front.X, problem.intervals(front.X), strict=True):
        batch_size, policy, experts = problem.decided(x)
        slots = x[problem.layout.capacities].mean()
        ends = interval.ravel().tolist()
        outside = "; ".join(problem.outside(x))
        rows.append([batch_size, policy, f"{experts:.4g}", f"{slots:.4g}", outside, *ends])
    ends = [f"{name}_{end}" for name in front.names for end in ("low", "high")]
    names = ["batch", "policy", "mean_experts", "mean_slots", "extrapolated", *ends]
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _export(problem: MoEDeployment, plan: Plan, out: Path, ungated: list[str]) -> dict[str, str]:
    """Write the engines' files; return the flags of each engine, or why it has none.

    `ungated` are notes on what the engines run at without the plan's thresholds.
    """
    makers: dict[str, Callable[[], Export]] = {
        "sglang": lambda: plan.to_sglang(out / "sglang.json"),
        "vllm": lambda: plan.to_vllm(out / "vllm.json"),
        "tensorrt-llm": lambda: plan.to_tensorrt_llm(out / "tensorrt_llm.yaml"),
        "ktransformers": lambda: plan.to_ktransformers(evaluate=problem.model.evaluate),
        "llama.cpp": lambda: plan.to_llamacpp(evaluate=problem.model.evaluate),
    }
    outcomes: dict[str, str] = {}
    pages = ["\n".join(ungated)] if ungated else []
    for engine, make in makers.items():
        try:
            export = make()
        except ValueError as error:
            outcomes[engine] = f"not exported: {error}"
        else:
            outcomes[engine] = " ".join(export.flags)
            pages.append(str(export))
    (out / "flags.txt").write_text("\n\n".join(pages) + "\n", encoding="utf-8")
    return outcomes


def _checked(problem: MoEDeployment, plan: Plan, unseen: RoutingTrace | None) -> tuple[str, str]:
    """Return the check of the plan on held-out traffic, and a line about it."""
    if unseen is None:
        line = "not checked on traffic held out: no traffic was held out"
        return line, line
    try:
        found = problem.check_plan(plan, unseen)
    except ValueError as error:
        line = f"not checked on the traffic held out: {error}"
        return line, line
    verdict = "times hold" if found.holds else "some times are outside their intervals"
    return str(found), f"checked on the traffic held out: {verdict} (check.txt)"


def _table(problem: MoEDeployment, front: ResultFolder, rows: list[int], best: int) -> Table:
    """Return some rows of the front; a star marks the best one, "!" extrapolated times."""
    table = []
    for i in rows:
        batch_size, policy, experts = problem.decided(front.X[i])
        mark = " !" if problem.outside(front.X[i]) else "  "
        row: Row = {"row": f"{i} *{mark}" if i == best else f"{i}  {mark}"}
        row |= dict(zip(front.names, front.F[i].tolist(), strict=True))
        table.append(row | {"batch": batch_size, "experts": experts, "policy": policy})
    return Table(table, dict.fromkeys(front.names, ".5g") | {"experts": ".2f"})
