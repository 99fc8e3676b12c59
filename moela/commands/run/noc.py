"""`moela run noc`: a Pareto front of 3D network-on-chip designs, as files and a picture."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moela._arrays import Designs, Floats
from moela.commands.output import warn
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
from moela.commands.traffic import (
    RELEASED_SCALE,
    add_technology,
    add_traffic,
    quiet,
    warn_of_traffic,
)
from moela.plots.front import plot_front
from moela.quality.front import largest_box

if TYPE_CHECKING:
    from problems import NoC3D
    from problems.noc import BaselineComparison, Design

APPLICATION = "bfs"
FEWEST_PLACED, LARGE = 1000, 64
"""Evaluations of the placement of each regular network of so many tiles, if a tenth of those of the
search are fewer; larger chips take fewer."""


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
    add("--application", default=APPLICATION, metavar="NAME",
        help="application that the synthetic traffic imitates, without --traffic")
    add("--objectives", nargs="+", default=["5"], metavar="NAME",
        help="3, 4 or 5, or names such as latency energy temperature")
    add("--constraint", action="append", metavar="LIMIT",
        help="limit such as 'temperature<=85' (degrees Celsius); may be repeated")
    add("--model", default="published", metavar="NAME",
        help="formulas of the paper (published) or of its code (released)")
    add("--baseline-evals", type=int, metavar="N",
        help="evaluations of each placement on mesh, torus and express mesh, to compare with "
             "(default: 1000, or a tenth of --evals; fewer on large chips); 0 leaves them out")
    # fmt: on
    add_options(parser, ALGORITHMS, evals=20_000, out="front", algorithm=None)
    add_examples(
        parser,
        "moela run noc --application kmeans --evals 5000 --out front/",
        "moela example platform.json && moela example traffic.csv",
        "moela run noc --platform platform.json --traffic traffic.csv --store noc.db",
        "moela run noc --objectives latency energy --constraint 'temperature<=85'",
        "moela run noc --technology 32nm --objectives packet_latency power --constraint 'power<=1'",
    )


def run(arguments: argparse.Namespace) -> int:
    """Optimize and write front.csv, run.json, best.json, baselines.json and pictures."""
    check_options(arguments)
    placed = arguments.baseline_evals
    if placed is not None and placed < 0:
        raise ValueError(f"--baseline-evals must be at least 0. Got {placed} instead.")
    problem = problem_of(arguments)
    algorithm = arguments.algorithm or ("ga" if problem.n_obj == 1 else "moela")
    check_fits(algorithm, problem)
    out = make_folder(arguments)
    found = search(problem, arguments, make_algorithm(algorithm, problem))
    folder = ResultFolder(out, found, arguments, problem.ref_point)
    if not folder.result.feasible and not folder.result.interrupted:
        warn(f"no design met the constraints. {closest(problem, folder)}")
    with folder.rescuing():
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
    if not arguments.traffic and arguments.scale != RELEASED_SCALE:
        raise ValueError("--scale goes with --traffic. Got no --traffic.")
    if arguments.traffic and arguments.application != APPLICATION:
        raise ValueError("--application is for runs without --traffic. Got both.")
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
            f"Got --algorithm {algorithm} and {problem.n_obj} objective{'s' * (problem.n_obj > 1)}."
        )


def closest(problem: NoC3D, folder: ResultFolder) -> str:
    """Return a sentence on the design that violates the constraints least."""
    from problems.noc.design.physical import describe_limits

    found = constrained(problem, folder.X[:1])
    values = [
        f"{name} {found[name][0]:.5g} against {limit:g}"
        for name, limit in problem.constraints.items()
    ]
    places = describe_limits(problem.decode(folder.X[0]))
    return f"Closest came: {', '.join(values)}" + (f" ({places})" if places else "")


def constrained(problem: NoC3D, X: Designs) -> dict[str, Floats]:
    """Return the constrained metrics of designs, each the largest of all applications, [n]."""
    values = problem.measure(X, tuple(problem.constraints)) if problem.constraints else {}
    return {name: v if v.ndim == 1 else v.max(axis=1) for name, v in values.items()}


def columns_of(problem: NoC3D, X: Designs) -> dict[str, list[float]]:
    """Return the columns of the constrained metrics of designs.

    An objective has a second column only if it is another number, made of several applications.
    """
    from problems.noc.evaluation.metrics import PER_APPLICATION

    taken = set(problem.objective_names)
    other = taken & PER_APPLICATION if problem.traffic.ndim == 3 else set()
    return {
        f"{name} (worst)" if name in other else name: values.tolist()
        for name, values in constrained(problem, X).items()
        if name not in taken - other
    }


def write(folder: ResultFolder, problem: NoC3D, arguments: argparse.Namespace) -> int:
    """Write the result of a run into a folder and print a summary."""
    from problems.noc.regular import Values

    best = largest_box(folder.F, problem.ref_point)
    folder.write_front(columns_of(problem, folder.X))
    row = folder.X[best]
    design = problem.decode(row)
    figures = save_design(design, problem.traffic, folder.path("best.json"))
    below = {name: -change for name, (_, _, change) in problem.beside_mesh(row).items()}
    percent = {name: round(change, 2) for name, change in below.items() if math.isfinite(change)}
    more: dict[str, object] = {
        "best": folder.row(best) | {"percent_below_mesh": percent},
        "constraints": problem.constraints,
    }
    if figures is not None:
        more["physical"] = figures.to_dict()
    held_out, other = None, problem.held_out
    if other is not None:
        held_out = other.beside_mesh(row)
        more["held_out"] = {
            name: {"best": ours, "mesh": mesh} for name, (ours, mesh, _) in held_out.items()
        }
    if problem.n_obj > 1:
        source = ", ".join(Path(name).name for name in arguments.traffic or ())
        source = source or f"synthetic {arguments.application}"
        plot_front(
            folder.F, names=folder.names, ref_point=problem.ref_point, ref_name="mesh",
            shared=Values(problem, problem.objective_names).shared,
            title=f"{folder.described('design')}, {source}", path=folder.path("front.png"),
        )  # fmt: skip
    found = None if folder.result.interrupted else baselines(problem, design, arguments)
    if found is not None:
        found.save(folder.path("baselines.json"))
        found.plot().savefig(folder.path("baselines.png"), dpi=100)
        more["baselines"] = found.summary()
    folder.write_record("moela run noc", "NoC3D", problem.version, **more)
    lines = [
        f"{folder.described('design')} in {folder.out}/: {', '.join(folder.files)}",
        f"best.json, which dominates the largest box, against the mesh: {_gains(below)}",
    ]
    lines += [] if found is None else against(found)
    if figures is not None:
        lines.append(f"best.json in physical units:\n{figures}")
    if held_out is not None:
        lines.append(f"the same, held out: {_gains({n: -c[2] for n, c in held_out.items()})}")
        if found is not None and other is not None:
            under = other.beside_baselines(design, reuse=found)
            lines += [f"held out, {line}" for line in against(under) if line.startswith("against")]
    return folder.finish(lines)


def baselines(
    problem: NoC3D, design: Design, arguments: argparse.Namespace
) -> BaselineComparison | None:
    """Return the comparison of a design with regular networks; None without, or after Ctrl-C."""
    n_eval = arguments.baseline_evals
    if n_eval is None:
        share = min(1.0, LARGE / problem.platform.n_tiles)
        n_eval = max(arguments.evals // 10, round(FEWEST_PLACED * share**2))
    if n_eval == 0:
        return None
    if not arguments.quiet:
        text = f"placing PEs on regular networks to compare with, {n_eval} evaluations each"
        print(f"moela: {text}", file=sys.stderr)
    rng = np.random.default_rng(arguments.seed)
    try:
        return problem.beside_baselines(design, random_state=rng, n_eval=n_eval)
    except KeyboardInterrupt:
        warn("the comparison with regular networks was stopped and is left out")
        return None


def against(found: BaselineComparison) -> list[str]:
    """Return a line for each network but the mesh, and for each that is missing."""
    lines = []
    for name, network in found.networks.items():
        if name == "mesh":
            continue
        changes = {metric: -row[name] for metric, row in found.changes.items()}
        links = len(network.planar_links)
        lines.append(f"against the {name}, {links} planar links: {_gains(changes)}")
    return lines + [f"no {name}: {reason}" for name, reason in found.missing.items()]


def _gains(below: dict[str, float]) -> str:
    return ", ".join(
        f"{name} {-value:+.0f}%" if math.isfinite(value) else f"{name} n/a"
        for name, value in below.items()
    )
