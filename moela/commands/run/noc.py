"""`moela run noc`: a Pareto front of 3D network-on-chip designs, as files and a picture."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymoo.core.result import Result

from moela.commands.run.noc_inputs import constraints_of, objectives_of, platform_of
from moela.commands.run.results import FinalFront
from moela.commands.run.search import ALGORITHMS, add_options, check_evals, make_folder, search
from moela.plots.front import plot_front
from moela.quality.front import largest_box

if TYPE_CHECKING:
    from problems import NoC3D


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    # fmt: off
    add = parser.add_argument
    add("--platform", metavar="JSON",
        help="platform file, or 4x4x4 (default), 8x8, 8x8x4, 10x10x10")
    add("--traffic", nargs="+", metavar="CSV",
        help="traffic files, one per application, with one row per source PE")
    add("--held-out", metavar="CSV", help="application used only to evaluate the final front")
    add("--aggregate", default="mean", help="mean or worst of several applications")
    add("--application", default="bfs",
        help="application that the synthetic traffic imitates, without --traffic")
    add("--objectives", nargs="+", default=["5"], metavar="NAME",
        help="3, 4 or 5, or names such as latency energy temperature")
    add("--constraint", action="append", metavar="LIMIT",
        help="limit such as 'temperature<=85'; may be repeated")
    add("--model", default="published", help="published or released formulas")
    add_options(parser, ALGORITHMS, evals=20_000, out="front")
    # fmt: on


def run(arguments: argparse.Namespace) -> None:
    """Optimize and write front.csv, run.json, front.png and best.json."""
    from problems import NoC3D

    check_evals(arguments)
    common: dict[str, Any] = {
        "platform": platform_of(arguments.platform),
        "objectives": objectives_of(arguments.objectives),
        "constraints": constraints_of(arguments.constraint),
        "model": arguments.model,
        "aggregate": arguments.aggregate,
    }
    if arguments.traffic:
        problem = NoC3D.from_traffic(arguments.traffic, held_out=arguments.held_out, **common)
    elif arguments.held_out:
        raise ValueError("--held-out goes with --traffic. Got no --traffic.")
    else:
        problem = NoC3D.example(arguments.application, **common)
    check_fits(arguments.algorithm, problem)
    out = make_folder(arguments)
    result = search(problem, arguments)
    if result.X is None:
        raise ValueError(f"no design met the constraints. {closest(problem, result)}")
    write(out, problem, result, vars(arguments))


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


def closest(problem: NoC3D, result: Result) -> str:
    """Return a sentence on the design that violates the constraints least."""
    best = min(result.pop, key=lambda individual: float(individual.CV[0]))
    beside = problem.beside_mesh(best.X)
    values = [
        f"{name} {beside[name][0]:.5g} against {limit:g}"
        for name, limit in problem.constraints.items()
    ]
    return f"Closest came: {', '.join(values)}"


def write(out: Path, problem: NoC3D, result: Result, settings: Mapping[str, Any]) -> None:
    """Write the result of a run into a folder and print a summary."""
    front = FinalFront(result, problem.objective_names, problem.ref_point)
    front.write_table(out / "front.csv")
    best = largest_box(front.F, problem.ref_point)
    problem.decode(front.X[best]).save(out / "best.json")
    below = {name: -change for name, (_, _, change) in problem.beside_mesh(front.X[best]).items()}
    percent = {name: round(change, 2) for name, change in below.items() if math.isfinite(change)}
    more: dict[str, object] = {
        "best": front.row(best) | {"percent_below_mesh": percent},
        "constraints": problem.constraints,
    }
    held_out = None
    if problem.held_out is not None:
        held_out = problem.held_out.beside_mesh(front.X[best])
        more["held_out"] = {
            name: {"best": ours, "mesh": mesh} for name, (ours, mesh, _) in held_out.items()
        }
    front.write_record(
        out / "run.json", command="moela run noc", settings=settings, problem="NoC3D",
        version=problem.version, **more,
    )  # fmt: skip
    files = ["front.csv", "run.json", "best.json"]
    if problem.n_obj > 1:
        source = ", ".join(Path(name).name for name in settings["traffic"] or ())
        source = source or f"synthetic {settings['application']}"
        plot_front(
            front.F, names=front.names, ref_point=problem.ref_point, ref_name="mesh",
            title=f"{len(front)} non-dominated designs, {source}", path=out / "front.png",
        )  # fmt: skip
        files.append("front.png")
    print(f"{len(front)} designs in {out}/: {', '.join(files)}")
    print(f"best.json, which dominates the largest box, against the mesh: {_gains(below)}")
    if held_out is not None:
        print(f"the same, held out: {_gains({name: -c[2] for name, c in held_out.items()})}")


def _gains(below: dict[str, float]) -> str:
    return ", ".join(f"{name} {-value:+.0f}%" for name, value in below.items())
