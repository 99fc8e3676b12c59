"""`moela run moe-on-chip`: a Pareto front of chips with the experts of an MoE model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela.commands.output import warn
from moela.commands.parser import add_examples, not_negative, positive
from moela.commands.run.noc_inputs import (
    constraints_of,
    platform_of,
    save_design,
)
from moela.commands.run.results import ResultFolder
from moela.commands.run.search import (
    ALGORITHMS,
    add_options,
    check_options,
    make_algorithm,
    make_folder,
    search,
)
from moela.commands.traffic import add_technology
from moela.plots.front import plot_front
from moela.quality.front import largest_box

if TYPE_CHECKING:
    from problems import MoEOnChip


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    # fmt: off
    add = parser.add_argument_group("model and traffic").add_argument
    add("--trace", nargs="+", metavar="NPZ",
        help="recorded routing, one file per domain (default: the packaged example)")
    add("--held-out", metavar="NPZ", help="domain used only to evaluate the best design")
    add("--d-model", type=positive, default=2048, metavar="N", help="width of a token")
    add("--dispatch-dtype", default="fp8", metavar="TYPE", help="type of tokens on their way")
    add("--combine-dtype", default="bfloat16", metavar="TYPE", help="type of results")
    add("--cache-values", type=not_negative, default=0, metavar="N",
        help="values that a token adds to the cache of a layer (default: 0, no cache traffic)")
    add("--expert-bytes", type=float, default=0.0, metavar="N",
        help="bytes of an expert that each step fetches (default: 0, experts are resident)")
    add("--batch-size", type=positive, metavar="N",
        help="tokens of a step, or sequences decoded together (default: two per attention PE)")
    add("--mode", choices=("prefill", "decode"), default="prefill", help="phase to plan for")
    add("--step-cycles", type=float, metavar="N",
        help="cycles of a step (default: experts' messages take 0.15 of their ports)")
    add("--aggregate", choices=("mean", "worst"), default="mean", help="mean or worst of domains")
    group = parser.add_argument_group("chip")
    add = group.add_argument
    add("--platform", metavar="JSON",
        help="platform file, or 4x4x4 (default), 8x8, 8x8x4, 10x10x10")
    add_technology(group)
    for role, kind in (("attention", "GPU"), ("experts", "GPU"), ("memory", "LLC")):
        add(f"--{role}", default=kind, metavar="TYPE", help=f"type of the PEs for {role}")
    add("--capacity", type=positive, metavar="N",
        help="experts that a PE holds (default: the fewest)")
    add("--layer-capacity", type=positive, metavar="N",
        help="experts of one layer that a PE holds (default: the fewest)")
    add("--objectives", nargs="+", default=["p99_latency", "energy", "peak_temperature"],
        metavar="NAME", help="names such as p99_latency latency energy peak_load")
    add("--constraint", action="append", metavar="LIMIT",
        help="limit such as 'port_load<=0.9' (flits per cycle); may be repeated")
    # fmt: on
    algorithms = [name for name in ALGORITHMS if name not in ("moead", "ga")]
    add_options(parser, algorithms, evals=2000, out="chip")
    add_examples(
        parser,
        "moela run moe-on-chip --evals 500 --out chip/",
        "moela run moe-on-chip --trace code.npz --held-out chat.npz --d-model 2048 --store chip.db",
        "moela show chip/best.json --traffic chip/traffic.csv --scale 1",
        "moela export chip/best.json --to booksim --traffic chip/traffic.csv --scale 1 --out sim/",
    )


def run(arguments: argparse.Namespace) -> int:
    """Optimize and write the front, the best chip with its traffic, and pictures."""
    check_options(arguments)
    problem = problem_of(arguments)
    if problem.n_obj < 2:
        raise ValueError(
            "--objectives must be two or more. Got "
            f"{' '.join(problem.objective_names)!r} instead; limit others with --constraint."
        )
    out = make_folder(arguments)
    found = search(problem, arguments, make_algorithm(arguments.algorithm, problem))
    folder = ResultFolder(out, found, arguments, problem.ref_point)
    if not folder.result.feasible and not folder.result.interrupted:
        limits = ", ".join(f"{name}<={limit:g}" for name, limit in problem.constraints.items())
        warn(
            f"no chip met the constraints ({limits}) in {folder.result.n_eval} evaluations. Relax "
            "one, or give more --evals. The chips in the folder violate them least."
        )
    with folder.rescuing():
        return write(folder, problem)


def problem_of(arguments: argparse.Namespace) -> MoEOnChip:
    """Return the problem that the options describe."""
    from moe_costmodel import RoutingTrace
    from problems import MoEOnChip
    from problems.moe_on_chip import Activations, Roles

    traces = [RoutingTrace.load(path) for path in arguments.trace or []]
    held_out = RoutingTrace.load(arguments.held_out) if arguments.held_out else None
    if not traces:
        if held_out is not None:
            raise ValueError("--held-out goes with --trace. Got no --trace.")
        traces, held_out = [RoutingTrace.example("code")], RoutingTrace.example("prose")
    return MoEOnChip(
        traces,
        held_out=held_out,
        activations=Activations(
            d_model=arguments.d_model,
            dispatch_dtype=arguments.dispatch_dtype,
            combine_dtype=arguments.combine_dtype,
            cache_values=arguments.cache_values,
            expert_bytes=arguments.expert_bytes,
        ),
        platform=platform_of(arguments.platform, arguments.technology),
        roles=Roles(
            attention=arguments.attention, experts=arguments.experts, memory=arguments.memory
        ),
        capacity=arguments.capacity,
        layer_capacity=arguments.layer_capacity,
        batch_size=arguments.batch_size,
        mode=arguments.mode,
        step_cycles=arguments.step_cycles,
        objectives=arguments.objectives,
        constraints=constraints_of(arguments.constraint),
        aggregate=arguments.aggregate,
    )


def write(folder: ResultFolder, problem: MoEOnChip) -> int:
    """Write the result of a run into a folder and print a summary."""
    best = largest_box(folder.F, problem.ref_point)
    folder.write_front()
    chip = problem.decode(folder.X[best])
    traffic = problem.traffic_of(chip)
    save_design(chip.design, traffic, folder.path("best.json"))
    chip.save(folder.path("chip.json"))
    np.savetxt(folder.path("traffic.csv"), traffic, fmt="%.9g", delimiter=",")
    changes = {"planned": problem.beside_reference(chip)}
    if problem.held_out is not None:
        changes["held out"] = problem.held_out.beside_reference(chip)
    plot_front(
        folder.F, names=folder.names, ref_point=problem.ref_point, ref_name="greedy, mesh",
        title=folder.described("chip"), path=folder.path("front.png"),
    )  # fmt: skip
    folder.write_record(
        "moela run moe-on-chip", "MoEOnChip", problem.version,
        best=folder.row(best), constraints=problem.constraints, capacity=problem.capacity,
        layer_capacity=problem.layer_capacity, step_cycles=problem.step_cycles,
        beside_reference={
            domain: {name: {"best": a, "greedy, mesh": b} for name, (a, b, _) in values.items()}
            for domain, values in changes.items()
        },
    )  # fmt: skip
    lines = [f"{folder.described('chip')} in {Path(folder.out)}/: {', '.join(folder.files)}"]
    for domain, values in changes.items():
        gains = ", ".join(f"{name} {change:+.0f}%" for name, (_, _, change) in values.items())
        lines.append(f"best.json against the greedy mapping on the mesh, {domain}: {gains}")
    return folder.finish(lines)
