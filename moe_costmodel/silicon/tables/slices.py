"""Grids cut out of tables: rows of one kind, with times as multiples of a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from moe_costmodel._arrays import Array, Floats
from moe_costmodel.silicon.tables.grid import Grid
from moe_costmodel.silicon.tables.reader import OperatorTime, Table

__all__ = ["Bound", "Slice", "bound_at", "cut", "fastest", "filled_up"]

Bound = Callable[[Mapping[str, Floats]], Floats]


@dataclass(frozen=True)
class Slice:
    """A grid of one kernel, its coordinates, and the bound that its times are multiples of."""

    grid: Grid
    axes: tuple[str, ...]
    bound: Bound
    kernel: str
    source: str
    scale: float = 1.0  # of a shape that stands in for another
    outside: float = 1.0  # distance of that shape

    def time(self, operator: str, **point: float) -> OperatorTime:
        """Return the time at a point; all coordinates are at least 1."""
        values = {name: max(float(point[name]), 1.0) for name in self.axes}
        found = self.grid.at([values[name] for name in self.axes])
        bound = bound_at(self.bound, **values)
        seconds = found.ratio * bound * self.scale
        outside = found.outside * self.outside
        return OperatorTime(operator, seconds, self.kernel, self.source, outside)


def bound_at(bound: Bound, **point: float) -> float:
    """Return a bound at a single point."""
    return float(bound({name: np.asarray(v, dtype=np.float64) for name, v in point.items()}))


def cut(
    tables: Iterable[Table],
    wanted: Sequence[Mapping[str, object]],
    axes: tuple[str, ...],
    bound: Bound,
    kernel: str = "kernel_source",
) -> Slice | None:
    """Return the grid of the first table and the first kind of rows that exist.

    Kinds are tried in the order of `wanted`, each over all tables. If several kernels were
    measured at a point, the fastest counts. The last axis is the size of the work, such as a batch:
    less of it never takes longer (:func:`filled_up`).
    """
    read = list(tables)
    for values in wanted:
        for table in read:
            keep = table.where(**values) & (table.columns["latency"] > 0)
            if not keep.any():
                continue
            columns: dict[str, Array] = {n: v[keep] for n, v in table.columns.items()}
            points = {name: np.maximum(columns[name].astype(np.float64), 1.0) for name in axes}
            at, least = fastest(
                np.column_stack([points[name] for name in axes]), columns["latency"] / 1e3
            )
            ratio = filled_up(at, least) / bound(dict(zip(axes, at.T, strict=True)))
            names = sorted(set(columns[kernel]))
            return Slice(Grid(at, ratio), axes, bound, "/".join(names), table.source)
    return None


def fastest(axes: Floats, seconds: Floats) -> tuple[Floats, Floats]:
    """Return each point once, in lexicographic order, with its least time."""
    points, place = np.unique(axes, axis=0, return_inverse=True)
    least = np.full(len(points), np.inf)
    np.minimum.at(least, place.ravel(), seconds)
    return points, least


def filled_up(points: Floats, seconds: Floats) -> Floats:
    """Return times that never fall along the last axis: the least of a point and of larger ones.

    An engine can fill a batch up with padding, as it does for CUDA graphs. Some measured points are
    slower than larger ones, by noise, a kernel compiled meanwhile, or the choice of a tuner.

    Parameters
    ----------
    points : ndarray of shape (n, d)
        Coordinates in lexicographic order.
    seconds : ndarray of shape (n,)
        Measured times.
    """
    found = seconds.copy()
    for i in range(len(found) - 2, -1, -1):
        if (points[i, :-1] == points[i + 1, :-1]).all():
            found[i] = min(found[i], found[i + 1])
    return found
