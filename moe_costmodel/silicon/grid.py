"""Interpolation of measured times over a ragged grid, as multiples of a lower bound."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moe_costmodel._arrays import Floats, Ints

__all__ = ["Grid", "Point"]


@dataclass(frozen=True)
class Point:
    """Result of a look-up: a multiple of the bound, and how far outside the grid it lies."""

    ratio: float
    outside: float  # largest factor by which a coordinate lies beyond what was measured, 1 inside


class Grid:
    """Measured points with up to four coordinates, such as tokens or heads.

    Between points, the logarithm of (time / bound) is linear in the logarithms of the coordinates,
    one coordinate after the other; the grid may lack points. Beyond the outermost points the
    ratio stays as it is there, so that time follows the bound.

    Parameters
    ----------
    axes : ndarray of shape (n, d)
        Coordinates, all positive.
    ratio : ndarray of shape (n,)
        Measured time over its bound, positive. Repeated points are merged by their median.
    """

    def __init__(self, axes: Floats, ratio: Floats) -> None:
        logs = np.log(axes)
        order = np.lexsort(logs.T[::-1])
        self._root = _node(logs[order], np.log(ratio)[order])

    def at(self, point: Sequence[float]) -> Point:
        """Return the interpolated ratio at one point."""
        logs = [math.log(value) for value in point]
        value, outside = _look_up(self._root, logs, 0)
        return Point(math.exp(value), math.exp(outside))


@dataclass(frozen=True)
class _Node:
    values: list[float]
    children: list[_Node] | list[float]


def _node(axes: Floats, ratio: Floats) -> _Node:
    values, starts = np.unique(axes[:, 0], return_index=True)
    ends: Ints = np.append(starts[1:], len(axes))
    pieces = [slice(a, b) for a, b in zip(starts, ends, strict=True)]
    if axes.shape[1] == 1:
        if len(values) == len(ratio):
            return _Node(list(values), ratio.tolist())
        return _Node(list(values), [float(np.median(ratio[piece])) for piece in pieces])
    return _Node(list(values), [_node(axes[piece, 1:], ratio[piece]) for piece in pieces])


def _look_up(node: _Node | float, point: list[float], depth: int) -> tuple[float, float]:
    if not isinstance(node, _Node):
        return node, 0.0
    values, x = node.values, point[depth]
    beyond = max(values[0] - x, x - values[-1], 0.0)
    high = min(bisect_left(values, x), len(values) - 1)
    low = max(high - 1, 0) if x < values[high] else high
    upper, outside = _look_up(node.children[high], point, depth + 1)
    if low == high or x <= values[0]:
        first = _look_up(node.children[0], point, depth + 1) if x <= values[0] else (upper, outside)
        return first[0], max(first[1], beyond)
    lower, other = _look_up(node.children[low], point, depth + 1)
    share = (x - values[low]) / (values[high] - values[low])
    return lower + share * (upper - lower), max(outside, other, beyond)
