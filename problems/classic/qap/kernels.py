"""Compiled loops of the multi-objective QAP: costs, swaps, enumeration."""

from __future__ import annotations

import numpy as np

from moela.compilation.jit import cached_njit

__all__ = ["costs", "enumerate_front", "swap_neighbors"]

# distance [n, n]; flow [n, n, m], objectives last so that the inner loop runs over memory.


@cached_njit(nogil=True)
def _is_permutation(x, used):  # type: ignore[no-untyped-def]
    n = x.shape[0]
    used[:] = False
    for i in range(n):
        if x[i] < 0 or x[i] >= n or used[x[i]]:
            return False
        used[x[i]] = True
    return True


@cached_njit(nogil=True)
def costs(X, distance, flow, out):  # type: ignore[no-untyped-def]
    """Write sum_ij distance[x_i, x_j] * flow[i, j, k] to out[row, k], O(n^2 m) per row.

    Return the first row of X that is no permutation, or -1.
    """
    rows, n = X.shape
    m = flow.shape[2]
    used = np.zeros(n, dtype=np.bool_)
    for r in range(rows):
        if not _is_permutation(X[r], used):
            return r
        for k in range(m):
            out[r, k] = 0.0
        for i in range(n):
            row = distance[X[r, i]]
            for j in range(n):
                d = row[X[r, j]]
                for k in range(m):
                    out[r, k] += d * flow[i, j, k]
    return -1


@cached_njit(nogil=True)
def swap_neighbors(X, uniforms, out):  # type: ignore[no-untyped-def]
    """Write to out[row, c] the row with two facilities exchanged.

    The pairs of a row differ from each other until all n(n-1)/2 are used; candidates beyond them
    are two exchanges away. `uniforms` has shape [rows, k, 3], values in [0, 1).
    """
    rows, n = X.shape
    k = out.shape[1]
    n_pairs = n * (n - 1) // 2
    first = np.empty(n_pairs, dtype=np.int64)
    second = np.empty(n_pairs, dtype=np.int64)
    p = 0
    for i in range(n):
        for j in range(i + 1, n):
            first[p] = i
            second[p] = j
            p += 1
    for r in range(rows):
        for c in range(k):
            out[r, c] = X[r]
            # A partial Fisher-Yates shuffle; it may start from any order, so none is restored.
            done = c if c < n_pairs else 0
            q = done + int(uniforms[r, c, 0] * (n_pairs - done))
            first[done], first[q] = first[q], first[done]
            second[done], second[q] = second[q], second[done]
            i, j = first[done], second[done]
            out[r, c, i], out[r, c, j] = out[r, c, j], out[r, c, i]
            if c >= n_pairs and n > 2:
                a = int(uniforms[r, c, 1] * n)
                b = (a + 1 + int(uniforms[r, c, 2] * (n - 1))) % n
                if a in (i, j) and b in (i, j):
                    b = (b + 1) % n  # the same pair again would undo the exchange
                    if b == a:
                        b = (b + 1) % n
                i, j = a, b
                out[r, c, i], out[r, c, j] = out[r, c, j], out[r, c, i]


@cached_njit(nogil=True)
def _dominated(f, archive, count):  # type: ignore[no-untyped-def]
    for a in range(count):
        worse = False
        for k in range(f.shape[0]):
            if archive[a, k] > f[k]:
                worse = True
                break
        if not worse:
            return True
    return False


@cached_njit(nogil=True)
def _insert_point(archive, tags, count, f, tag):  # type: ignore[no-untyped-def]
    """Insert `f` into the first `count` rows of `archive` unless a row is as good everywhere.

    Parameters
    ----------
    archive : ndarray of float, shape [capacity, n_obj]
        Mutually non-dominated points, minimized; changed in place.
    tags : ndarray of int, shape [capacity, n_tag]
        Design of each point; moves with the point.
    count : int
        Rows in use.
    f : ndarray of float, shape [n_obj]
    tag : ndarray of int, shape [n_tag]

    Returns
    -------
    int
        Rows in use afterwards, or -1 if `f` must be added and `archive` is full.
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
            if i > 0:  # a point that dominates a candidate tends to dominate the next: move it up
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
            for k in range(m):
                archive[i, k] = archive[count, k]
            for k in range(tags.shape[1]):
                tags[i, k] = tags[count, k]
    if count == archive.shape[0]:
        return -1
    for k in range(m):
        archive[count, k] = f[k]
    for k in range(tags.shape[1]):
        tags[count, k] = tag[k]
    return count + 1


@cached_njit(nogil=True)
def enumerate_front(distance, flow, capacity):  # type: ignore[no-untyped-def]
    """Return the exact front and one assignment per point by depth-first enumeration.

    Facilities are placed one after the other. Costs are non-negative, so that a partial cost is a
    lower bound, and a branch whose partial cost is dominated contains no new point.

    Returns
    -------
    F : ndarray of float, shape [n_front, m]
    X : ndarray of int, shape [n_front, n]; both empty if the front outgrew `capacity`.
    """
    n = distance.shape[0]
    m = flow.shape[2]
    archive = np.empty((capacity, m))
    tags = np.empty((capacity, n), dtype=np.int64)
    count = 0
    x = np.full(n, -1, dtype=np.int64)
    used = np.zeros(n, dtype=np.bool_)
    partial = np.zeros((n + 1, m))
    depth = 0
    while depth >= 0:
        location = x[depth]
        if location >= 0:
            used[location] = False
        location += 1
        while location < n and used[location]:
            location += 1
        if location == n:
            x[depth] = -1
            depth -= 1
            continue
        x[depth] = location
        used[location] = True
        for k in range(m):
            own = distance[location, location] * flow[depth, depth, k]
            partial[depth + 1, k] = partial[depth, k] + own
        for j in range(depth):
            to, back = distance[location, x[j]], distance[x[j], location]
            for k in range(m):
                partial[depth + 1, k] += to * flow[depth, j, k] + back * flow[j, depth, k]
        if depth == n - 1:
            count = _insert_point(archive, tags, count, partial[n], x)
            if count < 0:
                return archive[:0], tags[:0]
        elif not _dominated(partial[depth + 1], archive, count):
            depth += 1
    return archive[:count], tags[:count]
