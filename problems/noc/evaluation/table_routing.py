"""Routing by tables of next hops: up*/down* and dimension order, and the evaluation along them.

A table gives the next tile for each destination and state. State v is tile v while a packet may
still go up, state n + v after it went down [1]_. The channel over which a packet comes tells its
state, so each router can look its next hop up by that channel and the destination. Dimension order
needs the first n states only.

A hop goes up if it leads to a tile of lower rank. Ranks follow from the distance from the most
central tile. A path goes up first and down afterwards; of several shortest such paths, each router
takes the neighbor of smallest index. Costs of paths need no search, since ranks order the tiles:
first paths that only go down, from the highest rank on, then all others, from the lowest rank on.

All steps are in one file because numba's cache looks only at the file of the function itself.

References
----------
.. [1] M. D. Schroeder et al., "Autonet: a high-speed, self-configuring local area network using
   point-to-point links", IEEE Journal on Selected Areas in Communications, 1991.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.chip.jit import compiled, inlined
from problems.noc.chip.tables import Tables

__all__ = ["UNREACHED", "dimension_order_table", "evaluate_by_tables", "up_down_table"]

UNREACHED = np.int64(2**40)
"""Cycles to a tile that no path reaches."""


class Graph(NamedTuple):
    """The neighbors of each tile, ascending; links are positions in the design."""

    degree: Ints  # [n]
    neighbor: Ints  # [n, most]
    cost: Ints  # [n, most] cycles of the hop
    link: Ints  # [n, most]
    back: Ints  # [n, most] place of the tile in the list of its neighbor


@inlined
def new_graph(n: int, most: int) -> Graph:
    """Return lists for a number of tiles and of neighbors of each."""
    return Graph(
        np.zeros(n, np.int64),
        np.zeros((n, most), np.int64),
        np.zeros((n, most), np.int64),
        np.zeros((n, most), np.int64),
        np.zeros((n, most), np.int64),
    )


@inlined
def add_neighbor(graph: Graph, v: int, u: int, cycles: int, link: int) -> None:
    """Add a neighbor of a tile in its place."""
    k = graph.degree[v]
    while k > 0 and graph.neighbor[v, k - 1] > u:
        graph.neighbor[v, k] = graph.neighbor[v, k - 1]
        graph.cost[v, k] = graph.cost[v, k - 1]
        graph.link[v, k] = graph.link[v, k - 1]
        k -= 1
    graph.neighbor[v, k] = u
    graph.cost[v, k] = cycles
    graph.link[v, k] = link
    graph.degree[v] += 1


@inlined
def find_places(graph: Graph) -> None:
    """Fill in the places of all tiles in the lists of their neighbors."""
    for v in range(graph.degree.size):
        for k in range(graph.degree[v]):
            u = graph.neighbor[v, k]
            for j in range(graph.degree[u]):
                if graph.neighbor[u, j] == v:
                    graph.back[v, k] = j


@inlined
def fill_graph(chosen: Ints, tables: Tables, graph: Graph) -> None:
    """Fill in the neighbors of a design with some chosen links."""
    graph.degree.fill(0)
    n_links = chosen.size + tables.link_a.size - tables.n_candidates
    for k in range(n_links):
        c = chosen[k] if k < chosen.size else tables.n_candidates + k - chosen.size
        a, b = tables.link_a[c], tables.link_b[c]
        cycles = int(tables.link_cost[c])
        add_neighbor(graph, a, b, cycles, k)
        add_neighbor(graph, b, a, cycles, k)
    find_places(graph)


@inlined
def shortest_costs(graph: Graph, cost: Ints) -> None:
    """Fill in the cycles of the shortest paths between all tiles, [n, n]."""
    n = graph.degree.size
    cost[:] = UNREACHED
    for v in range(n):
        cost[v, v] = 0
    busy, forward = True, True
    while busy:
        busy = False
        for i in range(n):
            v = i if forward else n - 1 - i
            changed = np.int64(0)
            for k in range(graph.degree[v]):
                u, w = graph.neighbor[v, k], graph.cost[v, k]
                for t in range(n):
                    old = cost[v, t]
                    new = min(old, cost[u, t] + w)
                    changed |= old ^ new
                    cost[v, t] = new
            busy = busy or changed != 0
        forward = not forward


@inlined
def rank_tiles(graph: Graph, cost: Ints, order: Ints, rank: Ints) -> None:
    """Fill in the rank of each tile by its distance from the most central one, and their order."""
    n = graph.degree.size
    shortest_costs(graph, cost)
    root, least = 0, UNREACHED * 2
    for v in range(n):
        farthest = cost[v].max()
        if farthest < least:
            root, least = v, farthest
    for i in range(n):
        k = i
        while k > 0 and cost[root, order[k - 1]] > cost[root, i]:
            order[k] = order[k - 1]
            k -= 1
        order[k] = i
    for k in range(n):
        rank[order[k]] = k


@inlined
def relax(row: Ints, other: Ints, cycles: int) -> None:
    """Lower the costs of a tile by the hop to a neighbor."""
    for t in range(row.size):
        row[t] = min(row[t], other[t] + cycles)


@inlined
def fill_up_down(graph: Graph, cost: Ints, order: Ints, rank: Ints, table: Ints) -> None:
    """Fill the cycles [2 n, n] from each state to each tile, and the next tiles [2 n, n]."""
    n = graph.degree.size
    rank_tiles(graph, cost[:n], order, rank)
    cost[:] = UNREACHED
    for v in range(n):
        cost[v, v] = cost[n + v, v] = 0
    for i in range(n):
        v = order[n - 1 - i]
        for k in range(graph.degree[v]):
            u = graph.neighbor[v, k]
            if rank[u] > rank[v]:
                relax(cost[n + v], cost[n + u], graph.cost[v, k])
    for i in range(n):
        v = order[i]
        for k in range(graph.degree[v]):
            u = graph.neighbor[v, k]
            relax(cost[v], cost[u if rank[u] < rank[v] else n + u], graph.cost[v, k])
    table[:] = -1
    for v in range(n):
        for k in range(graph.degree[v] - 1, -1, -1):
            u, w = graph.neighbor[v, k], graph.cost[v, k]
            up = rank[u] < rank[v]
            far = cost[u if up else n + u]
            for t in range(n):
                if t != v and far[t] + w == cost[v, t]:
                    table[v, t] = k
                if t != v and not up and far[t] + w == cost[n + v, t]:
                    table[n + v, t] = k


@inlined
def fill_dimension_order(graph: Graph, place: Ints, cost: Ints, table: Ints) -> None:
    """Fill cycles and next tiles of the paths along x, then y, then z; see ``fill_up_down``."""
    n = graph.degree.size
    cost[:] = UNREACHED
    table[:] = -1
    for t in range(n):
        for v in range(n):
            for k in range(graph.degree[v]):
                u = graph.neighbor[v, k]
                axis = 0
                while axis < 2 and place[v, axis] == place[t, axis]:
                    axis += 1
                step = np.sign(place[t, axis] - place[v, axis])
                fits = v != t
                for other in range(3):
                    moved = place[u, other] - place[v, other]
                    fits = fits and moved == (step if other == axis else 0)
                if fits:
                    table[v, t] = k
        for s in range(n):
            cycles, v = 0, s
            while v != t and table[v, t] >= 0:
                cycles += graph.cost[v, table[v, t]]
                v = graph.neighbor[v, table[v, t]]
            cost[s, t] = cycles if v == t else UNREACHED


@compiled
def up_down_table(cost: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the next tile [2 n, n] from each state to each tile, its cycles, and the ranks [n].

    Parameters
    ----------
    cost : int array [n, n]
        Of ``hop_matrix``.
    """
    n = len(cost)
    graph = new_graph(n, n)
    for v in range(n):
        for u in range(n):
            if cost[v, u] > 0:
                add_neighbor(graph, v, u, cost[v, u], 0)
    cycles, table = np.empty((2 * n, n), np.int64), np.empty((2 * n, n), np.int64)
    order, rank = np.empty(n, np.int64), np.empty(n, np.int64)
    fill_up_down(graph, cycles, order, rank, table)
    for v in range(2 * n):
        for t in range(n):
            if table[v, t] >= 0:
                table[v, t] = graph.neighbor[v % n, table[v, t]]
    return table, cycles, rank


@compiled
def dimension_order_table(cost: Ints, place: Ints) -> tuple[Ints, Ints]:
    """Return the next tile [2 n, n] from each state to each tile, and its cycles.

    An entry is -1, and its cycles are ``UNREACHED``, where a link between neighbors is missing.
    ``place`` [n, 3] holds x, y and z of each tile; ``cost`` is as in ``up_down_table``.
    """
    n = len(cost)
    graph = new_graph(n, n)
    for v in range(n):
        for u in range(n):
            if cost[v, u] > 0:
                add_neighbor(graph, v, u, cost[v, u], 0)
    cycles, table = np.empty((2 * n, n), np.int64), np.empty((2 * n, n), np.int64)
    fill_dimension_order(graph, place, cycles, table)
    for v in range(n):
        for t in range(n):
            if table[v, t] >= 0:
                table[v, t] = graph.neighbor[v, table[v, t]]
    return table, cycles


@inlined
def send_to(
    t: int,
    flow: Floats,
    graph: Graph,
    cost: Ints,
    table: Ints,
    rank: Ints,
    up_down: bool,
    order: Ints,
    start: Ints,
    arc: Floats,
    turn: Floats,
) -> float:
    """Send the traffic to one tile along the table, the farthest states first.

    ``flow`` [2 n] holds the traffic of each state, that of the sources at first. Adds to ``arc``
    [n, most] the traffic that leaves a tile, and to ``turn``, unless it is empty, that of each
    input and output; see ``count_transits`` of the kernel. Return the traffic of the sources times
    the degrees of the tiles after them.
    """
    n, pe = graph.degree.size, turn.shape[1] - 1
    farthest = np.int64(0)
    for v in range(2 * n):
        if cost[v, t] < UNREACHED:
            farthest = max(farthest, cost[v, t])
    start[: farthest + 1] = 0
    for v in range(2 * n):
        if cost[v, t] < UNREACHED:
            start[cost[v, t]] += 1
    place = 0
    for d in range(farthest, -1, -1):
        count = start[d]
        start[d] = place
        place += count
    for v in range(2 * n):
        if cost[v, t] < UNREACHED:
            order[start[cost[v, t]]] = v
            start[cost[v, t]] += 1
    first = 0.0
    for s in range(n):
        if s != t and flow[s] > 0.0:
            k = table[s, t]
            first += flow[s] * graph.degree[graph.neighbor[s, k]]
            if turn.shape[0] > 0:
                turn[s, pe, k] += flow[s]
    for i in range(place):
        state = order[i]
        v = state % n
        if v == t or flow[state] == 0.0:
            continue
        k = table[state, t]
        u = graph.neighbor[v, k]
        goes_up = not up_down or (state < n and rank[u] < rank[v])
        after = u if goes_up else n + u
        flow[after] += flow[state]
        arc[v, k] += flow[state]
        if turn.shape[0] > 0:
            out = pe if u == t else table[after, t]
            turn[u, graph.back[v, k], out] += flow[state]
    return first


@inlined
def sum_links(
    placement: Ints,
    chosen: Ints,
    sent: Floats,
    tables: Tables,
    graph: Graph,
    arc: Floats,
    store: Floats,
) -> tuple[float, float, float, float]:
    """Return the sums of ``link_statistics`` of the kernel, and fill ``store`` with the loads.

    Sums go through the neighbors, so that they do not depend on the order of the links in a row.
    ``store`` is [1, 1, n_links, 2], or empty.
    """
    total, energy, routers, squares = 0.0, 0.0, 0.0, 0.0
    n_links = chosen.size + tables.link_a.size - tables.n_candidates
    for v in range(graph.degree.size):
        through = sent[placement[v]]
        for k in range(graph.degree[v]):
            u = graph.neighbor[v, k]
            back = arc[u, graph.back[v, k]]
            through += back
            if u > v:
                link = graph.link[v, k]
                total += arc[v, k] + back
                c = tables.n_candidates + link - chosen.size
                if link < chosen.size:
                    c = chosen[link]
                energy += (arc[v, k] + back) * tables.link_energy[c]
                if store.shape[0] > 0:
                    store[0, 0, link, 0] = arc[v, k]
                    store[0, 0, link, 1] = back
        routers += graph.degree[v] * through
    mean = total / n_links
    for v in range(graph.degree.size):
        for k in range(graph.degree[v]):
            u = graph.neighbor[v, k]
            if u > v:
                squares += (arc[v, k] + arc[u, graph.back[v, k]] - mean) ** 2
    return mean, squares, energy, routers


@compiled
def evaluate_by_tables(
    X: Ints,
    tables: Tables,
    traffic: Floats,
    sent: Floats,
    pair_i: Ints,
    pair_j: Ints,
    pair_weight: Floats,
    released: bool,
    up_down: bool,
    F: Floats,
    loads: Floats,
    transits: Floats,
    wirings: Ints,
) -> bool:
    """Evaluate rows of X along the routes of tables; as ``evaluate_batch`` of the kernel.

    ``up_down`` chooses up*/down* routes, else they are in dimension order. Ports of ``transits``
    and ``wirings`` count by tiles, and neighbors by ascending tiles.
    """
    n = tables.pe_type.size
    n_links = tables.n_chosen + tables.link_a.size - tables.n_candidates
    tile = np.empty(n, np.int64)
    graph = new_graph(n, tables.max_degree)
    cost, table = np.empty((2 * n, n), np.int64), np.empty((2 * n, n), np.int64)
    order, rank = np.empty(2 * n, np.int64), np.zeros(n, np.int64)
    start = np.empty(2 * n * int(tables.link_cost.max()) + 1, np.int64)
    flow, arc = np.empty(2 * n), np.empty((n, tables.max_degree))
    turn = np.empty((0, 1, 1))
    for row in range(X.shape[0]):
        placement, chosen = X[row, :n], X[row, n:]
        fill_graph(chosen, tables, graph)
        if up_down:
            fill_up_down(graph, cost, order[:n], rank, table)
        else:
            fill_dimension_order(graph, tables.place, cost, table)
        if cost[:n].max() >= UNREACHED:
            return False
        for t in range(n):
            tile[placement[t]] = t
        if transits.shape[0] > 0:
            wirings[row] = 0
            for v in range(n):
                for k in range(graph.degree[v]):
                    wirings[row, v, k, 0] = graph.neighbor[v, k]
                    wirings[row, v, k, 1] = graph.back[v, k]
                    wirings[row, v, k, 2] = graph.cost[v, k]
        for app in range(traffic.shape[0]):
            arc.fill(0.0)
            if transits.shape[0] > 0:
                turn = transits[row, app]
                turn[:] = 0.0
            first = 0.0
            for t in range(n):
                flow.fill(0.0)
                for s in range(n):
                    if s != t:
                        flow[s] = traffic[app, placement[s], placement[t]]
                first += send_to(
                    t, flow, graph, cost, table, rank, up_down, order, start, arc, turn
                )
            store = loads[row if loads.shape[0] > 0 else 0 : row + 1, app : app + 1]
            mean, squares, energy, routers = sum_links(
                placement, chosen, sent[app], tables, graph, arc, store
            )
            latency = 0.0
            for p in range(pair_i.size):
                latency += pair_weight[app, p] * cost[tile[pair_i[p]], tile[pair_j[p]]]
            F[row, app, 0] = mean
            F[row, app, 1] = np.sqrt(squares if released else squares / n_links)
            F[row, app, 2] = latency
            F[row, app, 3] = energy + tables.router_energy * (first if released else routers)
    return True
