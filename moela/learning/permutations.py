"""Permutations as learned models see them: four aspects, each a set of zeros and ones."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from scipy.sparse import coo_array, csr_array

from moela._arrays import Designs, Floats, Ints

Aspect = Literal["place", "neighbors", "successor", "order"]
ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
"""The place of each item, pairs of items side by side, these in their order, and which of two items
comes first. The last item counts as the neighbor of the first one.

Each suits problems of its own: assignment, symmetric tours, changeovers, and precedence (cf.
Zaefferer, Stork, Bartz-Beielstein 2014, "Distance measures for permutations in combinatorial
efficient global optimization", PPSN XIII).
"""
# Rows whose orders are compared at a time.
_CHUNK = 256


def permuted_items(X: Designs) -> Designs | None:
    """Return the values that all rows of X [n, m] are permutations of, sorted, if they are."""
    m = X.shape[-1]
    if X.ndim != 2 or m < 3 or X.dtype.kind not in "iuf":
        return None
    values = np.sort(X, axis=1)
    distinct = bool((np.diff(values[0]) > 0).all())
    same = len(X) > 1 and distinct and bool((values == values[0]).all())
    return values[0] if same and not bool((X == X[0]).all()) else None


def places_of(X: Designs, items: Designs) -> Ints:
    """Return the place of each item in permutations X [n, m] of these sorted items, [n, m]."""
    items = np.searchsorted(items, X)
    return np.asarray(items.argsort(axis=1, kind="stable"))


def n_columns(m: int, aspect: Aspect) -> int:
    """Return the number of columns that an aspect of m items has."""
    return m * m if aspect in ("place", "successor") else m * (m - 1) // 2


def ones(places: Ints, aspect: Aspect) -> Floats:
    """Return an aspect of permutations with these places [n, m] as zeros and ones, [n, columns]."""
    n, m = places.shape
    if aspect == "order":
        first, second = np.triu_indices(m, 1)
        return (places[:, first] < places[:, second]).astype(float)
    out = np.zeros((n, n_columns(m, aspect)))
    np.put_along_axis(out, _columns(places, aspect), 1.0, axis=1)
    return out


def differences(before: Ints, after: Ints, aspect: Aspect) -> csr_array:
    """Return by how much the zeros and ones of an aspect change, [n, columns].

    The permutations have the places `before` and `after`, both [n, m].
    """
    n, m = before.shape
    shape = n, n_columns(m, aspect)
    if aspect == "order":
        parts = [
            _order_changes(before[i : i + _CHUNK], after[i : i + _CHUNK])
            for i in range(0, n, _CHUNK)
        ]
        row = np.concatenate([at + i * _CHUNK for i, (at, _, _) in enumerate(parts)])
        column = np.concatenate([at for _, at, _ in parts])
        return csr_array(
            coo_array((np.concatenate([sign for _, _, sign in parts]), (row, column)), shape=shape)
        )
    old, new = _columns(before, aspect), _columns(after, aspect)
    changed = old != new
    row = np.broadcast_to(np.arange(n)[:, None], old.shape)[changed]
    signs = np.repeat([-1.0, 1.0], len(row))
    columns = np.concatenate([old[changed], new[changed]])
    # Entries of the same place are added up, so what a move only shifts cancels out.
    return csr_array(coo_array((signs, (np.tile(row, 2), columns)), shape=shape))


def pair_columns(m: int) -> Ints:
    """Return the column of each pair of m items, [m, m]; pairs of an item with itself have 0."""
    out = np.zeros((m, m), dtype=np.int64)
    first, second = np.triu_indices(m, 1)
    out[first, second] = out[second, first] = np.arange(len(first))
    return out


def _columns(places: Ints, aspect: Aspect) -> Ints:
    """Return the columns that are one, [n, m]."""
    m = places.shape[1]
    if aspect == "place":
        return np.arange(m) * m + places
    items = places.argsort(axis=1)
    following = np.roll(items, -1, axis=1)
    if aspect == "successor":
        return np.asarray(items * m + following)
    return np.asarray(pair_columns(m)[items, following])


def _order_changes(before: Ints, after: Ints) -> tuple[Ints, Ints, Floats]:
    """Return row, column and sign of the pairs of items whose order has changed."""
    first, second = np.triu_indices(before.shape[1], 1)
    was, now = before[:, first] < before[:, second], after[:, first] < after[:, second]
    row, column = np.nonzero(was != now)
    return row, column, np.where(now[row, column], 1.0, -1.0)
