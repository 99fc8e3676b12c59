"""Known Pareto fronts, and the filter for non-dominated points."""

from __future__ import annotations

from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from moela.compilation.jit import cached_njit
from problems._arrays import Floats, Ints

__all__ = ["KnownFront", "kept_points", "nondominated", "sorted_front"]

# Of more points, the quadratic filter here takes longer than a tenth of a second.
_FEW = 5_000


@dataclass(frozen=True)
class KnownFront:
    """A Pareto front that is known before any search, and its source.

    Attributes
    ----------
    F : ndarray of float, shape [n, n_obj]
        Non-dominated objective values, minimized, sorted by column.
    source : str
        A file, a paper, or the method that computed the front.
    X : ndarray, shape [n, n_var], or None
        One design for each row of `F`, if known.

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
    X: NDArray[np.generic] | None = None


def sorted_front(F: Floats, X: NDArray[np.generic] | None, source: str) -> KnownFront:
    """Return the non-dominated rows of `F` (and their `X`) without repeats, sorted by column."""
    F = np.ascontiguousarray(F, dtype=np.float64)
    keep = kept_points(F)
    order = keep[np.lexsort(F[keep].T[::-1])]
    return KnownFront(F[order], source, None if X is None else X[order])


def kept_points(F: Floats) -> Ints:
    """Return the ascending indices of the non-dominated rows of `F`, the first of equal ones."""
    if len(F) <= _FEW or F.shape[1] <= 2:
        return np.sort(nondominated(F))
    return np.flatnonzero(moocore.is_nondominated(F))


@cached_njit(nogil=True)
def _filter_sorted(F):  # type: ignore[no-untyped-def]
    # Rows are in lexicographic order, so that none can dominate an earlier one.
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


@cached_njit(nogil=True)
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


def nondominated(F: Floats) -> Ints:
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
