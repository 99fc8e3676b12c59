"""Traffic of a design that needs at most one, two and three links, by pair of types.

On up to 64 tiles, bits say which tiles are so near to each. Only pairs whose bits a row changes are
counted again. numba's cache looks only at the file of the function itself: after an edit here,
delete the cache of ``problems.noc.features.kernel``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from problems._arrays import Ints
from problems.noc.chip.jit import inlined
from problems.noc.chip.tables import Tables
from problems.noc.features.counts import Counts, list_neighbors
from problems.noc.features.plan import FeaturePlan

__all__ = ["near_by_bits", "near_by_links", "near_by_lists", "near_by_tiles"]

Word = np.uint64
Words = NDArray[np.uint64]
Reach = tuple[Word, Word, Word]

# Of a word with a single bit: the upper six bits of its product with the factor are different for
# each bit, and the table says which it is (a de Bruijn sequence).
_FACTOR, _SHIFT = Word(0x03F79D71B4CB0A89), Word(58)
_NUMBER = np.zeros(64, np.int64)
for _bit in range(64):
    _NUMBER[((0x03F79D71B4CB0A89 << _bit) & (2**64 - 1)) >> 58] = _bit
_ONE = Word(1)
_ALL = Word(2**64 - 1)


@inlined
def lowest(bits: Word) -> int:
    """Return the number of the lowest bit."""
    return _NUMBER[((bits & (~bits + _ONE)) * _FACTOR) >> _SHIFT]


@inlined
def count(
    p: int, new: Reach, old: Reach, left_out: Word, plan: FeaturePlan, counts: Counts
) -> None:
    """Change the traffic of PE ``p`` from the tiles that it reached to those that it reaches now.

    Each is a word of bits for one, two and three links. Some tiles are left out. Branches would
    take longer than they save.
    """
    classes, flows, near, pe = plan.class_of[p], plan.volume[p], counts.near, counts.pe
    left = ((new[0] ^ old[0]) | (new[1] ^ old[1]) | (new[2] ^ old[2])) & ~left_out
    while left != 0:
        t = Word(lowest(left))
        left &= left - _ONE
        q = pe[t]
        column, flow = classes[q], flows[q]
        near[0, column] += (np.int64((new[0] >> t) & _ONE) - np.int64((old[0] >> t) & _ONE)) * flow
        near[1, column] += (np.int64((new[1] >> t) & _ONE) - np.int64((old[1] >> t) & _ONE)) * flow
        near[2, column] += (np.int64((new[2] >> t) & _ONE) - np.int64((old[2] >> t) & _ONE)) * flow


@inlined
def count_with_all(
    p: int, new: Reach, old: Reach, first: int, tables: Tables, plan: FeaturePlan, counts: Counts
) -> None:
    """Do what `count` does for many tiles, with PEs from ``first`` on.

    The inner loop compiles to vector instructions.
    """
    flows, tile, near = plan.volume[p], counts.tile, counts.near
    for other in range(plan.first_of_type.size - 1):
        column = plan.pair_class[tables.pe_type[p], other]
        if column < 0:
            continue
        start, stop = max(plan.first_of_type[other], first), plan.first_of_type[other + 1]
        one, two, three = 0, 0, 0
        for q in range(Word(start), Word(stop)):
            t, flow = Word(tile[q]), flows[q]
            one += flow & -np.int64((new[0] >> t) & _ONE)
            two += flow & -np.int64((new[1] >> t) & _ONE)
            three += flow & -np.int64((new[2] >> t) & _ONE)
            one -= flow & -np.int64((old[0] >> t) & _ONE)
            two -= flow & -np.int64((old[1] >> t) & _ONE)
            three -= flow & -np.int64((old[2] >> t) & _ONE)
        near[0, column] += one
        near[1, column] += two
        near[2, column] += three


@inlined
def reach_of(t: int, linked: Words, nearer: Words) -> Word:
    """Return the bits that tiles linked to one have together."""
    reach, left = Word(0), linked[t]
    while left != 0:
        reach |= nearer[lowest(left)]
        left &= left - _ONE
    return reach


@inlined
def near_by_bits(tables: Tables, plan: FeaturePlan, counts: Counts) -> None:
    """Count the traffic of any row on up to 64 tiles."""
    reach, n, none = counts.reach, counts.pe.size, Word(0)
    for away in range(1, 3):
        for t in range(n):
            reach[away, t] = reach_of(t, reach[0], reach[away - 1])
    counts.near[:, :] = 0
    for p in range(n):
        t = counts.tile[p]
        new = (reach[0, t], reach[1, t], reach[2, t])
        count_with_all(p, new, (none, none, none), p + 1, tables, plan, counts)


@inlined
def near_by_tiles(n_tiles: int, tables: Tables, plan: FeaturePlan, counts: Counts) -> None:
    """Change the traffic to that of a row that differs from the anchor in PEs alone."""
    pe, reach, others = counts.pe, counts.reach, _ALL
    for i in range(n_tiles):
        others ^= _ONE << Word(counts.tiles[i])
    for i in range(n_tiles):
        t = counts.tiles[i]
        p, before = pe[t], t
        for j in range(n_tiles):
            if counts.pe_before[j] == p:
                before = counts.tiles[j]
        new = (reach[0, t] & others, reach[1, t] & others, reach[2, t] & others)
        old = (reach[0, before] & others, reach[1, before] & others, reach[2, before] & others)
        count_with_all(p, new, old, 0, tables, plan, counts)
        for j in range(i):
            other = counts.tiles[j]
            q, p_old, q_old = pe[other], counts.pe_before[i], counts.pe_before[j]
            for away in range(3):
                if (reach[away, t] >> Word(other)) & _ONE != 0:
                    counts.near[away, plan.class_of[p, q]] += plan.volume[p, q]
                    counts.near[away, plan.class_of[p_old, q_old]] -= plan.volume[p_old, q_old]


@inlined
def list_tiles(bits: Word, out: Ints) -> int:
    """List the tiles that have a bit; return how many."""
    n = 0
    while bits != 0:
        out[n] = lowest(bits)
        bits &= bits - _ONE
        n += 1
    return n


@inlined
def reach_farther(n_links: int, n: int, away: int, tables: Tables, counts: Counts) -> None:
    """Set the bits of n queued tiles, and of the ends of changed links, from those one link nearer.

    Ends have other neighbors than those listed, which are the anchor's. All loops have a fixed
    length, since a wrong guess of where a loop ends takes longer than what it saves.
    """
    linked, nearer, farther = counts.reach[0], counts.reach[away - 1], counts.reach[away]
    changed, neighbor = counts.changed, counts.neighbor
    for i in range(n):
        t = counts.queue[i]
        bits = nearer[t]
        for k in range(Word(neighbor.shape[1])):
            bits |= nearer[Word(neighbor[t, k])]
        farther[t] = bits
    for i in range(2 * n_links):
        t = tables.link_a[changed[i // 2]] if i % 2 else tables.link_b[changed[i // 2]]
        bits = nearer[t]
        for k in range(Word(neighbor.shape[1])):
            u = Word(neighbor[t, k])
            bits |= nearer[u] & (Word(0) - ((linked[t] >> u) & _ONE))
        farther[t] = bits
    for i in range(n_links):
        if counts.by[i] > 0:
            a, b = tables.link_a[changed[i]], tables.link_b[changed[i]]
            farther[a] |= nearer[b]
            farther[b] |= nearer[a]


@inlined
def near_by_links(n_links: int, tables: Tables, plan: FeaturePlan, counts: Counts) -> None:
    """Change the traffic to that of a row that differs from the anchor in links alone.

    Where a link between a and b comes or goes, only pairs change that have at most three links
    between them, this one among them. So one of the pair is a neighbor of a, or a or b itself.
    """
    reach, anchored, queue = counts.reach, counts.anchored_reach, counts.queue
    around, rows = Word(0), Word(0)
    for i in range(n_links):
        a, b = tables.link_a[counts.changed[i]], tables.link_b[counts.changed[i]]
        linked = reach[0] if counts.by[i] > 0 else anchored[0]
        around |= linked[a] | linked[b]
        rows |= linked[a] | (_ONE << Word(b))
    n_around = list_tiles(around, queue)
    reach_farther(n_links, n_around, 1, tables, counts)
    n = list_tiles(rows, queue)
    reach_farther(n_links, n, 2, tables, counts)
    done = Word(0)
    for i in range(n):
        t = queue[i]
        new = (reach[0, t], reach[1, t], reach[2, t])
        old = (anchored[0, t], anchored[1, t], anchored[2, t])
        count(counts.pe[t], new, old, done, plan, counts)
        done |= _ONE << Word(t)
    for t in range(Word(counts.pe.size)):
        reach[1, t] = anchored[1, t]
        reach[2, t] = anchored[2, t]


@inlined
def near_by_lists(links: Ints, tables: Tables, plan: FeaturePlan, counts: Counts) -> None:
    """Count that traffic on any number of tiles, in a time that grows in proportion to it."""
    pe, near, queue, away = counts.pe, counts.near, counts.queue, counts.away
    neighbor, listed = counts.row_neighbor, counts.row_listed
    list_neighbors(links, tables, neighbor, listed)
    near[:, :] = 0
    away.fill(-1)
    for t in range(pe.size):
        p, stop, at = pe[t], 1, 0
        queue[0], away[t] = t, 0
        while at < stop:
            u = queue[at]
            at += 1
            q = pe[u]
            column = plan.pair_class[tables.pe_type[p], tables.pe_type[q]]
            if q > p and column >= 0:
                for k in range(away[u] - 1, 3):
                    near[k, column] += plan.volume[p, q]
            if away[u] == 3:
                continue
            for i in range(listed[u]):
                v = neighbor[u, i]
                if away[v] < 0:
                    away[v] = away[u] + 1
                    queue[stop] = v
                    stop += 1
        for i in range(stop):
            away[queue[i]] = -1
