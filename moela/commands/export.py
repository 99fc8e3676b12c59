"""`moela export`: write a network-on-chip design for another program."""

from __future__ import annotations

import argparse
from pathlib import Path

FORMATS = ("booksim", "hotspot", "csv", "graphml", "platform")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("design", metavar="DESIGN", help="JSON file that Design.save wrote")
    add("--to", required=True, choices=FORMATS, help="program or format")
    add("--out", required=True, metavar="DIR", help="folder for the files")
    add("--traffic", metavar="CSV", help="traffic for BookSim to match")
    add("--rate", type=float, help="flits that a BookSim node injects per cycle")


def run(arguments: argparse.Namespace) -> None:
    """Write the files and print their names."""
    from problems.noc import Design, load_traffic

    design = Design.load(arguments.design)
    out = Path(arguments.out)
    before = set(out.iterdir()) if out.is_dir() else set()
    traffic = None
    if arguments.traffic:
        traffic = load_traffic(arguments.traffic, n=design.platform.n_tiles)
    if arguments.to != "booksim" and (arguments.traffic or arguments.rate):
        raise ValueError(f"--traffic and --rate go with --to booksim. Got --to {arguments.to}.")
    out.mkdir(parents=True, exist_ok=True)
    if arguments.to == "booksim":
        design.to_booksim(out, traffic=traffic, injection_rate=arguments.rate)
    elif arguments.to == "hotspot":
        design.to_hotspot(out)
    elif arguments.to == "csv":
        design.to_csv(out / "placement.csv", out / "links.csv")
    elif arguments.to == "graphml":
        design.to_graphml(out / "design.graphml")
    else:
        design.platform.save(out / "platform.json")
    written = sorted(path.name for path in out.iterdir() if path not in before) or ["as before"]
    print(f"{out}/: {', '.join(written)}")
