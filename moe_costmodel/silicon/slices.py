"""Grids cut out of tables: rows of one kind, with times as multiples of a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from moe_costmodel._arrays import Array, Floats
from moe_costmodel.silicon.grid import Grid
from moe_costmodel.silicon.tables import OperatorTime, Table

__all__ = ["Slice", "cut", "fastest"]

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
        bound = float(self.bound({name: np.float64(v) for name, v in values.items()}))
        seconds = found.ratio * bound * self.scale
        outside = found.outside * self.outside
        return OperatorTime(operator, seconds, self.kernel, self.source, outside)


def cut(
    tables: Iterable[Table],
    wanted: Sequence[Mapping[str, object]],
    axes: tuple[str, ...],
    bound: Bound,
    kernel: str = "kernel_source",
) -> Slice | None:
    """Return the grid of the first table and the first kind of rows that exist.

    Kinds are tried in the order of `wanted`, each over all tables. If several kernels were
    measured at a point, the fastest counts.
    """
    read = list(tables)
    for values in wanted:
        for table in read:
            keep = table.where(**values) & (table.columns["latency"] > 0)
            if not keep.any():
                continue
            columns: dict[str, Array] = {n: v[keep] for n, v in table.columns.items()}
            points = {name: np.maximum(columns[name].astype(np.float64), 1.0) for name in axes}
            ratio = columns["latency"] / 1e3 / bound(points)
            at, least = fastest(np.column_stack([points[name] for name in axes]), ratio)
            names = sorted(set(columns[kernel]))
            return Slice(Grid(at, least), axes, bound, "/".join(names), table.source)
    return None


def fastest(axes: Floats, ratio: Floats) -> tuple[Floats, Floats]:
    """Return each point once, with its least ratio."""
    points, place = np.unique(axes, axis=0, return_inverse=True)
    least = np.full(len(points), np.inf)
    np.minimum.at(least, place.ravel(), ratio)
    return points, least
