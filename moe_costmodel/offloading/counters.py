"""Compiled counters of admission: misses before an upload, budgets of uploads, and free slots.

All settings are counted at once, as bits of integers. The cache of compiled code sees a change of
this file only if kernels.py, which calls it, is newer: save that one, too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Floats, Ints
from moela.compilation.jit import cached_njit

__all__ = ["admit", "fill", "open_settings", "position", "refill", "restart", "spend"]

Bits = NDArray[np.uint64]

_ONE, _NONE = np.uint64(1), np.uint64(0)
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_POSITIONS = np.zeros(64, dtype=np.int64)
for _i in range(64):
    _POSITIONS[(int(_DE_BRUIJN) << _i & (2**64 - 1)) >> 58] = _i


@cached_njit(nogil=True)
def position(bit: np.uint64) -> int:
    """Return the position of the only bit that is set (multiplication by a de Bruijn sequence)."""
    return _POSITIONS[bit * _DE_BRUIJN >> np.uint64(58)]


@cached_njit(nogil=True)
def admit(missed: np.uint64, left: Bits, expert: int) -> np.uint64:
    """Count down the misses that are left before an expert is uploaded; return the settings at 0.

    `left` [n_experts, n_bits] holds the counters, one bit of all settings in each entry.
    """
    above = _NONE
    for plane in range(left.shape[1]):
        above |= left[expert, plane]
    borrow = missed & above
    for plane in range(left.shape[1]):
        before = left[expert, plane]
        left[expert, plane] = before ^ borrow
        borrow &= ~before
    return missed & ~above


@cached_njit(nogil=True)
def restart(left: Bits, expert: int, first: Bits, bits: np.uint64) -> None:
    """Set the counters of an expert back to their first values in some settings."""
    for plane in range(len(first)):
        left[expert, plane] = (left[expert, plane] & ~bits) | (first[plane] & bits)


@cached_njit(nogil=True)
def refill(below: np.uint64, budget: Floats, rate: Floats) -> tuple[np.uint64, np.uint64]:
    """Add what a step may upload to the budgets `below` their limits.

    A budget that is not used is kept for later steps, but never more than one step's or one upload.

    Returns
    -------
    below, empty : uint64
        Settings whose budgets are below their limits, and below one upload.
    """
    empty, bits = _NONE, below
    while bits:
        bit = bits & (~bits + _ONE)
        bits ^= bit
        c = position(bit)
        most = max(1.0, rate[c])
        budget[c] = min(budget[c] + rate[c], most)
        if budget[c] < 1.0:
            empty |= bit
        if budget[c] >= most:
            below ^= bit
    return below, empty


@cached_njit(nogil=True)
def open_settings(closed: np.uint64, opens: Ints, rate: Floats, step: int) -> tuple[np.uint64, int]:
    """Return the settings that stay closed after a step, and the step in which the next opens."""
    following = -1
    for c in range(len(opens)):
        if opens[c] <= step and rate[c] > 0.0:
            closed &= ~(_ONE << np.uint64(c))
        elif opens[c] > step and (following < 0 or opens[c] < following):
            following = opens[c]
    return closed, following


@cached_njit(nogil=True)
def spend(bits: np.uint64, budget: Floats, uploads: float) -> np.uint64:
    """Take uploads from the budgets of some settings; return those that have none left."""
    spent = _NONE
    while bits:
        bit = bits & (~bits + _ONE)
        bits ^= bit
        c = position(bit)
        budget[c] -= uploads
        if budget[c] < 1.0:
            spent |= bit
    return spent


@cached_njit(nogil=True)
def fill(bits: np.uint64, filled: Ints, capacities: Ints) -> np.uint64:
    """Take a slot in some settings that have free ones; return those that are full now."""
    full = _NONE
    while bits:
        bit = bits & (~bits + _ONE)
        bits ^= bit
        c = position(bit)
        filled[c] += 1
        if filled[c] == capacities[c]:
            full |= bit
    return full
