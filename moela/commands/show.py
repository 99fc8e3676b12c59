"""`moela show`: a network-on-chip design in words, in numbers, and as a picture."""

from __future__ import annotations

import argparse

from moela.commands.output import add_json, print_json
from moela.commands.parser import add_examples
from moela.commands.traffic import (
    add_technology,
    add_traffic,
    quiet,
    warn_of_traffic,
    with_technology,
)
from moela.quality.table import Row, Table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("design", metavar="DESIGN", help="JSON file of a design, such as best.json of a run")
    add_traffic(parser, "traffic files to evaluate the design under")
    add("--model", default="published", help="published or released formulas")
    add("--out", metavar="PNG", help="picture to write; with --traffic, the mesh is beside it")
    add_technology(parser)
    add("--heat", action="store_true", help="color tiles by temperature")
    add_json(parser)
    add_examples(
        parser,
        "moela show front/best.json --traffic traffic.csv --out best.png",
        "moela show front/best.json --traffic traffic.csv --scale 1 --json",
        "moela show front/best.json --heat --out heat.png",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the design and, with traffic, every metric of the design and of the mesh."""
    from problems.noc import Design, NoC3D

    design = Design.load(arguments.design)
    if arguments.technology:
        platform = with_technology(design.platform, arguments.technology)
        design = Design(design.placement, design.links, platform)
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
        if arguments.out and not arguments.heat:
            figure = problem.plot_beside_mesh(design, names)
    if arguments.out:
        figure = figure or design.plot(temperature=arguments.heat)
        figure.savefig(arguments.out, dpi=110)
    if arguments.json:
        print_json({"design": design.to_dict(), "metrics": rows, "picture": arguments.out})
        return
    print(design)
    if rows:
        print(Table(rows, {"design": ".5g", "mesh": ".5g", "change in %": "+.1f"}))
    if arguments.out:
        print(f"picture in {arguments.out}")
