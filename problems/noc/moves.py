"""Compiled moves between legal designs: swaps of PEs, moves of links, recombination of two parents.

Every function works on rows of X and leaves them legal and canonical (links ascending). Each row
has its own splitmix64 stream of random numbers, seeded by the caller's generator, so its result
does not depend on the other rows of the batch. What is ``fixed`` is one of ``NOTHING``, ``LINKS``,
``PES`` and ``ALL``; ``Platform.fixed_part`` says which.
"""

from __future__ import annotations

import numpy as np

from problems._arrays import Ints
from problems.noc.chip.jit import compiled, lean
from problems.noc.chip.tables import Seeds, Tables
from problems.noc.links import (
    ALL,
    LINKS,
    PES,
    Network,
    add_link,
    copy_canonical,
    copy_row,
    draw,
    draw_link_move,
    draw_swap,
    exchange_ends,
    load_links,
    may_replace,
    move_link,
    new_network,
    remove_link,
    replace,
    replace_link,
    replace_sorted,
    shuffle,
)

__all__ = ["mutate_batch", "neighbors_batch", "recombine_batch", "sample_batch"]


@compiled
def mutate_batch(
    X: Ints, tables: Tables, fixed: int, max_moves: int, seeds: Seeds, out: Ints
) -> None:
    """Fill ``out`` with the rows of X after 1 to ``max_moves`` moves of PEs or links each.

    Nothing moves that is ``fixed``.
    """
    n = tables.pe_type.size
    network = new_network(tables)
    state = np.empty(1, np.uint64)
    for i in range(X.shape[0]):
        state[0] = seeds[i]
        copy_canonical(X[i], n, out[i])
        if fixed == ALL:
            continue
        placement, links = out[i, :n], out[i, n:]
        load_links(network, tables, links)
        for _ in range(1 + draw(state, max_moves)):
            if fixed == PES or (fixed != LINKS and draw(state, 2) == 1):
                move_link(links, network, tables, state)
                continue
            a, b = draw_swap(placement, tables, state)
            if a >= 0:
                placement[a], placement[b] = placement[b], placement[a]


@lean
def fill_neighbors(
    X: Ints,
    tables: Tables,
    fixed: int,
    seeds: Seeds,
    out: Ints,
    network: Network,
    state: Seeds,
    made: Ints,
    base: Ints,
) -> None:
    """Fill ``out`` [n, k, n_var] with k designs one move away from each row, no move twice.

    Moves repeat if the platform has fewer than k. Nothing moves that is ``fixed``.
    """
    n = tables.pe_type.size
    k = out.shape[1]
    for i in range(X.shape[0]):
        state[0] = seeds[i]
        copy_canonical(X[i], n, base)
        placement, links = base[:n], base[n:]
        load_links(network, tables, links)
        for j in range(k):
            copy_row(base, out[i, j])
            made[j] = -1
            if fixed == ALL:
                continue
            for _ in range(20):
                swap = fixed == LINKS or (fixed != PES and draw(state, 2) == 0)
                exchange = False
                if swap:
                    a, b = draw_swap(placement, tables, state)
                    move = a * n + b
                elif network.singles[0] < 8 and draw(state, 8) >= network.singles[0]:
                    exchange = True
                    a, other, b, last = exchange_ends(links, network, tables, state)
                    move = -2
                    if a >= 0:
                        for c in (b, last):
                            remove_link(network, tables, c)
                        for c in (a, other):
                            add_link(network, tables, c)
                        first, second = min(b, last), max(b, last)
                        move = n * n + (n + first) * tables.n_candidates + second
                else:
                    a, b = draw_link_move(links, network, tables, state)
                    move = n * n + a * tables.n_candidates + b
                if a >= 0:
                    made[j] = move
                    if move not in made[:j]:
                        break
            if a >= 0:
                if exchange:
                    replace_link(out[i, j, n:], a, b)
                    replace_link(out[i, j, n:], other, last)
                elif swap:
                    out[i, j, a], out[i, j, b] = placement[b], placement[a]
                else:
                    replace_sorted(out[i, j, n:], a, b)


@compiled
def neighbors_batch(X: Ints, tables: Tables, fixed: int, seeds: Seeds, out: Ints) -> None:
    """Fill ``out`` [n, k, n_var] with k designs one move away from each row, no move twice.

    Moves repeat if the platform has fewer than k. Nothing moves that is ``fixed``.
    """
    state, made = np.empty(1, np.uint64), np.empty(out.shape[1], np.int64)
    base = np.empty(X.shape[1], np.int64)
    fill_neighbors(X, tables, fixed, seeds, out, new_network(tables), state, made, base)


@compiled
def sample_batch(mesh: Ints, tables: Tables, fixed: int, seeds: Seeds, out: Ints) -> None:
    """Fill ``out`` with the mesh, then in turn with shuffled PEs, moved links, and both.

    A shuffle is a long chain of random legal swaps. At most half of the links move. Nothing
    moves that is ``fixed``.
    """
    n = tables.pe_type.size
    network = new_network(tables)
    state = np.empty(1, np.uint64)
    for i in range(out.shape[0]):
        copy_row(mesh, out[i])
        if fixed == ALL:
            continue
        state[0] = seeds[i]
        placement, links = out[i, :n], out[i, n:]
        if i > 0 and fixed != PES and (i % 3 != 2 or fixed == LINKS):
            for _ in range(8 * n):
                a, b = draw(state, n), draw(state, n)
                p, q = tables.pe_type[placement[a]], tables.pe_type[placement[b]]
                if tables.allowed[p, b] and tables.allowed[q, a]:
                    placement[a], placement[b] = placement[b], placement[a]
        if i > 0 and (i % 3 != 1 or fixed == PES) and fixed != LINKS:
            load_links(network, tables, links)
            for _ in range(1 + draw(state, max(links.size // 2, 1))):
                move_link(links, network, tables, state)


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
