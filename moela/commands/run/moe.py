"""`moela run moe`: a Pareto front of deployments of a Mixture-of-Experts model, and its exports."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.core.result import Result
from pymoo.optimize import minimize

from moela.commands.measure import parse_shape
from moela.commands.run.moe_inputs import Inputs, read
from moela.commands.run.noc import ALGORITHMS, hypervolume, make_algorithm
from moela.evaluation.evaluator import Evaluator
from moela.plots.front import compromise
from moela.provenance.environment import provenance

_LONGEST_TABLE = 12


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    inputs = parser.add_argument_group("what is planned for")
    inputs.add_argument(
        "--trace", nargs="+", metavar="NPZ",
        help="routing; several files are windows or domains (default: the packaged example)",
    )  # fmt: skip
    inputs.add_argument("--hardware", metavar="JSON", help="the machine (default: this one)")
    inputs.add_argument(
        "--kernels", metavar="FILE",
        help="JSON of `moela measure`, or a parquet of aiconfigurator (default: measured now)",
    )  # fmt: skip
    inputs.add_argument(
        "--fit", default="auto", help="how kernels are learned: auto, linear, smooth, trees, blend"
    )
    inputs.add_argument(
        "--shape", type=parse_shape, metavar="E,K,D,F[,gated]", help="the model's MoE layer"
    )
    inputs.add_argument("--dtype", default="float32", help="type of the weights, for --shape")
    inputs.add_argument("--devices", type=int, help="default: the hardware's; without a file, 4")
    inputs.add_argument("--nodes", type=int, help="nodes that the devices are on")
    inputs.add_argument("--mode", choices=("decode", "prefill"), default="decode")
    inputs.add_argument("--holdout", type=float, default=0.25, help="share of the last trace "
                        "that is not planned on, to check plans with")  # fmt: skip
    wishes = parser.add_argument_group("what is wanted")
    wishes.add_argument("--slo-ms", type=float, help="most milliseconds of 99 %% of the steps")
    wishes.add_argument("--memory-gib", type=float, help="of a device (default: the hardware's)")
    wishes.add_argument("--max-quality-loss", type=float, help="share of gate mass lost at most")
    wishes.add_argument("--objectives", nargs="+", metavar="NAME", help="what is minimized")
    wishes.add_argument("--over", choices=("mean", "worst"), default="mean", help="windows")
    wishes.add_argument("--batches", type=int, nargs="+", metavar="N", help="batch sizes")
    wishes.add_argument("--replicas", type=int, default=0, help="slots beyond one an expert")
    wishes.add_argument("--rule", default="top-p", help="top-p, skip, top-k or any")
    parser.add_argument(
        "--algorithm", choices=[name for name in ALGORITHMS if name != "moead"], default="moela",
        help="what optimizes",
    )  # fmt: skip
    parser.add_argument("--evals", type=int, default=3000, help="deployments to evaluate")
    parser.add_argument("--seed", type=int, default=1, help="random seed")
    parser.add_argument("--jobs", type=int, default=1, help="workers; -1 for one a core")
    parser.add_argument("--store", metavar="DB", help="SQLite file to record and resume from")
    parser.add_argument("--measure-s", type=float, default=12.0, help="seconds of measuring")
    parser.add_argument("--threads", type=int, default=1, help="threads of the kernels (CPU)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.add_argument("--out", metavar="DIR", default="plan", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """Optimize, and write the front, the knee's plan, what explains and exports it, and plots."""
    if arguments.evals < 2:
        raise ValueError(f"--evals must be at least 2. Got {arguments.evals} instead.")
    out = Path(arguments.out)
    # Before the run, so that a folder that can't be written costs nothing.
    (out / "plans").mkdir(parents=True, exist_ok=True)
    inputs = read(arguments)
    if inputs.kernels is not None:
        inputs.kernels.save(out / "kernels.json")
    result = minimize(
        inputs.problem,
        make_algorithm(arguments.algorithm, inputs.problem),
        ("n_eval", arguments.evals),
        seed=arguments.seed,
        evaluator=Evaluator(
            n_jobs=arguments.jobs,
            store=arguments.store,
            progress=False if arguments.quiet else None,
        ),
    )
    if result.X is None:
        raise ValueError(
            "No deployment met all limits ("
            + ", ".join(inputs.problem.constraint_names)
            + f") in {arguments.evals} evaluations. Relax one, or give more --evals."
        )
    settings = {k: v for k, v in vars(arguments).items() if k != "shape"}
    settings["shape"] = inputs.problem.model.shape.to_dict()
    write(out, inputs, result, settings)


def write(out: Path, inputs: Inputs, result: Result, settings: dict[str, Any]) -> None:
    """Write the result of a run into a folder and print a table of it."""
    from problems.moe.deployment.pictures import plot_deployments

    problem = inputs.problem
    F, X = np.atleast_2d(result.F), np.atleast_2d(result.X)
    order = np.lexsort(F.T[::-1])
    F, X = F[order], X[order]
    names = list(problem.objective_names)
    limits = problem.limits
    knee = knee_of(F, np.array([limits.get(name, np.nan) for name in names]))
    plan = problem.decode(X[knee])
    _write_front(out / "front.csv", problem, F, X)
    shown = sorted({knee, *np.linspace(0, len(F) - 1, min(len(F), _LONGEST_TABLE)).astype(int)})
    for i in shown:
        problem.decode(X[i]).save(out / "plans" / f"{i:04d}.json")
    plan.save(out / "plan.json")
    (out / "plan.txt").write_text(plan.explain() + "\n")
    exported = _export(plan, problem.model, out)
    checked = _checked(plan, problem.model, inputs.unseen)
    if checked:
        (out / "check.txt").write_text(checked + "\n")
    today = problem.today()
    record = {
        "command": "moela run moe",
        "settings": settings,
        "problem": {"name": "MoEDeployment", "version": problem.version, "objectives": names},
        "quality_loss": problem.quality_kind,
        "limits": limits,
        "reference": dict(zip(names, problem.ref_point.tolist(), strict=True)),
        "today": None if today is None else dict(zip(names, today.tolist(), strict=True)),
        "front_size": len(F),
        "n_eval": int(result.algorithm.evaluator.n_eval),
        "seconds": round(float(result.exec_time), 3),
        "hypervolume": hypervolume(F, problem.ref_point),
        "knee": {"row": knee, "objectives": dict(zip(names, F[knee].tolist(), strict=True))},
        "exports": exported,
        "notes": inputs.notes,
        "plan_provenance": plan.provenance,
        **provenance(),
    }
    (out / "run.json").write_text(json.dumps(record, indent=2, default=str) + "\n")
    if len(names) > 1:
        plot_deployments(problem, X, F, knee, out / "front.png")
    _print_table(problem, F, X, shown, knee)
    for note in inputs.notes:
        print(f"note: {note}")
    picture = "front.png, " * (len(names) > 1)
    print(f"{len(F)} deployments in {out}/: front.csv, {picture}run.json, plans/")
    print(f"knee (row {knee}) in {out}/: plan.json, plan.txt" + (", check.txt" * bool(checked)))
    for engine, said in exported.items():
        print(f"  {engine}: {said}")
    print(plan.summary())


def knee_of(F: Any, limits: Any = None) -> int:
    """Return the row of F [n, M] that is best in all objectives at once.

    Throughput and memory span orders of magnitude over a front, so they are compared by ratio. What
    counts is the room to the limits [M] (NaN where an objective has none, then to the worst of the
    front): memory that fits the budget with room to spare is worth little more when it is less.
    """
    corner = F.max(axis=0)
    if limits is not None:
        corner = np.fmax(corner, limits)
    ratios = (F > 0).all(axis=0) & (corner > 10 * F.min(axis=0))
    logs = [np.log(np.where(ratios, values, 1.0)) for values in (F, corner)]
    scaled = [np.where(ratios, log, v) for log, v in zip(logs, (F, corner), strict=True)]
    return compromise(*scaled)


def _write_front(path: Path, problem: Any, F: Any, X: Any) -> None:
    """Write objectives with intervals, what was decided, and the row of every deployment."""
    layout = problem.layout
    ends = [f"{name}_{end}" for name in problem.objective_names for end in ("low", "high")]
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            [*problem.objective_names, "batch", "policy", "mean_experts", "mean_slots", *ends,
             *(f"x{i}" for i in range(X.shape[1]))]
        )  # fmt: skip
        for f, x, interval in zip(F, X, problem.intervals(X), strict=True):
            batch, policy, experts = problem.decided(x)
            rows.writerow(
                [*(repr(float(v)) for v in f), batch, policy, f"{experts:.4g}",
                 f"{x[layout.capacities].mean():.4g}", *(repr(float(v)) for v in interval.ravel()),
                 *(int(v) for v in x)]
            )  # fmt: skip


def _export(plan: Any, model: Any, out: Path) -> dict[str, str]:
    """Write the engines' files; an engine that can't take the plan says why."""
    makers: dict[str, Callable[[], Any]] = {
        "sglang": lambda: plan.to_sglang(out / "sglang.json"),
        "vllm": lambda: plan.to_vllm(out / "vllm.json"),
        "tensorrt-llm": lambda: plan.to_tensorrt_llm(out / "tensorrt_llm.yaml"),
        "ktransformers": lambda: plan.to_ktransformers(evaluate=model.evaluate),
        "llama.cpp": lambda: plan.to_llamacpp(evaluate=model.evaluate),
    }
    said, pages = {}, []
    for engine, make in makers.items():
        try:
            export = make()
        except ValueError as error:
            said[engine] = f"not exported: {error}"
        else:
            said[engine] = " ".join(export.flags)
            pages.append(str(export))
    (out / "flags.txt").write_text("\n\n".join(pages) + "\n")
    return said


def _checked(plan: Any, model: Any, unseen: Any) -> str:
    """Return the plan on traffic that was held out; nothing where that has no full step."""
    if unseen is None:
        return ""
    try:
        return str(model.check(plan, unseen))
    except ValueError as error:
        return f"not checked on the traffic held out: {error}"


def _print_table(problem: Any, F: Any, X: Any, shown: list[int], knee: int) -> None:
    names = list(problem.objective_names)
    print("  row  " + "".join(f"{name:>19}" for name in names) + "  batch  experts  policy")
    for i in shown:
        batch, policy, experts = problem.decided(X[i])
        values = "".join(f"{value:>19.5g}" for value in F[i])
        mark = " *" if i == knee else "  "
        print(f"{mark}{i:>4} {values}{batch:>7}{experts:>9.2f}  {policy}")
    print("  (* the knee: the deployment that alone dominates most)")
