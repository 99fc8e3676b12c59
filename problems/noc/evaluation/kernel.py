"""Everything compiled that an evaluation needs: legality, routing, loads, the two models.

It is one file because numba's cache looks only at the file of the function itself: with callees in
other files, an edit there would leave the old machine code in use.

Nodes are PE ids, not tiles: the tie rule of the routing speaks of PE ids, and with PE ids the
traffic matrix needs no permutation. Scratch is owned by the batch function, so that a design
allocates nothing.
"""

from __future__ import annotations

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.chip.jit import compiled
from problems.noc.chip.tables import FAR, Tables, Words

__all__ = ["FAR", "evaluate_batch", "first_illegal"]

"""Distance of a node that cannot be reached; every real path cost is below it."""


MANY = 512
"""Nodes from which on the flows read slots from turned strips: for fewer, turning costs more."""

STRIP = 16
"""Sources in a strip, which is to stay in the nearest cache."""


@compiled
def is_legal(row: Ints, tables: Tables, degree: Ints, used: Ints) -> bool:
    """Whether a row of X keeps every rule but connectedness, which routing finds out by itself.

    Parameters
    ----------
    row : int64 array [n_tiles + n_chosen]
        PE id per tile, then candidate indices of the links.
    tables : Tables
    degree : int64 array [n_tiles]
        Filled: links of each tile.
    used : int64 array [max(n_tiles, n_candidates)]
        Scratch.
    """
    n = tables.pe_type.size
    used.fill(0)
    for t in range(n):
        p = row[t]
        if p < 0 or p >= n or used[p] == 1 or not tables.allowed[tables.pe_type[p], t]:
            return False
        used[p] = 1
    used.fill(0)
    for t in range(n):
        degree[t] = tables.vertical_degree[t]
    for k in range(tables.n_chosen):
        c = row[n + k]
        if c < 0 or c >= tables.n_candidates or used[c] == 1:
            return False
        if (c < tables.n_planar_candidates) != (k < tables.n_planar):
            return False
        used[c] = 1
        a, b = tables.link_a[c], tables.link_b[c]
        degree[a] += 1
        degree[b] += 1
        if degree[a] > tables.max_degree or degree[b] > tables.max_degree:
            return False
    return True


@compiled
def first_illegal(X: Ints, tables: Tables) -> int:
    """Return the first row that breaks a rule (connectedness aside), or -1."""
    degree = np.empty(tables.pe_type.size, np.int64)
    used = np.empty(max(tables.pe_type.size, tables.n_candidates), np.int64)
    for i in range(X.shape[0]):
        if not is_legal(X[i], tables, degree, used):
            return i
    return -1


@compiled
def build_graph(
    tile_pe: Ints,
    chosen: Ints,
    tables: Tables,
    degree: Ints,
    neighbor: Ints,
    cost: Words,
    link_of: Ints,
) -> None:
    """Adjacency lists of one design, each sorted by descending PE id.

    Parameters
    ----------
    tile_pe : int array [n_tiles]
        PE id on each tile.
    chosen : int array [n_chosen]
        Candidate indices of the links of the design.
    tables : Tables
    degree, neighbor, cost, link_of : arrays [n_tiles] and 3 x [n_tiles, max_degree]
        Filled: number of neighbors, their PE ids, the link costs, and the position of the link
        in the design (the chosen links first, then those that every design has).
    """
    n_tiles = tile_pe.size
    n_chosen = chosen.size
    n_links = n_chosen + tables.link_a.size - tables.n_candidates
    degree.fill(0)
    for k in range(n_links):
        c = chosen[k] if k < n_chosen else tables.n_candidates + k - n_chosen
        a = tile_pe[tables.link_a[c]]
        b = tile_pe[tables.link_b[c]]
        neighbor[a, degree[a]] = b
        link_of[a, degree[a]] = k
        cost[a, degree[a]] = tables.link_cost[c]
        degree[a] += 1
        neighbor[b, degree[b]] = a
        link_of[b, degree[b]] = k
        cost[b, degree[b]] = tables.link_cost[c]
        degree[b] += 1
    for v in range(n_tiles):
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


@compiled
def shortest_paths(
    order: Ints,
    degree: Ints,
    neighbor: Ints,
    cost: Words,
    dist: Words,
    changed_at: Ints,
    done_at: Ints,
) -> None:
    """Costs of the shortest paths between all pairs, by relaxing whole rows at a time.

    The inner loop runs over all sources at once and compiles to vector instructions on 16-bit
    integers. Sweeps go through the nodes in ``order`` and back in turn (order them by place:
    fewer sweeps) and touch only rows whose neighbors changed, until nothing changes. O(n * links
    * sweeps), the number of sweeps being about the number of turns that the longest path takes
    against ``order``.

    Parameters
    ----------
    order : int array [n]
        The nodes in the order of the first sweep.
    degree, neighbor, cost : arrays
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
            dist[v, neighbor[v, k]] = cost[v, k]
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


@compiled
def move_rows(before: Ints, after: Ints, dist: Words, spare: Words, moved: Ints) -> bool:
    """Turn the costs of a placement into those of another on the same links, where few PEs moved.

    Parameters
    ----------
    before, after : int array [n]
        PE id on each tile, the set of ids being the same.
    dist : uint16 array [n, n]
        Costs by PE ids of ``before``; those of ``after`` on return, where True is returned.
    spare, moved : arrays [m, n], [m]
        Scratch; m is how many tiles may differ.

    Returns
    -------
    bool
        False, and nothing is done, where more tiles differ.
    """
    n = before.size
    count = 0
    for t in range(n):
        if before[t] != after[t]:
            if count == moved.size:
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


@compiled
def choose_parents(degree: Ints, neighbor: Ints, cost: Words, dist: Words, slot: Words) -> None:
    """Give every node its parent in the shortest-path tree of every source.

    The parent of v in the tree of s is the neighbor on a shortest path that has the smallest PE
    id. ``slot`` [n, n] is filled: slot[v, s] is its place in the list of v.
    """
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


@compiled
def tree_flows(
    sources: range,
    first: float,
    traffic: Floats,
    degree: Ints,
    neighbor: Ints,
    dist: Words,
    parent: Words,
    order: Ints,
    start: Ints,
    below: Floats,
    arc_load: Floats,
) -> float:
    """Send the traffic of some sources along their shortest-path trees.

    Flows are pushed up from the farthest node to the source, so that a source costs O(n) rather
    than the sum of its path lengths. Nodes are put in order by counting: distances are small
    integers, and a sort without comparisons has no branches to mispredict.

    Parameters
    ----------
    sources : range
        Of PE ids.
    first : float
        What earlier sources returned, or 0.
    traffic : float array [n, n]
        What PE i sends to PE j; the diagonal never enters the network.
    degree, neighbor, dist : arrays
        As the functions above fill them; all nodes reachable.
    parent : uint16 array [len(sources), n]
        Row i: the slots of all nodes in the tree of the i-th source.
    order, start, below : arrays [n], [longest path cost + 1], [n]
        Scratch: nodes by descending distance, where each distance starts, flow into a subtree.
    arc_load : float array [n, max_degree]
        Added to: traffic that enters v through its k-th link.

    Returns
    -------
    float
        ``first`` plus, over the flows, traffic times the degree of the first router after the
        source.
    """
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


@compiled
def thermal_published(row: Ints, tables: Tables, levels: Floats) -> float:
    """Peak rise of the stack model in K times the largest spread within a layer in K.

    T(n, k) = sum_{i<=k} P(n, i) * (sum_{j<=i} R_j + R_b), k counted from the heat sink.
    ``levels`` [n_levels, n_stacks] is scratch.
    """
    n_levels, n_stacks = levels.shape
    for t in range(tables.pe_type.size):
        levels[tables.level[t], tables.stack[t]] = tables.power[row[t]]
    peak = 0.0
    spread = 0.0
    for k in range(n_levels):
        hot, cold = -np.inf, np.inf
        resistance = (k + 1) * tables.layer_resistance + tables.base_resistance
        for s in range(n_stacks):
            levels[k, s] *= resistance
            if k > 0:
                levels[k, s] += levels[k - 1, s]
            hot = max(hot, levels[k, s])
            cold = min(cold, levels[k, s])
        peak = max(peak, hot)
        spread = max(spread, hot - cold)
    return peak * spread


@compiled
def thermal_released(row: Ints, tables: Tables, levels: Floats) -> float:
    """Sum over stacks of the integer part of power times resistance to the sink."""
    n_levels, n_stacks = levels.shape
    for t in range(tables.pe_type.size):
        levels[tables.level[t], tables.stack[t]] = tables.power[row[t]]
    total = 0.0
    for s in range(n_stacks):
        heat = 0.0
        for k in range(n_levels):
            heat += levels[k, s] * tables.layer_resistance * (k + 1)
        total += np.floor(heat)
    return total


@compiled
def evaluate_batch(
    X: Ints,
    tables: Tables,
    traffic: Floats,
    pair_i: Ints,
    pair_j: Ints,
    pair_weight: Floats,
    released: bool,
    F: Floats,
    loads: Floats,
    status: Ints,
) -> None:
    """Evaluate every row of X; a row's result does not depend on the others.

    Parameters
    ----------
    X : int64 array [n, n_tiles + n_chosen]
    tables : Tables
    traffic : float64 array [n_apps, n_tiles, n_tiles]
        What PE i sends to PE j in each application; routing is common to all.
    pair_i, pair_j : int64 array [n_pairs]
        Flows that count for latency.
    pair_weight : float64 array [n_apps, n_pairs]
        The weight of the path delay of each.
    released : bool
        Which model.
    F : float64 array [n, n_apps, 5]
        Filled: the objectives of ``OBJECTIVES``; left alone where the row is illegal.
    loads : float64 array [n, n_apps, n_links, 2]
        Filled likewise: the load of every link, the chosen ones in the order of the row, then those
        of every design; from its first tile to its second, and back. May have no rows.
    status : int64 array [n]
        Filled: 0 legal, 1 breaks a rule, 2 is not connected.
    """
    n = tables.pe_type.size
    n_apps = traffic.shape[0]
    n_chosen = tables.n_chosen
    n_candidates = tables.n_candidates
    n_links = n_chosen + tables.link_a.size - n_candidates
    tile_degree = np.empty(n, np.int64)
    used = np.empty(max(n, n_candidates), np.int64)
    degree = np.empty(n, np.int64)
    neighbor = np.zeros((n, tables.max_degree), np.int64)
    link_of = np.zeros((n, tables.max_degree), np.int64)
    cost = np.zeros((n, tables.max_degree), np.uint16)
    dist = np.empty((n, n), np.uint16)
    slot = np.zeros((n, n), np.uint16)
    strip = np.zeros((STRIP, n), np.uint16)
    scratch_a = np.empty(n, np.int64)
    scratch_b = np.empty(n, np.int64)
    start = np.empty(n * int(tables.link_cost.max()) + 1, np.int64)
    below = np.empty(n, np.float64)
    arc_load = np.empty((n, tables.max_degree), np.float64)
    load = np.empty(n_links, np.float64)
    levels = np.zeros((tables.level.max() + 1, tables.stack.max() + 1), np.float64)
    spare = np.empty((4, n), np.uint16)
    routed = -1
    sent = np.empty((n_apps, n), np.float64)
    for app in range(n_apps):
        for s in range(n):
            sent[app, s] = 0.0
            for v in range(n):
                if v != s:
                    sent[app, s] += traffic[app, s, v]

    for row in range(X.shape[0]):
        placement = X[row, :n]
        chosen = X[row, n:]
        status[row] = 1
        if not is_legal(X[row], tables, tile_degree, used):
            continue
        build_graph(placement, chosen, tables, degree, neighbor, cost, link_of)
        # A row with the links of the row before, such as a neighbor by a swap, has its distances
        # too, under other names.
        known = routed >= 0
        if known:
            for k in range(n_chosen):
                if X[routed, n + k] != chosen[k]:
                    known = False
                    break
        if not (known and move_rows(X[routed, :n], placement, dist, spare, scratch_a[:4])):
            shortest_paths(placement, degree, neighbor, cost, dist, scratch_a, scratch_b)
        routed = row
        status[row] = 2
        connected = True
        for v in range(n):
            connected = connected and dist[v, 0] < FAR
        if not connected:
            continue
        status[row] = 0
        choose_parents(degree, neighbor, cost, dist, slot)
        for app in range(n_apps):
            flows = traffic[app]
            arc_load.fill(0.0)
            first = 0.0
            if n < MANY:
                first = tree_flows(
                    range(n), first, flows, degree, neighbor, dist, slot.T,
                    scratch_a, start, below, arc_load,
                )  # fmt: skip
            else:
                for s in range(0, n, STRIP):
                    sources = range(s, min(s + STRIP, n))
                    for v in range(n):
                        for i in sources:
                            strip[i - s, v] = slot[v, i]
                    first = tree_flows(
                        sources, first, flows, degree, neighbor, dist, strip,
                        scratch_a, start, below, arc_load,
                    )  # fmt: skip
            load.fill(0.0)
            routers = 0.0
            for v in range(n):
                through = sent[app, v]
                for k in range(degree[v]):
                    load[link_of[v, k]] += arc_load[v, k]
                    through += arc_load[v, k]
                routers += degree[v] * through
            # Sums go through the lists, not through the row, so that the order in which a row names
            # its links changes no bit. Each link counts at its end with the larger id.
            total = 0.0
            energy = 0.0
            for v in range(n):
                for k in range(degree[v]):
                    if neighbor[v, k] < v:
                        link = link_of[v, k]
                        c = chosen[link] if link < n_chosen else n_candidates + link - n_chosen
                        total += load[link]
                        energy += load[link] * tables.link_energy[c]
            mean = total / n_links
            squares = 0.0
            for v in range(n):
                for k in range(degree[v]):
                    if neighbor[v, k] < v:
                        squares += (load[link_of[v, k]] - mean) ** 2
            if loads.shape[0] > 0:
                for v in range(n):
                    for k in range(degree[v]):
                        link = link_of[v, k]
                        c = chosen[link] if link < n_chosen else n_candidates + link - n_chosen
                        back = 1 if placement[tables.link_a[c]] == v else 0
                        loads[row, app, link, back] = arc_load[v, k]
            latency = 0.0
            for p in range(pair_i.size):
                latency += pair_weight[app, p] * dist[pair_j[p], pair_i[p]]

            F[row, app, 0] = mean
            F[row, app, 2] = latency
            if released:
                F[row, app, 1] = np.sqrt(squares)
                F[row, app, 3] = energy + tables.router_energy * first
                F[row, app, 4] = thermal_released(placement, tables, levels)
            else:
                F[row, app, 1] = np.sqrt(squares / n_links)
                F[row, app, 3] = energy + tables.router_energy * routers
                F[row, app, 4] = thermal_published(placement, tables, levels)
