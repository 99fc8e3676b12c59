"""An independent packet simulator: Poisson arrivals, fixed routes, one queue per link direction.

It follows the description of the model, not its code; networkx finds the routes. Packets keep their
length. A packet occupies a channel for its flits, and its head proceeds after the cycles of a hop.
"""

import heapq
import itertools
import math

import networkx as nx
import numpy as np


def routes(design):
    """Return the tiles of every path by source and target tile, ties to the smallest PE id."""
    platform = design.platform
    graph = nx.Graph()
    for a, b in design.planar_links.tolist():
        length = math.dist(platform.position(a), platform.position(b))
        cost = platform.router_stages + math.ceil(length * platform.planar_delay - 1e-9)
        graph.add_edge(a, b, cost=cost)
    for a, b in design.vertical_links.tolist():
        graph.add_edge(a, b, cost=platform.router_stages + math.ceil(platform.vertical_delay))
    pe = design.placement
    tiles = {}
    for source in graph:
        cost = nx.single_source_dijkstra_path_length(graph, source, weight="cost")
        for target in sorted(graph, key=cost.get):
            if target != source:
                before = [t for t in graph[target]
                          if cost[t] + graph[t][target]["cost"] == cost[target]]  # fmt: skip
                parent = min(before, key=lambda t: pe[t])
                tiles[source, target] = (*tiles.get((source, parent), (source,)), target)
    return graph, tiles


def simulate_packets(design, traffic, n_packets, rng, warm=0.2):
    """Return the mean latency in cycles from creation to the arrival of the last flit."""
    platform = design.platform
    graph, paths = routes(design)
    tile = np.argsort(design.placement)
    pairs = np.argwhere(traffic > 0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    weight = traffic[pairs[:, 0], pairs[:, 1]]
    rate = weight.sum() / platform.packet_flits
    busy = platform.packet_flits / platform.link_capacity
    chosen = rng.choice(len(pairs), size=n_packets, p=weight / weight.sum())
    created = np.cumsum(rng.exponential(1.0 / rate, size=n_packets))
    free = {}
    count = itertools.count()
    queue = []
    stops = []
    for k, (i, j) in enumerate(pairs[chosen].tolist()):
        path = paths[int(tile[i]), int(tile[j])]
        hops = [((a, b), graph[a][b]["cost"]) for a, b in itertools.pairwise(path)]
        stops.append([(("in", i), 0), *hops, (("out", j), 0)])
        queue.append((float(created[k]), next(count), k, 0))
    heapq.heapify(queue)
    latency = np.zeros(n_packets)
    while queue:
        now, _, k, stop = heapq.heappop(queue)
        channel, cycles = stops[k][stop]
        start = max(now, free.get(channel, 0.0))
        free[channel] = start + busy
        if stop + 1 < len(stops[k]):
            heapq.heappush(queue, (start + cycles, next(count), k, stop + 1))
        else:
            latency[k] = start + (platform.packet_flits - 1) / platform.link_capacity - created[k]
    return float(latency[int(warm * n_packets) :].mean())
