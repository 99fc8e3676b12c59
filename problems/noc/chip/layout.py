"""Plain geometry and graph helpers: which planar links there are, and the reference mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from problems._arrays import Ints

__all__ = [
    "link_candidates",
    "link_lengths",
    "mesh_links",
    "mesh_placement",
    "mesh_verticals",
    "n_components",
    "positions",
]


def positions(grid: tuple[int, int, int]) -> Ints:
    """Return x, y, z of every tile, [n_tiles, 3]."""
    x, y, z = grid
    tile = np.arange(x * y * z)
    return np.stack((tile % x, tile // x % y, tile // (x * y)), axis=1)


def link_lengths(grid: tuple[int, int, int], pairs: Ints) -> NDArray[np.float64]:
    """Return the Euclidean lengths of tile pairs [n, 2], in tile pitches."""
    place = positions(grid)
    difference = place[pairs[:, 0]] - place[pairs[:, 1]]
    lengths: NDArray[np.float64] = np.sqrt((difference**2).sum(axis=1))
    return lengths


def link_candidates(grid: tuple[int, int, int], max_length: float | None) -> Ints:
    """Return every pair of tiles of one layer that a link may join, ascending, [n, 2]."""
    x, y, z = grid
    layer = np.stack(np.triu_indices(x * y, k=1), axis=1).astype(np.int64)
    pairs = (layer[None] + (np.arange(z) * x * y)[:, None, None]).reshape(-1, 2)
    if max_length is not None:
        pairs = pairs[link_lengths(grid, pairs) <= max_length]
    return pairs


class Union:
    """Disjoint sets of 0 .. n-1."""

    def __init__(self, n: int) -> None:
        self.parent = list(range(n))
        self.n_sets = n

    def find(self, a: int) -> int:
        """Return the representative of the set of a."""
        while self.parent[a] != a:
            self.parent[a] = self.parent[self.parent[a]]
            a = self.parent[a]
        return a

    def join(self, a: int, b: int) -> bool:
        """Join two sets; False where they were one already."""
        a, b = self.find(a), self.find(b)
        if a == b:
            return False
        self.parent[a] = b
        self.n_sets -= 1
        return True


def n_components(n: int, pairs: Ints) -> int:
    """Return the number of connected components of a graph with n nodes and edges [m, 2]."""
    union = Union(n)
    for a, b in pairs.tolist():
        union.join(a, b)
    return union.n_sets


def mesh_links(
    grid: tuple[int, int, int], candidates: Ints, vertical: Ints, n_links: int, max_degree: int
) -> Ints:
    """Return the planar links of the reference design as sorted candidate indices, [n_links].

    Short links first: those that the connection needs, then the rest. With as many links as the
    grid has neighbors inside layers, this is the mesh.

    Raises
    ------
    ValueError
        The degree cap leaves no way to place the links.
    """
    n = int(np.prod(grid))
    order = np.lexsort((np.arange(len(candidates)), link_lengths(grid, candidates)))
    degree = np.bincount(vertical.ravel(), minlength=n)
    union = Union(n)
    for a, b in vertical.tolist():
        union.join(a, b)
    chosen: set[int] = set()
    for joining in (True, False):
        for c in order.tolist():
            if len(chosen) == n_links:
                break
            a, b = candidates[c]
            full = degree[a] >= max_degree or degree[b] >= max_degree
            if c in chosen or full or (joining and not union.join(int(a), int(b))):
                continue
            chosen.add(c)
            degree[a] += 1
            degree[b] += 1
    if len(chosen) < n_links or union.n_sets > 1:
        raise ValueError(
            f"The links of Platform must connect all tiles within the degree cap. Got room for "
            f"{len(chosen)} of {n_links} planar links and {union.n_sets} unconnected parts instead."
        )
    return np.array(sorted(chosen), dtype=np.int64)


def mesh_verticals(grid: tuple[int, int, int], sites: Ints, n_links: int) -> Ints:
    """Return which vertical sites [n, 2] the reference design has, sorted indices [n_links].

    Whole pillars, spread over the layer: the first near the middle, each next one as far as can be
    from those before. Where no pillar reaches through all layers, the first links of each layer.
    """
    x, y, z = grid
    stack = sites[:, 0] % (x * y)
    level = sites[:, 0] // (x * y)
    place = positions((x, y, 1))[:, :2].astype(np.float64)
    # One link between each pair of layers first, or the chip falls apart.
    height = np.bincount(stack, minlength=x * y)
    middle = np.abs(place - [(x - 1) / 2, (y - 1) / 2]).sum(axis=1)
    order = [int(np.lexsort((middle, -height))[0])]
    nearest = ((place - place[order[0]]) ** 2).sum(axis=1)
    while len(order) < x * y:
        nearest[order] = -1.0
        order.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((place - place[order[-1]]) ** 2).sum(axis=1))
    rank = np.empty(x * y, dtype=np.int64)
    rank[order] = np.arange(x * y)
    by_pillar = np.lexsort((level, rank[stack]))
    first = [int(by_pillar[np.flatnonzero(level[by_pillar] == k)[0]]) for k in range(z - 1)]
    rest = [s for s in by_pillar.tolist() if s not in set(first)]
    return np.sort(np.array((first + rest)[:n_links], dtype=np.int64))


def mesh_placement(pe_type: Ints, allowed: NDArray[np.bool_]) -> Ints:
    """Return a legal placement, PE id per tile, that keeps to the order of the ids where it can.

    Raises
    ------
    ValueError
        The allowed tiles of the types leave no way to place all PEs.
    """
    # Half of the package's import time, for what few platforms need.
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
    placement = np.empty(n, dtype=np.int64)
    placement[columns] = rows
    return placement
