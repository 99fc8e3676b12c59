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
    """Sums over the experts of one device, for any number of steps.

    Attributes
    ----------
    rows : ndarray of shape (n,)
        Token-expert pairs.
    active : ndarray of shape (n,)
        Experts with at least one row.
    largest : ndarray of shape (n,)
        Rows of the busiest expert.
    tiled : ndarray of shape (n, 3)
        Rows if those of each expert are padded to multiples of 16, 64 and 128, as in kernels.
    """

    rows: Floats
    active: Floats
    largest: Floats
    tiled: Floats

    @classmethod
    def from_counts(cls, counts: ArrayLike) -> Work:
        """Sum tokens per expert, (..., n_local); leading axes are flattened.

        Raises
        ------
        ValueError
            If the counts are not finite, non-negative numbers.
        """
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
        return Work(self.rows[index], self.active[index], self.largest[index], self.tiled[index])

    @classmethod
    def concatenate(cls, parts: list[Work]) -> Work:
        """Join several."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("rows", "active", "largest", "tiled")
            )
        )


def plausible_counts(rows: Floats, active: Floats, largest: Floats) -> Floats:
    """Return plausible tokens per expert with the given sums, (n, max(active)).

    The busiest active expert has `largest` rows; the others share the remaining rows evenly.
    """
    width = int(active.max())
    rank = np.arange(width)
    other = (rows - largest) / np.maximum(active - 1, 1)
    counts = np.where(rank < active[:, None], other[:, None], 0.0)
    counts[:, 0] = largest
    return counts
