"""Files for the BookSim of RapidChiplet: a traffic matrix, and routing tables.

RapidChiplet [1]_ extends BookSim 2 by the options "mode", "traffic_file", "routing_table_type" and
"routing_table_file". Its traffic file is a JSON list with a row of weights for each sending node.
All nodes that send inject at one rate, so a PE gets nodes in proportion to what it sends; the pairs
of sender and receiver are those of the application. Its routing file is a JSON list with one object
for each router: the output port of each destination node ("default"), or that of each input port
for each destination node ("extended"). Ports count the nodes of a router first, then its neighbors
in ascending order.

References
----------
.. [1] P. Iff et al., "RapidChiplet: a toolchain for rapid design space exploration of chiplet
   architectures", arXiv 2311.06081, 2023.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.evaluation.routes import hop_matrix, paths_of, routing_name

if TYPE_CHECKING:
    from problems.noc.design.design import Design

__all__ = [
    "SETTINGS",
    "fork_routing",
    "matrix_nodes",
    "node_traffic",
    "route_tables",
    "write_fork_files",
]

NODES_PER_PE = 8
"""Nodes of a PE on average; more match the shares of senders better but take longer to simulate."""

SETTINGS = {
    "mode": "traffic",
    "traffic": "custom",
    "injection_process": "custom",
    "traffic_file": "traffic.json",
    "routing_table_type": "extended",
    "routing_table_file": "routes.json",
    "deadlock_warn_timeout": "1024",
}
"""Settings of the configuration that stock BookSim does not have, or has otherwise."""


def matrix_nodes(traffic: Floats) -> tuple[Ints, float]:
    """Return the nodes of each PE [n] and the flits that a sending node injects per cycle.

    Every PE has a node. Those that send share the others by what they send.
    """
    sent = traffic.sum(axis=1)
    share = sent / sent.sum() * NODES_PER_PE * sent.size
    counts = np.maximum(np.rint(share).astype(np.int64), 1)
    return counts, float(sent.sum() / counts[sent > 0].sum())


def node_traffic(traffic: Floats, counts: Ints) -> Floats:
    """Return the share of each pair of PEs in the traffic of the files, [n, n], 1 in all."""
    sent = traffic.sum(axis=1)
    senders = np.where(sent > 0, counts, 0)
    rows = traffic / np.where(sent > 0, sent, 1.0)[:, None]
    result: Floats = rows * (senders / senders.sum())[:, None]
    return result


def fork_routing(design: Design) -> str:
    """Return the name of the routes in the files: the platform's if tables can hold them."""
    name = routing_name(design, "model")
    return "booksim" if name == "shortest" else name


def route_tables(design: Design, counts: Ints) -> list[dict[str, dict[str, int]]]:
    """Return the output port by destination node and input port, of each router.

    The routes are the platform's if tables can hold them: those of "up_down" and "dimension_order".
    For shortest paths they are BookSim's, of the same lengths.
    """
    paths = paths_of(design, fork_routing(design))
    n = design.platform.n_tiles
    cost = hop_matrix(n, design.all_links(), design.hop_cycles())
    pe = design.placement
    nodes = counts[pe]
    first = np.concatenate(([0], np.cumsum(counts)))
    # The port to each neighbor; links go both ways, so inputs and outputs count alike.
    port = nodes[:, None] + np.cumsum(cost > 0, axis=1) - 1
    tables: list[dict[str, dict[str, int]]] = [{} for _ in range(n)]

    def ids(tile: int) -> range:
        return range(int(first[pe[tile]]), int(first[pe[tile] + 1]))

    for s, t in itertools.product(range(n), range(n)):
        begin = paths.start[s, t]
        path = paths.tiles[begin : begin + paths.length[s, t]].tolist()
        for k, v in enumerate(path):
            entries = range(int(nodes[v])) if k == 0 else [int(port[v, path[k - 1]])]
            for place, node in enumerate(ids(t)):
                out = place if v == t else int(port[v, path[k + 1]])
                row = tables[v].setdefault(str(node), {})
                row.update((str(entry), out) for entry in entries)
    return tables


def write_fork_files(design: Design, folder: Path, traffic: Floats, counts: Ints) -> None:
    """Write ``traffic.json`` and ``routes.json``.

    Parameters
    ----------
    design : Design
    folder : Path
    traffic : float array [n, n]
        Flits per cycle from PE to PE.
    counts : int array [n]
        Of ``matrix_nodes``.
    """
    owner = np.repeat(np.arange(counts.size), counts)
    sent = traffic.sum(axis=1)
    rows = traffic / np.where(sent > 0, sent, 1.0)[:, None] / counts
    weights = rows[np.ix_(owner, owner)]
    (folder / "traffic.json").write_text(
        json.dumps([[float(f"{w:.7g}") for w in row] for row in weights.tolist()]) + "\n",
        encoding="ascii",
    )
    tables = route_tables(design, counts)
    (folder / "routes.json").write_text(json.dumps(tables) + "\n", encoding="ascii")
