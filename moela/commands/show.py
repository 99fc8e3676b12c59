"""`moela show`: a network-on-chip design in words, in numbers, and as a picture."""

from __future__ import annotations

import argparse

from moela.quality.table import Table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("design", metavar="DESIGN", help="JSON file that Design.save wrote")
    add("--traffic", nargs="+", metavar="CSV", help="traffic files to evaluate the design under")
    add("--model", default="published", help="published or released formulas")
    add("--out", metavar="PNG", help="picture to write; with --traffic, the mesh is beside it")
    add("--heat", action="store_true", help="color tiles by temperature")


def run(arguments: argparse.Namespace) -> None:
    """Print the design and, with traffic, every metric of the design and of the mesh."""
    from problems.noc import Design, NoC3D

    design = Design.load(arguments.design)
    print(design)
    figure = None
    if arguments.traffic:
        problem = NoC3D.from_traffic(
            arguments.traffic, platform=design.platform, objectives=("mean",), model=arguments.model
        )
        names = problem.metric_names
        rows = [
            {"metric": name, "design": own, "mesh": mesh, "change in %": change}
            for name, (own, mesh, change) in problem.beside_mesh(design, names).items()
        ]
        print(Table(rows, {"design": ".5g", "mesh": ".5g", "change in %": "+.1f"}))
        if arguments.out and not arguments.heat:
            figure = problem.plot_beside_mesh(design, names)
    if arguments.out:
        figure = figure or design.plot(temperature=arguments.heat)
        figure.savefig(arguments.out, dpi=110)
        print(f"picture in {arguments.out}")
