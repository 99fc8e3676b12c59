"""Deadlock of routes: channel dependencies, virtual layers without cycles, and their proof.

A packet that holds a channel and waits for the next one makes the first depend on the second.
Routes without a cycle of such dependencies cannot deadlock [1]_. Any routes become free of deadlock
if each path is put into one of several virtual layers, each with virtual channels of its own and
dependencies without a cycle (LASH [2]_).

References
----------
.. [1] W. J. Dally, C. L. Seitz, "Deadlock-free message routing in multiprocessor interconnection
   networks", IEEE Transactions on Computers, 1987.
.. [2] T. Skeie, O. Lysne, I. Theiss, "Layered shortest path (LASH) routing in irregular system area
   networks", IPDPS 2002.
"""

from __future__ import annotations

import itertools

import numpy as np

from problems._arrays import Ints
from problems.noc.chip.jit import compiled
from problems.noc.evaluation.routes import Paths

__all__ = ["MOST_LAYERS", "assign_layers", "channel_order", "layers_of"]

MOST_LAYERS = 16
"""Layers that are tried; more would need more virtual channels than any router has."""

ABSENT, PRESENT, CLOSES_CYCLE = 0, 1, 2


@compiled
def _reaches(start: int, goal: int, after: Ints, count: Ints, visited: Ints, stack: Ints) -> bool:
    """Return whether dependencies lead from one channel to another."""
    if start == goal:
        return True
    visited[0] += 1
    mark = visited[0]
    stack[0] = start
    visited[start + 1] = mark
    size = 1
    while size > 0:
        size -= 1
        c = stack[size]
        for k in range(count[c]):
            d = after[c, k]
            if d == goal:
                return True
            if visited[d + 1] != mark:
                visited[d + 1] = mark
                stack[size] = d
                size += 1
    return False


@compiled
def assign_layers(
    start: Ints, length: Ints, tiles: Ints, channel: Ints, n_channels: int, most: int, layer: Ints
) -> int:
    """Fill ``layer`` [n, n] with the virtual layer of each path; return how many there are.

    Each path, the longest first, goes into the first layer whose dependencies stay without a cycle.
    The result is ``most + 1`` if that many layers do not suffice; such paths have layer -1.

    Parameters
    ----------
    start, length, tiles
        Fields of ``Paths``.
    channel : int array [n, n]
        Index of the channel from tile to tile.
    n_channels, most : int
    layer : int array [n, n]
    """
    n = len(start)
    width = 1
    for v in range(n):
        width = max(width, int((channel[v] >= 0).sum()))
    # A dependency leads from a channel to one that leaves its end.
    after = np.zeros((most, n_channels, width), dtype=np.int64)
    count = np.zeros((most, n_channels), dtype=np.int64)
    state = np.zeros((most, n_channels, width), dtype=np.int8)
    port = np.full((n, n), -1, dtype=np.int64)
    for v in range(n):
        k = 0
        for u in range(n):
            if channel[v, u] >= 0:
                port[v, u] = k
                k += 1
    visited = np.zeros(n_channels + 1, dtype=np.int64)
    stack = np.empty(n_channels, dtype=np.int64)
    longest = length.max()
    new = np.empty(longest, dtype=np.int64)
    used = 1
    for tiles_long in range(longest, 0, -1):
        for s in range(n):
            for t in range(n):
                if length[s, t] != tiles_long:
                    continue
                first = start[s, t]
                layer[s, t] = -1
                for k in range(most):
                    fits = True
                    added = 0
                    for i in range(first, first + tiles_long - 2):
                        a, b, c = tiles[i], tiles[i + 1], tiles[i + 2]
                        e, f, p = channel[a, b], channel[b, c], port[b, c]
                        if state[k, e, p] == PRESENT:
                            continue
                        closes = state[k, e, p] == CLOSES_CYCLE
                        if not closes and _reaches(f, e, after[k], count[k], visited, stack):
                            closes = True
                            # Others may have been added for this path alone.
                            if added == 0:
                                state[k, e, p] = CLOSES_CYCLE
                        if closes:
                            fits = False
                            break
                        state[k, e, p] = PRESENT
                        after[k, e, count[k, e]] = f
                        count[k, e] += 1
                        new[added] = i
                        added += 1
                    if fits:
                        layer[s, t] = k
                        used = max(used, k + 1)
                        break
                    # Take back what this path has added, the last first.
                    for i in new[:added][::-1]:
                        a, b, c = tiles[i], tiles[i + 1], tiles[i + 2]
                        state[k, channel[a, b], port[b, c]] = ABSENT
                        count[k, channel[a, b]] -= 1
                if layer[s, t] < 0:
                    used = most + 1
    return used


def layers_of(paths: Paths, cost: Ints, most: int = MOST_LAYERS) -> tuple[int, Ints]:
    """Return how many virtual layers paths need, and the layer of each path, [n, n].

    ``cost`` is that of ``hop_matrix``.
    """
    channel, n_channels = _channels(cost)
    layer = np.zeros_like(paths.start)
    used = assign_layers(*paths, channel, n_channels, most, layer)
    return int(used), layer


def channel_order(paths: Paths, cost: Ints, layer: Ints, k: int) -> Ints | None:
    """Return an order of the channels in which every path of layer k ascends; None if none exists.

    The order proves that the layer is free of deadlock: packets wait only for later channels.

    Parameters
    ----------
    paths : Paths
    cost : int array [n, n]
        Of ``hop_matrix``.
    layer : int array [n, n]
        Of each path.
    k : int

    Returns
    -------
    int array [n_channels] or None
        Position of each channel; channels count as in ``np.nonzero(cost)``.
    """
    channel, n_channels = _channels(cost)
    after: list[set[int]] = [set() for _ in range(n_channels)]
    before = np.zeros(n_channels, dtype=np.int64)
    for s, t in np.argwhere(layer == k).tolist():
        path = paths.tiles[paths.start[s, t] : paths.start[s, t] + paths.length[s, t]]
        along = channel[path[:-1], path[1:]].tolist()
        for e, f in itertools.pairwise(along):
            if f not in after[e]:
                after[e].add(f)
                before[f] += 1
    ready = np.flatnonzero(before == 0).tolist()
    position = np.full(n_channels, -1, dtype=np.int64)
    place = 0
    while ready:
        e = ready.pop()
        position[e] = place
        place += 1
        for f in after[e]:
            before[f] -= 1
            if before[f] == 0:
                ready.append(f)
    return position if place == n_channels else None


def _channels(cost: Ints) -> tuple[Ints, int]:
    source, target = np.nonzero(cost)
    channel = np.full(cost.shape, -1, dtype=np.int64)
    channel[source, target] = np.arange(source.size)
    return channel, source.size
