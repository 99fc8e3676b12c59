"""Exact fronts: the incremental filter that enumeration uses, and fronts that are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from problems._arrays import Floats

__all__ = ["KnownFront", "insert_point", "nondominated", "sorted_front"]


@dataclass(frozen=True)
class KnownFront:
    """A Pareto front known before any search, and where it comes from.

    Attributes
    ----------
    F : ndarray of float, shape [n, n_obj]
        The objective values, minimized, non-dominated, sorted by column.
    source : str
        Who says so: a file, a paper, or the method that computed it.
    X : ndarray, shape [n, n_var], or None
        One design for each row of `F`, where known.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.classic import KnownFront
    >>> front = KnownFront(F=np.array([[0.0, 1.0], [1.0, 0.0]]), source="two designs, by hand")
    >>> front.F.shape
    (2, 2)
    """

    F: Floats
    source: str
    X: np.ndarray[Any, Any] | None = None


def sorted_front(F: Floats, X: np.ndarray[Any, Any] | None, source: str) -> KnownFront:
    """Return the non-dominated rows of `F` (and their `X`) without repeats, sorted by column."""
    F = np.ascontiguousarray(F, dtype=np.float64)
    keep = nondominated(F)
    order = keep[np.lexsort(F[keep].T[::-1])]
    return KnownFront(F[order], source, None if X is None else X[order])


@njit(cache=True, nogil=True)
def insert_point(archive, tags, count, f, tag):  # type: ignore[no-untyped-def]
    """Insert `f` into the first `count` rows of `archive` unless a row is as good everywhere.

    Parameters
    ----------
    archive : ndarray of float, shape [capacity, n_obj]
        Mutually non-dominated points, minimized; changed in place.
    tags : ndarray of int, shape [capacity, n_tag]
        What belongs to each point (a design); moves with it.
    count : int
        Rows in use.
    f : ndarray of float, shape [n_obj]
    tag : ndarray of int, shape [n_tag]

    Returns
    -------
    int
        Rows in use afterwards, or -1 where `f` belongs in and `archive` is full.
    """
    m = f.shape[0]
    i = 0
    while i < count:
        row_better, f_better = False, False
        for k in range(m):
            if archive[i, k] < f[k]:
                row_better = True
            elif archive[i, k] > f[k]:
                f_better = True
        if not f_better:
            if i > 0:  # what dominates one candidate tends to dominate the next: look there first
                j = i // 2
                for k in range(m):
                    archive[i, k], archive[j, k] = archive[j, k], archive[i, k]
                for k in range(tags.shape[1]):
                    tags[i, k], tags[j, k] = tags[j, k], tags[i, k]
            return count
        if row_better:
            i += 1
        else:
            count -= 1
            archive[i] = archive[count]
            tags[i] = tags[count]
    if count == archive.shape[0]:
        return -1
    archive[count] = f
    tags[count] = tag
    return count + 1


@njit(cache=True, nogil=True)
def _filter_sorted(F):  # type: ignore[no-untyped-def]
    # Rows come in lexicographic order: none can dominate an earlier one.
    n, m = F.shape
    kept = np.empty(n, dtype=np.int64)
    count = 0
    for i in range(n):
        dominated = False
        for a in range(count):
            j = kept[a]
            worse = False
            for k in range(m):
                if F[j, k] > F[i, k]:
                    worse = True
                    break
            if not worse:
                dominated = True
                if a > 0:
                    kept[a], kept[a // 2] = kept[a // 2], kept[a]
                break
        if not dominated:
            kept[count] = i
            count += 1
    return kept[:count]


@njit(cache=True, nogil=True)
def _filter_sorted_two(F):  # type: ignore[no-untyped-def]
    n = F.shape[0]
    kept = np.empty(n, dtype=np.int64)
    count = 0
    best = np.inf
    for i in range(n):
        if F[i, 1] < best:
            best = F[i, 1]
            kept[count] = i
            count += 1
    return kept[:count]


def nondominated(F: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the indices of the non-dominated rows of `F`, one for each distinct point.

    Complexity: O(n log n) for two objectives, O(n * front) for more.

    Parameters
    ----------
    F : ndarray of float, shape [n, n_obj]
        Objective values, minimized.

    Returns
    -------
    ndarray of int, shape [n_front]
    """
    F = np.ascontiguousarray(F, dtype=np.float64)
    order = np.lexsort(F.T[::-1])
    rows = np.ascontiguousarray(F[order])
    kept = _filter_sorted_two(rows) if F.shape[1] == 2 else _filter_sorted(rows)
    return np.asarray(order[kept])
