"""Designs as files for other programs: placement and links as CSV, and GraphML.

The CSV form is that of the arrays in the released MOELA code: the placement is one PE id per tile,
the links are tile pairs, including the vertical ones. Commas, or another separator of CSV, or white
space separate the numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import ArrayLike

from moela.files.guard import invalid_file
from problems._arrays import Ints
from problems._checks import setting_error
from problems.noc.chip.files import read_rows
from problems.noc.chip.layout import link_lengths
from problems.noc.design.deadlock import prove_deadlock_free
from problems.noc.design.readme import network_text, routing_text, write_readme
from problems.noc.evaluation.physical import all_links
from problems.noc.evaluation.routes import paths_of

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform
    from problems.noc.design.design import Design

__all__ = ["describe_network", "read_csv", "write_csv", "write_graphml"]


def write_csv(design: Design, placement: str | Path, links: str | Path) -> None:
    """Write a placement file (one line of PE ids) and a links file (a tile pair per line)."""
    for path, rows in ((placement, [design.placement]), (links, design.all_links())):
        lines = [",".join(map(str, row.tolist())) for row in rows]
        Path(path).write_text("\n".join(lines) + "\n", encoding="ascii")


def read_csv(placement: str | Path, links: str | Path, platform: Platform) -> tuple[Ints, Ints]:
    """Return placement [n_tiles] and chosen links [n_chosen, 2] of two files.

    The links file holds tile pairs in any order and direction, with or without the vertical links
    that every design has. It may also be a square adjacency matrix of n_tiles rows. A ValueError
    names file and place of an entry that is no integer, or a wrong shape.
    """
    n = platform.n_tiles
    tiles = [value for row in _integers(placement, n) for value in row]
    if len(tiles) != n:
        raise invalid_file(placement, len(tiles), f"a PE id for each of {n} tiles")
    rows = _integers(links, max(n, platform.n_links))
    if len(rows) == n and all(len(row) == n for row in rows) and n > 2:
        pairs = np.argwhere(np.triu(np.array(rows) | np.array(rows).T, k=1))
    else:
        for i, row in enumerate(rows, start=1):
            if len(row) != 2:
                expected = f"two tiles (or the file {n} rows of {n} numbers)"
                raise invalid_file(links, f"{len(row)} numbers", expected, f"row {i}")
        pairs = np.array(rows, dtype=np.int64).reshape(-1, 2)
    fixed = {tuple(pair) for pair in platform.vertical_array.tolist()}
    kept = [pair for pair in np.sort(pairs, axis=1).tolist() if tuple(pair) not in fixed]
    return np.array(tiles, dtype=np.int64), np.array(kept, dtype=np.int64).reshape(-1, 2)


def _integers(path: str | Path, most: int) -> list[list[int]]:
    def whole(value: float) -> bool:
        return abs(value) < 2**31 and value == int(value)

    return [list(map(int, row)) for _, row in read_rows(path, whole, "an integer", most)]


def write_graphml(design: Design, path: str | Path, loads: ArrayLike | None = None) -> None:
    """Write the network as GraphML, which networkx and most graph programs read.

    Nodes are tiles, with pe, type, power, x, y, z; edges have length (tile pitches), cycles (of a
    hop), vertical, if ``loads`` [n_links] is given, load, and, if the platform has a technology,
    length_mm, bandwidth_gb_s in each direction, and energy_pj of a flit. The graph has the routing
    of the platform, and the proof that it is free of deadlock.
    """
    platform = design.platform
    keys = {
        "pe": ("node", "long"), "type": ("node", "string"), "power": ("node", "double"),
        "x": ("node", "long"), "y": ("node", "long"), "z": ("node", "long"),
        "length": ("edge", "double"), "cycles": ("edge", "long"),
        "vertical": ("edge", "boolean"), "load": ("edge", "double"),
        **dict.fromkeys(_physical_columns(design), ("edge", "double")),
        "routing": ("graph", "string"), "deadlock": ("graph", "string"),
    }  # fmt: skip
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
    ]
    for name, (kind, form) in keys.items():
        lines.append(f'<key id="{name}" for="{kind}" attr.name="{name}" attr.type="{form}"/>')
    lines.append('<graph id="noc" edgedefault="undirected">')
    proof = escape(str(prove_deadlock_free(design)))
    lines.append(_data({"routing": platform.routing, "deadlock": proof}))
    for tile, pe in enumerate(design.placement.tolist()):
        x, y, z = platform.position(tile)
        kind = escape(platform.pe_types[int(platform.pe_type[pe])].name)
        node = {"pe": pe, "power": float(platform.power[pe]), "x": x, "y": y, "z": z, "type": kind}
        lines.append(f'<node id="{tile}">{_data(node)}</node>')
    links = design.all_links()
    lengths = link_lengths(platform.grid, links).tolist()
    cycles = design.hop_cycles().tolist()
    values = None if loads is None else np.asarray(loads, dtype=np.float64)
    if values is not None and values.shape != (len(links),):
        expected = f"{len(links)} numbers, one per link"
        raise setting_error("to_graphml", "loads", expected, values.shape)
    columns = _physical_columns(design)
    for k, (a, b) in enumerate(links.tolist()):
        vertical = str(k >= platform.n_planar_links).lower()
        edge = {"length": lengths[k], "cycles": cycles[k], "vertical": vertical}
        if values is not None:
            edge["load"] = float(values[k])
        edge |= {name: column[k] for name, column in columns.items()}
        lines.append(f'<edge source="{a}" target="{b}">{_data(edge)}</edge>')
    Path(path).write_text("\n".join([*lines, "</graph>", "</graphml>"]) + "\n", encoding="utf-8")


def describe_network(design: Design, folder: str | Path, files: str) -> None:
    """Write README.txt about files of a design, with its routes and their proof.

    Parameters
    ----------
    design : Design
    folder : str or Path
        Of the files; it must exist.
    files : str
        What they hold, as sentences.
    """
    proof = prove_deadlock_free(design)
    paths = paths_of(design, "model")
    n = design.platform.n_tiles
    hops = float((paths.length - 1).sum()) / (n * (n - 1))
    routing = routing_text(design.platform.routing, str(proof))
    write_readme(Path(folder), network_text(files, hops, proof.hop_cycles, routing))


def _physical_columns(design: Design) -> dict[str, list[float]]:
    """Return figures of each link in physical units; none without a technology."""
    platform, physical = design.platform, design.platform.physical
    if platform.technology is None:
        return {}
    links = all_links(platform, design.row()[None])[0]
    width = physical.rate[links] * platform.link_capacity * physical.gigabytes
    return {
        "length_mm": physical.length[links].tolist(),
        "bandwidth_gb_s": width.tolist(),
        "energy_pj": physical.link_energy[links].tolist(),
    }


def _data(values: dict[str, object]) -> str:
    return "".join(f'<data key="{name}">{value}</data>' for name, value in values.items())
