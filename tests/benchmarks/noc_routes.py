"""Packet latency by the model on the routes of another program, for noc_referees."""

from __future__ import annotations

import numpy as np

from problems._arrays import Floats
from problems.noc import Design
from problems.noc.evaluation.latency import waits_batch
from problems.noc.evaluation.metrics import flit_sharing, second_moment
from problems.noc.evaluation.routes import cycles_along, hop_matrix, paths_of
from problems.noc.evaluation.stalls import nothing_held


def latency_on(design: Design, traffic: Floats, routing: str) -> float:
    """Return the packet latency of a design by the model, on routes by name.

    Packets must fit into virtual channels.
    """
    platform = design.platform
    n, ports = platform.n_tiles, platform.max_degree + 1
    cost = hop_matrix(n, design.all_links(), design.hop_cycles())
    paths = paths_of(design, routing)
    flows = traffic[np.ix_(design.placement, design.placement)] * ~np.eye(n, dtype=bool)
    neighbors = [np.flatnonzero(cost[u]).tolist() for u in range(n)]
    place = [{v: k for k, v in enumerate(near)} for near in neighbors]
    wiring = np.zeros((n, ports - 1, 3), dtype=np.int64)
    for u, near in enumerate(neighbors):
        for k, v in enumerate(near):
            wiring[u, k] = v, place[v][u], cost[u, v]
    transits = np.zeros((n, ports, ports))
    for u, v in np.argwhere(flows > 0).tolist():
        start = int(paths.start[u, v])
        tiles = paths.tiles[start : start + int(paths.length[u, v])].tolist()
        for k, tile in enumerate(tiles):
            entry = place[tile][tiles[k - 1]] if k else ports - 1
            leave = place[tile][tiles[k + 1]] if k + 1 < len(tiles) else ports - 1
            transits[tile, entry, leave] += flows[u, v]
    waits = np.empty((1, 1))
    packet = (platform.packet_flits, second_moment(platform), flit_sharing(platform))
    buffers = (platform.virtual_channels, platform.channel_flits or 0)
    gaps = np.ones((1, n, ports))  # all channels are as wide
    waits_batch(
        transits[None, None],
        wiring[None],
        gaps,
        platform.link_capacity,
        *packet,
        *buffers,
        *nothing_held(1, 1),
        waits,
    )
    crossing = float((flows * cycles_along(cost, paths)).sum() + waits[0, 0])
    return crossing / float(flows.sum()) + (platform.packet_flits - 1) / platform.link_capacity
