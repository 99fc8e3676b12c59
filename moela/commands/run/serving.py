"""`moela run moe --model`: a Pareto front of ways to serve a whole model, and their commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from moela.commands.run.prices import price_of
from moela.commands.run.results import ResultFolder
from moela.commands.run.search import check_options, make_algorithm, make_folder, search
from moela.commands.run.serving_front import (
    evenly_spread,
    file_columns,
    plan_row,
    plot_plans,
    table_of,
)
from moela.commands.run.serving_inputs import (
    NO_MEMORY,
    ServedModel,
    check_forms,
    check_gpu,
    make_problem,
    read_model,
)
from moela.quality.words import amount

if TYPE_CHECKING:
    from moe_costmodel import ServingPlan
    from moe_costmodel.plans.engines.export import Export
    from moe_costmodel.silicon.tables.gpu import Gpu
    from problems import MoEServing


def run(arguments: argparse.Namespace) -> int:
    """Plan, write the front with the commands of its designs, and print a table."""
    check_options(arguments)
    check_forms(arguments)
    model = read_model(arguments)
    gpu = check_gpu(arguments.gpu, arguments.tables)
    price = None if arguments.prices is None else price_of(arguments.prices, gpu.name).per_hour
    problem = _problem(model, arguments, gpu, price)
    out = make_folder(arguments)
    found = search(problem, arguments, make_algorithm(arguments.algorithm, problem))
    folder = ResultFolder(out, found, arguments, problem.ref_point)
    if not folder.result.feasible:
        return folder.end_without_design(
            f"No design met all limits in {folder.result.n_eval} evaluations.", "Give more --evals."
        )
    with folder.rescuing():
        return _write(folder, problem, model, gpu)


def _problem(
    model: ServedModel, arguments: argparse.Namespace, gpu: Gpu, price: float | None
) -> MoEServing:
    """Return the problem; the error about a model that does not fit names GPUs that it fits on."""
    n_gpus = gpu.n_per_node if arguments.gpus is None else arguments.gpus

    def made(n: int) -> MoEServing:
        return make_problem(
            model, arguments, gpu=gpu.name, n_gpus=n, price=price, objectives=arguments.objectives
        )

    def fits(n: int) -> bool:
        try:
            made(n)
        except ValueError:
            return False
        return True

    try:
        return made(n_gpus)
    except ValueError as error:
        if NO_MEMORY not in str(error):
            raise
        enough = next((n_gpus * i for i in (2, 4, 8) if fits(n_gpus * i)), None)
        if enough is None:
            raise
        raise ValueError(f"{error} {enough} {gpu.name} would do.") from error


def _write(folder: ResultFolder, problem: MoEServing, model: ServedModel, gpu: Gpu) -> int:
    """Write the result of a run into a folder, and print a table of it."""
    plans = [problem.plan(x) for x in folder.X]
    knee, role = folder.result.front.marked()
    columns = file_columns(plans)
    folder.write_front({name: v for name, v in columns.items() if name not in folder.names})
    rows = evenly_spread(len(plans), knee)
    (folder.out / "plans").mkdir(exist_ok=True)
    for i in rows:
        plans[i].save(folder.out / "plans" / f"{i:04d}.json")
    folder.files.append("plans/")
    plans[knee].save(folder.path("plan.json"))
    exports = export_to(plans[knee], folder.out, model, gpu)
    folder.path("plan.txt").write_text(f"{plans[knee]}\n", encoding="utf-8")
    folder.path("command.sh").write_text(script(exports), encoding="utf-8")
    title = f"{len(plans)} ways to serve {model.shape.name} on {gpu.name}"
    plot_plans(plans, knee, role=role, title=title, path=folder.path("front.png"))
    commands = [export.command for export in exports]
    folder.write_record(
        "moela run moe", "MoEServing", problem.version, model=str(model.source), gpu=gpu.name,
        limits=problem.limits, knee=folder.row(knee), commands=commands, notes=model.notes,
    )  # fmt: skip
    marked = [{"row": f"{i} *" if i == knee else f"{i}  ", **plan_row(plans[i])} for i in rows]
    lines: list[object] = [table_of(marked), f"(* {role.named} of the front)"]
    lines.append(f"{len(plans)} deployments in {folder.out}/: {', '.join(folder.files)}")
    lines += explained(plans[knee], exports)
    return folder.finish(lines)


def export_to(
    plan: ServingPlan, folder: Path, model: ServedModel, gpu: Gpu, name: str = ""
) -> tuple[Export, ...]:
    """Write a plan's files for its engine, and return the command of each of its pools."""
    return plan.export(folder, model=model.weights, gpu=gpu, layers=model.layers, name=name)


def script(exports: Iterable[Export]) -> str:
    """Return the commands of a plan as a script, with notes as comments."""
    lines = []
    for export in exports:
        lines += [f"# {note}" for note in export.notes]
        lines.append(export.command)
    return "\n".join(lines) + "\n"


def explained(plan: ServingPlan, exports: Iterable[Export]) -> list[str]:
    """Return the commands of a plan, with the notes on it."""
    lines = [f"note: {note}" for note in plan.notes]
    lines += extrapolated(plan)
    for export in exports:
        lines.append(export.command)
        lines += [f"  note: {note}" for note in export.notes]
    return lines


def extrapolated(plan: ServingPlan) -> list[str]:
    """Return a note on what was not measured of a plan, if anything."""
    from moe_costmodel.objectives import beyond

    far = {name: factor for name, factor in plan.outside.items() if factor > 1.05}
    if not far:
        return []
    name, factor = max(far.items(), key=lambda item: item[1])
    n = len(far) - 1
    others = f"; {amount(n, 'other time')} {'was' if n == 1 else 'were'} not measured, either"
    return [f"note: the time of '{name}' is {beyond(factor)}{others if n else ''}"]
