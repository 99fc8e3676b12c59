"""Exact front of a multi-objective knapsack by dynamic programming with bounds.

References
----------
[NU69] G. L. Nemhauser, Z. Ullmann. Discrete dynamic programming and capital allocation.
    Management Science 15(9), 1969, 494-505.
[BHV09] C. Bazgan, H. Hugot, D. Vanderpooten. Solving efficiently the 0-1 multi-objective knapsack
    problem. Computers & Operations Research 36(1), 2009, 260-279.
"""

from __future__ import annotations

import numpy as np

from moela.compilation.jit import cached_njit
from problems._arrays import Bools, Floats, Ints
from problems.classic.front import nondominated

__all__ = ["first_unreachable", "solve"]


N_MIXES = 33


def solve(
    weights: Ints, values: Ints, capacity: int, known: Bools, *, max_states: int
) -> tuple[Ints, Bools] | None:
    """Return the values [n_front, m] of the exact front and a packing [n_front, n] of each point.

    Items are decided one by one. A state (weight so far, values so far) is dropped [NU69, BHV09]
    if another state is no heavier and no worse, or if bounds show that every completion of the
    state stays in the region that the known packings dominate.

    Parameters
    ----------
    weights : ndarray of int, shape [n]
    values : ndarray of int, shape [n, m], to be maximized
    capacity : int
    known : ndarray of bool, shape [n_known, n]
        Feasible packings. The better they are, the more states the bounds drop.
    max_states : int
        Limit on the number of states; None is returned if it is exceeded.
    """
    m = values.shape[1]
    order = _item_order(weights, values)
    w, v = weights[order], np.ascontiguousarray(values[order])
    known = known[nondominated(-(known.astype(np.float64) @ values))]
    reached = np.ascontiguousarray(known.astype(np.int64) @ values)
    if m == 2:
        by_first = np.argsort(reached[:, 0])
        known, reached = known[by_first], reached[by_first]
    mixes = _mixes(m, np.maximum(reached.max(axis=0), 1))
    best_mix = _best_mixes(reached, mixes) if m == 2 else np.zeros(len(reached) + 1, np.int64)
    n_words = (len(w) + 63) // 64
    state_w = np.zeros(1, dtype=np.int64)
    state_v = np.zeros((1, m), dtype=np.int64)
    state_bits = np.zeros((1, n_words), dtype=np.uint64)
    for item in range(len(w)):
        tables = _relaxations(w[item + 1 :], v[item + 1 :], mixes)
        state_w, state_v, state_bits = _step(
            state_w, state_v, state_bits, item, w, v, capacity, mixes, *tables, reached, best_mix
        )
        reduce = _undominated_two if m == 2 else _undominated
        kept = reduce(state_v)
        state_w, state_v, state_bits = state_w[kept], state_v[kept], state_bits[kept]
        if len(state_w) > max_states:
            return None
    chosen = np.zeros((len(state_w), len(w)), dtype=bool)
    for item in range(len(w)):
        word, bit = divmod(item, 64)
        chosen[:, order[item]] = (state_bits[:, word] >> np.uint64(bit)) & np.uint64(1) == 1
    packings = np.vstack([known, chosen])
    totals = packings.astype(np.int64) @ values
    kept = nondominated(-totals.astype(np.float64))
    return totals[kept], packings[kept]


def first_unreachable(weights: Ints, values: Ints, capacity: int, points: Floats) -> int | None:
    """Return the row of the first point of values [n_points, m] that no packing can have.

    A weighted sum of its values exceeds that of the best packing with a split item (Dantzig 1957,
    "Discrete-variable extremum problems"). None if no point does; packings may miss others, too.
    """
    mixes = _mixes(values.shape[1], np.maximum(values.sum(axis=0), 1))
    bounds = np.array(
        [
            _relaxed(capacity, *rows)
            for rows in zip(*_relaxations(weights, values, mixes), strict=True)
        ]
    )
    beyond = (points @ mixes.T > bounds * (1.0 + 1e-9)).any(axis=1)
    return int(beyond.argmax()) if beyond.any() else None


def _item_order(weights: Ints, values: Ints) -> Ints:
    """Return the items by decreasing sum of their ranks in value per weight [BHV09]."""
    ratios = values / np.maximum(weights, 1e-9)[:, None]
    ranks = np.argsort(np.argsort(-ratios, axis=0, kind="stable"), axis=0, kind="stable")
    return np.argsort(ranks.sum(axis=1), kind="stable")


def _mixes(m: int, scale: Ints) -> Floats:
    """Return weightings [n_mixes, m] of the objectives; the first m are the objectives alone."""
    alone = np.eye(m)
    if m == 2:
        t = np.linspace(0.0, 1.0, N_MIXES)[1:-1]
        return np.vstack([alone, np.column_stack([t, 1.0 - t]) / scale])
    return np.vstack([alone, (np.ones(m) / m / scale)[None]])


def _best_mixes(reached: Ints, mixes: Floats) -> Ints:
    """Return the mix that the best known point exceeds least at each corner between known points.

    The bound of that mix is the most likely to exclude the corner.
    """
    first = np.concatenate([[-1], reached[:, 0]])
    second = np.concatenate([reached[:, 1], [-1]])
    corners = np.column_stack([first, second]) + 1
    slack = (reached @ mixes.T).max(axis=0) - corners @ mixes.T
    return np.argmin(slack / np.maximum((reached @ mixes.T).max(axis=0), 1e-12), axis=1)


def _relaxations(weights: Ints, values: Ints, mixes: Floats) -> tuple[Floats, Floats]:
    """Return cumulative weights and mixed values [n_mixes, n_left + 1], best ratio first."""
    total_w = np.zeros((len(mixes), len(weights) + 1))
    total_v = np.zeros((len(mixes), len(weights) + 1))
    for row, mix in enumerate(mixes):
        mixed = values @ mix
        order = np.argsort(-mixed / np.maximum(weights, 1e-9), kind="stable")
        total_w[row, 1:] = np.cumsum(weights[order])
        total_v[row, 1:] = np.cumsum(mixed[order])
    return total_w, total_v


@cached_njit(nogil=True)
def _relaxed(room, total_w, total_v):  # type: ignore[no-untyped-def]
    """Return the largest value that items add within `room` if the last one may be split."""
    low, high = 0, total_w.shape[0] - 1
    while low < high:
        middle = (low + high + 1) // 2
        if total_w[middle] <= room:
            low = middle
        else:
            high = middle - 1
    if low == total_w.shape[0] - 1:
        return total_v[low]
    part = (room - total_w[low]) / (total_w[low + 1] - total_w[low])
    return total_v[low] + part * (total_v[low + 1] - total_v[low])


@cached_njit(nogil=True)
def _hopeless(w, v, capacity, mixes, total_w, total_v, reached, best_mix, bound):  # type: ignore[no-untyped-def]
    """Return whether every completion of a state stays in the region that `reached` dominates.

    `bound` is scratch space of length n_mixes.
    """
    m = v.shape[0]
    room = capacity - w
    for a in range(m):
        relaxed = _relaxed(room, total_w[a], total_v[a])
        bound[a] = v[a] + np.floor(relaxed * (1.0 + 1e-12) + 1e-6)
    if m != 2:
        for p in range(reached.shape[0]):
            inside = True
            for k in range(m):
                if reached[p, k] < bound[k]:
                    inside = False
                    break
            if inside:
                return True
        return False
    for a in range(m, mixes.shape[0]):
        bound[a] = -1.0  # computed on first use
    # Corner p lies between known points p-1 and p. A point outside the region exceeds some corner.
    n = reached.shape[0]
    low, high = 0, n
    while low < high:  # the first corner whose second value the state may exceed
        middle = (low + high) // 2
        second = reached[middle, 1] if middle < n else -1
        if second + 1 <= bound[1]:
            high = middle
        else:
            low = middle + 1
    for p in range(low, n + 1):
        first = reached[p - 1, 0] + 1 if p > 0 else 0
        second = reached[p, 1] + 1 if p < n else 0
        if first > bound[0]:
            break
        excluded = False
        for b in range(-1, mixes.shape[0] - m):
            a = best_mix[p] if b < 0 else m + b
            if a < m:
                continue
            if bound[a] < 0.0:
                mixed = mixes[a, 0] * v[0] + mixes[a, 1] * v[1]
                bound[a] = mixed + _relaxed(room, total_w[a], total_v[a])
            if mixes[a, 0] * first + mixes[a, 1] * second > bound[a] * (1.0 + 1e-9):
                excluded = True
                break
        if not excluded:
            return False
    return True


@cached_njit(nogil=True)
def _step(  # type: ignore[no-untyped-def]
    state_w, state_v, state_bits, item, w, v, capacity, mixes, total_w, total_v, reached, best_mix
):
    """Return the states after `item` was left out or taken, lightest first and none hopeless."""
    n, m = state_v.shape
    words = state_bits.shape[1]
    left = 0
    for i in range(item, w.shape[0]):
        left += w[i]
    out_w = np.empty(2 * n, dtype=np.int64)
    out_v = np.empty((2 * n, m), dtype=np.int64)
    out_bits = np.empty((2 * n, words), dtype=np.uint64)
    bound = np.empty(mixes.shape[0])
    candidate = np.empty(m, dtype=np.int64)
    count, a, b = 0, 0, 0
    word, bit = item // 64, np.uint64(1) << np.uint64(item % 64)
    while a < n or b < n:
        take = b < n and (a == n or state_w[b] + w[item] < state_w[a])
        if take:
            s = b
            b += 1
            weight = state_w[s] + w[item]
            if weight > capacity:
                b = n
                continue
            for k in range(m):
                candidate[k] = state_v[s, k] + v[item, k]
        else:
            s = a
            a += 1
            weight = state_w[s]
            if weight + left <= capacity:
                continue  # all remaining items fit, so that leaving one out gains nothing
            for k in range(m):
                candidate[k] = state_v[s, k]
        if _hopeless(
            weight, candidate, capacity, mixes, total_w, total_v, reached, best_mix, bound
        ):
            continue
        out_w[count] = weight
        for k in range(m):
            out_v[count, k] = candidate[k]
        for k in range(words):
            out_bits[count, k] = state_bits[s, k]
        if take:
            out_bits[count, word] |= bit
        count += 1
    return out_w[:count].copy(), out_v[:count].copy(), out_bits[:count].copy()


@cached_njit(nogil=True)
def _undominated_two(v):  # type: ignore[no-untyped-def]
    """Return the states that no lighter one matches in both values; states come lightest first."""
    n = v.shape[0]
    kept = np.empty(n, dtype=np.int64)
    count = 0
    first = np.empty(n, dtype=np.int64)  # a staircase: first ascending, second descending
    second = np.empty(n, dtype=np.int64)
    size = 0
    for s in range(n):
        low, high = 0, size
        while low < high:
            middle = (low + high) // 2
            if first[middle] >= v[s, 0]:
                high = middle
            else:
                low = middle + 1
        if low < size and second[low] >= v[s, 1]:
            continue
        kept[count] = s
        count += 1
        end = low + 1 if low < size and first[low] == v[s, 0] else low
        start = low
        while start > 0 and second[start - 1] <= v[s, 1]:
            start -= 1
        shift = start + 1 - end
        if shift > 0:
            for i in range(size - 1, end - 1, -1):
                first[i + shift] = first[i]
                second[i + shift] = second[i]
        elif shift < 0:
            for i in range(end, size):
                first[i + shift] = first[i]
                second[i + shift] = second[i]
        first[start] = v[s, 0]
        second[start] = v[s, 1]
        size += shift
    return kept[:count]


@cached_njit(nogil=True)
def _undominated(v):  # type: ignore[no-untyped-def]
    """Return the states that no lighter one matches in all values; states come lightest first."""
    n, m = v.shape
    kept = np.empty(n, dtype=np.int64)
    count = 0
    front = np.empty(n, dtype=np.int64)
    size = 0
    for s in range(n):
        dominated = False
        i = 0
        while i < size:
            f = front[i]
            above, below = True, True  # f at least s everywhere; at most s everywhere
            for k in range(m):
                if v[f, k] < v[s, k]:
                    above = False
                elif v[f, k] > v[s, k]:
                    below = False
                if not above and not below:
                    break
            if above:
                dominated = True
                front[i], front[i // 2] = front[i // 2], front[i]
                break
            if below:
                size -= 1
                front[i] = front[size]
            else:
                i += 1
        if not dominated:
            kept[count] = s
            count += 1
            front[size] = s
            size += 1
    return kept[:count]
