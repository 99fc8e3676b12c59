"""Traffic of a design that needs at most two links, by pair of types, counted by changes.

On up to 64 tiles, a bit for each tile says where a PE can be reached. numba's cache looks only at
the file of the function itself: after an edit here, delete the cache of
``problems.noc.features.kernel``.
"""

from __future__ import annotations

import numpy as np

from problems._arrays import Ints
from problems.noc.chip.jit import inlined
from problems.noc.chip.tables import Tables
from problems.noc.features.counts import Counts, list_neighbors
from problems.noc.features.plan import FeaturePlan

__all__ = ["near_by_bits", "near_by_changes", "near_by_links", "near_by_lists"]

# Of a word with a single bit: the upper six bits of its product with the factor are different for
# each bit, and the table says which it is (a de Bruijn sequence).
_FACTOR, _SHIFT = np.uint64(0x03F79D71B4CB0A89), np.uint64(58)
_NUMBER = np.zeros(64, np.int64)
for _bit in range(64):
    _NUMBER[((0x03F79D71B4CB0A89 << _bit) & (2**64 - 1)) >> 58] = _bit
_ONE = np.uint64(1)


@inlined
def count_near(
    p: int, first: int, before: bool, tables: Tables, plan: FeaturePlan, counts: Counts
) -> None:
    """Add the traffic of PE ``p`` with those from ``first`` on that have a bit in common with it.

    With ``before``, what the anchor has of it is taken away. The inner loops compile to vector
    instructions.
    """
    kind, flows, ends, old = tables.pe_type[p], plan.volume[p], counts.ends, counts.anchored_ends
    own, own_old = ends[p], old[p]
    for other in range(plan.first_of_type.size - 1):
        column = plan.pair_class[kind, other]
        if column < 0:
            continue
        start, stop = max(plan.first_of_type[other], first), plan.first_of_type[other + 1]
        more = 0
        if before:
            for q in range(np.uint64(start), np.uint64(stop)):
                more += flows[q] if (own & ends[q]) != 0 else 0
                more -= flows[q] if (own_old & old[q]) != 0 else 0
        else:
            for q in range(np.uint64(start), np.uint64(stop)):
                more += flows[q] if (own & ends[q]) != 0 else 0
        counts.near[column] += more


@inlined
def mark_changed(t: int, n_changed: int, counts: Counts) -> int:
    """Note the PE on a tile if its bits have changed; return how many have been noted so far."""
    p = counts.pe[t]
    if counts.ends[p] == counts.linked[t]:
        return n_changed
    counts.ends[p] = counts.linked[t]
    counts.near_changed[n_changed] = p
    return n_changed + 1


@inlined
def count_changed(n_changed: int, tables: Tables, plan: FeaturePlan, counts: Counts) -> None:
    """Count the traffic again that starts or ends at PEs whose bits have changed.

    Two PEs are near if a tile is linked to both, or is that of one and linked to the other. If
    many have changed, all are counted.
    """
    pe, near = counts.pe, counts.near
    ends, before, changed = counts.ends, counts.anchored_ends, counts.near_changed
    if 4 * n_changed > pe.size:
        near.fill(0)
        for p in range(pe.size):
            count_near(p, p + 1, False, tables, plan, counts)
        return
    for i in range(n_changed):
        p = changed[i]
        count_near(p, 0, True, tables, plan, counts)
        for j in range(i):  # a pair of two such PEs has been counted twice
            q = changed[j]
            column = plan.pair_class[tables.pe_type[p], tables.pe_type[q]]
            if column < 0:
                continue
            if (before[p] & before[q]) != 0:
                near[column] += plan.volume[p, q]
            if (ends[p] & ends[q]) != 0:
                near[column] -= plan.volume[p, q]


@inlined
def near_by_bits(tables: Tables, plan: FeaturePlan, counts: Counts) -> int:
    """Change the traffic to that of any row on up to 64 tiles; return how many PEs have changed."""
    n_changed = 0
    for t in range(counts.pe.size):
        n_changed = mark_changed(t, n_changed, counts)
    count_changed(n_changed, tables, plan, counts)
    return n_changed


@inlined
def near_by_changes(
    n_tiles: int, n_links: int, tables: Tables, plan: FeaturePlan, counts: Counts
) -> int:
    """Do what `near_by_bits` does, by the few tiles and links that differ from the anchor's."""
    n_changed = 0
    for i in range(n_tiles):
        n_changed = mark_changed(counts.tiles[i], n_changed, counts)
    for i in range(n_links):
        n_changed = mark_changed(tables.link_a[counts.changed[i]], n_changed, counts)
        n_changed = mark_changed(tables.link_b[counts.changed[i]], n_changed, counts)
    count_changed(n_changed, tables, plan, counts)
    return n_changed


@inlined
def near_by_links(n_links: int, tables: Tables, plan: FeaturePlan, counts: Counts) -> None:
    """Change the traffic to that of a row that differs from the anchor in links alone.

    A pair of tiles can change only if one of them has other links. Its new reach differs from that
    in the anchor by a few tiles, which are the only ones to count.
    """
    pe, linked, old, done = counts.pe, counts.linked, counts.anchored_ends, np.uint64(0)
    for i in range(2 * n_links):
        link = counts.changed[i // 2]
        t = tables.link_a[link] if i % 2 else tables.link_b[link]
        own, p = _ONE << np.uint64(t), pe[t]
        if (done & own) != 0 or linked[t] == old[p]:
            continue
        reach, left = np.uint64(0), linked[t]
        while left != 0:
            bit = left & (~left + _ONE)
            reach |= linked[_NUMBER[(bit * _FACTOR) >> _SHIFT]]
            left ^= bit
        left = (reach ^ counts.reach[t]) & ~done
        done |= own
        kind = tables.pe_type[p]
        while left != 0:
            bit = left & (~left + _ONE)
            left ^= bit
            q = pe[_NUMBER[(bit * _FACTOR) >> _SHIFT]]
            column = plan.pair_class[kind, tables.pe_type[q]]
            if column >= 0:
                flow = plan.volume[p, q]
                counts.near[column] += flow if (reach & bit) != 0 else -flow


@inlined
def near_by_lists(links: Ints, tables: Tables, plan: FeaturePlan, counts: Counts) -> None:
    """Count that traffic on any number of tiles, in a time that grows in proportion to it."""
    pe, marked, near = counts.pe, counts.marked, counts.near
    neighbor, listed = counts.row_neighbor, counts.row_listed
    list_neighbors(links, tables, neighbor, listed)
    near.fill(0)
    marked.fill(-1)
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
