"""Work of the experts of one device in a step, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel._arrays import Bools, Floats, Ints
from moe_costmodel._checks import invalid

__all__ = ["TILES", "Work", "plausible_counts"]

TILES = (16, 64, 128)


@dataclass(frozen=True)
class Work:
    """Sums over the experts of one device, for any number of steps; arrays of shape (n,)."""

    rows: Floats  # token-expert pairs
    active: Floats  # experts with at least one row
    largest: Floats  # rows of the busiest expert
    tiled: Floats  # rows if those of each expert are padded to multiples of TILES, (n, 3)

    @classmethod
    def from_counts(cls, counts: ArrayLike) -> Work:
        """Sum tokens per expert, (..., n_local); leading axes are flattened."""
        array = np.asarray(counts)
        if array.ndim == 0 or array.dtype.kind not in "uif" or array.shape[-1] == 0:
            raise invalid("Work", "counts", array.shape, "numbers of shape (..., n_local)")
        if array.size and not (np.isfinite(array).all() and array.min() >= 0):
            raise invalid("Work", "counts", array.min(), "finite and not negative")
        flat = array.reshape(-1, array.shape[-1])
        return cls(
            flat.sum(axis=1, dtype=np.float64),
            np.count_nonzero(flat, axis=1).astype(np.float64),
            flat.max(axis=1).astype(np.float64),
            np.stack([t * np.ceil(flat / t).sum(axis=1) for t in TILES], axis=1),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Ints | Bools) -> Work:
        """Return some of the steps."""
        return Work(*(column[index] for column in vars(self).values()))

    @classmethod
    def concatenate(cls, parts: list[Work]) -> Work:
        """Join several."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


def plausible_counts(rows: Floats, active: Floats, largest: Floats, width: int) -> Floats:
    """Return plausible tokens per expert with the given sums, (n, width).

    The busiest active expert has `largest` rows; the others share the remaining rows evenly.
    """
    rank = np.arange(width)
    other = (rows - largest) / np.maximum(active - 1, 1)
    counts = np.where(rank < active[:, None], other[:, None], 0.0)
    counts[:, 0] = largest
    return counts
