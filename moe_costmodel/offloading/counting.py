"""Compiled passes over accesses before and after a replay: future uses, and sums of bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Floats, Ints
from moela.compilation.jit import cached_njit

__all__ = ["first_uses", "next_steps", "totals"]

_ONE = np.uint64(1)


@cached_njit(nogil=True)
def totals(bits: NDArray[np.uint64], n_settings: int) -> Ints:
    """Count the bits of each setting over all accesses, [n_settings]."""
    planes = np.zeros(64, dtype=np.uint64)
    for word in bits:
        carry, plane = word, 0
        while carry:
            both = planes[plane] & carry
            planes[plane] ^= carry
            carry = both
            plane += 1
    out = np.zeros(n_settings, dtype=np.int64)
    for plane in range(63):
        for c in range(n_settings):
            if planes[plane] >> np.uint64(c) & _ONE:
                out[c] += 1 << plane
    return out


@cached_njit(nogil=True)
def next_steps(ids: Ints, bounds: Ints, n_experts: int) -> Ints:
    """Return the step in which the expert of each access is needed next, [n_accesses]."""
    n_steps = len(bounds) - 1
    following = np.empty(len(ids), dtype=np.int64)
    position = np.full(n_experts, n_steps, dtype=np.int64)
    for step in range(n_steps - 1, -1, -1):
        for i in range(bounds[step], bounds[step + 1]):
            following[i] = position[ids[i]]
        for i in range(bounds[step], bounds[step + 1]):
            position[ids[i]] = step
    return following


@cached_njit(nogil=True)
def first_uses(ids: Ints, bounds: Ints, order: Ints, key: Floats) -> None:
    """Set the keys of MIN at the beginning of a replay, and sort the order by them."""
    n = len(order)
    for expert in range(n):
        key[expert] = -(float(len(bounds)) * n + expert)
    for step in range(len(bounds) - 2, -1, -1):
        for i in range(bounds[step], bounds[step + 1]):
            key[ids[i]] = -(float(step) * n + ids[i])
    sorted_ = np.argsort(key, kind="mergesort")
    for rank in range(n):
        order[rank] = sorted_[rank]
