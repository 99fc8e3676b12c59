"""The five objectives of a batch of designs, after the paper or after its released code.

Both models route alike; they differ in what they make of the loads.

================ ================================== ===========================================
objective        ``"published"``                    ``"released"``
================ ================================== ===========================================
mean             mean load of the links             the same
deviation        root of the mean squared deviation root of the *sum* of squared deviations
latency          sum over CPU-LLC flows of traffic  sum over *all* flows among CPUs and LLCs
                 times path delay, over (number of
                 CPUs times number of LLCs)
energy           every link and every router of a   every link, but only the first router after
                 path                               the source
thermal          peak temperature rise of the       sum over stacks of the integer part of the
                 stacks [3]_ times the largest      layer-weighted power
                 spread within a layer
================ ================================== ===========================================

The load of a link is the traffic that crosses it in both directions. A CPU-LLC pair has two flows,
requests and replies; both count, as both keep the core waiting, and replies carry most of the
traffic in measured applications. See ``Platform`` for the references.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .routing import FAR, build_graph, choose_parents, shortest_paths, tree_flows
from .rules import is_legal
from .tables import Floats, Ints, Tables

__all__ = ["OBJECTIVES", "evaluate_batch"]

OBJECTIVES = ("mean", "deviation", "latency", "energy", "thermal")
"""Names of the objectives, in the order of their columns."""


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def evaluate_batch(
    X: Ints,
    tables: Tables,
    traffic: Floats,
    pair_i: Ints,
    pair_j: Ints,
    pair_weight: Floats,
    released: bool,
    F: Floats,
    status: Ints,
) -> None:
    """Evaluate every row of X; a row's result does not depend on the others.

    Parameters
    ----------
    X : int64 array [n, n_tiles + n_planar]
    tables : Tables
    traffic : float64 array [n_tiles, n_tiles]
    pair_i, pair_j, pair_weight : arrays [n_pairs]
        Flows that count for latency, and the weight of the path delay of each.
    released : bool
        Which model.
    F : float64 array [n, 5]
        Filled: the objectives of ``OBJECTIVES``; NaN where the row is illegal.
    status : int64 array [n]
        Filled: 0 legal, 1 breaks a rule, 2 is not connected.
    """
    n = tables.pe_type.size
    n_planar = tables.n_planar
    n_vertical = tables.link_a.size - tables.n_candidates
    n_links = n_planar + n_vertical
    tile_degree = np.empty(n, np.int64)
    used = np.empty(max(n, tables.n_candidates), np.int64)
    degree = np.empty(n, np.int64)
    neighbour = np.zeros((n, tables.max_degree), np.int64)
    link_of = np.zeros((n, tables.max_degree), np.int64)
    cost = np.zeros((n, tables.max_degree), np.uint16)
    dist = np.empty((n, n), np.uint16)
    slot = np.zeros((n, n), np.uint16)
    scratch_a = np.empty(n, np.int64)
    scratch_b = np.empty(n, np.int64)
    start = np.empty(n * int(tables.link_cost.max()) + 1, np.int64)
    below = np.empty(n, np.float64)
    arc_load = np.empty((n, tables.max_degree), np.float64)
    load = np.empty(n_links, np.float64)
    levels = np.zeros((tables.level.max() + 1, tables.stack.max() + 1), np.float64)
    sent = np.empty(n, np.float64)
    for s in range(n):
        sent[s] = 0.0
        for v in range(n):
            if v != s:
                sent[s] += traffic[s, v]

    for row in range(X.shape[0]):
        placement = X[row, :n]
        planar = X[row, n:]
        F[row, :] = np.nan
        status[row] = 1
        if not is_legal(X[row], tables, tile_degree, used):
            continue
        build_graph(placement, planar, tables, degree, neighbour, cost, link_of)
        shortest_paths(placement, degree, neighbour, cost, dist, scratch_a, scratch_b)
        status[row] = 2
        connected = True
        for v in range(n):
            connected = connected and dist[v, 0] < FAR
        if not connected:
            continue
        status[row] = 0
        choose_parents(degree, neighbour, cost, dist, slot)
        first = tree_flows(
            traffic, degree, neighbour, dist, slot, scratch_a, start, below, arc_load
        )

        load[:] = 0.0
        routers = 0.0
        for v in range(n):
            through = sent[v]
            for k in range(degree[v]):
                load[link_of[v, k]] += arc_load[v, k]
                through += arc_load[v, k]
            routers += degree[v] * through
        total = 0.0
        energy = 0.0
        for k in range(n_links):
            c = planar[k] if k < n_planar else tables.n_candidates + k - n_planar
            total += load[k]
            energy += load[k] * tables.link_energy[c]
        mean = total / n_links
        squares = 0.0
        for k in range(n_links):
            squares += (load[k] - mean) ** 2
        latency = 0.0
        for p in range(pair_i.size):
            latency += pair_weight[p] * dist[pair_j[p], pair_i[p]]

        F[row, 0] = mean
        F[row, 2] = latency
        if released:
            F[row, 1] = np.sqrt(squares)
            F[row, 3] = energy + tables.router_energy * first
            F[row, 4] = thermal_released(placement, tables, levels)
        else:
            F[row, 1] = np.sqrt(squares / n_links)
            F[row, 3] = energy + tables.router_energy * routers
            F[row, 4] = thermal_published(placement, tables, levels)
