"""`moela moe buy`: cost against speed over kinds and numbers of GPUs, with a command for each."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela.commands.moe.buy_picture import Offer, plot_offers
from moela.commands.output import plain, print_json, warn
from moela.commands.parser import add_examples, positive
from moela.commands.run import serving_inputs
from moela.commands.run.prices import Price, read_prices
from moela.commands.run.results import INTERRUPTED
from moela.commands.run.search import (
    ALGORITHMS,
    add_options,
    check_options,
    make_algorithm,
    make_folder,
    search,
)
from moela.commands.run.serving import export_to, extrapolated, script
from moela.commands.run.serving_front import file_columns, plan_row, table_of
from moela.commands.run.serving_inputs import (
    ServedModel,
    check_gpu,
    known_gpus,
    make_problem,
    nearest_gpu,
)
from moela.provenance.environment import provenance
from moela.quality.table import Row
from moela.quality.words import listed

if TYPE_CHECKING:
    from moe_costmodel import ServingPlan
    from moe_costmodel.silicon.tables.gpu import Gpu

_OBJECTIVES = ["tokens_per_s_per_user", "cost_per_million_tokens"]
_NAMES = ("cost_per_hour", "cost_per_million_tokens", "tokens_per_s_per_user")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Plan the serving of a model on each kind and number of GPUs of a price list, and show\n"
        "the front of cost per hour and per million tokens against the speed of a request, with\n"
        "the command that starts each deployment."
    )
    # fmt: off
    add = parser.add_argument_group("GPUs").add_argument
    add("--prices", metavar="FILE", required=True,
        help='price of a GPU for an hour: JSON {"h200_sxm": 3.5}, or CSV gpu,price_per_gpu_hour')
    add("--gpu", nargs="+", metavar="NAME", help="kinds to compare (default: all of the list)")
    add("--gpus-max", type=positive, default=16, metavar="N",
        help="most GPUs; powers of two up to it are tried")
    serving_inputs.add_options(parser, required=True)
    add = parser.add_argument_group("mode").add_argument
    add("--mode", choices=serving_inputs.MODES, default="mixed", metavar="MODE",
        help=f"one of {', '.join(serving_inputs.MODES)}")
    # fmt: on
    algorithms = [name for name in ALGORITHMS if name != "moead"]
    add_options(parser, algorithms, evals=300, out="buy")
    add_examples(
        parser,
        "moela moe buy --model config.json --prices prices.json --gpus-max 32",
        "moela moe buy --model config.json --prices prices.csv --gpu h200_sxm b200_sxm "
        "--slo-ttft 2000 --slo-tpot 50",
    )


@dataclass(frozen=True)
class Deployment:
    """A plan with its price."""

    plan: ServingPlan
    gpu: Gpu
    cost_per_hour: float

    @property
    def offer(self) -> Offer:
        """The values that deployments are compared by."""
        values = self.plan.objectives
        return Offer(
            self.gpu.name, self.plan.n_gpus, self.cost_per_hour,
            values["cost_per_million_tokens"].value, values["tokens_per_s_per_user"].value,
        )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Plan on each kind and number of GPUs, write the front, and print it."""
    check_options(arguments)
    if not 1 <= arguments.gpus_max <= 4096:
        raise ValueError(f"--gpus-max must be from 1 to 4096. Got {arguments.gpus_max} instead.")
    model = serving_inputs.read_model(arguments)
    kinds, notes = _kinds(arguments)
    for note in notes:
        warn(note)
    out = make_folder(arguments)
    found, refused, interrupted = _plan_all(model, kinds, arguments)
    if not found:
        if interrupted:
            return INTERRUPTED
        raise ValueError(
            "No GPUs of the price list serve the model within the limits. The nearest: "
            + _nearest_refusal(refused)
        )
    front = _front(found)
    _write(front, refused, notes, model, out, arguments)
    return INTERRUPTED if interrupted else 0


def _kinds(arguments: argparse.Namespace) -> tuple[dict[str, tuple[Gpu, Price]], list[str]]:
    """Return the GPUs to compare with their prices, and notes on those that are left out."""
    prices, known = read_prices(arguments.prices), known_gpus(arguments.tables)
    wanted = arguments.gpu or list(prices)
    for name in arguments.gpu or ():
        check_gpu(name, arguments.tables)
        if name not in prices:
            raise ValueError(
                f"{arguments.prices}: must have a price of --gpu {name}. It has prices of "
                f"{listed(prices)}.{nearest_gpu(name, prices)}"
            )
    unknown = [name for name in wanted if name not in known]
    if len(unknown) == len(wanted):
        raise ValueError(
            f"{arguments.prices}: must have a price of a GPU with tables of kernels: "
            f"{', '.join(known)}. Got {listed(unknown)} instead.{nearest_gpu(unknown[0], known)}"
        )
    notes = [
        f"{arguments.prices}: {name} has no tables of kernels and is left out."
        f"{nearest_gpu(name, known)}"
        for name in unknown
    ]
    kept = [name for name in dict.fromkeys(wanted) if name in known]
    return {name: (check_gpu(name, arguments.tables), prices[name]) for name in kept}, notes


def _plan_all(
    model: ServedModel, kinds: dict[str, tuple[Gpu, Price]], arguments: argparse.Namespace
) -> tuple[list[Deployment], dict[str, str], bool]:
    """Return the plans of all kinds and numbers of GPUs, what is refused, and if it was stopped."""
    found: list[Deployment] = []
    refused: dict[str, str] = {}
    for gpu, price in kinds.values():
        for n_gpus in _numbers(min(arguments.gpus_max, price.most or arguments.gpus_max)):
            if arguments.mode == "disaggregated" and n_gpus < 2:
                continue
            try:
                problem = make_problem(
                    model, arguments, gpu=gpu.name, n_gpus=n_gpus, price=price.per_hour,
                    objectives=_OBJECTIVES,
                )  # fmt: skip
            except ValueError as error:
                refused[f"{n_gpus} {gpu.name}"] = str(error)
                continue
            result, _ = search(problem, arguments, make_algorithm(arguments.algorithm, problem))
            plans = [problem.plan(i.X) for i in result.front.population] if result.feasible else []
            found += [Deployment(plan, gpu, n_gpus * price.per_hour) for plan in plans]
            if result.interrupted:
                return found, refused, True
    return found, refused, False


def _numbers(most: int) -> list[int]:
    """Return the numbers of GPUs to try: powers of two, and the most."""
    powers = [2**i for i in range(most.bit_length()) if 2**i <= most]
    return list(dict.fromkeys([*powers, most]))


def _nearest_refusal(refused: dict[str, str]) -> str:
    """Return the reason of the largest number of GPUs of each kind."""
    last: dict[str, str] = {}
    for name, reason in refused.items():
        last[name.partition(" ")[2]] = reason
    return " ".join(dict.fromkeys(last.values()))


def _front(found: list[Deployment]) -> list[Deployment]:
    """Return the deployments that no other beats in all of cost and speed, the cheapest first."""
    from moocore import is_nondominated

    offers = [item.offer for item in found]
    F = np.array([(o.cost_per_hour, o.cost_per_million, -o.speed) for o in offers])
    kept = np.flatnonzero(is_nondominated(F, keep_weakly=False))
    return [found[i] for i in kept[np.lexsort(F[kept].T[::-1])]]


def _write(
    front: list[Deployment],
    refused: dict[str, str],
    notes: list[str],
    model: ServedModel,
    out: Path,
    arguments: argparse.Namespace,
) -> None:
    """Write the front with its commands into the folder, and print it."""
    (out / "plans").mkdir(exist_ok=True)
    rows: list[Row] = []
    texts, commands = [], []
    for i, item in enumerate(front):
        item.plan.save(out / "plans" / f"{i:04d}.json")
        exports = export_to(item.plan, out / "plans", model, item.gpu, name=f"{i:04d}")
        commands.append([export.command for export in exports])
        texts.append(f"# {i}: {item.plan.n_gpus} {item.gpu.name}\n{script(exports)}")
        cells = {name: value for name, value in plan_row(item.plan).items() if "GPU" not in name}
        rows.append({
            "row": str(i), "GPUs": f"{item.plan.n_gpus} {item.gpu.name}",
            "cost/h": f"{item.cost_per_hour:.4g}", **cells,
        })  # fmt: skip
    (out / "commands.sh").write_text("\n".join(texts), encoding="utf-8")
    _write_csv(out / "front.csv", front)
    plot_offers(
        [item.offer for item in front], title=f"{model.shape.name}: cost against speed",
        path=out / "front.png",
    )  # fmt: skip
    record: dict[str, object] = {
        "command": "moela moe buy",
        "model": str(model.source),
        "front": [
            {"row": i, "gpu": o.gpu, "n_gpus": o.n_gpus, "cost_per_hour": o.cost_per_hour,
             "cost_per_million_tokens": o.cost_per_million, "tokens_per_s_per_user": o.speed,
             "commands": commands[i]}
            for i, o in enumerate(item.offer for item in front)
        ],
        "refused": refused, "notes": notes, **provenance(),
    }  # fmt: skip
    text = json.dumps(plain(record), indent=2, default=str)
    (out / "run.json").write_text(text + "\n", encoding="utf-8")
    if arguments.json:
        print_json(record | {"out": str(out)})
        return
    shown = _shown(front)
    print(table_of([rows[i] for i in shown]))
    for name, reason in refused.items():
        print(f"not possible: {reason if reason.startswith(name) else f'{name}: {reason}'}")
    print(
        f"{len(front)} deployments in {out}/: front.csv, front.png, commands.sh, plans/, run.json"
    )
    for note in dict.fromkeys(note for item in front for note in item.plan.notes):
        print(f"note: {note}")
    for i in shown:
        print(f"\n{i}: {front[i].plan.n_gpus} {front[i].gpu.name}")
        print("\n".join([*commands[i], *(f"  {note}" for note in extrapolated(front[i].plan))]))


def _shown(front: list[Deployment]) -> list[int]:
    """Return the rows to print: of each kind and number of GPUs the cheapest and the fastest."""
    groups: dict[tuple[str, int], list[int]] = {}
    for i, item in enumerate(front):
        groups.setdefault((item.gpu.name, item.plan.n_gpus), []).append(i)
    rows = set()
    for group in groups.values():
        offers = {i: front[i].offer for i in group}
        rows.add(min(group, key=lambda i: offers[i].cost_per_million))
        rows.add(max(group, key=lambda i: offers[i].speed))
    return sorted(rows)


def _write_csv(path: Path, front: list[Deployment]) -> None:
    import csv

    columns = file_columns([item.plan for item in front])
    offers = [item.offer for item in front]
    own: dict[str, list[object]] = {
        "gpu": [o.gpu for o in offers], "n_gpus": [o.n_gpus for o in offers],
        "cost_per_hour": [o.cost_per_hour for o in offers],
    }  # fmt: skip
    table = own | columns
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
