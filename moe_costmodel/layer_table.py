"""LayerTable: a layer's time for any tokens per expert, as a small table that never falls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._checks import complain
from moe_costmodel.shapes import LayerShape
from moe_costmodel.work import Work, plausible_counts

__all__ = ["LayerTable"]

FloatArray = NDArray[np.float64]
_SKEWS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])


@dataclass(frozen=True)
class LayerTable:
    """Seconds of a layer on one device, by active experts, rows per active expert, and skew.

    Skew is 0 where all active experts have as many rows, and 1 where one has all it can; on a
    logarithmic scale in between. For a given skew the time never falls when tokens are added, to
    active experts or to new ones. Values in between are interpolated in logarithms, values beyond
    the last rows go on in proportion to the rows.

    Attributes
    ----------
    shape : LayerShape
    active : ndarray of shape (n_active,)
        Log of the active experts, ascending.
    each : ndarray of shape (n_each,)
        Log of the rows per active expert, ascending.
    log_seconds : ndarray of shape (n_active, n_each, 5)
    """

    shape: LayerShape
    active: FloatArray
    each: FloatArray
    log_seconds: FloatArray

    @classmethod
    def build(
        cls, shape: LayerShape, predict: Callable[[Work, FloatArray], FloatArray], max_rows: int
    ) -> LayerTable:
        """Tabulate a predictor.

        Parameters
        ----------
        shape : LayerShape
            The layer.
        predict : callable
            Seconds of (work, tokens of the step).
        max_rows : int
            Most rows that one expert is expected to get.
        """
        active = np.unique(np.round(np.geomspace(1, shape.n_local, 14)))
        each = 2.0 ** np.arange(0, np.ceil(np.log2(max(2, max_rows))) + 0.5, 0.5)
        grid = np.stack(np.meshgrid(active, each, _SKEWS, indexing="ij"), axis=-1).reshape(-1, 3)
        rows = grid[:, 0] * grid[:, 1]
        largest = _largest(grid[:, 0], grid[:, 1], grid[:, 2])
        work = Work.from_counts(plausible_counts(rows, grid[:, 0], largest))
        tokens = rows / shape.k * shape.n_experts / shape.n_local
        seconds = predict(work, tokens).reshape(len(active), len(each), len(_SKEWS))
        rising = np.maximum.accumulate(np.maximum.accumulate(seconds, axis=1), axis=0)
        return cls(shape, np.log(active), np.log(each), np.log(rising))

    def seconds(self, counts: ArrayLike) -> FloatArray:
        """Return the time of each step.

        Parameters
        ----------
        counts : array_like of shape (..., n_local)
            Tokens of each of the device's experts.

        Returns
        -------
        ndarray of shape (...)
            0 where no expert has a token.

        Raises
        ------
        ValueError
            If the last axis is not that of the layer's experts.
        """
        array = np.asarray(counts)
        if array.ndim == 0 or array.shape[-1] != self.shape.n_local:
            raise complain(
                "counts", "LayerTable", f"of shape (..., {self.shape.n_local})", array.shape
            )
        flat = np.ascontiguousarray(array.reshape(-1, self.shape.n_local))
        out = np.empty(len(flat))
        _interpolate(flat, self.active, self.each, self.log_seconds, out)
        return out.reshape(array.shape[:-1])


def _largest(active: FloatArray, each: FloatArray, skew: FloatArray) -> FloatArray:
    """Return the busiest expert's rows at a skew: between the mean and all but one each."""
    most = np.maximum(active * (each - 1) + 1, each)
    return np.exp((1 - skew) * np.log(each) + skew * np.log(most))


@numba.njit(cache=True)
def _interpolate(
    counts: NDArray[np.int64],
    active: FloatArray,
    each: FloatArray,
    table: FloatArray,
    out: FloatArray,
) -> None:
    n_active, n_each, n_skew = table.shape
    for i in range(len(counts)):
        n, rows, largest = 0, 0.0, 0.0
        for value in counts[i]:
            if value > 0:
                n += 1
                rows += value
                largest = max(largest, value)
        if n == 0:
            out[i] = 0.0
            continue
        x = np.log(n)
        y = np.log(rows / n)
        most = np.log(max(rows - n + 1, rows / n))
        z = 0.0
        if most > y:
            z = min(1.0, max(0.0, (np.log(largest) - y) / (most - y))) * (n_skew - 1)
        beyond = max(0.0, y - each[-1])
        y = min(max(y, each[0]), each[-1])
        a = min(max(np.searchsorted(active, x) - 1, 0), max(n_active - 2, 0))
        b = min(max(np.searchsorted(each, y) - 1, 0), n_each - 2)
        c = min(int(z), n_skew - 2)
        a1 = min(a + 1, n_active - 1)
        fa = (x - active[a]) / (active[a1] - active[a]) if a1 > a else 0.0
        fb = (y - each[b]) / (each[b + 1] - each[b])
        fc = z - c
        value = 0.0
        for da in range(2):
            for db in range(2):
                for dc in range(2):
                    share = (fa if da else 1 - fa) * (fb if db else 1 - fb) * (fc if dc else 1 - fc)
                    value += share * table[a1 if da else a, b + db, c + dc]
        out[i] = np.exp(value + beyond)
