"""Compiled routing and link loads, and the objectives that follow from them.

All steps are in one file because numba's cache looks only at the file of the function itself: after
an edit of a callee in another file, the old machine code would stay in use.

Nodes are PE ids, not tiles: the tie rule of the routing speaks of PE ids, and with PE ids the
traffic matrix needs no permutation. A batch allocates one `Work`, so that a design allocates
nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.chip.jit import compiled, inlined
from problems.noc.chip.tables import FAR, Tables, Words

__all__ = ["evaluate_batch"]

MANY = 512
"""Nodes from which on the flows read slots from turned strips: for fewer, turning costs more."""

STRIP = 16
"""Sources in a strip, which is to stay in the nearest cache."""

MOST_MOVED = 4
"""Tiles that may differ for distances to be updated, at most STRIP; else they are computed anew."""


class Work(NamedTuple):
    """The network and the routes of one design, and scratch."""

    degree: Ints  # [n] number of neighbors of each node
    neighbor: Ints  # [n, max_degree] PE ids of the neighbors, descending
    link_of: Ints  # [n, max_degree] positions of these links in the design, chosen links first
    cost: Words  # [n, max_degree] costs of these links
    dist: Words  # [n, n] dist[v, s] is the cost of the path from s to v, ``FAR`` if there is none
    slot: Words  # [n, n] slot[v, s] is the position in the list of v of its parent in the tree of s
    arc_load: Floats  # [n, max_degree] traffic that enters v through its k-th link
    load: Floats  # [n_links] traffic over each link, both directions together
    nodes: Ints  # [n] scratch
    others: Ints  # [n] scratch
    start: Ints  # [longest path cost + 1] scratch: start of each distance among sorted nodes
    below: Floats  # [n] scratch: flow into a subtree
    strip: Words  # [STRIP, n] scratch: slots of some sources, or rows of `dist`


@inlined
def new_work(tables: Tables) -> Work:
    """Return arrays for the designs of a platform."""
    n, max_degree = tables.pe_type.size, tables.max_degree
    n_links = tables.n_chosen + tables.link_a.size - tables.n_candidates
    return Work(
        np.empty(n, np.int64),
        np.zeros((n, max_degree), np.int64),
        np.zeros((n, max_degree), np.int64),
        np.zeros((n, max_degree), np.uint16),
        np.empty((n, n), np.uint16),
        np.zeros((n, n), np.uint16),
        np.empty((n, max_degree), np.float64),
        np.empty(n_links, np.float64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n * int(tables.link_cost.max()) + 1, np.int64),
        np.empty(n, np.float64),
        np.zeros((STRIP, n), np.uint16),
    )


@inlined
def table_index(chosen: Ints, link: int, n_candidates: int) -> int:
    """Return the index in the tables of a link of the design."""
    return chosen[link] if link < chosen.size else n_candidates + link - chosen.size


@inlined
def build_graph(placement: Ints, chosen: Ints, tables: Tables, work: Work) -> None:
    """Fill the neighbor lists of one design, each sorted by descending PE id."""
    degree, neighbor, cost, link_of = work.degree, work.neighbor, work.cost, work.link_of
    degree.fill(0)
    for k in range(work.load.size):
        c = table_index(chosen, k, tables.n_candidates)
        a, b = placement[tables.link_a[c]], placement[tables.link_b[c]]
        neighbor[a, degree[a]] = b
        link_of[a, degree[a]] = k
        cost[a, degree[a]] = tables.link_cost[c]
        degree[a] += 1
        neighbor[b, degree[b]] = a
        link_of[b, degree[b]] = k
        cost[b, degree[b]] = tables.link_cost[c]
        degree[b] += 1
    for v in range(degree.size):
        for i in range(1, degree[v]):
            u, k, w = neighbor[v, i], link_of[v, i], cost[v, i]
            j = i
            while j > 0 and neighbor[v, j - 1] < u:
                neighbor[v, j] = neighbor[v, j - 1]
                link_of[v, j] = link_of[v, j - 1]
                cost[v, j] = cost[v, j - 1]
                j -= 1
            neighbor[v, j] = u
            link_of[v, j] = k
            cost[v, j] = w


@inlined
def shortest_paths(order: Ints, work: Work) -> None:
    """Fill the costs of the shortest paths between all pairs, by relaxing whole rows at a time.

    The inner loop runs over all sources at once and compiles to vector instructions on 16-bit
    integers. Sweeps go through the nodes in ``order`` and back in turn and touch only rows whose
    neighbors changed, until nothing changes. Time is O(n * links * sweeps); the number of sweeps is
    about the number of turns of the longest path against ``order``, so order nodes by place.
    """
    degree, neighbor, cost, dist = work.degree, work.neighbor, work.cost, work.dist
    changed_at, done_at = work.nodes, work.others
    n = order.size
    for v in range(n):
        for s in range(n):
            dist[v, s] = np.uint16(FAR)
        for k in range(degree[v]):
            dist[v, neighbor[v, k]] = cost[v, k]
        dist[v, v] = np.uint16(0)
        changed_at[v] = 1
        done_at[v] = 0
    tick = 1
    forward = busy = True
    while busy:
        busy = False
        for i in range(n):
            v = order[i] if forward else order[n - 1 - i]
            since = done_at[v]
            tick += 1
            done_at[v] = tick
            changed = np.uint16(0)
            for k in range(degree[v]):
                u = neighbor[v, k]
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


@inlined
def update_distances(before: Ints, after: Ints, work: Work) -> bool:
    """Update the distances in place after a few PEs were moved; the links must be unchanged.

    ``before`` and ``after`` [n] hold the PE id on each tile. If more than ``MOST_MOVED`` tiles
    differ, return False and change nothing.
    """
    dist, spare, moved = work.dist, work.strip, work.nodes
    n = before.size
    count = 0
    for t in range(n):
        if before[t] != after[t]:
            if count == MOST_MOVED:
                return False
            moved[count] = t
            count += 1
    for i in range(count):
        v = before[moved[i]]
        for s in range(n):
            spare[i, s] = dist[v, s]
    for i in range(count):
        v = after[moved[i]]
        for s in range(n):
            dist[v, s] = spare[i, s]
    for v in range(n):
        for i in range(count):
            spare[i, 0] = dist[v, before[moved[i]]]
        for i in range(count):
            dist[v, after[moved[i]]] = spare[i, 0]
    return True


@inlined
def route(X: Ints, row: int, tables: Tables, work: Work) -> bool:
    """Fill the network and the distances of a row of X; return whether it is connected.

    `work` must hold the row before. If both have the same links, the distances are updated.
    """
    n = work.degree.size
    placement, chosen = X[row, :n], X[row, n:]
    build_graph(placement, chosen, tables, work)
    known = row > 0
    for k in range(chosen.size if known else 0):
        if X[row - 1, n + k] != chosen[k]:
            known = False
            break
    if not (known and update_distances(X[row - 1, :n], placement, work)):
        shortest_paths(placement, work)
    farthest = np.uint16(0)
    for v in range(n):
        farthest = max(farthest, work.dist[v, 0])
    return bool(farthest < FAR)


@inlined
def choose_parents(work: Work) -> None:
    """Fill in the parent of every node in the shortest-path tree of every source.

    The parent of v in the tree of s is the neighbor on a shortest path with the smallest PE id.
    """
    degree, neighbor, cost = work.degree, work.neighbor, work.cost
    dist, slot = work.dist, work.slot
    n = degree.size
    for v in range(n):
        # Lists descend by PE id, so the last match is the smallest id.
        for k in range(degree[v]):
            u = neighbor[v, k]
            w = np.uint16(cost[v, k])
            place = np.uint16(k)
            for s in range(n):
                if np.uint16(dist[u, s] + w) == dist[v, s]:
                    slot[v, s] = place


@inlined
def tree_flows(sources: range, first: float, traffic: Floats, parent: Words, work: Work) -> float:
    """Send the traffic of some sources along their shortest-path trees.

    Flows are pushed up from the farthest node to the source, so that a source costs O(n) rather
    than the sum of its path lengths. Nodes are sorted by counting, which has no branches to
    mispredict. Row i of ``parent`` [len(sources), n] holds the slots of all nodes in the tree of
    the i-th source. Return ``first`` plus, over the flows, traffic times the degree of the first
    router after the source.
    """
    degree, neighbor, dist, arc_load = work.degree, work.neighbor, work.dist, work.arc_load
    order, start, below = work.nodes, work.start, work.below
    n = degree.size
    for s in sources:
        row = s - sources.start
        farthest = np.uint16(0)
        for v in range(n):
            farthest = max(farthest, dist[s, v])
        for d in range(farthest + 1):
            start[d] = 0
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
            k = parent[row, v]
            flow = below[v]
            arc_load[v, k] += flow
            below[neighbor[v, k]] += flow
        for k in range(degree[s]):
            v = neighbor[s, k]
            if neighbor[v, parent[row, v]] == s:
                first += degree[v] * below[v]
    return first


@inlined
def send_traffic(traffic: Floats, work: Work) -> float:
    """Fill in the loads of all arcs under one application; return as ``tree_flows``."""
    slot, strip = work.slot, work.strip
    n = work.degree.size
    work.arc_load.fill(0.0)
    first = 0.0
    if n < MANY:
        first = tree_flows(range(n), first, traffic, slot.T, work)
    else:
        for s in range(0, n, STRIP):
            sources = range(s, min(s + STRIP, n))
            for v in range(n):
                for i in sources:
                    strip[i - s, v] = slot[v, i]
            first = tree_flows(sources, first, traffic, strip, work)
    return first


@inlined
def count_transits(traffic: Floats, work: Work, turn: Floats, wiring: Ints) -> None:
    """Fill in the flows of each router from input to output, and where its outputs lead.

    ``turn`` [n, max_degree + 1, max_degree + 1] holds flows by places in the list of neighbors; the
    last place is the PE. ``wiring`` [n, max_degree, 3] holds the next router, the place of this one
    in its list, and the cycles of the hop, 0 where a router has fewer neighbors.
    """
    degree, neighbor, dist, slot = work.degree, work.neighbor, work.dist, work.slot
    order, start, below = work.nodes, work.start, work.below
    n, pe = degree.size, turn.shape[1] - 1
    turn.fill(0.0)
    wiring.fill(0)
    for v in range(n):
        for k in range(degree[v]):
            u = neighbor[v, k]
            for j in range(degree[u]):
                if neighbor[u, j] == v:
                    wiring[v, k, 1] = j
            wiring[v, k, 0] = u
            wiring[v, k, 2] = work.cost[v, k]
    for s in range(n):
        farthest = np.uint16(0)
        for v in range(n):
            farthest = max(farthest, dist[s, v])
        for d in range(farthest + 1):
            start[d] = 0
        for v in range(n):
            below[v] = traffic[s, v]
            start[dist[s, v]] += 1
        place = 0
        for d in range(farthest, -1, -1):
            count = start[d]
            start[d] = place
            place += count
        for v in range(n):
            order[start[dist[s, v]]] = v
            start[dist[s, v]] += 1
        for i in range(n - 1):
            v = order[i]
            k = slot[v, s]
            u = neighbor[v, k]
            if traffic[s, v] > 0.0:
                turn[v, k, pe] += traffic[s, v]
            if below[v] > 0.0:
                entry = pe if u == s else int(slot[u, s])
                turn[u, entry, wiring[v, k, 1]] += below[v]
                below[u] += below[v]


@inlined
def link_statistics(
    chosen: Ints, sent: Floats, tables: Tables, work: Work
) -> tuple[float, float, float, float]:
    """Fill in the loads of all links, given what each PE sends into the network [n].

    Return the mean load, the sum of squared deviations, the energy of the links, and traffic times
    ports summed over routers. Sums go through the neighbor lists, not through the row, so that the
    order of the links in a row changes no bit. Each link counts at its end with the larger id.
    """
    degree, neighbor, link_of = work.degree, work.neighbor, work.link_of
    arc_load, load = work.arc_load, work.load
    load.fill(0.0)
    routers = 0.0
    for v in range(degree.size):
        through = sent[v]
        for k in range(degree[v]):
            load[link_of[v, k]] += arc_load[v, k]
            through += arc_load[v, k]
        routers += degree[v] * through
    total, energy, squares = 0.0, 0.0, 0.0
    for v in range(degree.size):
        for k in range(degree[v]):
            if neighbor[v, k] < v:
                link = link_of[v, k]
                total += load[link]
                c = table_index(chosen, link, tables.n_candidates)
                energy += load[link] * tables.link_energy[c]
    mean = total / load.size
    for v in range(degree.size):
        for k in range(degree[v]):
            if neighbor[v, k] < v:
                squares += (load[link_of[v, k]] - mean) ** 2
    return mean, squares, energy, routers


@inlined
def store_loads(placement: Ints, chosen: Ints, tables: Tables, work: Work, out: Floats) -> None:
    """Fill ``out`` [n_links, 2] with the loads of each link in both directions."""
    for v in range(work.degree.size):
        for k in range(work.degree[v]):
            link = work.link_of[v, k]
            c = table_index(chosen, link, tables.n_candidates)
            back = 1 if placement[tables.link_a[c]] == v else 0
            out[link, back] = work.arc_load[v, k]


@compiled
def evaluate_batch(
    X: Ints,
    tables: Tables,
    traffic: Floats,
    sent: Floats,
    pair_i: Ints,
    pair_j: Ints,
    pair_weight: Floats,
    released: bool,
    F: Floats,
    loads: Floats,
    transits: Floats,
    wirings: Ints,
) -> bool:
    """Evaluate rows of X that break no rule, each by itself; return whether all are connected.

    ``traffic`` [n_apps, n_tiles, n_tiles] goes from PE i to PE j, and ``sent`` [n_apps, n_tiles]
    into the network. The flows ``pair_i``, ``pair_j`` [n_pairs] count for latency, their path
    delays with ``pair_weight`` [n_apps, n_pairs]. ``released`` means the model of the released
    code. Fills ``F`` [n, n_apps, 4 or more] with mean, deviation, latency and energy, and, if it
    has rows, ``loads`` [n, n_apps, n_links, 2] with the load of every link from its first tile to
    its second, and back; the chosen links in the order of the row, then those of every design. If
    they have rows, ``transits`` [n, n_apps, ...] and ``wirings`` [n, ...] are filled as by
    ``count_transits``.
    """
    n = tables.pe_type.size
    work = new_work(tables)
    for row in range(X.shape[0]):
        placement, chosen = X[row, :n], X[row, n:]
        if not route(X, row, tables, work):
            return False
        choose_parents(work)
        for app in range(traffic.shape[0]):
            first = send_traffic(traffic[app], work)
            mean, squares, energy, routers = link_statistics(chosen, sent[app], tables, work)
            if loads.shape[0] > 0:
                store_loads(placement, chosen, tables, work, loads[row, app])
            if transits.shape[0] > 0:
                count_transits(traffic[app], work, transits[row, app], wirings[row])
            latency = 0.0
            for p in range(pair_i.size):
                latency += pair_weight[app, p] * work.dist[pair_j[p], pair_i[p]]
            F[row, app, 0] = mean
            F[row, app, 1] = np.sqrt(squares if released else squares / work.load.size)
            F[row, app, 2] = latency
            F[row, app, 3] = energy + tables.router_energy * (first if released else routers)
    return True
