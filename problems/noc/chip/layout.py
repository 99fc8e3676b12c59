"""Geometry and graphs of a grid of tiles: candidate links, and the reference mesh."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from problems._arrays import Bools, Floats, Ints

__all__ = [
    "Grid",
    "components",
    "frozen",
    "length_parts",
    "link_candidates",
    "link_lengths",
    "mesh_links",
    "mesh_placement",
    "mesh_verticals",
    "positions",
]

Grid = tuple[int, int, int]
"""Tiles along x, y and z."""

Kind = TypeVar("Kind", bound=np.generic)


def frozen(array: NDArray[Kind]) -> NDArray[Kind]:
    """Make an array read-only and return it, for arrays that a platform keeps."""
    array.flags.writeable = False
    return array


def positions(grid: Grid) -> Ints:
    """Return x, y, z of every tile, [n_tiles, 3]."""
    x, y, z = grid
    tile = np.arange(x * y * z)
    return np.stack((tile % x, tile // x % y, tile // (x * y)), axis=1)


def link_lengths(grid: Grid, pairs: Ints) -> Floats:
    """Return the Euclidean lengths of tile pairs [n, 2], in tile pitches."""
    difference = np.diff(positions(grid)[pairs], axis=1)[:, 0]
    lengths: Floats = np.sqrt((difference**2).sum(axis=1))
    return lengths


def length_parts(grid: Grid, pairs: Ints) -> tuple[Ints, Ints]:
    """Return whole numbers k and r of each tile pair [n, 2]: its length is k times the root of r.

    No square above 1 divides r, so lengths with the same r add up exactly.
    """
    squares = (np.diff(positions(grid)[pairs], axis=1)[:, 0] ** 2).sum(axis=1)
    times = np.ones_like(squares)
    for k in range(2, int(np.sqrt(squares.max(initial=0))) + 1):
        times[squares % k**2 == 0] = k
    return times, squares // times**2


def link_candidates(grid: Grid, max_length: float | None) -> Ints:
    """Return every pair of tiles of one layer that a link may join, ascending, [n, 2]."""
    x, y, z = grid
    layer = np.stack(np.triu_indices(x * y, k=1), axis=1).astype(np.int64)
    pairs = (layer[None] + (np.arange(z) * x * y)[:, None, None]).reshape(-1, 2)
    if max_length is not None:
        pairs = pairs[link_lengths(grid, pairs) <= max_length]
    return pairs


def components(n: int, pairs: Ints) -> Ints:
    """Return the component, from 0, of each of n nodes that edges [m, 2] connect, [n]."""
    # Takes as long to import as the rest of the package.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    labels: Ints = connected_components(graph, directed=False)[1].astype(np.int64)
    return labels


def mesh_links(grid: Grid, candidates: Ints, vertical: Ints, n_links: int, max_degree: int) -> Ints:
    """Return the planar links of the reference design as sorted candidate indices, [n_links].

    The shortest links that connect the tiles come first, then the shortest others. With as many
    links as there are neighboring tiles in the layers, the result is the mesh. A ValueError tells
    that the degree cap leaves no way to place the links.
    """
    n = int(np.prod(grid))
    order = np.lexsort((np.arange(len(candidates)), link_lengths(grid, candidates)))
    degree = np.bincount(vertical.ravel(), minlength=n)
    component = components(n, vertical)
    chosen: set[int] = set()
    for joining in (True, False):
        for c in order.tolist():
            if len(chosen) == n_links:
                break
            a, b = candidates[c]
            full = degree[a] >= max_degree or degree[b] >= max_degree
            if c in chosen or full or (joining and component[a] == component[b]):
                continue
            component[component == component[b]] = component[a]
            chosen.add(c)
            degree[a] += 1
            degree[b] += 1
    n_parts = len(np.unique(component))
    while len(chosen) < n_links and n_parts == 1:
        widened = _with_one_more(chosen, candidates, vertical, degree, max_degree)
        if widened is None:
            break
        chosen = widened
        ends = np.concatenate((vertical, candidates[sorted(chosen)]))
        degree = np.bincount(ends.ravel(), minlength=n)
    if len(chosen) < n_links or n_parts > 1:
        raise ValueError(
            f"The links of Platform must connect all tiles within the degree cap. Got room for "
            f"{len(chosen)} of {n_links} planar links and {n_parts} unconnected parts instead."
        )
    return np.array(sorted(chosen), dtype=np.int64)


def _with_one_more(
    chosen: set[int], candidates: Ints, vertical: Ints, degree: Ints, max_degree: int
) -> set[int] | None:
    """Return the links with two new ones in place of one, at tiles with free ports, or None."""
    index = {pair: c for c, pair in enumerate(map(tuple, candidates.tolist()))}
    free = np.repeat(np.arange(degree.size), np.maximum(max_degree - degree, 0)).tolist()

    def unused(a: int, b: int) -> int | None:
        c = index.get((min(a, b), max(a, b)))
        return None if c in chosen else c

    for i, u in enumerate(free):
        for v in free[i + 1 :]:
            for c in sorted(chosen):
                for a, b in (candidates[c].tolist(), candidates[c].tolist()[::-1]):
                    first, second = unused(u, a), unused(v, b)
                    if first is None or second is None or first == second:
                        continue
                    result = (chosen - {c}) | {first, second}
                    pairs = np.concatenate((vertical, candidates[sorted(result)]))
                    if not components(degree.size, pairs).any():
                        return result
    return None


def mesh_verticals(grid: Grid, sites: Ints, n_links: int) -> Ints:
    """Return which vertical sites [n, 2] the reference design has, sorted indices [n_links].

    The links form whole pillars spread over the layer: the first near the middle, each next one
    as far as possible from those before. One link between each two layers always comes first.
    """
    x, y, z = grid
    stack = sites[:, 0] % (x * y)
    level = sites[:, 0] // (x * y)
    place = positions((x, y, 1))[:, :2].astype(np.float64)
    height = np.bincount(stack, minlength=x * y)
    middle = np.abs(place - [(x - 1) / 2, (y - 1) / 2]).sum(axis=1)
    order = [int(np.lexsort((middle, -height))[0])]
    nearest = ((place - place[order[0]]) ** 2).sum(axis=1)
    while len(order) < x * y:
        nearest[order] = -1.0
        order.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((place - place[order[-1]]) ** 2).sum(axis=1))
    by_pillar = np.lexsort((level, np.argsort(order)[stack]))
    first = [int(by_pillar[np.flatnonzero(level[by_pillar] == k)[0]]) for k in range(z - 1)]
    rest = [s for s in by_pillar.tolist() if s not in set(first)]
    return np.sort(np.array((first + rest)[:n_links], dtype=np.int64))


def mesh_placement(pe_type: Ints, allowed: Bools) -> Ints:
    """Return a legal placement, PE id per tile, as close to the order of the ids as possible.

    A ValueError tells that the allowed tiles of the types leave no way to place all PEs.
    """
    # Half of the package's import time, for few platforms.
    from scipy.optimize import linear_sum_assignment

    n = pe_type.size
    blocked = ~allowed[pe_type]
    pe, tile = np.ogrid[:n, :n]
    cost = np.where(blocked, 4.0 * n * n, np.abs(pe - tile))
    rows, columns = linear_sum_assignment(cost)
    if blocked[rows, columns].any():
        raise ValueError(
            "The 'allowed_tiles' of the types of Platform must leave a tile for every PE. "
            f"Got no place for {int(blocked[rows, columns].sum())} of {n} PEs instead."
        )
    return rows[np.argsort(columns)]
