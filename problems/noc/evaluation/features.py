"""A few dozen features of each design for learned models, far cheaper than its evaluation.

The features describe what drives the objectives: the types in each layer, the distances between
PEs that communicate, the positions of the links, the traffic per router port and across the cuts
of the chip, and the spread of heat over the stacks.

Traffic is counted in whole units, small enough to lose nothing. Sums of whole numbers are exact in
any order. So only PEs and links that differ from the row before are counted again, and a row's
features still have the same bits in every batch.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from problems._arrays import Floats, Ints
from problems.noc.chip.jit import compiled, inlined
from problems.noc.chip.tables import Tables

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = ["FeaturePlan", "features_batch"]

Bits = NDArray[np.uint64]


class FeaturePlan(NamedTuple):
    """Constants of the features of one platform and traffic, which is in whole units."""

    volume: Ints  # [n_tiles, n_tiles] traffic between two PEs, both directions together
    ends: Ints  # [n_tiles] traffic that starts or ends at each PE
    share: Floats  # [n_tiles] `ends` as a share of all traffic
    everything: int  # all traffic
    grid: Ints  # [3]
    length: Ints  # [n_planar_candidates] length of each planar candidate, rounded up
    longest: int  # the largest of them
    first_of_type: Ints  # [n_types + 1] first PE of each type; ids of a type are consecutive
    pair_class: Ints  # [n_types, n_types] column of two types with traffic, -1 for others
    pair_volume: Ints  # [n_pair_classes] traffic between each such pair of types

    @classmethod
    def of(cls, platform: Platform, traffic: Floats) -> tuple[FeaturePlan, tuple[str, ...]]:
        """Return the plan, and the names of the features."""
        kinds = [kind.name for kind in platform.pe_types]
        between = traffic + traffic.T
        np.fill_diagonal(between, 0.0)
        volume = whole_units(between, max(sum(platform.grid), 2 * platform.max_degree))
        pair_class = np.full((len(kinds), len(kinds)), -1)
        volumes: list[int] = []
        pairs: list[str] = []
        for a, b in combinations_with_replacement(range(len(kinds)), 2):
            block = volume[np.ix_(platform.pe_type == a, platform.pe_type == b)]
            total = int(block.sum()) // (2 if a == b else 1)
            if total > 0:
                pair_class[a, b] = pair_class[b, a] = len(volumes)
                volumes.append(total)
                pairs.append(f"{kinds[a]}-{kinds[b]}")
        x, y, z = platform.grid
        planar = platform.candidate_lengths[: platform.n_planar_candidates]
        length = np.ceil(np.round(planar, 9)).astype(np.int64)
        longest = int(length.max(initial=0))
        names = [f"{kind} in layer {k}" for k in range(z) for kind in kinds]
        names += [f"links in layer {k}" for k in range(z)]
        names += [f"links of length {k + 1}" for k in range(longest)]
        names += [f"distance {pair}" for pair in pairs]
        names += [f"within two links {pair}" for pair in pairs]
        names += [f"degree {kind}" for kind in kinds]
        names += ["degree by traffic", "degree deviation", "routers at the cap"]
        names += ["traffic over one link", "port load peak", "port load deviation"]
        for axis, size in zip("xyz", (x, y, z), strict=True):
            names += [f"cut load {axis} {k}" for k in range(size - 1)]
        names += ["heat peak", "heat spread", "heat deviation"]
        ends = volume.sum(axis=1)
        everything = int(ends.sum()) // 2
        plan = cls(
            volume=volume,
            ends=ends,
            share=ends / everything,
            everything=everything,
            grid=np.array(platform.grid, dtype=np.int64),
            length=length,
            longest=longest,
            first_of_type=np.cumsum([0, *platform.tables.type_count], dtype=np.int64),
            pair_class=pair_class,
            pair_volume=np.array(volumes, dtype=np.int64),
        )
        return plan, tuple(names)


def whole_units(between: Floats, most: int) -> Ints:
    """Return traffic as whole numbers whose sum times ``most`` stays below 2^62."""
    total = between.sum() * most
    return np.rint(np.ldexp(between, 61 - math.frexp(total)[1])).astype(np.int64)


class Counts(NamedTuple):
    """Counts of one design, updated for the next one."""

    pe: Ints  # [n_tiles] PE on each tile, -1 at first
    place: Ints  # [3, n_tiles] position of each PE; at first all are at the origin
    kinds: Ints  # [n_levels, n_types] PEs of each type in each layer
    distance: Ints  # [n_pair_classes] traffic of each pair of types times its grid distance
    cut_traffic: Ints  # [3, widest] traffic across each cut of the chip
    links: Ints  # [n_chosen] as in the row; -1 at first
    degree: Ints  # [n_tiles]
    layers: Ints  # [n_levels] planar links in each layer
    lengths: Ints  # [longest + 1] planar links of each length
    cut_links: Ints  # [3, widest] links across each cut of the chip
    near: Ints  # [n_pair_classes] traffic of each pair of types that needs at most two links
    linked: Bits  # [n_tiles], up to 64: a bit for each tile itself, and for each linked to it
    ends: Bits  # [n_tiles] the bits of each PE's tile; no bits at first
    ends_before: Bits  # [n_tiles] scratch: those in the row before
    changed: Ints  # [n_tiles] scratch: PEs with other bits than in the row before
    neighbor: Ints  # [n_tiles, max_degree] scratch: the tiles linked to each
    listed: Ints  # [n_tiles] scratch: how many of them are listed
    marked: Ints  # [n_tiles] scratch
    heat: Floats  # [n_levels, n_stacks] scratch: watts
    load: Floats  # [n_tiles] scratch: traffic of each router by port


@compiled
def new_counts(tables: Tables, plan: FeaturePlan) -> Counts:
    """Return the counts of no design: every PE at the origin, and the links of every design."""
    n = tables.pe_type.size
    n_types = tables.type_count.size
    n_levels = plan.grid[2]
    widest = plan.grid.max()
    counts = Counts(
        np.full(n, -1, np.int64),
        np.zeros((3, n), np.int64),
        np.zeros((n_levels, n_types), np.int64),
        np.zeros(plan.pair_volume.size, np.int64),
        np.zeros((3, widest), np.int64),
        np.full(tables.n_chosen, -1, np.int64),
        np.zeros(n, np.int64),
        np.zeros(n_levels, np.int64),
        np.zeros(plan.longest + 1, np.int64),
        np.zeros((3, widest), np.int64),
        np.zeros(plan.pair_volume.size, np.int64),
        np.zeros(n, np.uint64),
        np.zeros(n, np.uint64),
        np.zeros(n, np.uint64),
        np.empty(n, np.int64),
        np.empty((n, tables.max_degree), np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty((n_levels, n // n_levels), np.float64),
        np.empty(n, np.float64),
    )
    for kind in range(n_types):
        counts.kinds[0, kind] = tables.type_count[kind]
    for t in range(n):
        counts.linked[t] = np.uint64(1) << np.uint64(t)
    for c in range(tables.n_candidates, tables.link_a.size):
        a, b = tables.link_a[c], tables.link_b[c]
        counts.degree[a] += 1
        counts.degree[b] += 1
        counts.linked[a] ^= np.uint64(1) << np.uint64(b)
        counts.linked[b] ^= np.uint64(1) << np.uint64(a)
        # These links are vertical, and a is below b.
        for cut in range(tables.place[a, 2], tables.place[b, 2]):
            counts.cut_links[2, cut] += 1
    return counts


@compiled
def count_links(links: Ints, tables: Tables, plan: FeaturePlan, counts: Counts) -> None:
    """Update the counts to other links.

    If the links are not ascending, some are removed and added again, with the same counts.
    """
    link_a, link_b, place, length = tables.link_a, tables.link_b, tables.place, plan.length
    before, degree, cut_links = counts.links, counts.degree, counts.cut_links
    layers, lengths, linked = counts.layers, counts.lengths, counts.linked
    i, j = 0, 0
    while i < links.size or j < links.size:
        if i < links.size and j < links.size and before[i] == links[j]:
            i += 1
            j += 1
            continue
        if j == links.size or (i < links.size and before[i] < links[j]):
            c, by = before[i], -1
            i += 1
        else:
            c, by = links[j], 1
            j += 1
        if c < 0:
            continue
        a, b = link_a[c], link_b[c]
        degree[a] += by
        degree[b] += by
        # Bits are flipped, so that a link may be added again before it is removed.
        linked[a] ^= np.uint64(1) << np.uint64(b)
        linked[b] ^= np.uint64(1) << np.uint64(a)
        if c < length.size:
            layers[place[a, 2]] += by
            lengths[length[c]] += by
        for axis in range(3):
            from_, to = place[a, axis], place[b, axis]
            for cut in range(min(from_, to), max(from_, to)):
                cut_links[axis, cut] += by
    for k in range(links.size):
        before[k] = links[k]


@compiled
def count_pes(row: Ints, tables: Tables, plan: FeaturePlan, counts: Counts) -> bool:
    """Update the counts to the placement in a row; return whether any PE moved.

    Each cut that a PE crosses now separates it from PEs on one side instead of the other.
    """
    volume, pair_class, first_of_type = plan.volume, plan.pair_class, plan.first_of_type
    pe, place, kinds = counts.pe, counts.place, counts.kinds
    distance, cut_traffic = counts.distance, counts.cut_traffic
    to, pe_type = tables.place, tables.pe_type
    n_types = first_of_type.size - 1
    moved = False
    # Loops over unsigned indices compile to vector instructions, loops over signed ones do not.
    for t in range(pe.size):
        p = row[t]
        if pe[t] == p:
            continue
        pe[t] = p
        moved = True
        kind = pe_type[p]
        kinds[place[2, p], kind] -= 1
        kinds[to[t, 2], kind] += 1
        flows = volume[p]
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
    return moved


@inlined
def link_of(k: int, tables: Tables, counts: Counts) -> int:
    """Return the index in the tables of a link: first those chosen, then those of every design."""
    n_chosen = counts.links.size
    return counts.links[k] if k < n_chosen else tables.n_candidates + k - n_chosen


@compiled
def count_near(
    p: int, first: int, ends: Bits, by: int, tables: Tables, plan: FeaturePlan, near: Ints
) -> None:
    """Add the traffic of PE ``p`` with those from ``first`` on that have a bit in common with it.

    It is added ``by`` times. The inner loop compiles to vector instructions.
    """
    kind, flows, own = tables.pe_type[p], plan.volume[p], ends[p]
    for other in range(plan.first_of_type.size - 1):
        column = plan.pair_class[kind, other]
        if column < 0:
            continue
        start, stop = max(plan.first_of_type[other], first), plan.first_of_type[other + 1]
        more = 0
        for q in range(np.uint64(start), np.uint64(stop)):
            more += flows[q] if (own & ends[q]) != 0 else 0
        near[column] += by * more


@compiled
def near_by_bits(tables: Tables, plan: FeaturePlan, counts: Counts) -> None:
    """Update the traffic that needs at most two links, by pair of types, on up to 64 tiles.

    Two PEs are so near if a tile is linked to both, or is that of one and linked to the other. Only
    pairs with a PE whose bits have changed are counted again, unless there are many such PEs.
    """
    pe, linked, near = counts.pe, counts.linked, counts.near
    ends, before, changed = counts.ends, counts.ends_before, counts.changed
    n_changed = 0
    for t in range(pe.size):
        p = pe[t]
        if ends[p] != linked[t]:
            ends[p] = linked[t]
            changed[n_changed] = p
            n_changed += 1
    if 4 * n_changed > pe.size:
        near.fill(0)
        for p in range(pe.size):
            count_near(p, p + 1, ends, 1, tables, plan, near)
    else:
        for i in range(n_changed):
            p = changed[i]
            count_near(p, 0, before, -1, tables, plan, near)
            count_near(p, 0, ends, 1, tables, plan, near)
            for j in range(i):  # a pair of two such PEs has been counted twice
                q = changed[j]
                column = plan.pair_class[tables.pe_type[p], tables.pe_type[q]]
                if column < 0:
                    continue
                if (before[p] & before[q]) != 0:
                    near[column] += plan.volume[p, q]
                if (ends[p] & ends[q]) != 0:
                    near[column] -= plan.volume[p, q]
    for i in range(n_changed):
        before[changed[i]] = ends[changed[i]]


@compiled
def near_by_lists(tables: Tables, plan: FeaturePlan, counts: Counts) -> None:
    """Count that traffic on any number of tiles, in a time that grows in proportion to it."""
    pe, neighbor, listed, marked = counts.pe, counts.neighbor, counts.listed, counts.marked
    near = counts.near
    near.fill(0)
    listed.fill(0)
    marked.fill(-1)
    for k in range(counts.links.size + tables.link_a.size - tables.n_candidates):
        c = link_of(k, tables, counts)
        a, b = tables.link_a[c], tables.link_b[c]
        neighbor[a, listed[a]] = b
        neighbor[b, listed[b]] = a
        listed[a] += 1
        listed[b] += 1
    for t in range(pe.size):
        p = pe[t]
        for i in range(listed[t] + 1):
            u = neighbor[t, i - 1] if i else t
            for j in range(listed[u] + 1):
                v = neighbor[u, j - 1] if j else u
                q = pe[v]
                if q <= p or marked[v] == t:
                    continue
                marked[v] = t
                column = plan.pair_class[tables.pe_type[p], tables.pe_type[q]]
                if column >= 0:
                    near[column] += plan.volume[p, q]


@compiled
def heat_features(tables: Tables, counts: Counts, out: Floats) -> None:
    """Fill in peak, spread and deviation of the heat at the far end of the stacks."""
    heat = counts.heat
    n_levels, n_stacks = heat.shape
    for t in range(counts.pe.size):
        heat[tables.level[t], tables.stack[t]] = tables.power[counts.pe[t]]
    mean, squares, hot, cold = 0.0, 0.0, -np.inf, np.inf
    for s in range(n_stacks):
        rise = 0.0
        for k in range(n_levels):
            resistance = (k + 1) * tables.layer_resistance + tables.base_resistance
            rise += heat[k, s] * resistance
        mean += rise / n_stacks
        squares += rise * rise / n_stacks
        hot = max(hot, rise)
        cold = min(cold, rise)
    out[0] = hot
    out[1] = hot - cold
    out[2] = np.sqrt(max(squares - mean * mean, 0.0))


@compiled
def router_features(tables: Tables, plan: FeaturePlan, counts: Counts, out: Floats) -> None:
    """Fill in degrees by type and by traffic, their deviation, routers at the cap, port loads."""
    pe, degrees, loads, chosen = counts.pe, counts.degree, counts.load, counts.links
    volume, ends, share, pe_type = plan.volume, plan.ends, plan.share, tables.pe_type
    link_a, link_b = tables.link_a, tables.link_b
    n = pe.size
    n_types = tables.type_count.size
    pressed, links, squares, full = 0, 0, 0, 0
    mean, peak = 0.0, 0.0
    for t in range(n):
        p, degree = pe[t], degrees[t]
        out[pe_type[p]] += degree
        pressed += degree * ends[p]
        links += degree
        squares += degree * degree
        full += degree == tables.max_degree
        load = share[p] / max(degree, 1)
        loads[t] = load
        mean += load
        peak = max(peak, load)
    mean /= n
    deviation = 0.0
    for t in range(n):
        deviation += (loads[t] - mean) ** 2
    direct = 0
    for c in chosen:
        direct += volume[pe[link_a[c]], pe[link_b[c]]]
    for c in range(tables.n_candidates, link_a.size):
        direct += volume[pe[link_a[c]], pe[link_b[c]]]
    for kind in range(n_types):
        out[kind] /= tables.type_count[kind]
    out[n_types] = pressed / (2 * plan.everything)
    out[n_types + 1] = np.sqrt(n * squares - links * links) / n
    out[n_types + 2] = full
    out[n_types + 3] = direct / plan.everything
    out[n_types + 4] = peak
    out[n_types + 5] = np.sqrt(deviation / n)


@compiled
def fill(row: Floats, at: int, values: Ints) -> int:
    """Copy values into a row from a column on; return the column after them."""
    for value in values:
        row[at] = value
        at += 1
    return at


@compiled
def features_batch(X: Ints, tables: Tables, plan: FeaturePlan, out: Floats) -> None:
    """Fill ``out`` [n, n_features] with the features of legal rows of X."""
    n = tables.pe_type.size
    n_types = tables.type_count.size
    counts = new_counts(tables, plan)
    for i in range(X.shape[0]):
        row = out[i]
        moved = count_pes(X[i], tables, plan, counts)
        count_links(X[i, n:], tables, plan, counts)

        at = fill(row, 0, counts.kinds.ravel())
        at = fill(row, at, counts.layers)
        at = fill(row, at, counts.lengths[1:])
        for c in range(plan.pair_volume.size):
            row[at] = counts.distance[c] / plan.pair_volume[c]
            at += 1
        if n <= 64:
            near_by_bits(tables, plan, counts)
        else:
            near_by_lists(tables, plan, counts)
        for c in range(counts.near.size):
            row[at] = counts.near[c] / plan.pair_volume[c]
            at += 1
        for k in range(at, at + n_types):
            row[k] = 0.0
        router_features(tables, plan, counts, row[at:])
        at += n_types + 6
        for axis in range(3):
            for cut in range(plan.grid[axis] - 1):
                wires = max(counts.cut_links[axis, cut], 1)
                row[at] = counts.cut_traffic[axis, cut] / wires / plan.everything
                at += 1
        if moved:
            heat_features(tables, counts, row[at:])
        else:
            for k in range(at, row.size):
                row[k] = out[i - 1, k]
