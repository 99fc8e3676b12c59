"""`moela run noc`: a Pareto front of 3D network-on-chip designs, as files and a picture."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moela.commands.parser import add_examples
from moela.commands.run.noc_inputs import (
    constraints_of,
    objectives_of,
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
from moela.commands.traffic import add_technology, add_traffic, quiet, warn_of_traffic
from moela.plots.front import plot_front
from moela.quality.front import largest_box

if TYPE_CHECKING:
    from problems import NoC3D


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    # fmt: off
    group = parser.add_argument_group("problem")
    add = group.add_argument
    add("--platform", metavar="JSON",
        help="platform file, or 4x4x4 (default), 8x8, 8x8x4, 10x10x10")
    add_technology(group)
    add_traffic(group, "traffic files, one per application, with one row per source PE")
    add("--held-out", metavar="CSV", help="application used only to evaluate the final front")
    add("--aggregate", default="mean", metavar="HOW", help="mean or worst of several applications")
    add("--application", default="bfs", metavar="NAME",
        help="application that traffic without --traffic imitates")
    add("--objectives", nargs="+", default=["5"], metavar="NAME",
        help="3, 4 or 5, or names such as latency energy temperature")
    add("--constraint", action="append", metavar="LIMIT",
        help="limit such as 'temperature<=85' (degrees Celsius); may be repeated")
    add("--model", default="published", metavar="NAME", help="published or released formulas")
    # fmt: on
    add_options(parser, ALGORITHMS, evals=20_000, out="front")
    add_examples(
        parser,
        "moela run noc --application kmeans --evals 5000 --out front/",
        "moela example platform.json && moela example traffic.csv",
        "moela run noc --platform platform.json --traffic traffic.csv --store noc.db",
        "moela run noc --objectives latency energy --constraint 'temperature<=85'",
        "moela run noc --technology 32nm --objectives packet_latency power --constraint 'power<=1'",
    )


def run(arguments: argparse.Namespace) -> int:
    """Optimize and write front.csv, run.json, front.png and best.json."""
    check_options(arguments)
    problem = problem_of(arguments)
    check_fits(arguments.algorithm, problem)
    out = make_folder(arguments)
    found = search(problem, arguments, make_algorithm(arguments.algorithm, problem))
    folder = ResultFolder(out, found, arguments, problem.ref_point)
    if not folder.result.feasible and not folder.result.interrupted:
        raise ValueError(f"no design met the constraints. {closest(problem, folder)}")
    return write(folder, problem, arguments)


def problem_of(arguments: argparse.Namespace) -> NoC3D:
    """Return the problem that the options describe, and warn of absurd traffic."""
    from problems import NoC3D

    common: dict[str, Any] = {
        "platform": platform_of(arguments.platform, arguments.technology),
        "objectives": objectives_of(arguments.objectives),
        "constraints": constraints_of(arguments.constraint),
        "model": arguments.model,
        "aggregate": arguments.aggregate,
    }
    if arguments.held_out and not arguments.traffic:
        raise ValueError("--held-out goes with --traffic. Got no --traffic.")
    if not arguments.traffic:
        with quiet():
            problem = NoC3D.example(arguments.application, **common)
        sources = [f"synthetic {arguments.application}"]
        warn_of_traffic(problem.traffic, problem.platform, None, sources)
        return problem
    with quiet():
        problem = NoC3D.from_traffic(
            arguments.traffic, held_out=arguments.held_out, scale=arguments.scale, **common
        )
    warn_of_traffic(problem.traffic, problem.platform, arguments.scale, arguments.traffic)
    return problem


def check_fits(algorithm: str, problem: NoC3D) -> None:
    """Raise a ValueError if an algorithm can't take the objectives or the constraints."""
    if algorithm == "moead" and problem.constraints:
        raise ValueError(
            "--algorithm moead takes no --constraint; moela, moos, moo-stage, nsga2 and nsga3 do."
        )
    if (algorithm == "ga") != (problem.n_obj == 1):
        raise ValueError(
            "--algorithm ga is for one objective, the others are for two or more. "
            f"Got --algorithm {algorithm} and {problem.n_obj} objectives."
        )


def closest(problem: NoC3D, folder: ResultFolder) -> str:
    """Return a sentence on the design that violates the constraints least."""
    from problems.noc.design.physical import describe_limits

    beside = problem.beside_mesh(folder.X[0])
    values = [
        f"{name} {beside[name][0]:.5g} against {limit:g}"
        for name, limit in problem.constraints.items()
    ]
    places = describe_limits(problem.decode(folder.X[0]))
    return f"Closest came: {', '.join(values)}" + (f" ({places})" if places else "")


def write(folder: ResultFolder, problem: NoC3D, arguments: argparse.Namespace) -> int:
    """Write the result of a run into a folder and print a summary."""
    front = folder.result.front
    best = largest_box(folder.F, problem.ref_point)
    folder.write_front()
    row = folder.X[best]
    figures = save_design(problem.decode(row), problem.traffic, folder.path("best.json"))
    below = {name: -change for name, (_, _, change) in problem.beside_mesh(row).items()}
    percent = {name: round(change, 2) for name, change in below.items() if math.isfinite(change)}
    more: dict[str, object] = {
        "best": folder.row(best) | {"percent_below_mesh": percent},
        "constraints": problem.constraints,
    }
    if figures is not None:
        more["physical"] = figures.to_dict()
    held_out = None
    if problem.held_out is not None:
        held_out = problem.held_out.beside_mesh(row)
        more["held_out"] = {
            name: {"best": ours, "mesh": mesh} for name, (ours, mesh, _) in held_out.items()
        }
    if problem.n_obj > 1:
        source = ", ".join(Path(name).name for name in arguments.traffic or ())
        source = source or f"synthetic {arguments.application}"
        plot_front(
            folder.F, names=folder.names, ref_point=problem.ref_point, ref_name="mesh",
            title=f"{len(front)} non-dominated designs, {source}", path=folder.path("front.png"),
        )  # fmt: skip
    folder.write_record("moela run noc", "NoC3D", problem.version, **more)
    kind = "designs" if front.feasible else "designs, which violate constraints,"
    lines = [
        f"{len(front)} {kind} in {folder.out}/: {', '.join(folder.files)}",
        f"best.json, which dominates the largest box, against the mesh: {_gains(below)}",
    ]
    if figures is not None:
        lines.append(f"best.json in physical units:\n{figures}")
    if held_out is not None:
        lines.append(f"the same, held out: {_gains({n: -c[2] for n, c in held_out.items()})}")
    return folder.finish(lines)


def _gains(below: dict[str, float]) -> str:
    return ", ".join(f"{name} {-value:+.0f}%" for name, value in below.items())
