"""`moela export`: write a network-on-chip design for another program."""

from __future__ import annotations

import argparse
from pathlib import Path

from moela.commands.output import add_json, folder_to_write, print_json
from moela.commands.parser import add_examples
from moela.commands.show import load_design
from moela.commands.traffic import add_traffic, warn_of_traffic

FORMATS = ("booksim", "hotspot", "csv", "graphml", "platform")

CSV_FILES = (
    "placement.csv holds the PE on each tile, links.csv the tiles of each link, the vertical links "
    "included, as in the released MOELA code."
)
GRAPHML_FILE = (
    "design.graphml holds tiles with their PEs and links with their lengths in tile pitches and "
    "cycles of a hop, for networkx and other graph programs."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("design", metavar="DESIGN",
        help="folder of `moela run noc`, or JSON file of a design")  # fmt: skip
    add("--to", required=True, choices=FORMATS, help="program or format")
    add("--out", required=True, metavar="DIR", help="folder for the files")
    add_traffic(parser, "traffic for BookSim to match", several=False)
    add("--rate", type=float, metavar="FLITS", help="flits that a BookSim node injects per cycle")
    add(
        "--match",
        default="margins",
        choices=("margins", "matrix"),
        help="matrix: files for the BookSim of RapidChiplet, with who talks to whom and routes",
    )
    add_json(parser)
    add_examples(
        parser,
        "moela export front/best.json --to booksim --traffic traffic.csv --out sim/",
        "moela export front/ --to booksim --traffic traffic.csv --out sim/",
        "moela export front/best.json --to hotspot --out heat/",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the files and print their names."""
    from problems.noc import load_traffic
    from problems.noc.design.exchange import describe_network

    design, found = load_design(arguments.design)
    networks = {} if found is None else found.networks
    out = Path(arguments.out)
    before = set(out.iterdir()) if out.is_dir() else set()
    matrix = arguments.match == "matrix"
    of_booksim = arguments.traffic or arguments.rate is not None or matrix
    if arguments.to != "booksim" and of_booksim:
        raise ValueError(
            f"--traffic, --rate and --match matrix go with --to booksim. Got --to {arguments.to}."
        )
    if matrix and not arguments.traffic:
        raise ValueError(
            "--match matrix needs the traffic of the design. Got none; add --traffic FILE."
        )
    traffic = None
    if arguments.traffic:
        platform, scale = design.platform, arguments.scale
        traffic = load_traffic(arguments.traffic, n=platform.n_tiles, scale=scale)
        warn_of_traffic(traffic, platform, scale, [arguments.traffic])
    folder_to_write("--out", out)
    if arguments.to not in ("booksim", "hotspot"):
        out.mkdir(parents=True, exist_ok=True)
    if arguments.to == "booksim":
        rate, match = arguments.rate, arguments.match
        try:
            design.to_booksim(
                out, traffic=traffic, injection_rate=rate, match=match, baselines=networks
            )
        except ValueError as error:
            raise ValueError(_reworded(str(error))) from None
    elif arguments.to == "hotspot":
        design.to_hotspot(out, baselines=networks)
    elif arguments.to == "csv":
        design.to_csv(out / "placement.csv", out / "links.csv")
        describe_network(design, out, CSV_FILES)
    elif arguments.to == "graphml":
        design.to_graphml(out / "design.graphml")
        describe_network(design, out, GRAPHML_FILE)
    else:
        design.platform.save(out / "platform.json")
    written = sorted(path.name for path in out.iterdir() if path not in before)
    if arguments.json:
        print_json({"out": str(out), "new_files": written})
        return
    print(f"{out}/: {', '.join(written or ['as before'])}")


def _reworded(message: str) -> str:
    """Return a message about a call of `Design.to_booksim` with the options in its place."""
    for name, option in (("traffic", "--traffic"), ("injection_rate", "--rate")):
        message = message.replace(f"The '{name}' parameter of to_booksim", option)
    return message.replace(
        "scale it down, or set injection_rate", "give a larger --scale, or a --rate"
    )
