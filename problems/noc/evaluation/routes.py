"""Routes of a design as paths: shortest paths by the rule of the model, or by BookSim's rule.

A path is a sequence of tiles. All paths of a design stand one after the other in one array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from problems._arrays import Floats, Ints
from problems._checks import check_choice, setting_error
from problems.noc.chip.jit import compiled
from problems.noc.chip.layout import positions
from problems.noc.evaluation.table_routing import (
    UNREACHED,
    dimension_order_table,
    up_down_table,
)

if TYPE_CHECKING:
    from problems.noc.design.design import Design

__all__ = [
    "ROUTINGS",
    "Paths",
    "cycles_along",
    "hop_matrix",
    "paths_between",
    "paths_of",
    "paths_of_tables",
    "paths_of_trees",
    "routing_name",
    "shortest_trees",
]

ROUTINGS = ("model", "shortest", "lash", "booksim", "up_down", "dimension_order")
"""Ways to route a design.

- "model": those of the platform, by which designs are evaluated;
- "shortest": shortest paths, of several by PE ids; see ``problems.noc.evaluation.kernel``;
- "lash": the same paths, each in a virtual layer; see ``problems.noc.evaluation.deadlock``;
- "booksim": those that BookSim finds in an exported design;
- "up_down": the shortest paths that go towards the root of a tree first and away from it then; see
  ``problems.noc.evaluation.table_routing``;
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


def routing_name(design: Design, routing: str, owner: str = "paths_of") -> str:
    """Return one of ``ROUTINGS`` other than "model" and "lash", whose routes are those of both."""
    name = check_choice(owner, "routing", routing, ROUTINGS)
    name = design.platform.routing if name == "model" else name
    return "shortest" if name == "lash" else name


def paths_of(design: Design, routing: str, owner: str = "paths_of") -> Paths:
    """Return the paths of a design by one of ``ROUTINGS``.

    A ValueError names the first link that dimension order lacks, and the ``owner`` of the setting.
    """
    name = routing_name(design, routing, owner)
    platform = design.platform
    cost = hop_matrix(platform.n_tiles, design.all_links(), design.hop_cycles())
    if name == "dimension_order":
        place = positions(platform.grid)
        table, cycles = dimension_order_table(cost, place)
        missing = np.argwhere(cycles[: platform.n_tiles] == UNREACHED)
        if len(missing):
            a, b = _first_missing(table, place, *missing[0].tolist())
            expected = f"another one, since the design has no link between tiles {a} and {b}, "
            expected += "and dimension order needs links between all neighboring tiles"
            raise setting_error(owner, "routing", expected, routing)
    return paths_between(name, cost, design.placement, platform.grid)


def paths_between(routing: str, cost: Ints, placement: Ints, grid: tuple[int, int, int]) -> Paths:
    """Return the paths by one of ``ROUTINGS`` other than "model".

    ``cost`` [n, n] is that of ``hop_matrix``. All pairs must have a path.
    """
    if routing == "dimension_order":
        table, _ = dimension_order_table(cost, positions(grid))
        return _paths_of_table(table, np.zeros(len(cost), dtype=np.int64), False)
    if routing == "up_down":
        table, _, rank = up_down_table(cost)
        return _paths_of_table(table, rank, True)
    trees = shortest_trees(cost, placement, routing == "booksim")
    return paths_of_tables(trees) if routing == "booksim" else paths_of_trees(trees)


def _first_missing(table: Ints, place: Ints, s: int, t: int) -> tuple[int, int]:
    """Return the tiles of the missing link on the path from s to t in dimension order."""
    while table[s, t] >= 0:
        s = int(table[s, t])
    axis = int((place[s] != place[t]).argmax())
    steps = np.abs(place - place[s])
    towards = np.sign(place[:, axis] - place[s, axis]) == np.sign(place[t, axis] - place[s, axis])
    return s, int(np.flatnonzero((steps.sum(axis=1) == 1) & (steps[:, axis] == 1) & towards)[0])


@compiled
def _paths_of_table(table: Ints, rank: Ints, up_down: bool) -> Paths:
    """Return the paths along a table [2 n, n] of next tiles; see ``evaluation.table_routing``."""
    n = table.shape[1]
    start, length = np.zeros((n, n), dtype=np.int64), np.ones((n, n), dtype=np.int64)
    tiles = np.empty(n * n, dtype=np.int64)
    total = 0
    for s in range(n):
        for t in range(n):
            start[s, t] = total
            state = s
            while True:
                if total == tiles.size:
                    tiles = np.concatenate((tiles, np.empty_like(tiles)))
                v = state % n
                tiles[total] = v
                total += 1
                if v == t:
                    break
                u = table[state, t]
                goes_up = not up_down or (state < n and rank[u] < rank[v])
                state = u if goes_up else n + u
                length[s, t] += 1
    return Paths(start, length, tiles[:total].copy())


def cycles_along(cost: Ints, paths: Paths) -> Floats:
    """Return the cycles of all hops of each path, [n, n]; ``cost`` is that of ``hop_matrix``."""
    steps = np.append(cost[paths.tiles[:-1], paths.tiles[1:]], 0)
    along = np.concatenate(([0], np.cumsum(steps)))
    cycles: Floats = (along[paths.start + paths.length - 1] - along[paths.start]).astype(np.float64)
    return cycles
