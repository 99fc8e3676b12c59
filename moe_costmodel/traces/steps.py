"""Steps of a :class:`RoutingTrace`: continuous batching, full steps, and counts of choices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Bools, Ints
from moe_costmodel._checks import invalid
from moela.compilation.jit import cached_njit

__all__ = ["count_choices", "decode_slots", "full_steps"]


@cached_njit()
def decode_slots(lengths: Ints, batch_size: int) -> tuple[Ints, Ints]:
    """Return each token's step and its slot of the batch under continuous batching.

    The next sequence takes the slot that is free first, and of several the lowest.
    """
    free_at = np.zeros(batch_size, dtype=np.int64)
    step = np.empty(lengths.sum(), dtype=np.int64)
    slots = np.empty(len(step), dtype=np.int64)
    token = 0
    for length in lengths:
        slot = free_at.argmin()
        for i in range(length):
            step[token + i] = free_at[slot] + i
            slots[token + i] = slot
        free_at[slot] += length
        token += length
    return step, slots


@cached_njit()
def count_choices(
    ids: NDArray[np.integer], step: Ints, keep: Bools, out: NDArray[np.int32]
) -> None:
    """Add the kept choices to `out` (steps, layers, experts); tokens of step -1 are left out."""
    for token in range(ids.shape[0]):
        if step[token] >= 0:
            for layer in range(ids.shape[1]):
                for j in range(ids.shape[2]):
                    if keep[token, layer, j]:
                        out[step[token], layer, ids[token, layer, j]] += 1


def full_steps(step: Ints, batch_size: int, never: str) -> Ints:
    """Return steps [n_tokens] numbered without those that are not full, whose tokens get -1.

    If no step is full, a ValueError names the largest one; `never` says what the trace never has.
    """
    sizes = np.bincount(step)
    full = sizes == batch_size
    if not full.any():
        expected = f"at most {int(sizes.max())}, since {never}"
        raise invalid("steps", "batch_size", batch_size, expected)
    return np.where(full, np.cumsum(full) - 1, -1)[step]
