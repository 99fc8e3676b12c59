"""Routes of a design as paths: shortest paths by the rule of the model, or by BookSim's rule.

A path is a sequence of tiles. All paths of a design stand one after the other in one array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from problems._arrays import Floats, Ints
from problems._checks import check_choice
from problems.noc.chip.jit import compiled

if TYPE_CHECKING:
    from problems.noc.design.design import Design

__all__ = [
    "ROUTINGS",
    "Paths",
    "cycles_along",
    "hop_matrix",
    "paths_of",
    "paths_of_tables",
    "paths_of_trees",
    "shortest_trees",
]

ROUTINGS = ("model", "booksim")
"""Shortest paths by the rule of the model, or those that BookSim finds in an exported design."""


class Paths(NamedTuple):
    """The paths between all pairs of tiles."""

    start: Ints  # [n, n] place in `tiles` of the first tile of the path from tile to tile
    length: Ints  # [n, n] tiles of each path, both ends included
    tiles: Ints  # the paths, one after the other


def hop_matrix(n: int, links: Ints, cycles: Ints) -> Ints:
    """Return the cycles of the hop from tile to tile, 0 where no link joins them, [n, n]."""
    cost = np.zeros((n, n), dtype=np.int64)
    cost[links[:, 0], links[:, 1]] = cycles
    cost[links[:, 1], links[:, 0]] = cycles
    return cost


@compiled
def shortest_trees(cost: Ints, placement: Ints, first_found: bool) -> Ints:
    """Return the tile before each tile on the shortest path from each source, [n, n].

    Of several, it is the one with the smallest PE id, as in the model, or the first one that a
    search by distance and then by tile finds, as in BookSim. The tile before the source is -1.
    """
    n = len(cost)
    far = np.int64(2**40)
    parent = np.full((n, n), -1, dtype=np.int64)
    for s in range(n):
        distance = np.full(n, far)
        done = np.zeros(n, dtype=np.bool_)
        distance[s] = 0
        for _ in range(n):
            nearest = -1
            for v in range(n):
                if not done[v] and (nearest < 0 or distance[v] < distance[nearest]):
                    nearest = v
            done[nearest] = True
            for v in range(n):
                if cost[nearest, v] == 0:
                    continue
                new = distance[nearest] + cost[nearest, v]
                same = new == distance[v] and parent[s, v] >= 0 and not first_found
                better = same and placement[nearest] < placement[parent[s, v]]
                if new < distance[v] or better:
                    distance[v] = new
                    parent[s, v] = nearest
    return parent


@compiled
def _tables_of_trees(parent: Ints) -> Ints:
    """Return the second tile on the path of each tree from source to tile, [n, n]."""
    n = len(parent)
    table = np.full((n, n), -1, dtype=np.int64)
    for s in range(n):
        for t in range(n):
            if t != s:
                v = t
                while parent[s, v] != s:
                    v = parent[s, v]
                table[s, t] = v
    return table


@compiled
def paths_of_trees(parent: Ints) -> Paths:
    """Return the paths of trees [n, n], as ``shortest_trees`` returns them."""
    n = len(parent)
    start = np.zeros((n, n), dtype=np.int64)
    length = np.ones((n, n), dtype=np.int64)
    total = 0
    for s in range(n):
        for t in range(n):
            v = t
            while v != s:
                v = parent[s, v]
                length[s, t] += 1
            start[s, t] = total
            total += length[s, t]
    tiles = np.empty(total, dtype=np.int64)
    for s in range(n):
        for t in range(n):
            v = t
            for k in range(length[s, t] - 1, -1, -1):
                tiles[start[s, t] + k] = v
                v = parent[s, v]
    return Paths(start, length, tiles)


@compiled
def paths_of_tables(parent: Ints) -> Paths:
    """Return the paths if each router looks the next one up in the tree of its own, [n, n].

    So does BookSim, with the trees of ``shortest_trees`` of the first paths found.
    """
    table = _tables_of_trees(parent)
    n = len(table)
    start = np.zeros((n, n), dtype=np.int64)
    length = np.ones((n, n), dtype=np.int64)
    total = 0
    for s in range(n):
        for t in range(n):
            v = s
            while v != t:
                v = table[v, t]
                length[s, t] += 1
            start[s, t] = total
            total += length[s, t]
    tiles = np.empty(total, dtype=np.int64)
    for s in range(n):
        for t in range(n):
            v = s
            for k in range(length[s, t]):
                tiles[start[s, t] + k] = v
                if v != t:
                    v = table[v, t]
    return Paths(start, length, tiles)


def paths_of(design: Design, routing: str) -> Paths:
    """Return the paths of a design by one of ``ROUTINGS``."""
    check_choice("simulate", "routing", routing, ROUTINGS)
    cost = hop_matrix(design.platform.n_tiles, design.all_links(), design.hop_cycles())
    trees = shortest_trees(cost, design.placement, routing == "booksim")
    return paths_of_tables(trees) if routing == "booksim" else paths_of_trees(trees)


def cycles_along(cost: Ints, paths: Paths) -> Floats:
    """Return the cycles of all hops of each path, [n, n]; ``cost`` is that of ``hop_matrix``."""
    steps = np.append(cost[paths.tiles[:-1], paths.tiles[1:]], 0)
    along = np.concatenate(([0], np.cumsum(steps)))
    cycles: Floats = (along[paths.start + paths.length - 1] - along[paths.start]).astype(np.float64)
    return cycles
