"""LayerTable: the time of a layer for any tokens per expert, as a small monotone table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import invalid, shape_of
from moe_costmodel.latency.layer_kernel import TableAxes, interpolate
from moe_costmodel.shapes import LayerShape
from moe_costmodel.work import Work, plausible_counts

__all__ = ["LayerTable"]

_STEP = 0.25 * np.log(2.0)  # between neighbors of the axes of rows
_NEAR = 2 * _STEP  # distance, in logarithms, at which the influence of a measured step fades
_PART = 2**23  # counts of experts that are made at once


@dataclass(frozen=True)
class LayerTable:
    """Seconds of a layer on one device, by active experts, rows, and rows of the busiest expert.

    An additional token lowers none of the three, and the table never falls along any of them, so
    the time of a layer never falls if tokens are added. Values in between are interpolated in
    logarithms; beyond the most rows of an expert, values grow in proportion.

    Attributes
    ----------
    shape : LayerShape
    active : ndarray of shape (n_active,)
        Log of the active experts, ascending.
    rows : ndarray of shape (n_rows,)
        Log of the rows of all experts, from 0 in equal steps.
    log_seconds : ndarray of shape (n_active, n_rows, n_largest)
        The last axis is the log of the busiest expert's rows, in the steps of `rows`.

    Examples
    --------
    >>> from moe_costmodel.example.measured import example_latency, example_shape
    >>> table = example_latency().table(example_shape())
    >>> few, many = table.seconds([[1] * 4 + [0] * 28, [8] * 32])
    >>> bool(few < many)
    True
    """

    shape: LayerShape
    active: Floats
    rows: Floats
    log_seconds: Floats

    @property
    def axes(self) -> TableAxes:
        """The arrays, as compiled kernels take them."""
        return self.active, self.rows, self.log_seconds

    @classmethod
    def build(
        cls, shape: LayerShape, predict: Callable[[Work, Floats], Floats], max_rows: int
    ) -> LayerTable:
        """Tabulate `predict`: (work, tokens of the step) -> seconds.

        `max_rows` is the expected maximum of the rows of one expert.
        """
        active = np.unique(np.round(np.geomspace(1, shape.n_local, 14)))
        n_largest = int(np.ceil(np.log(max(2, max_rows)) / _STEP)) + 1
        n_rows = n_largest + int(np.ceil(np.log(shape.n_local) / _STEP)) + 1
        rows, largest = _STEP * np.arange(n_rows), _STEP * np.arange(n_largest)
        grid = np.stack(np.meshgrid(np.log(active), rows, largest, indexing="ij"), axis=-1)
        cells, of_cell = np.unique(
            np.round(_possible(np.exp(grid.reshape(-1, 3))), 6), axis=0, return_inverse=True
        )
        # In parts, since a device of thousands of experts would take gigabytes.
        width = int(cells[:, 0].max())
        parts = np.array_split(cells, -(-len(cells) * width // _PART))
        work = Work.concatenate(
            [Work.from_counts(plausible_counts(p[:, 1], p[:, 0], p[:, 2], width)) for p in parts]
        )
        tokens = cells[:, 1] / shape.k * shape.n_experts / shape.n_local
        logs = np.log(predict(work, tokens))[of_cell.ravel()].reshape(grid.shape[:-1])
        return cls(shape, np.log(active), rows, _monotone(logs))

    def moved_to(self, counts: ArrayLike, seconds: ArrayLike) -> LayerTable:
        """Return the table moved to measured steps of this layer.

        A table is smoother than its predictor, and a predictor smoother than what it was fitted
        to. Near measured steps, the mean of their differences is added, in logarithms; with the
        distance it vanishes.

        Parameters
        ----------
        counts : array_like of shape (n, n_local)
            Tokens of each of the device's experts.
        seconds : array_like of shape (n,)
        """
        array = np.asarray(counts)
        left = np.log(np.asarray(seconds) / self.seconds(array))
        sizes = [np.count_nonzero(array, axis=1), array.sum(axis=1), array.max(axis=1)]
        points, of_step = np.unique(np.log(np.stack(sizes, axis=1)), axis=0, return_inverse=True)
        number = np.bincount(of_step.ravel()).astype(np.float64)
        mean = np.bincount(of_step.ravel(), left) / number
        rows, largest = np.meshgrid(
            self.rows, self.rows[: self.log_seconds.shape[2]], indexing="ij"
        )
        logs = self.log_seconds.copy()
        for i, active in enumerate(self.active):
            cells = np.stack([np.full(rows.shape, active), rows, largest], axis=-1)
            distance = cells[:, :, None, :] - points
            weight = number * np.exp(-0.5 * (distance**2).sum(axis=-1) / _NEAR**2)
            logs[i] += weight @ mean / (weight.sum(axis=-1) + 1.0)
        return replace(self, log_seconds=_monotone(logs))

    def seconds(self, counts: ArrayLike) -> Floats:
        """Return the time of each step, (...); 0 if no expert has a token.

        Parameters
        ----------
        counts : array_like of shape (..., n_local)
            Tokens of each of the device's experts.

        Raises
        ------
        ValueError
            If the last axis is not as long as the number of the layer's experts, or a count is
            negative, infinite or NaN.
        """
        array = np.asarray(counts)
        fits = array.ndim > 0 and array.shape[-1] == self.shape.n_local
        if not fits or array.dtype.kind not in "buif":
            expected = f"numbers of shape (..., {self.shape.n_local})"
            raise invalid("LayerTable", "counts", shape_of(array), expected)
        flat = np.ascontiguousarray(array.reshape(-1, self.shape.n_local))
        out = np.empty(len(flat))
        if (bad := interpolate(flat, self.axes, out)) >= 0:
            raise invalid("LayerTable", "counts", flat[bad].tolist(), "finite and not negative")
        return out.reshape(array.shape[:-1])


def _monotone(logs: Floats) -> Floats:
    """Return a table that never falls along an axis.

    If it falls, half of the fall is subtracted above and half is added below.
    """
    above, below = logs, np.flip(logs)
    for axis in range(3):
        above = np.maximum.accumulate(above, axis=axis)
        below = np.minimum.accumulate(below, axis=axis)
    return (above + np.flip(below)) / 2


def _possible(cells: Floats) -> Floats:
    """Return (active, rows, largest), n x 3, raised to the nearest possible steps.

    Every active expert has at least one row, and the busiest at least the mean.
    """
    active, rows, largest = cells.T
    rows = np.maximum(rows, active + largest - 1)
    # More rows are only looked up as a corner of an interpolation.
    rows = np.minimum(rows, active * largest.max())
    return np.stack([active, rows, np.maximum(largest, rows / active)], axis=1)
