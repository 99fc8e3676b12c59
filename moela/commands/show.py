"""`moela show`: a network-on-chip design in words, in numbers, and as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela.commands.output import add_json, picture_to_write, print_json, warn
from moela.commands.parser import add_examples, not_negative
from moela.commands.traffic import (
    add_technology,
    add_traffic,
    quiet,
    warn_of_traffic,
    with_technology,
)
from moela.evaluation.storage.folders import is_store
from moela.files.text import read_json
from moela.quality.table import Row, Table

if TYPE_CHECKING:
    from problems.noc import BaselineComparison, Design, NoC3D


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("design", metavar="DESIGN",
        help="folder of `moela run noc`, or JSON file of a design")  # fmt: skip
    add_traffic(parser, "traffic files to evaluate the design under")
    add(
        "--model",
        default="published",
        help="formulas of the paper (published) or of its code (released)",
    )
    add("--baseline-evals", type=int, metavar="N",
        help="with --traffic: compare with mesh, torus and express mesh, whose PEs are placed by "
             "so many evaluations each")  # fmt: skip
    add("--seed", type=not_negative, default=1, metavar="N", help="random seed of these placements")
    add("--out", metavar="PNG", help="picture to write, beside the mesh or the regular networks")
    add_technology(parser)
    add("--heat", action="store_true", help="color tiles by temperature")
    add_json(parser)
    add_examples(
        parser,
        "moela show front/",
        "moela show front/best.json --traffic traffic.csv --out best.png",
        "moela show front/best.json --traffic traffic.csv --scale 1 --json",
        "moela show front/best.json --heat --out heat.png",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the design and, with traffic, every metric of the design and of the mesh."""
    from problems.noc import Design, NoC3D

    design, found = load_design(arguments.design)
    if arguments.technology:
        platform = with_technology(design.platform, arguments.technology)
        # The networks of a run were compared on another platform.
        design, found = Design(design.placement, design.links, platform), None
    placed = arguments.baseline_evals
    if placed is not None and (placed < 1 or not arguments.traffic):
        raise ValueError("--baseline-evals N goes with --traffic and must be at least 1.")
    picture_to_write("--out", arguments.out)
    figure, rows = None, list[Row]()
    if arguments.traffic:
        with quiet():
            problem = NoC3D.from_traffic(
                arguments.traffic, platform=design.platform, objectives=("mean",),
                model=arguments.model, scale=arguments.scale,
            )  # fmt: skip
        warn_of_traffic(problem.traffic, problem.platform, arguments.scale, arguments.traffic)
        names = problem.metric_names
        rows = [
            {"metric": name, "design": own, "mesh": mesh, "change in %": change}
            for name, (own, mesh, change) in problem.beside_mesh(design, names).items()
        ]
        found = beside(problem, design, found, arguments)
        if arguments.out and not arguments.heat and found is None:
            figure = problem.plot_beside_mesh(design, names)
    if arguments.out:
        if found is not None and not arguments.heat:
            figure = found.plot()
        figure = figure or design.plot(temperature=arguments.heat)
        figure.savefig(arguments.out, dpi=110)
    if arguments.json:
        beside_all = None if found is None else found.summary()
        content = {"design": design.to_dict(), "metrics": rows, "picture": arguments.out}
        print_json(content | {"baselines": beside_all})
        return
    print(design)
    if found is not None:
        print(found)
    elif rows:
        print(Table(rows, {"design": ".5g", "mesh": ".5g", "change in %": "+.1f"}))
    if arguments.out:
        print(f"picture in {arguments.out}")


def load_design(name: str) -> tuple[Design, BaselineComparison | None]:
    """Return the design of a file, or the best one of the folder of a run with its baselines."""
    from problems.noc import BaselineComparison

    if not Path(name).is_dir():
        return _load(Path(name)), None
    if not (Path(name) / "best.json").exists():
        raise ValueError(
            f"{name} must be the folder of `moela run noc`, or a JSON file of a design. Got a "
            "folder without best.json instead."
        )
    design = _load(Path(name) / "best.json")
    path = Path(name) / "baselines.json"
    if not path.exists():
        return design, None
    found = BaselineComparison.load(path)
    if found.design != design:
        warn(f"{path} is of another design than best.json, and is left out")
        return design, None
    return design, found


def _load(path: Path) -> Design:
    """Return the design of a file; a ValueError says so if it is none of a network-on-chip."""
    from problems.noc import Design

    try:
        return Design.load(path)
    except ValueError:
        if is_store(path):
            raise ValueError(
                f"{path} must be a network-on-chip design, a JSON file. Got a store instead: "
                f"`moela explain {path}` explains its designs, and best.json in the --out folder "
                "of `moela run noc` is a design."
            ) from None
        found = read_json(path)
        if not isinstance(found, dict) or not {"design", "objectives"} <= set(found):
            raise
    raise ValueError(
        f"{path} must be a network-on-chip design. Got the best design of a run of your own "
        "function instead; with the store of that run, `moela explain run.db` explains its designs."
    )


def beside(
    problem: NoC3D,
    design: Design,
    found: BaselineComparison | None,
    arguments: argparse.Namespace,
) -> BaselineComparison | None:
    """Return the comparison with regular networks under given traffic; None if nobody asks."""
    if arguments.baseline_evals is not None:
        rng = np.random.default_rng(arguments.seed)
        evals = arguments.baseline_evals
        with quiet():
            placing = problem_to_place(problem)
            made = placing.beside_baselines(design, random_state=rng, n_eval=evals)
            return problem.beside_baselines(design, problem.metric_names, reuse=made)
    if found is not None:
        return problem.beside_baselines(design, problem.metric_names, reuse=found)
    return None


def problem_to_place(problem: NoC3D) -> NoC3D:
    """Return a problem whose objectives are those of the placements: energy and latency."""
    from problems.noc import NoC3D

    return NoC3D(
        problem.traffic, platform=problem.platform, objectives=("energy", "packet_latency"),
        model=problem.model,
    )  # fmt: skip
