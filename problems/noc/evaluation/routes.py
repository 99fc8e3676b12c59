"""Routes of a design as paths: shortest paths by the rule of the model, or by BookSim's rule.

A path is a sequence of tiles. All paths of a design stand one after the other in one array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from problems._arrays import Floats, Ints
from problems._checks import check_choice, setting_error
from problems.noc.chip.jit import compiled
from problems.noc.chip.layout import Grid, positions

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

ROUTINGS = ("model", "booksim", "up_down", "dimension_order")
"""Ways to route a design.

- "model": shortest paths by the rule of the model;
- "booksim": those that BookSim finds in an exported design;
- "up_down": the shortest paths that go towards the root of a tree first and away from it then
  (M. D. Schroeder et al., "Autonet", IEEE Journal on Selected Areas in Communications, 1991);
- "dimension_order": along x, then y, then z, over links between neighboring tiles.
"""


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


def paths_of_tables(parent: Ints) -> Paths:
    """Return the paths if each router looks the next one up in the tree of its own, [n, n].

    So does BookSim, with the trees of ``shortest_trees`` of the first paths found.
    """
    # The tables of all routers hold a tree for each target, in which paths run backward.
    backward = paths_of_trees(np.ascontiguousarray(_tables_of_trees(parent).T))
    start = len(backward.tiles) - backward.start - backward.length
    return Paths(
        np.ascontiguousarray(start.T),
        np.ascontiguousarray(backward.length.T),
        np.ascontiguousarray(backward.tiles[::-1]),
    )


def paths_of(design: Design, routing: str) -> Paths:
    """Return the paths of a design by one of ``ROUTINGS``.

    A ValueError names the first link that dimension order lacks.
    """
    check_choice("paths_of", "routing", routing, ROUTINGS)
    cost = hop_matrix(design.platform.n_tiles, design.all_links(), design.hop_cycles())
    if routing == "dimension_order":
        return _dimension_order(design.platform.grid, cost)
    if routing == "up_down":
        # Ranks by distance from the tile with the most central position, then by tile.
        far = cycles_along(cost, paths_of_trees(shortest_trees(cost, design.placement, True)))
        distance = far[int(far.max(axis=1).argmin())]
        rank = np.empty(len(cost), dtype=np.int64)
        rank[np.lexsort((np.arange(len(cost)), distance))] = np.arange(len(cost))
        return _up_down(cost, rank)
    trees = shortest_trees(cost, design.placement, routing == "booksim")
    return paths_of_tables(trees) if routing == "booksim" else paths_of_trees(trees)


def _dimension_order(grid: Grid, cost: Ints) -> Paths:
    n = len(cost)
    place = positions(grid)
    steps = np.array([1, grid[0], grid[0] * grid[1]])
    start, length = np.zeros((n, n), dtype=np.int64), np.zeros((n, n), dtype=np.int64)
    tiles: list[int] = []
    for s in range(n):
        for t in range(n):
            start[s, t] = len(tiles)
            tiles.append(s)
            for axis in range(3):
                for _ in range(abs(int(place[t, axis] - place[s, axis]))):
                    after = tiles[-1] + int(steps[axis] * np.sign(place[t, axis] - place[s, axis]))
                    if cost[tiles[-1], after] == 0:
                        got = (tiles[-1], after)
                        expected = "for a design with links between all neighboring tiles"
                        raise setting_error("paths_of", "routing", f"{expected}; see link", got)
                    tiles.append(after)
            length[s, t] = len(tiles) - start[s, t]
    return Paths(start, length, np.array(tiles, dtype=np.int64))


@compiled
def _up_down(cost: Ints, rank: Ints) -> Paths:
    """Return the shortest paths that never go to a lower rank after going to a higher one."""
    n = len(cost)
    far = np.int64(2**40)
    start = np.zeros((n, n), dtype=np.int64)
    length = np.ones((n, n), dtype=np.int64)
    # State 2 v is tile v while only upward hops came before, 2 v + 1 after a downward one.
    parent = np.full((n, 2 * n), -1, dtype=np.int64)
    best = np.zeros((n, n), dtype=np.int64)
    total = 0
    for s in range(n):
        distance = np.full(2 * n, far)
        done = np.zeros(2 * n, dtype=np.bool_)
        distance[2 * s] = 0
        for _ in range(2 * n):
            nearest = -1
            for v in range(2 * n):
                if not done[v] and (nearest < 0 or distance[v] < distance[nearest]):
                    nearest = v
            done[nearest] = True
            if distance[nearest] == far:
                break
            u, down = nearest // 2, nearest % 2
            for v in range(n):
                if cost[u, v] == 0 or (down == 1 and rank[v] < rank[u]):
                    continue
                state = 2 * v + (1 if rank[v] > rank[u] else 0)
                new = distance[nearest] + cost[u, v]
                if new < distance[state]:
                    distance[state] = new
                    parent[s, state] = nearest
        for t in range(n):
            best[s, t] = 2 * t if distance[2 * t] <= distance[2 * t + 1] else 2 * t + 1
            v = best[s, t]
            while parent[s, v] >= 0:
                v = parent[s, v]
                length[s, t] += 1
            start[s, t] = total
            total += length[s, t]
    tiles = np.empty(total, dtype=np.int64)
    for s in range(n):
        for t in range(n):
            v = best[s, t]
            for k in range(length[s, t] - 1, -1, -1):
                tiles[start[s, t] + k] = v // 2
                v = parent[s, v]
    return Paths(start, length, tiles)


def cycles_along(cost: Ints, paths: Paths) -> Floats:
    """Return the cycles of all hops of each path, [n, n]; ``cost`` is that of ``hop_matrix``."""
    steps = np.append(cost[paths.tiles[:-1], paths.tiles[1:]], 0)
    along = np.concatenate(([0], np.cumsum(steps)))
    cycles: Floats = (along[paths.start + paths.length - 1] - along[paths.start]).astype(np.float64)
    return cycles
