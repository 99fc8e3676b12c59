"""README.txt of a folder for another program: what a run should print, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = [
    "booksim_text",
    "folder_of",
    "hotspot_text",
    "network_text",
    "networks_text",
    "routing_text",
    "write_readme",
]


def write_readme(folder: Path, text: str) -> None:
    """Write the text as README.txt."""
    (folder / "README.txt").write_text(text, encoding="utf-8")


def folder_of(name: str) -> str:
    """Return the folder of a regular network, such as "folded_torus"."""
    return name.replace(" ", "_")


def networks_text(columns: Sequence[str], cells: Mapping[str, Sequence[str]], more: str) -> str:
    """Return the paragraph on regular networks in folders beside the design's files.

    Parameters
    ----------
    columns : sequence of str
        Names of the numbers.
    cells : mapping from str to sequence of str
        Network, or "this folder" for the design -> its numbers, one for each column.
    more : str
        Sentences on the numbers.
    """
    names = {name: f"{folder_of(name)}/" for name in cells} | {"this folder": "this folder"}
    lines = [["", *columns], *([names[name], *row] for name, row in cells.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = "\n".join(
        "    " + "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return f"""
Regular networks to compare with lie in folders of their own, with the same traffic and power. A run
in each should print:

{table}

{more}
"""


def booksim_text(
    idle: float,
    model: float,
    hops: float,
    depth: int,
    channels: int,
    distance: float | None,
    proof: str,
    own: str,
    match: str = "margins",
) -> str:
    """Return the text for BookSim.

    Parameters
    ----------
    idle : float
        Mean latency that BookSim has at no load under the traffic of the file.
    model : float
        The same by the model under the application's traffic.
    hops : float
        Routers per packet under the traffic of the file.
    depth, channels : int
        Flits of a virtual channel, and virtual channels of a port.
    distance : float or None
        Total-variation distance of the file's traffic from the application's; None without one.
    proof : str
        Sentence on the deadlock of BookSim's routes.
    own : str
        Of ``routing_text``; empty where BookSim's routes are as long as the platform's.
    match : {"margins", "matrix"}
        "matrix" for the BookSim of RapidChiplet.
    """
    text = f"""A network-on-chip for BookSim 2. Start it in this folder:

    booksim booksim.cfg

At an injection rate near 0 it prints "Packet latency average" of {idle:.2f} cycles and "Hops
average" of {hops:.3f}. That latency is exact: the cycles of all hops, three more in each router,
three at the ends, and a cycle for each further flit. The three cycles are BookSim's shortest
pipeline; the stages of the routers are already in the latencies of the links, so that both take the
same routes. The model has no such cycles: compare

    latency - 3 * hops - 3.

At the rate of booksim.cfg, packets also wait, and the latency is larger.

Each port has {channels} virtual channels of {depth} flits. A place in a buffer is free again
after twice the latency of the link plus five cycles; shorter buffers throttle long links.
"""
    text += f"""
{proof}
Stock BookSim has no layers: where more than one is needed, all its virtual channels are shared, and
it may deadlock near saturation.
"""
    if own:
        text += f"""
{own}
Stock BookSim takes shortest paths instead. Design.simulate takes the platform's routes.
"""
    if distance is None:
        return text + "\nThe traffic is uniform.\n"
    if match == "matrix":
        text = text.replace("for BookSim 2.", "for the BookSim of RapidChiplet.")
        text = text.replace("\nStock BookSim takes shortest paths instead.", "")
        return (
            text
            + f"""
traffic.json holds who talks to whom, and routes.json the output port of each router by destination
node and input port; stock BookSim reads neither. For shortest paths the routes are those that stock
BookSim finds, as long as the model's. All sending nodes inject at one rate, so each PE has nodes by
what it sends. Rounding leaves a total-variation distance of {distance:.3f} from the application's
traffic (0 is equal, 1 is disjoint). Under the application's own traffic the latency without waiting
is {model:.2f} cycles by the model. A PE with several nodes has as many ports: packets wait less for
them than in Design.simulate, which has one port for each PE.
"""
        )
    return (
        text
        + f"""
BookSim takes no traffic matrix. The file matches what each PE sends and receives in all, not who
talks to whom, and a part of the packets goes to their own router. The total-variation distance
from the application's traffic is {distance:.2f} (0 is equal, 1 is disjoint). Under the
application's own traffic the latency without waiting is {model:.2f} cycles by the model.
Design.simulate takes the true matrix.
"""
    )


def routing_text(routing: str, proof: str) -> str:
    """Return the sentences on the platform's routing and the proof of it, as a paragraph."""
    own = "The platform's routing is"
    if routing == "lash":
        return (
            f"{own} 'lash', shortest paths in virtual layers, each with virtual channels of its "
            f"own. {proof}"
        )
    return f"{own} {routing!r}. {proof}"


def network_text(files: str, hops: float, cycles: float, routing: str) -> str:
    """Return the text for files that hold a network.

    Parameters
    ----------
    files : str
        What the files hold, as sentences.
    hops, cycles : float
        Mean links and cycles of a path between two tiles along the platform's routes.
    routing : str
        Of ``routing_text``.
    """
    return f"""A network-on-chip.

{files}

{routing}

A program that follows these routes should find a mean of {hops:.4f} links and {cycles:.3f} cycles
between two different tiles, all pairs alike: the cycles of all hops, with the stages of a router in
each hop, and without waiting and without the length of packets.
"""


def hotspot_text(peak: float, tile: str, watts: float) -> str:
    """Return the text for HotSpot, given the hottest tile by the model and the watts in all."""
    return f"""A chip for HotSpot 6. Start it in this folder:

    hotspot -c hotspot.config -f layer0.flp -p power.ptrace -grid_layer_file stack.lcf \\
        -model_type grid -steady_file steady.txt

steady.txt then holds the temperature of each tile in kelvin. The hottest should be near {tile},
at {peak:.1f} degrees Celsius ({peak + 273.15:.1f} K): that is the model's "peak_temperature",
finite volumes fitted to HotSpot. On 88 designs of a 4 x 4 x 4 chip its rise over the ambient was
within 0.5 % on average. All tiles together take {watts:.1f} W.
"""
