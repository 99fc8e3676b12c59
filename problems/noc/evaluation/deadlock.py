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
from numpy.typing import NDArray

from problems._arrays import Floats, Ints
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
def _add_path(
    path: Ints,
    channel: Ints,
    port: Ints,
    after: Ints,
    count: Ints,
    state: NDArray[np.int8],
    visited: Ints,
    stack: Ints,
) -> bool:
    """Add the dependencies of a path to a layer, unless they close a cycle; return whether."""
    added = 0
    fits = True
    for i in range(path.size - 2):
        a, b, c = path[i], path[i + 1], path[i + 2]
        e, f, p = channel[a, b], channel[b, c], port[b, c]
        if state[e, p] == PRESENT:
            continue
        closes = state[e, p] == CLOSES_CYCLE
        if not closes and _reaches(f, e, after, count, visited, stack):
            closes = True
            # Others may have been added for this path alone.
            if added == 0:
                state[e, p] = CLOSES_CYCLE
        if closes:
            fits = False
            break
        state[e, p] = PRESENT
        after[e, count[e]] = f
        count[e] += 1
        stack[stack.size - 1 - added] = i
        added += 1
    if not fits:
        # Take back what this path has added, the last first.
        for k in range(added):
            i = stack[stack.size - added + k]
            e = channel[path[i], path[i + 1]]
            state[e, port[path[i + 1], path[i + 2]]] = ABSENT
            count[e] -= 1
    return fits


@compiled
def sort_layers(load: Floats, order: Ints) -> None:
    """Write the layers in the order of their load, the least first.

    They are sorted by insertion, since `np.argsort` takes more than a second to compile.
    """
    for layer in range(load.size):
        k = layer
        while k > 0 and load[order[k - 1]] > load[layer]:
            order[k] = order[k - 1]
            k -= 1
        order[k] = layer


@compiled
def assign_layers(
    start: Ints,
    length: Ints,
    tiles: Ints,
    channel: Ints,
    n_channels: int,
    most: int,
    weight: Floats,
    layer: Ints,
) -> int:
    """Fill ``layer`` [n, n] with the virtual layer of each path; return how many there are.

    Each path, the longest first, goes into the first layer whose dependencies stay without a cycle.
    The result is ``most + 1`` if that many layers do not suffice; such paths have layer -1. If
    ``weight`` is not empty, paths then move to layers with less traffic that stay without a cycle.

    Parameters
    ----------
    start, length, tiles
        Fields of ``Paths``.
    channel : int array [n, n]
        Index of the channel from tile to tile.
    n_channels, most : int
    weight : float array [n, n], or [0, 0]
        Traffic along each path.
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
    longest = length.max()
    visited = np.zeros(n_channels + 1, dtype=np.int64)
    stack = np.empty(n_channels + longest, dtype=np.int64)
    used = 1
    for tiles_long in range(longest, 0, -1):
        for s in range(n):
            for t in range(n):
                if length[s, t] != tiles_long:
                    continue
                path = tiles[start[s, t] : start[s, t] + tiles_long]
                layer[s, t] = -1
                for k in range(most):
                    parts = (after[k], count[k], state[k], visited, stack)
                    if _add_path(path, channel, port, *parts):
                        layer[s, t] = k
                        used = max(used, k + 1)
                        break
                if layer[s, t] < 0:
                    used = most + 1
    if weight.size == 0 or used > most:
        return used
    load, by_load = np.zeros(used), np.zeros(used, dtype=np.int64)
    for s in range(n):
        for t in range(n):
            load[layer[s, t]] += weight[s, t]
    for s in range(n):
        for t in range(n):
            old = layer[s, t]
            sort_layers(load, by_load)
            for new in by_load:
                if load[new] + weight[s, t] >= load[old]:
                    break
                path = tiles[start[s, t] : start[s, t] + length[s, t]]
                parts = (after[new], count[new], state[new], visited, stack)
                if _add_path(path, channel, port, *parts):
                    load[old] -= weight[s, t]
                    load[new] += weight[s, t]
                    layer[s, t] = new
                    break
    return used


def layers_of(
    paths: Paths, cost: Ints, most: int = MOST_LAYERS, *, weight: Floats | None = None
) -> tuple[int, Ints]:
    """Return how many virtual layers paths need, and the layer of each path, [n, n].

    ``cost`` is that of ``hop_matrix``. Traffic between tiles as ``weight`` [n, n] is balanced among
    the layers.
    """
    channel, n_channels = _channels(cost)
    layer = np.zeros_like(paths.start)
    weights = np.empty((0, 0)) if weight is None else np.ascontiguousarray(weight)
    used = assign_layers(*paths, channel, n_channels, most, weights, layer)
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
