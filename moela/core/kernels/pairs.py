"""Compiled sums over pairs of permuted items, and over items: values, moves, and descents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moela._arrays import Bools, Floats, Ints
from moela.core.kernels.jit import compiled, reassociating
from moela.core.kernels.scalar import scalarized

__all__ = ["Singles", "changes", "columns", "descend", "spread_out", "summed_up", "totals"]

Singles = NDArray[np.float32]

# An exchange counts as an improvement if it is larger than rounding.
_ROUNDING = 1e-9


@compiled
def columns(at: Ints, values: Singles) -> Singles:
    """Return values [pairs] of the pairs (at[r, i], at[r, j]), for each row and i < j.

    `at` [n, m] holds permutations of 0 to m - 1. The result [n, pairs] has single precision.
    """
    n, m = at.shape
    table = np.zeros((m, m), dtype=np.float32)
    c = 0
    for i in range(m):
        for j in range(i + 1, m):
            table[i, j] = values[c]
            table[j, i] = values[c]
            c += 1
    out = np.empty((n, c), dtype=np.float32)
    for r in range(n):
        c = 0
        for i in range(m):
            own = table[at[r, i]]
            for j in range(i + 1, m):
                out[r, c] = own[at[r, j]]
                c += 1
    return out


@compiled
def summed_up(places: Ints, V: Singles) -> Floats:
    """Return the sum of the rows of V [n, c] in which item i is at place q, at row i m + q.

    `places` is [n, m], the result [m m, c].
    """
    n, m = places.shape
    out = np.zeros((m * m, V.shape[1]))
    for r in range(n):
        for i in range(m):
            out[i * m + places[r, i]] += V[r]
    return out


@compiled
def spread_out(places: Ints, T: Singles) -> Singles:
    """Return the sums of those rows of T [m m, c] that places [n, m] name, [n, c]."""
    n, m = places.shape
    out = np.zeros((n, T.shape[1]), dtype=np.float32)
    for r in range(n):
        for i in range(m):
            out[r] += T[i * m + places[r, i]]
    return out


@compiled
def totals(places: Ints, A: Floats, B: Floats, C: Floats, directed: Bools) -> Floats:
    """Return the sum of A[i, j] B[p_i, p_j] and that of C[i, p_i] for places p [n, m], [n, M].

    A, B and C are [M, m, m]. The first sum is over all i and j that differ where `directed` [M] is
    set; else A and B are symmetric, and it is over i < j.
    """
    n, m = places.shape
    out = np.empty((n, A.shape[0]))
    for r in range(n):
        p = places[r]
        for o in range(A.shape[0]):
            total = 0.0
            for i in range(m):
                total += C[o, i, p[i]]
                own, there = A[o, i], B[o, p[i]]
                for j in range(i + 1, m):
                    total += own[j] * there[p[j]]
                if directed[o]:
                    for j in range(i):
                        total += own[j] * there[p[j]]
            out[r, o] = total
    return out


@compiled
def changes(
    before: Floats, after: Floats, A: Floats, B: Floats, C: Floats, directed: Bools
) -> Floats:
    """Return by how much those sums change from places [n, m] to places [n, k, m], [n, k, M]."""
    n, k, m = after.shape
    out = np.zeros((n, k, A.shape[0]))
    old = np.empty(m, dtype=np.int64)
    new = np.empty(m, dtype=np.int64)
    moved = np.empty(m, dtype=np.int64)
    for r in range(n):
        for i in range(m):
            old[i] = np.int64(before[r, i])
        for s in range(k):
            n_moved = 0
            for i in range(m):
                new[i] = np.int64(after[r, s, i])
                if new[i] != old[i]:
                    moved[n_moved] = i
                    n_moved += 1
            for o in range(A.shape[0]):
                total = 0.0
                for c in range(n_moved):
                    i = moved[c]
                    total += C[o, i, new[i]] - C[o, i, old[i]]
                    total += _of_one(i, old, new, moved[:c], A[o], B[o])
                    if directed[o]:
                        total += _of_one(i, old, new, moved[:c], A[o].T, B[o].T)
                out[r, s, o] = total
    return out


@compiled
def _of_one(i: int, old: Ints, new: Ints, counted: Ints, A: Floats, B: Floats) -> float:
    """Return the change of the terms A[i, j] B[p_i, p_j], but for items that are `counted`."""
    own, now, was = A[i], B[new[i]], B[old[i]]
    total = 0.0
    for j in range(len(old)):
        total += own[j] * (now[new[j]] - was[old[j]])
    for d in range(len(counted)):
        j = counted[d]
        total -= own[j] * (now[new[j]] - was[old[j]])
    return total


@reassociating
def _exchanged(A: Floats, o: int, i: int, j: int, there: Floats, x: int, y: int) -> float:
    """Return the sum over k of (A[o, i, k] - A[o, j, k]) (there[o, y, k] - there[o, x, k])."""
    total = 0.0
    for k in range(A.shape[2]):
        total += (A[o, i, k] - A[o, j, k]) * (there[o, y, k] - there[o, x, k])
    return total


@compiled
def _place(B: Floats, p: Ints, there: Floats, back: Floats) -> None:
    """Fill ``there`` [M, q, k] with B[o, q, p_k], and ``back``, if it has rows, with B[o, p_k, q].

    Sums over items then read neighboring numbers, which is faster.
    """
    for o in range(B.shape[0]):
        for q in range(len(p)):
            for k in range(len(p)):
                there[o, q, k] = B[o, q, p[k]]
    for o in range(back.shape[0]):
        for q in range(len(p)):
            for k in range(len(p)):
                back[o, q, k] = B[o, p[k], q]


@compiled
def _swap_columns(there: Floats, i: int, j: int) -> None:
    for o in range(there.shape[0]):
        for q in range(there.shape[1]):
            there[o, q, i], there[o, q, j] = there[o, q, j], there[o, q, i]


@compiled
def descend(
    places: Ints,
    A: Floats,
    B: Floats,
    C: Floats,
    directed: Bools,
    offset: Floats,
    number: int,
    W: Floats,
    ideal: Floats,
    span: Floats,
    farthest: float,
    order: Ints,
    allowed: Bools,
) -> None:
    """Exchange the places of two items, in place, until no exchange improves a design any more.

    The objectives of places [b, m] are those sums, plus `offset` [M]. Each design has weights
    W [b, M] of the scalarization `number`; see `moela.core.kernels.scalar`. `order` [pairs, 2] is
    the order in which pairs are tried, and `allowed` [m, m] says which item may be where.
    """
    m, n_obj, n_pairs = places.shape[1], A.shape[0], order.shape[0]
    G = np.empty(n_obj)
    start = totals(places, A, B, C, directed)
    there = np.empty((n_obj, m, m))
    back = np.empty((n_obj if directed.any() else 0, m, m))
    A_back = np.empty(back.shape)
    for o in range(back.shape[0]):
        A_back[o] = A[o].T
    for r in range(places.shape[0]):
        p, F, weights = places[r], start[r] + offset, W[r]
        _place(B, p, there, back)
        value = scalarized(number, F, weights, ideal, span, farthest)
        at = since = 0
        while since < n_pairs:
            i, j = order[at, 0], order[at, 1]
            at = at + 1 if at + 1 < n_pairs else 0
            since += 1
            x, y = p[i], p[j]
            if not (allowed[i, y] and allowed[j, x]):
                continue
            for o in range(n_obj):
                total = F[o] + (C[o, i, y] - C[o, i, x] + C[o, j, x] - C[o, j, y])
                total += _exchanged(A, o, i, j, there, x, y)
                # The pair of both is none of the others.
                total -= (A[o, i, i] - A[o, j, i]) * (B[o, y, x] - B[o, x, x])
                total -= (A[o, i, j] - A[o, j, j]) * (B[o, y, y] - B[o, x, y])
                if directed[o]:
                    total += _exchanged(A_back, o, i, j, back, x, y)
                    total -= (A[o, i, i] - A[o, i, j]) * (B[o, x, y] - B[o, x, x])
                    total -= (A[o, j, i] - A[o, j, j]) * (B[o, y, y] - B[o, y, x])
                    total += (A[o, i, j] - A[o, j, i]) * (B[o, y, x] - B[o, x, y])
                G[o] = total
            new = scalarized(number, G, weights, ideal, span, farthest)
            if new < value - _ROUNDING * (1.0 + abs(value)):
                value, since = new, 0
                p[i], p[j] = y, x
                F[:] = G
                _swap_columns(there, i, j)
                _swap_columns(back, i, j)
