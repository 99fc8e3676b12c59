"""Compiled scalarization of objectives: scaling and combining in one pass, broadcast like a ufunc.

`njit` compiles it, not `guvectorize`, whose machine code numba keeps in two files. Two processes
that compile at the same time may each write one of them. Every later process then crashes.
"""

from __future__ import annotations

import math

import numpy as np

from moela._arrays import Floats
from moela.core.kernels.jit import compiled

__all__ = ["EDGE", "NUMBERS", "POWER", "changed", "combined", "scalarized"]

# Closer than this to the edge of the reference box, and beyond it, the tangent replaces the
# logarithm, so that searches outside the box still know which way leads into it.
EDGE = 0.02
POWER = 8
"""Power of the norm `p_norm`."""
NUMBERS = {"product": 0, "chebyshev": 1, "weighted_sum": 2, "p_norm": 3}
"""Numbers of the scalarizations in `scalarized`."""
_ONES = ((1, 1, 1), (1, 1), (1,), ())


@compiled
def product(F: Floats, W: Floats, ideal: Floats, span: Floats, farthest: float) -> float:
    """Return the negative logarithm of the weighted product of distances to the reference point."""
    total = 0.0
    for j in range(F.shape[0]):
        z = (F[j] - ideal[j]) / span[j] if span[j] > 0.0 else 0.0
        distance = 1.0 + EDGE - max(min(z, farthest), -farthest)
        if distance >= EDGE:
            total += W[j] * math.log(distance)
        else:
            total += W[j] * (math.log(EDGE) + (distance - EDGE) / EDGE)
    return -total


@compiled
def chebyshev(F: Floats, W: Floats, ideal: Floats, span: Floats, farthest: float) -> float:
    """Return the largest weighted scaled objective."""
    largest = -np.inf
    for j in range(F.shape[0]):
        z = (F[j] - ideal[j]) / span[j] if span[j] > 0.0 else 0.0
        largest = max(largest, W[j] * max(min(z, farthest), -farthest))
    return largest


@compiled
def weighted_sum(F: Floats, W: Floats, ideal: Floats, span: Floats, farthest: float) -> float:
    """Return the weighted sum of scaled objectives."""
    total = 0.0
    for j in range(F.shape[0]):
        z = (F[j] - ideal[j]) / span[j] if span[j] > 0.0 else 0.0
        total += W[j] * max(min(z, farthest), -farthest)
    return total


@compiled
def p_norm(F: Floats, W: Floats, ideal: Floats, span: Floats, farthest: float) -> float:
    """Return the norm of the weighted scaled objectives, with the power `POWER`."""
    largest = chebyshev(F, W, ideal, span, farthest)
    if largest <= 0.0:
        return largest
    total = 0.0
    for j in range(F.shape[0]):
        z = (F[j] - ideal[j]) / span[j] if span[j] > 0.0 else 0.0
        total += (W[j] * max(min(z, farthest), 0.0) / largest) ** POWER
    return largest * total ** (1.0 / POWER)


@compiled
def scalarized(
    number: int, F: Floats, W: Floats, ideal: Floats, span: Floats, farthest: float
) -> float:
    """Return the scalarization of this number of objectives F [M] with weights W [M]."""
    if number == 0:
        return product(F, W, ideal, span, farthest)
    if number == 1:
        return chebyshev(F, W, ideal, span, farthest)
    if number == 2:
        return weighted_sum(F, W, ideal, span, farthest)
    return p_norm(F, W, ideal, span, farthest)


@compiled
def _table(
    number: int, F: Floats, W: Floats, ideal: Floats, span: Floats, farthest: float, out: Floats
) -> None:
    """Fill ``out`` [a, b] with values of F [a or 1, b or 1, M] and W [a or 1, b or 1, M]."""
    rows_f, columns_f = F.shape[0] > 1, F.shape[1] > 1
    rows_w, columns_w = W.shape[0] > 1, W.shape[1] > 1
    # Copies take less time than views of rows.
    f, w = np.empty(F.shape[2]), np.empty(F.shape[2])
    for i in range(out.shape[0]):
        for k in range(out.shape[1]):
            for j in range(F.shape[2]):
                f[j] = F[i if rows_f else 0, k if columns_f else 0, j]
                w[j] = W[i if rows_w else 0, k if columns_w else 0, j]
            out[i, k] = scalarized(number, f, w, ideal, span, farthest)


@compiled
def _changes(
    number: int,
    F: Floats,
    W: Floats,
    change: Floats,
    ideal: Floats,
    span: Floats,
    farthest: float,
    out: Floats,
) -> None:
    moved = np.empty(F.shape[1])
    for i in range(out.shape[0]):
        weights = W[i]
        before = scalarized(number, F[i], weights, ideal, span, farthest)
        for k in range(out.shape[1]):
            for j in range(F.shape[1]):
                moved[j] = F[i, j] + change[i, k, j]
            out[i, k] = scalarized(number, moved, weights, ideal, span, farthest) - before


def changed(
    by: str,
    F: Floats,
    W: Floats,
    change: Floats,
    ideal: Floats,
    span: Floats,
    farthest: float,
) -> Floats:
    """Return how the values of objectives F [n, M] change with changes of F [n, k, M]: [n, k].

    The values are those of `combined` with weights W [n, M].
    """
    if F.shape != W.shape or change.shape != (len(F), change.shape[1], F.shape[1]):
        shapes = F.shape, W.shape, change.shape
        raise ValueError(f"Objectives, weights and changes do not fit together: {shapes}.")
    out = np.empty(change.shape[:2])
    # Any other memory layout would be compiled anew.
    change = np.ascontiguousarray(change)
    _changes(NUMBERS[by], F, W, change, ideal, span, float(farthest), out)
    return out


def combined(by: str, F: Floats, W: Floats, ideal: Floats, span: Floats, farthest: float) -> Floats:
    """Scale objectives F [..., M] and combine them with weights W [..., M], broadcast: [...].

    `by` is the name of a function above; ideal and span are [M], `farthest` is the largest size of
    a scaled value.
    """
    axes = max(F.ndim, W.ndim)
    if axes > 3:
        shape = np.broadcast_shapes(F.shape, W.shape)
        F, W = (np.array(np.broadcast_to(a, shape)).reshape(-1, shape[-1]) for a in (F, W))
        return combined(by, F, W, ideal, span, farthest).reshape(shape[:-1])
    F, W = F.reshape(_ONES[F.ndim] + F.shape), W.reshape(_ONES[W.ndim] + W.shape)
    # Machine code does not check shapes. np.broadcast_shapes does, but takes longer.
    (a, b, n_obj), (c, d, n_weights) = F.shape, W.shape
    if n_obj != n_weights or (a != c and 1 not in (a, c)) or (b != d and 1 not in (b, d)):
        raise ValueError(f"Objectives and weights do not fit together: {F.shape} and {W.shape}.")
    out = np.empty((c if a == 1 else a, d if b == 1 else b))
    _table(NUMBERS[by], F, W, ideal, span, float(farthest), out)
    return out.reshape(out.shape[3 - axes :])
