"""A few dozen features of each design for learned models, far cheaper than its evaluation.

The features describe what drives the objectives: the types in each layer, the distances between
PEs that communicate (on the grid, and whether one, two or three links suffice), the positions of
the links, the traffic per router port and across the cuts of the chip, and the spread of heat over
the stacks.
"""

from __future__ import annotations

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.chip.jit import compiled, inlined, lean
from problems.noc.chip.tables import Tables
from problems.noc.features.counts import (
    Counts,
    count_links,
    count_pes,
    make_anchor,
    new_counts,
    return_to_anchor,
    set_loads,
)
from problems.noc.features.near import (
    near_by_bits,
    near_by_links,
    near_by_lists,
    near_by_tiles,
)
from problems.noc.features.plan import FeaturePlan

__all__ = ["near_features_batch"]

# A row that differs from the anchor in more tiles, or in more links, becomes the anchor. Two
# neighbors of a design differ by two moves, each of two tiles, or of up to four links.
_MOST_TILES, _MOST_LINKS = 4, 8


@inlined
def heat_features(n_tiles: int, tables: Tables, counts: Counts, out: Floats) -> None:
    """Fill in peak, spread and deviation of the heat at the far end of the stacks.

    Only stacks with a tile whose PE has changed are counted again.
    """
    heat, rises = counts.heat, counts.row_rises
    n_levels, n_stacks = heat.shape
    for s in range(n_stacks):
        rises[s] = counts.rises[s]
    for i in range(n_tiles):
        t = counts.tiles[i]
        heat[tables.level[t], tables.stack[t]] = tables.power[counts.pe[t]]
    for i in range(n_tiles):
        s, rise = tables.stack[counts.tiles[i]], 0.0
        for k in range(n_levels):
            resistance = (k + 1) * tables.layer_resistance + tables.base_resistance
            rise += heat[k, s] * resistance
        rises[s] = rise
    mean, squares, hot, cold = 0.0, 0.0, -np.inf, np.inf
    for rise in rises:
        mean += rise / n_stacks
        squares += rise * rise / n_stacks
        hot = max(hot, rise)
        cold = min(cold, rise)
    out[0] = hot
    out[1] = hot - cold
    out[2] = np.sqrt(max(squares - mean * mean, 0.0))


@inlined
def router_features(tables: Tables, plan: FeaturePlan, counts: Counts, out: Floats) -> None:
    """Fill in degrees by type and by traffic, their deviation, routers at the cap, port loads."""
    loads, routers, n = counts.load, counts.routers, counts.pe.size
    n_types = counts.degrees.size
    mean, peak, links = 0.0, 0.0, 0
    for t in range(n):
        mean += loads[t]
        peak = max(peak, loads[t])
    mean /= n
    deviation = 0.0
    for t in range(n):
        deviation += (loads[t] - mean) ** 2
    for kind in range(n_types):
        links += counts.degrees[kind]
        out[kind] = counts.degrees[kind] / tables.type_count[kind]
    out[n_types] = routers[0] / (2 * plan.everything)
    out[n_types + 1] = np.sqrt(n * routers[1] - links * links) / n
    out[n_types + 2] = routers[2]
    out[n_types + 3] = peak
    out[n_types + 4] = np.sqrt(deviation / n)


@inlined
def fill(row: Floats, at: int, values: Ints) -> int:
    """Copy values into a row from a column on; return the column after them."""
    for value in values:
        row[at] = value
        at += 1
    return at


@inlined
def write(tables: Tables, plan: FeaturePlan, counts: Counts, row: Floats) -> int:
    """Write all features but those of heat into a row; return the column after them."""
    n_types = tables.type_count.size
    at = fill(row, 0, counts.sums[: counts.kinds.size])
    at = fill(row, at, counts.layers)
    at = fill(row, at, counts.lengths[1:])
    for c in range(plan.pair_volume.size):
        row[at] = counts.distance[c] / plan.pair_volume[c]
        at += 1
    for away in range(3):
        for c in range(plan.pair_volume.size):
            row[at] = counts.near[away, c] / plan.pair_volume[c]
            at += 1
    router_features(tables, plan, counts, row[at:])
    at += n_types + 5
    for axis in range(3):
        for cut in range(plan.grid[axis] - 1):
            wires = max(counts.cut_links[axis, cut], 1)
            row[at] = counts.cut_traffic[axis, cut] / wires / plan.everything
            at += 1
    return at


@lean
def fill_rows(X: Ints, tables: Tables, plan: FeaturePlan, counts: Counts, out: Floats) -> bool:
    """Fill ``out`` [n, n_features] with the features of rows of X; return whether all are legal.

    It does not look at whether networks are connected.
    """
    n = tables.pe_type.size
    for i in range(X.shape[0]):
        row, links = out[i], X[i, n:]
        first = counts.pe[0] < 0
        n_tiles = count_pes(X[i], tables, plan, counts)
        if n_tiles < 0:
            return False
        n_links = count_links(links, tables, plan, counts)
        if n_links < 0:
            return False
        far = first or n_tiles > _MOST_TILES or n_links > _MOST_LINKS or n_tiles * n_links > 0
        if n > 64:
            near_by_lists(links, tables, plan, counts)
        elif far:
            near_by_bits(tables, plan, counts)
        elif n_tiles:
            near_by_tiles(n_tiles, tables, plan, counts)
        else:
            near_by_links(n_links, tables, plan, counts)
        set_loads(n_tiles, n_links, tables, plan, counts)
        at = write(tables, plan, counts, row)
        if n_tiles:
            heat_features(n_tiles, tables, counts, counts.hot if far else row[at:])
        if far or n_tiles == 0:
            for k in range(3):
                row[at + k] = counts.hot[k]
        if far:
            make_anchor(links, n_tiles, tables, counts)
        else:
            return_to_anchor(n_tiles, n_links, tables, counts)
    return True


@compiled
def near_features_batch(
    X: Ints, near: Ints, tables: Tables, plan: FeaturePlan, out: Floats
) -> bool:
    """Fill ``out`` [n, k, n_features] with the features of neighbors of each row of X.

    Returns whether all are legal.
    """
    counts, own = new_counts(tables, plan), np.empty((1, out.shape[2]))
    for i in range(X.shape[0]):
        legal = fill_rows(X[i : i + 1], tables, plan, counts, own)
        if not (legal and fill_rows(near[i], tables, plan, counts, out[i])):
            return False
    return True
