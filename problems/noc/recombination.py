"""Compiled recombination of two legal designs; rows and random numbers as in ``moves``.

numba's cache looks only at this file: after an edit of a function of ``moves`` that is used here,
delete the cache.
"""

from __future__ import annotations

import numpy as np

from problems._arrays import Ints
from problems.noc.chip.jit import compiled
from problems.noc.chip.tables import Seeds, Tables
from problems.noc.moves import (
    Network,
    copy_row,
    draw,
    load_links,
    may_replace,
    new_network,
    replace,
    shuffle,
)

__all__ = ["recombine_batch"]


@compiled
def recombine_placement(child: Ints, other: Ints, tables: Tables, state: Seeds) -> None:
    """Walk part of the way from one placement to another by swaps.

    Each swap gives one tile the PE of the other parent, so tiles on which the parents agree never
    change. A swap is skipped if the displaced PE may not sit on the other tile.
    """
    n = child.size
    tile_of, tiles = np.empty(n, np.int64), np.empty(n, np.int64)
    differing = 0
    for t in range(n):
        tile_of[child[t]] = t
        if child[t] != other[t]:
            tiles[differing] = t
            differing += 1
    shuffle(tiles, differing, state)
    for i in range(draw(state, differing + 1)):
        t = tiles[i]
        p, q = child[t], other[t]
        s = tile_of[q]
        if p != q and tables.allowed[tables.pe_type[p], s]:
            child[t], child[s] = q, p
            tile_of[q], tile_of[p] = t, s


@compiled
def recombine_links(
    child: Ints, other: Ints, network: Network, tables: Tables, state: Seeds
) -> None:
    """Exchange some of the links that only one parent has; common links stay."""
    load_links(network, tables, child)
    mine, theirs = np.empty(child.size, np.int64), np.empty(child.size, np.int64)
    n_mine, n_theirs = 0, 0
    for c in other:
        if network.used[c] == 0:
            theirs[n_theirs] = c
            n_theirs += 1
        else:
            network.used[c] = 2
    for c in child:
        if network.used[c] == 2:
            network.used[c] = 1
        else:
            mine[n_mine] = c
            n_mine += 1
    shuffle(mine, n_mine, state)
    shuffle(theirs, n_theirs, state)
    for i in range(draw(state, n_theirs + 1)):
        # A few attempts for each link, since most pairs do not fit if routers are full.
        for _ in range(4):
            j = draw(state, n_mine)
            if may_replace(network, tables, mine[j], theirs[i]):
                replace(network, tables, mine[j], theirs[i])
                n_mine -= 1
                mine[j] = mine[n_mine]
                break
    k = 0
    for c in range(tables.n_candidates):
        if network.used[c] == 1:
            child[k] = c
            k += 1


@compiled
def recombine_batch(A: Ints, B: Ints, tables: Tables, seeds: Seeds, out: Ints) -> None:
    """Fill ``out`` with one child per pair of rows, part of the way from A to B."""
    n = tables.pe_type.size
    network = new_network(tables)
    state = np.empty(1, np.uint64)
    for i in range(A.shape[0]):
        copy_row(A[i], out[i])
        state[0] = seeds[i]
        recombine_placement(out[i, :n], B[i, :n], tables, state)
        recombine_links(out[i, n:], B[i, n:], network, tables, state)
