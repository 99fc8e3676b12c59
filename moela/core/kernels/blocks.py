"""Mutually non-dominated points in blocks of close ones, so that few of many are looked at."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from moela._arrays import Floats, Ints
from moela.core.kernels.jit import compiled

__all__ = ["Blocks"]

# Points in a full block. Dominance looks at all blocks' bounds and at the points of few blocks.
_SIZE = 64
# Blocks are formed anew if there are this many times more than full ones would be.
_MOST, _FEW = 4, 8

# points: [capacity, M]; located: [capacity, 2], block and place in it of each point; members:
# [blocks, _SIZE], the points of each block; low, high: [blocks, M], bounds of its points; counts:
# [2 + blocks], number of points, number of blocks, and the number of points in each block.


@compiled
def _order(values: Floats) -> Ints:
    """Return the stable order of a few values, by insertion; `np.argsort` compiles for seconds."""
    order = np.arange(len(values))
    for i in range(1, len(values)):
        moved, j = order[i], i
        while j > 0 and values[moved] < values[order[j - 1]]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = moved
    return order


@compiled
def _bound(b: int, points: Floats, members: Ints, counts: Ints, low: Floats, high: Floats) -> None:
    """Compute the bounds of a block."""
    for j in range(points.shape[1]):
        least, most = np.inf, -np.inf
        for place in range(counts[2 + b]):
            value = points[members[b, place], j]
            least, most = min(least, value), max(most, value)
        low[b, j], high[b, j] = least, most


@compiled
def _is_covered(
    f: Floats, points: Floats, members: Ints, counts: Ints, low: Floats, high: Floats
) -> bool:
    """Return whether a point weakly dominates f [M]."""
    m = len(f)
    for b in range(counts[1]):
        reaches, all_cover = True, True
        for j in range(m):
            if low[b, j] > f[j]:
                reaches = False
                break
            if high[b, j] > f[j]:
                all_cover = False
        if not reaches:
            continue
        if all_cover:
            return True
        for place in range(counts[2 + b]):
            i = members[b, place]
            covers = True
            for j in range(m):
                if points[i, j] > f[j]:
                    covers = False
                    break
            if covers:
                return True
    return False


@compiled
def _covered(
    f: Floats, points: Floats, members: Ints, counts: Ints, low: Floats, high: Floats, out: Ints
) -> int:
    """Write to `out` the points that f [M] weakly dominates; return their number."""
    m, n = len(f), 0
    for b in range(counts[1]):
        reaches = True
        for j in range(m):
            if high[b, j] < f[j]:
                reaches = False
                break
        if not reaches:
            continue
        for place in range(counts[2 + b]):
            i = members[b, place]
            covers = True
            for j in range(m):
                if points[i, j] < f[j]:
                    covers = False
                    break
            if covers:
                out[n] = i
                n += 1
    return n


@compiled
def _spans(counts: Ints, low: Floats, high: Floats) -> Floats:
    """Return half the extents of all points, which unlike extents do not overflow, [M]."""
    spans = np.zeros(low.shape[1])
    for j in range(low.shape[1]):
        least, most = np.inf, -np.inf
        for b in range(counts[1]):
            least, most = min(least, low[b, j]), max(most, high[b, j])
        spans[j] = most / 2 - least / 2
    return spans


@compiled
def _closest(f: Floats, spans: Floats, counts: Ints, low: Floats, high: Floats) -> int:
    """Return the block whose center is closest to f [M]."""
    best, least = 0, np.inf
    if counts[1] > 1:
        for b in range(counts[1]):
            distance = 0.0
            for j in range(len(f)):
                if spans[j] > 0.0:
                    center = low[b, j] / 2 + high[b, j] / 2
                    distance += abs(f[j] / 2 - center / 2) / spans[j]
            if distance < least:
                best, least = b, distance
    return best


@compiled
def _put(
    i: int, points: Floats, located: Ints, members: Ints, counts: Ints, low: Floats, high: Floats
) -> None:
    """Put point i into the block whose center is closest, and split a block that is full."""
    m = points.shape[1]
    if counts[1] == 0:
        counts[1], counts[2] = 1, 0
    spans = _spans(counts, low, high)
    # From a function: numba would compile `_split` for a literal 0 and once more for an index.
    best = _closest(points[i], spans, counts, low, high)
    if counts[2 + best] == _SIZE:
        best = _split(best, i, spans, points, located, members, counts, low, high)
    place = counts[2 + best]
    members[best, place] = i
    located[i, 0], located[i, 1] = best, place
    counts[2 + best] += 1
    for j in range(m):
        value = points[i, j]
        if place == 0:
            low[best, j], high[best, j] = value, value
        else:
            low[best, j], high[best, j] = min(low[best, j], value), max(high[best, j], value)


@compiled
def _split(
    b: int,
    i: int,
    spans: Floats,
    points: Floats,
    located: Ints,
    members: Ints,
    counts: Ints,
    low: Floats,
    high: Floats,
) -> int:
    """Split a full block at the median of its widest objective; return the half for point i."""
    axis, widest = 0, -1.0
    for j in range(points.shape[1]):
        if spans[j] > 0.0:
            width = (high[b, j] / 2 - low[b, j] / 2) / spans[j]
            if width > widest:
                axis, widest = j, width
    values, old = np.empty(_SIZE), np.empty(_SIZE, dtype=np.int64)
    for place in range(_SIZE):
        old[place] = members[b, place]
        values[place] = points[old[place], axis]
    order = _order(values)
    half, new = _SIZE // 2, counts[1]
    counts[1] += 1
    counts[2 + b], counts[2 + new] = half, _SIZE - half
    for place in range(half):
        members[b, place] = old[order[place]]
        located[members[b, place], 0], located[members[b, place], 1] = b, place
    for place in range(_SIZE - half):
        members[new, place] = old[order[half + place]]
        located[members[new, place], 0], located[members[new, place], 1] = new, place
    _bound(b, points, members, counts, low, high)
    _bound(new, points, members, counts, low, high)
    return b if points[i, axis] < low[new, axis] else new


@compiled
def _remove(
    i: int, points: Floats, located: Ints, members: Ints, counts: Ints, low: Floats, high: Floats
) -> None:
    """Remove point i; the last point takes its number."""
    b, place = located[i, 0], located[i, 1]
    last = counts[2 + b] - 1
    members[b, place] = members[b, last]
    located[members[b, place], 1] = place
    counts[2 + b] = last
    if last:
        _bound(b, points, members, counts, low, high)
    else:
        end = counts[1] - 1
        for k in range(counts[2 + end]):
            members[b, k] = members[end, k]
            located[members[b, k], 0] = b
        for j in range(points.shape[1]):
            low[b, j], high[b, j] = low[end, j], high[end, j]
        counts[2 + b], counts[1] = counts[2 + end], end
    final = counts[0] - 1
    if i != final:
        for j in range(points.shape[1]):
            points[i, j] = points[final, j]
        located[i, 0], located[i, 1] = located[final, 0], located[final, 1]
        members[located[i, 0], located[i, 1]] = i
    counts[0] = final


@compiled
def _add(
    new: Floats,
    points: Floats,
    located: Ints,
    members: Ints,
    counts: Ints,
    low: Floats,
    high: Floats,
    changes: Ints,
) -> int:
    """Add rows of `new` [b, M], and remove what they dominate.

    Write to `changes` in order: i, a point that was removed, or -1 - k, row k that was added.
    Return their number.
    """
    n_changes = 0
    out = np.empty(counts[0] + len(new), dtype=np.int64)
    for k in range(len(new)):
        f = new[k]
        if _is_covered(f, points, members, counts, low, high):
            continue
        n_covered = _covered(f, points, members, counts, low, high, out)
        numbers = np.empty(n_covered)
        for at in range(n_covered):
            numbers[at] = out[at]
        order = _order(numbers)
        # In descending order, so that no number of these changes by a removal.
        for at in range(n_covered - 1, -1, -1):
            i = out[order[at]]
            _remove(i, points, located, members, counts, low, high)
            changes[n_changes] = i
            n_changes += 1
        last = counts[0]
        for j in range(len(f)):
            points[last, j] = f[j]
        counts[0] += 1
        _put(last, points, located, members, counts, low, high)
        changes[n_changes] = -1 - k
        n_changes += 1
    return n_changes


@compiled
def _form(
    points: Floats, located: Ints, members: Ints, counts: Ints, low: Floats, high: Floats
) -> None:
    """Form all blocks anew."""
    counts[1] = 0
    counts[2:] = 0
    for i in range(counts[0]):
        _put(i, points, located, members, counts, low, high)


@compiled
def _nearest(
    i: int,
    weights: Floats,
    points: Floats,
    located: Ints,
    members: Ints,
    counts: Ints,
    low: Floats,
    high: Floats,
    out: Ints,
) -> None:
    """Write to `out` [k] the points nearest to point i, itself first, by weighted coordinates."""
    k, m, n = len(out), points.shape[1], 0
    distances = np.empty(k)
    for step in range(counts[1]):
        # The block of the point itself comes first.
        b = located[i, 0] if step == 0 else step - 1 if step <= located[i, 0] else step
        if n == k:
            apart = 0.0
            for j in range(m):
                gap = max(low[b, j] - points[i, j], points[i, j] - high[b, j], 0.0) * weights[j]
                apart += gap * gap
            if apart >= distances[k - 1]:
                continue
        for place in range(counts[2 + b]):
            other = members[b, place]
            distance = 0.0
            for j in range(m):
                gap = (points[other, j] - points[i, j]) * weights[j]
                distance += gap * gap
            if not distance < np.inf:
                distance = 1.7e308
            if n < k:
                at = n
                n += 1
            elif distance < distances[k - 1]:
                at = k - 1
            else:
                continue
            while at > 0 and distances[at - 1] > distance:
                distances[at], out[at] = distances[at - 1], out[at - 1]
                at -= 1
            distances[at], out[at] = distance, other


class Blocks:
    """Mutually non-dominated points [n, M], in blocks of close ones with their bounds.

    Points have numbers from 0 to n - 1. The last point takes the number of one that is removed. For
    n points, dominance looks at the bounds of n / 64 to n / 16 blocks and at the points of a few
    blocks (cf. Jaszkiewicz and Lust 2018, "ND-Tree-based update: a fast algorithm for the dynamic
    nondominance problem", IEEE TEVC 22(5), whose leaves these blocks are).
    """

    def __init__(self, n_obj: int) -> None:
        self._points: Floats = np.empty((_SIZE, n_obj))
        self._located: Ints = np.empty((_SIZE, 2), dtype=np.int64)
        self._members: Ints = np.empty((1, _SIZE), dtype=np.int64)
        self._low: Floats = np.empty((1, n_obj))
        self._high: Floats = np.empty((1, n_obj))
        self._counts: Ints = np.zeros(3, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._counts[0])

    @property
    def F(self) -> Floats:
        """The points [n, M]: a view, which the next change changes."""
        return self._points[: len(self)]

    @property
    def low(self) -> Floats:
        """The lower bounds of the blocks, [blocks, M]: a view."""
        return self._low[: self._counts[1]]

    @property
    def high(self) -> Floats:
        """The upper bounds of the blocks, [blocks, M]: a view."""
        return self._high[: self._counts[1]]

    @property
    def _state(self) -> tuple[Floats, Ints, Ints, Ints, Floats, Floats]:
        return self._points, self._located, self._members, self._counts, self._low, self._high

    def members(self, blocks: Ints) -> Ints:
        """Return the numbers of the points of some blocks, one block after another."""
        return np.concatenate([self._members[b, : self._counts[2 + b]] for b in blocks])

    def add(self, F: Floats) -> list[int]:
        """Add points F [b, M] one after another, unless a point weakly dominates them.

        Points that they dominate are removed. Returns the changes in order: the number of a point
        that was removed, or -1 - k for row k that was added.
        """
        self._reserve(len(F))
        changes = np.empty(len(self) + 2 * len(F), dtype=np.int64)
        n = _add(np.ascontiguousarray(F, dtype=float), *self._state, changes)
        if self._counts[1] > _FEW + _MOST * len(self) / _SIZE:
            _form(*self._state)
        made: list[int] = changes[:n].tolist()
        return made

    def keep(self, numbers: Ints) -> None:
        """Keep these points [k] only, in this order; they are numbered anew."""
        kept = self._points[numbers]
        self._counts[:] = 0
        self._reserve(len(kept))
        self._points[: len(kept)] = kept
        self._counts[0] = len(kept)
        _form(*self._state)

    def nearest(self, numbers: Ints, weights: Floats, k: int) -> Ints:
        """Return the k points nearest to each of these [n], itself among them: [n, k].

        Distances are Euclidean on objectives times `weights` [M]. There must be k points.
        """
        found = np.empty((len(numbers), k), dtype=np.int64)
        for row, i in zip(found, numbers.tolist(), strict=True):
            _nearest(i, weights, *self._state, row)
        return found

    def _reserve(self, n: int) -> None:
        """Make room for n more points, each of which may make one block more."""
        if len(self) + n > len(self._points):
            size = 2 * (len(self) + n)
            self._points, self._located = _grown(self._points, size), _grown(self._located, size)
        if self._counts[1] + n + 1 > len(self._members):
            size = 2 * (int(self._counts[1]) + n + 1)
            self._members = _grown(self._members, size)
            self._low, self._high = _grown(self._low, size), _grown(self._high, size)
            self._counts = _grown(self._counts, 2 + size)


T = TypeVar("T", Floats, Ints)


def _grown(array: T, size: int) -> T:
    grown = np.zeros((size, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
