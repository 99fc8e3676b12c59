"""`moela run noc`: a Pareto front of 3D network-on-chip designs, as files and a picture."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.core.result import Result
from pymoo.optimize import minimize

from moela.commands.noc_inputs import constraints_of, objectives_of, platform_of
from moela.evaluation.evaluator import Evaluator
from moela.plots.front import compromise, plot_front
from moela.provenance.environment import provenance

ALGORITHMS = ("moela", "moela-published", "moos", "moo-stage", "nsga2", "nsga3", "moead", "ga")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--platform", metavar="JSON", help="platform file, or 4x4x4 (default), 8x8, 8x8x4, 10x10x10"
    )
    parser.add_argument(
        "--traffic", nargs="+", metavar="CSV", help="traffic files, a row a source PE, one an "
        "application",
    )  # fmt: skip
    parser.add_argument("--held-out", metavar="CSV", help="application that only the result sees")
    parser.add_argument(
        "--aggregate", default="mean", help="of several applications: mean or worst"
    )
    parser.add_argument(
        "--application",
        default="bfs",
        help="whose traffic shares the synthetic traffic has, where no file is given",
    )
    parser.add_argument(
        "--objectives", nargs="+", default=["5"], metavar="NAME",
        help="3, 4 or 5, or names such as latency energy temperature",
    )  # fmt: skip
    parser.add_argument(
        "--constraint", action="append", metavar="LIMIT", help="such as 'temperature<=85'; repeat"
    )
    parser.add_argument("--model", default="published", help="published or released formulas")
    parser.add_argument(
        "--algorithm",
        choices=ALGORITHMS,
        default="moela",
        help="what optimizes; ga for one objective",
    )
    parser.add_argument("--evals", type=int, default=20_000, help="designs to evaluate")
    parser.add_argument("--seed", type=int, default=1, help="random seed")
    parser.add_argument("--jobs", type=int, default=1, help="workers; -1 for one a core")
    parser.add_argument("--store", metavar="DB", help="SQLite file to record and resume from")
    parser.add_argument("--out", metavar="DIR", default="front", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """Optimize and write front.csv, run.json, front.png and best.json."""
    from problems import NoC3D

    if arguments.evals < 2:
        raise ValueError(f"--evals must be at least 2. Got {arguments.evals} instead.")
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
    out = Path(arguments.out)
    # Before the run, so that a folder that can't be written costs nothing.
    out.mkdir(parents=True, exist_ok=True)
    result = minimize(
        problem,
        make_algorithm(arguments.algorithm, problem),
        ("n_eval", arguments.evals),
        seed=arguments.seed,
        evaluator=Evaluator(n_jobs=arguments.jobs, store=arguments.store),
    )
    if result.X is None:
        raise ValueError(f"no design met the constraints. {closest(problem, result)}")
    write(out, problem, result, vars(arguments))


def check_fits(algorithm: str, problem: Any) -> None:
    """Raise a ValueError where an algorithm cannot take the objectives or the constraints."""
    if algorithm == "moead" and problem.constraints:
        raise ValueError(
            "--algorithm moead takes no --constraint; moela, moos, moo-stage, nsga2 and nsga3 do."
        )
    if (algorithm == "ga") != (problem.n_obj == 1):
        raise ValueError(
            "--algorithm ga is for one objective, the others are for two or more. "
            f"Got --algorithm {algorithm} and {problem.n_obj} objectives."
        )


def closest(problem: Any, result: Result) -> str:
    """Say what the design that breaks the constraints least has, in words."""
    best = min(result.pop, key=lambda individual: float(individual.CV[0]))
    beside = problem.beside_mesh(best.X)
    found = [
        f"{name} {beside[name][0]:.5g} against {limit:g}"
        for name, limit in problem.constraints.items()
    ]
    return f"Closest came: {', '.join(found)}"


def make_algorithm(name: str, problem: Any) -> Any:
    """Return an algorithm by its name on the command line, with the problem's operators."""
    from moela import MOELA
    from moela.rivals import MOOS, MOOSTAGE

    if name == "moela":
        return MOELA()
    if name == "moela-published":
        return MOELA.published()
    if name == "moos":
        return MOOS()
    if name == "moo-stage":
        return MOOSTAGE()
    if name == "ga":
        from pymoo.algorithms.soo.nonconvex.ga import GA

        return GA(pop_size=50, **problem.operators())
    from pymoo.algorithms.moo.moead import MOEAD
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.algorithms.moo.nsga3 import NSGA3
    from pymoo.util.ref_dirs import get_reference_directions

    if name == "nsga2":
        return NSGA2(pop_size=50, **problem.operators())
    directions = get_reference_directions("energy", problem.n_obj, 50, seed=1)
    kind = NSGA3 if name == "nsga3" else MOEAD
    return kind(directions, **problem.operators())


def write(out: Path, problem: Any, result: Result, settings: dict[str, Any]) -> None:
    """Write the result of a run into a folder and say in a line what came out."""
    F, X = np.atleast_2d(result.F), np.atleast_2d(result.X)
    order = np.lexsort(F.T[::-1])
    F, X = F[order], X[order]
    names = list(problem.objective_names)
    variables = [f"x{i}" for i in range(X.shape[1])]
    header = ",".join([*names, *variables])
    lines = [
        ",".join([*(repr(float(v)) for v in f), *(str(int(v)) for v in x)])
        for f, x in zip(F, X, strict=True)
    ]
    (out / "front.csv").write_text("\n".join([header, *lines]) + "\n")

    best = compromise(F, problem.ref_point)
    problem.decode(X[best]).save(out / "best.json")
    beside = problem.beside_mesh(X[best])
    below = {name: -change for name, (_, _, change) in beside.items()}
    record = {
        "command": "moela run noc",
        "settings": settings,
        "problem": {"name": "NoC3D", "version": problem.version, "objectives": names},
        "reference": dict(zip(names, problem.ref_point.tolist(), strict=True)),
        "front_size": len(F),
        "n_eval": int(result.algorithm.evaluator.n_eval),
        "seconds": round(float(result.exec_time), 3),
        "hypervolume": hypervolume(F, problem.ref_point),
        "best": {
            "row": best,
            "objectives": dict(zip(names, F[best].tolist(), strict=True)),
            "percent_below_mesh": {
                name: round(change, 2) for name, change in below.items() if math.isfinite(change)
            },
        },
        "constraints": problem.constraints,
        **provenance(),
    }
    if problem.held_out is not None:
        record["held_out"] = {
            name: {"best": ours, "mesh": mesh}
            for name, (ours, mesh, _) in problem.held_out.beside_mesh(X[best]).items()
        }
    (out / "run.json").write_text(json.dumps(record, indent=2) + "\n")
    files = ["front.csv", "run.json", "best.json"]
    if len(names) > 1:
        source = ", ".join(Path(name).name for name in settings["traffic"] or ())
        source = source or f"synthetic {settings['application']}"
        plot_front(
            F, names=names, reference=problem.ref_point, reference_name="mesh",
            title=f"{len(F)} non-dominated designs, {source}", path=out / "front.png",
        )  # fmt: skip
        files.append("front.png")
    print(f"{len(F)} designs in {out}/: {', '.join(files)}")
    print(f"best compromise against the mesh: {_gains(below)}")
    if problem.held_out is not None:
        changes = problem.held_out.beside_mesh(X[best])
        print(f"the same, held out: {_gains({name: -c[2] for name, c in changes.items()})}")


def _gains(below: dict[str, float]) -> str:
    return ", ".join(f"{name} {-value:+.0f}%" for name, value in below.items())


def hypervolume(F: Any, reference: Any) -> float:
    """Return the hypervolume of what is better than the reference in all objectives."""
    import moocore

    inside = F[(F < reference).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=reference)) if len(inside) else 0.0
