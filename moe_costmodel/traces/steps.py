"""Steps of a :class:`RoutingTrace`: continuous batching, full steps, loads, and cuts in time."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._arrays import Bools, Ints
from moe_costmodel._checks import array_of, invalid, shape_of
from moela.compilation.jit import cached_njit

__all__ = [
    "Mode",
    "count_choices",
    "cut_at",
    "decode_slots",
    "full_steps",
    "loads_of",
    "steps_of",
    "tokens_of",
]

Mode = Literal["prefill", "decode"]


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


def steps_of(lengths: Ints, n_tokens: int, batch_size: int, mode: Mode) -> Ints:
    """Return the step in which each token of sequences of some lengths is computed, [n_tokens]."""
    if mode == "prefill":
        return np.arange(n_tokens) // batch_size
    # More slots than sequences stay empty.
    step, _ = decode_slots(lengths, min(batch_size, len(lengths)))
    return step


def tokens_of(step: Ints) -> list[Ints]:
    """Return the tokens of each step, by index; those of step -1 are left out."""
    order = np.argsort(step, kind="stable")
    order = order[np.count_nonzero(step < 0) :]
    return np.split(order, np.flatnonzero(np.diff(step[order])) + 1)


def loads_of(
    ids: NDArray[np.integer], step: Ints, n_experts: int, keep: ArrayLike | None
) -> NDArray[np.int32]:
    """Return the tokens of each expert, (steps, layers, experts), of the choices that are kept."""
    out = np.zeros((int(step.max()) + 1, ids.shape[1], n_experts), dtype=np.int32)
    ids = np.ascontiguousarray(ids)
    kept = array_of("loads", "keep", np.ones((1, 1, 1), np.bool_) if keep is None else keep)
    if keep is not None and (kept.shape != ids.shape or kept.dtype != np.bool_):
        raise invalid("loads", "keep", shape_of(kept), f"booleans of shape {ids.shape}")
    count_choices(ids, step, np.broadcast_to(kept, ids.shape), out)
    return out


def cut_at(lengths: Ints, n: int, fraction: float) -> tuple[int, tuple[Ints, Ints]]:
    """Return where to cut n tokens or steps in two, and the lengths of the sequences of both parts.

    The cut is at the end of a sequence if there are several.
    """
    if len(lengths) > 1:
        ends = np.cumsum(lengths)[:-1]
        n_first = int(np.abs(ends - fraction * n).argmin()) + 1
        return int(ends[n_first - 1]), (lengths[:n_first], lengths[n_first:])
    cut = min(max(round(fraction * n), 1), n - 1)
    return cut, (np.array([cut]), np.array([n - cut]))
