"""Counts of designs, from which features are made; only what a move changes is counted again.

Traffic is counted in whole units, small enough to lose nothing. Sums of whole numbers are exact in
any order. So only PEs and links that differ from a design before are counted again, and a row's
features still have the same bits in every batch. That design, the *anchor*, stays the same while
rows are a few moves away from it. Whether a row keeps the rules is found on the way, since only
what differs can break one. numba's cache looks only at the file of the function itself: after an
edit here, delete the cache of ``problems.noc.features.kernel``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from problems._arrays import Floats, Ints
from problems.noc.chip.jit import compiled, inlined
from problems.noc.chip.tables import Tables
from problems.noc.features.plan import FeaturePlan

__all__ = [
    "Counts",
    "count_links",
    "count_pes",
    "list_neighbors",
    "make_anchor",
    "new_counts",
    "return_to_anchor",
    "set_loads",
]

Bits = NDArray[np.uint64]


class Counts(NamedTuple):
    """Counts of one design, changed to those of a row and back to those of the anchor."""

    sums: Ints  # all counts that are one number for the whole design; these are parts of it:
    kinds: Ints  # [n_levels, n_types] PEs of each type in each layer
    distance: Ints  # [n_pair_classes] traffic of each pair of types times its grid distance
    near: Ints  # [3, n_pair_classes] traffic of each pair that needs at most one, two, three links
    cut_traffic: Ints  # [3, widest] traffic across each cut of the chip
    cut_links: Ints  # [3, widest] links across each cut of the chip
    layers: Ints  # [n_levels] planar links in each layer
    lengths: Ints  # [longest + 1] planar links of each length
    degrees: Ints  # [n_types] sum of the degrees of the PEs of each type
    routers: Ints  # [3] degrees times traffic, squared degrees, routers at the cap
    anchored: Ints  # [same as sums] those of the anchor

    pe: Ints  # [n_tiles] PE on each tile, -1 at first
    tiles_of: Ints  # [n_tiles] how many tiles each PE is on, zero at first
    tile: Ints  # [n_tiles] tile of each PE
    place: Ints  # [3, n_tiles] position of each PE; at first all are at the origin
    links: Ints  # [n_chosen] the links of the anchor; -1 at first
    chosen: Ints  # [n_candidates] how many times each link is chosen
    degree: Ints  # [n_tiles]
    load: Floats  # [n_tiles] traffic of each router by port
    anchored_load: Floats  # [n_tiles] that of the anchor
    hot: Floats  # [3] the anchor's features of heat
    heat: Floats  # [n_levels, n_stacks] watts
    rises: Floats  # [n_stacks] the anchor's heat at the far end of each stack
    reach: Bits  # [3, n_tiles], up to 64: a bit for each tile at most one, two, three links away
    anchored_reach: Bits  # [3, n_tiles] those of the anchor
    neighbor: Ints  # [n_tiles, max_degree] the tiles linked to each in the anchor, then itself
    listed: Ints  # [n_tiles] how many of them there are

    tiles: Ints  # [n_tiles] tiles whose PE differs from the anchor's
    pe_before: Ints  # [n_tiles] the anchor's PE on each of them
    changed: Ints  # [2 * n_chosen] links that differ from the anchor's
    by: Ints  # [2 * n_chosen] 1 for each that is added, -1 for each removed
    queue: Ints  # [n_tiles] scratch: tiles by distance
    away: Ints  # [n_tiles] scratch: distances
    row_neighbor: Ints  # [n_tiles, max_degree] scratch: `neighbor` of a row
    row_listed: Ints  # [n_tiles] scratch
    row_rises: Floats  # [n_stacks] scratch: `rises` of a row


@compiled
def new_counts(tables: Tables, plan: FeaturePlan) -> Counts:
    """Return the counts of no design: every PE at the origin, and the links of every design."""
    n, n_types, n_pairs = tables.pe_type.size, tables.type_count.size, plan.pair_volume.size
    n_levels, widest = plan.grid[2], plan.grid.max()
    n_stacks = n // n_levels
    width = n_levels * n_types + 4 * n_pairs + 6 * widest + n_levels + plan.longest + 1 + n_types
    sums = np.zeros(width + 3, np.int64)
    at = n_levels * n_types
    kinds = sums[:at].reshape((n_levels, n_types))
    distance = sums[at : at + n_pairs]
    near = sums[at + n_pairs : at + 4 * n_pairs].reshape((3, n_pairs))
    at += 4 * n_pairs
    cut_traffic = sums[at : at + 3 * widest].reshape((3, widest))
    at += 3 * widest
    cut_links = sums[at : at + 3 * widest].reshape((3, widest))
    at += 3 * widest
    layers, lengths = sums[at : at + n_levels], sums[at + n_levels : width - n_types]
    counts = Counts(
        sums,
        kinds,
        distance,
        near,
        cut_traffic,
        cut_links,
        layers,
        lengths,
        sums[width - n_types : width],
        sums[width:],
        np.zeros(width + 3, np.int64),
        np.full(n, -1, np.int64),
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        np.zeros((3, n), np.int64),
        np.full(tables.n_chosen, -1, np.int64),
        np.zeros(tables.n_candidates, np.int64),
        np.zeros(n, np.int64),
        np.zeros(n, np.float64),
        np.zeros(n, np.float64),
        np.zeros(3, np.float64),
        np.zeros((n_levels, n_stacks), np.float64),
        np.zeros(n_stacks, np.float64),
        np.zeros((3, n), np.uint64),
        np.zeros((3, n), np.uint64),
        np.empty((n, tables.max_degree), np.int64),
        np.zeros(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(2 * tables.n_chosen, np.int64),
        np.empty(2 * tables.n_chosen, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty((n, tables.max_degree), np.int64),
        np.empty(n, np.int64),
        np.empty(n_stacks, np.float64),
    )
    for kind in range(n_types):
        kinds[0, kind] = tables.type_count[kind]
    for t in range(n):
        counts.reach[0, t] = np.uint64(1) << np.uint64(t)
    for c in range(tables.n_candidates, tables.link_a.size):
        a, b = tables.link_a[c], tables.link_b[c]
        counts.degree[a] += 1
        counts.degree[b] += 1
        counts.reach[0, a] ^= np.uint64(1) << np.uint64(b)
        counts.reach[0, b] ^= np.uint64(1) << np.uint64(a)
        # These links are vertical, and a is below b.
        for cut in range(tables.place[a, 2], tables.place[b, 2]):
            cut_links[2, cut] += 1
    for degree in counts.degree:
        counts.routers[1] += degree * degree
        counts.routers[2] += degree == tables.max_degree
    list_neighbors(counts.links[:0], tables, counts.neighbor, counts.listed)
    return counts


@inlined
def list_neighbors(links: Ints, tables: Tables, neighbor: Ints, listed: Ints) -> None:
    """List the tiles linked to each, by the links of a row and those of every design."""
    listed.fill(0)
    for t in range(listed.size):
        neighbor[t, :] = t
    n_always = tables.link_a.size - tables.n_candidates
    for k in range(links.size + n_always):
        c = links[k] if k < links.size else tables.n_candidates + k - links.size
        a, b = tables.link_a[c], tables.link_b[c]
        neighbor[a, listed[a]] = b
        neighbor[b, listed[b]] = a
        listed[a] += 1
        listed[b] += 1


@inlined
def count_pes(row: Ints, tables: Tables, plan: FeaturePlan, counts: Counts) -> int:
    """Change the counts to the placement in a row; return how many tiles have another PE.

    Each cut that a PE crosses now separates it from PEs on one side instead of the other. Returns
    -1 if the placement breaks a rule; the counts are of no use then.
    """
    volume, pair_class, first_of_type = plan.volume, plan.pair_class, plan.first_of_type
    pe, place, kinds = counts.pe, counts.place, counts.kinds
    distance, cut_traffic, routers = counts.distance, counts.cut_traffic, counts.routers
    to, pe_type, tiles_of = tables.place, tables.pe_type, counts.tiles_of
    n_types = first_of_type.size - 1
    # Loops over unsigned indices compile to vector instructions, loops over signed ones do not.
    n_tiles = 0
    if pe[0] >= 0:
        differs = 0
        for k in range(np.uint64(pe.size)):
            differs |= row[k] ^ pe[k]
        if differs == 0:
            return 0
    for t in range(pe.size):
        p = row[t]
        before = pe[t]
        if before == p and p >= 0:
            continue
        if p < 0 or p >= pe.size or not tables.allowed[pe_type[p], t]:
            return -1
        tiles_of[p] += 1
        counts.tiles[n_tiles], counts.pe_before[n_tiles] = t, before
        n_tiles += 1
        kind, degree, flows = pe_type[p], counts.degree[t], volume[p]
        counts.degrees[kind] += degree
        routers[0] += degree * plan.ends[p]
        if before >= 0:
            tiles_of[before] -= 1
            counts.degrees[pe_type[before]] -= degree
            routers[0] -= degree * plan.ends[before]
        pe[t] = p
        counts.tile[p] = t
        kinds[place[2, p], kind] -= 1
        kinds[to[t, 2], kind] += 1
        for axis in range(3):
            old, new = place[axis, p], to[t, axis]
            places = place[axis]
            for cut in range(min(old, new), max(old, new)):
                for other in range(n_types):
                    column = pair_class[kind, other]
                    if column < 0:
                        continue
                    more = 0
                    start, stop = first_of_type[other], first_of_type[other + 1]
                    for q in range(np.uint64(start), np.uint64(stop)):
                        more += flows[q] if places[q] <= cut else -flows[q]
                    if new < old:
                        more = -more
                    distance[column] += more
                    cut_traffic[axis, cut] += more
            places[p] = new
    for i in range(n_tiles):
        if tiles_of[pe[counts.tiles[i]]] != 1:
            return -1
    return n_tiles


@inlined
def change_degree(t: int, by: int, tables: Tables, plan: FeaturePlan, counts: Counts) -> None:
    """Change the degree of a tile, and the counts of degrees."""
    p, degree, routers = counts.pe[t], counts.degree[t], counts.routers
    counts.degree[t] = degree + by
    counts.degrees[tables.pe_type[p]] += by
    routers[0] += by * plan.ends[p]
    routers[1] += by * (2 * degree + by)
    routers[2] += (degree + by == tables.max_degree) - (degree == tables.max_degree)


@inlined
def count_links(links: Ints, tables: Tables, plan: FeaturePlan, counts: Counts) -> int:
    """Change the counts to the links of a row; return how many are added or removed.

    If the links are not ascending, some are removed and added again, with the same counts. Returns
    -1 if the links break a rule; the counts are of no use then.
    """
    link_a, link_b, place, length = tables.link_a, tables.link_b, tables.place, plan.length
    before, linked, chosen, n_changed = counts.links, counts.reach[0], counts.chosen, 0
    i, end = 0, links.size
    if end and before[0] >= 0:
        differs = 0
        for k in range(np.uint64(end)):
            differs |= before[k] ^ links[k]
        if differs == 0:
            return 0
        while i < end and before[i] == links[i]:
            i += 1
        while i < end and before[end - 1] == links[end - 1]:
            end -= 1
    for j in range(i, end):
        c = links[j]
        if c < 0 or c >= tables.n_candidates:
            return -1
        if (c < tables.n_planar_candidates) != (j < tables.n_planar):
            return -1
    j = i
    while i < end or j < end:
        if i < end and j < end and before[i] == links[j]:
            i += 1
            j += 1
            continue
        if j == end or (i < end and before[i] < links[j]):
            c, by = before[i], -1
            i += 1
        else:
            c, by = links[j], 1
            j += 1
        if c < 0:
            continue
        counts.changed[n_changed], counts.by[n_changed] = c, by
        n_changed += 1
        chosen[c] += by
        a, b = link_a[c], link_b[c]
        change_degree(a, by, tables, plan, counts)
        change_degree(b, by, tables, plan, counts)
        # Bits are flipped, so that a link may be added again before it is removed.
        linked[a] ^= np.uint64(1) << np.uint64(b)
        linked[b] ^= np.uint64(1) << np.uint64(a)
        if c < length.size:
            counts.layers[place[a, 2]] += by
            counts.lengths[length[c]] += by
        for axis in range(3):
            from_, to = place[a, axis], place[b, axis]
            for cut in range(min(from_, to), max(from_, to)):
                counts.cut_links[axis, cut] += by
    for k in range(n_changed):
        c = counts.changed[k]
        if chosen[c] > 1 or counts.degree[link_a[c]] > tables.max_degree:
            return -1
        if counts.degree[link_b[c]] > tables.max_degree:
            return -1
    return n_changed


@inlined
def set_load(t: int, plan: FeaturePlan, counts: Counts) -> None:
    """Compute the traffic of a router by port."""
    counts.load[t] = plan.share[counts.pe[t]] / max(counts.degree[t], 1)


@inlined
def set_loads(
    n_tiles: int, n_links: int, tables: Tables, plan: FeaturePlan, counts: Counts
) -> None:
    """Compute the loads of the routers whose PE or links differ from the anchor's."""
    for i in range(n_tiles):
        set_load(counts.tiles[i], plan, counts)
    for i in range(n_links):
        set_load(tables.link_a[counts.changed[i]], plan, counts)
        set_load(tables.link_b[counts.changed[i]], plan, counts)


@inlined
def make_anchor(links: Ints, n_tiles: int, tables: Tables, counts: Counts) -> None:
    """Make the row whose counts these are the anchor."""
    if n_tiles:
        for s in range(counts.rises.size):
            counts.rises[s] = counts.row_rises[s]
    for k in range(np.uint64(links.size)):
        counts.links[k] = links[k]
    for k in range(np.uint64(counts.sums.size)):
        counts.anchored[k] = counts.sums[k]
    for k in range(np.uint64(counts.load.size)):
        counts.anchored_load[k] = counts.load[k]
    list_neighbors(links, tables, counts.neighbor, counts.listed)
    if counts.pe.size <= 64:
        for away in range(3):
            for t in range(np.uint64(counts.pe.size)):
                counts.anchored_reach[away, t] = counts.reach[away, t]


@inlined
def return_to_anchor(n_tiles: int, n_links: int, tables: Tables, counts: Counts) -> None:
    """Change the counts of a row back to those of the anchor."""
    for i in range(n_tiles):
        t, p = counts.tiles[i], counts.pe_before[i]
        counts.pe[t], counts.tile[p] = p, t
        counts.heat[tables.level[t], tables.stack[t]] = tables.power[p]
        for axis in range(3):
            counts.place[axis, p] = tables.place[t, axis]
    for i in range(n_links):
        c, by = counts.changed[i], counts.by[i]
        a, b = tables.link_a[c], tables.link_b[c]
        counts.degree[a] -= by
        counts.degree[b] -= by
        counts.chosen[c] -= by
        counts.reach[0, a] ^= np.uint64(1) << np.uint64(b)
        counts.reach[0, b] ^= np.uint64(1) << np.uint64(a)
    for k in range(np.uint64(counts.sums.size)):
        counts.sums[k] = counts.anchored[k]
    for k in range(np.uint64(counts.load.size)):
        counts.load[k] = counts.anchored_load[k]
