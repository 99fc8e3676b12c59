"""Deterministic shortest-path routing on one network and the loads it causes, compiled by numba.

Nodes are PE ids, not tiles: the tie rule of the routing speaks of PE ids, and with PE ids the
traffic matrix needs no permutation. The functions fill arrays that the caller owns, so that a
batch of designs allocates nothing per design.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .tables import Floats, Ints, Tables, Words

__all__ = ["FAR", "build_graph", "choose_parents", "shortest_paths", "tree_flows"]

FAR = 60_000
"""Distance of a node that cannot be reached; every real path cost is below it."""


@njit(cache=True, nogil=True)
def build_graph(
    tile_pe: Ints,
    planar: Ints,
    tables: Tables,
    degree: Ints,
    neighbour: Ints,
    cost: Words,
    link_of: Ints,
) -> None:
    """Adjacency lists of one design, each sorted by descending PE id.

    Parameters
    ----------
    tile_pe : int array [n_tiles]
        PE id on each tile.
    planar : int array [n_planar]
        Candidate indices of the planar links of the design.
    tables : Tables
    degree, neighbour, cost, link_of : arrays [n_tiles] and 3 x [n_tiles, max_degree]
        Filled: number of neighbours, their PE ids, the link costs, and the position of the link
        in the design (planar links first, then the vertical ones).
    """
    n_tiles = tile_pe.size
    n_planar = planar.size
    n_links = n_planar + tables.link_a.size - tables.n_candidates
    degree[:] = 0
    for k in range(n_links):
        c = planar[k] if k < n_planar else tables.n_candidates + k - n_planar
        a = tile_pe[tables.link_a[c]]
        b = tile_pe[tables.link_b[c]]
        neighbour[a, degree[a]] = b
        link_of[a, degree[a]] = k
        cost[a, degree[a]] = tables.link_cost[c]
        degree[a] += 1
        neighbour[b, degree[b]] = a
        link_of[b, degree[b]] = k
        cost[b, degree[b]] = tables.link_cost[c]
        degree[b] += 1
    for v in range(n_tiles):
        for i in range(1, degree[v]):
            u, k, w = neighbour[v, i], link_of[v, i], cost[v, i]
            j = i
            while j > 0 and neighbour[v, j - 1] < u:
                neighbour[v, j] = neighbour[v, j - 1]
                link_of[v, j] = link_of[v, j - 1]
                cost[v, j] = cost[v, j - 1]
                j -= 1
            neighbour[v, j] = u
            link_of[v, j] = k
            cost[v, j] = w


@njit(cache=True, nogil=True)
def shortest_paths(
    order: Ints,
    degree: Ints,
    neighbour: Ints,
    cost: Words,
    dist: Words,
    changed_at: Ints,
    done_at: Ints,
) -> None:
    """Costs of the shortest paths between all pairs, by relaxing whole rows at a time.

    The inner loop runs over all sources at once and compiles to vector instructions on 16-bit
    integers. Sweeps go through the nodes in ``order`` and back in turn (order them by place:
    fewer sweeps) and touch only rows whose neighbours changed, until nothing changes. O(n * links
    * sweeps), the number of sweeps being about the number of turns that the longest path takes
    against ``order``.

    Parameters
    ----------
    order : int array [n]
        The nodes in the order of the first sweep.
    degree, neighbour, cost : arrays
        As ``build_graph`` fills them.
    dist : uint16 array [n, n]
        Filled: dist[v, s] is the cost of the path from s to v, ``FAR`` where there is none.
    changed_at, done_at : int64 array [n]
        Scratch.
    """
    n = order.size
    for v in range(n):
        for s in range(n):
            dist[v, s] = np.uint16(60_000)
        for k in range(degree[v]):
            dist[v, neighbour[v, k]] = cost[v, k]
        dist[v, v] = np.uint16(0)
        changed_at[v] = 1
        done_at[v] = 0
    tick = 1
    forward = True
    busy = True
    while busy:
        busy = False
        for i in range(n):
            v = order[i] if forward else order[n - 1 - i]
            since = done_at[v]
            tick += 1
            done_at[v] = tick
            changed = np.uint16(0)
            for k in range(degree[v]):
                u = neighbour[v, k]
                if changed_at[u] > since:
                    w = np.uint16(cost[v, k])
                    difference = np.uint16(0)
                    for s in range(n):
                        old = dist[v, s]
                        new = min(old, np.uint16(dist[u, s] + w))
                        difference |= np.uint16(old ^ new)
                        dist[v, s] = new
                    changed |= difference
            if changed != 0:
                changed_at[v] = tick
                busy = True
        forward = not forward


@njit(cache=True, nogil=True)
def choose_parents(degree: Ints, neighbour: Ints, cost: Words, dist: Words, slot: Words) -> None:
    """Give every node its parent in the shortest-path tree of every source.

    The parent of v in the tree of s is the neighbour on a shortest path that has the smallest PE
    id. ``slot`` [n, n] is filled: slot[v, s] is its place in the list of v.
    """
    n = degree.size
    for v in range(n):
        # Lists descend by PE id, so the last match is the smallest id.
        for k in range(degree[v]):
            u = neighbour[v, k]
            w = np.uint16(cost[v, k])
            place = np.uint16(k)
            for s in range(n):
                if np.uint16(dist[u, s] + w) == dist[v, s]:
                    slot[v, s] = place


@njit(cache=True, nogil=True)
def tree_flows(
    traffic: Floats,
    degree: Ints,
    neighbour: Ints,
    dist: Words,
    slot: Words,
    order: Ints,
    start: Ints,
    below: Floats,
    arc_load: Floats,
) -> float:
    """Send all traffic along the shortest-path trees.

    Flows are pushed up from the farthest node to the source, so that a source costs O(n) rather
    than the sum of its path lengths. Nodes are put in order by counting: distances are small
    integers, and a sort without comparisons has no branches to mispredict.

    Parameters
    ----------
    traffic : float array [n, n]
        What PE i sends to PE j; the diagonal never enters the network.
    degree, neighbour, dist, slot : arrays
        As the functions above fill them; all nodes reachable.
    order, start, below : arrays [n], [longest path cost + 1], [n]
        Scratch: nodes by descending distance, where each distance starts, flow into a subtree.
    arc_load : float array [n, max_degree]
        Filled: traffic that enters v through its k-th link.

    Returns
    -------
    float
        Sum over all flows of traffic times the degree of the first router after the source.
    """
    n = degree.size
    arc_load[:] = 0.0
    first = 0.0
    for s in range(n):
        farthest = np.uint16(0)
        for v in range(n):
            farthest = max(farthest, dist[s, v])
        start[: farthest + 1] = 0
        for v in range(n):
            below[v] = traffic[s, v]
            start[dist[s, v]] += 1
        place = 0
        for d in range(farthest, -1, -1):
            count = start[d]
            start[d] = place
            place += count
        for v in range(n):
            d = dist[s, v]
            order[start[d]] = v
            start[d] += 1
        # The last is the source itself, at distance 0.
        for i in range(n - 1):
            v = order[i]
            k = slot[v, s]
            flow = below[v]
            arc_load[v, k] += flow
            below[neighbour[v, k]] += flow
        for k in range(degree[s]):
            v = neighbour[s, k]
            if neighbour[v, slot[v, s]] == s:
                first += degree[v] * below[v]
    return first
