"""Compiled loops of the knapsack: greedy filling, repair, exchange moves."""

from __future__ import annotations

import numpy as np

from moela.compilation.jit import cached_njit

__all__ = ["exchange", "fill", "repair"]

# chosen: bool [rows, n]; weights: int64 [n]; orders: int64 [n_orders, n], items best first.


OWN = 0.75  # share of exchanges and repairs that use the order to which a packing is closest


@cached_njit(nogil=True)
def _closest_order(chosen, ranks):  # type: ignore[no-untyped-def]
    """Return the order in which the chosen items stand first, as a sum of ranks."""
    best, best_sum = 0, np.inf
    for order in range(ranks.shape[0]):
        total = 0
        for i in range(chosen.shape[0]):
            if chosen[i]:
                total += ranks[order, i]
        if total < best_sum:
            best, best_sum = order, total
    return best


@cached_njit(nogil=True)
def _weigh(chosen, weights):  # type: ignore[no-untyped-def]
    total = 0
    for i in range(chosen.shape[0]):
        if chosen[i]:
            total += weights[i]
    return total


@cached_njit(nogil=True)
def _fill_row(chosen, banned, weights, room, order):  # type: ignore[no-untyped-def]
    for i in order:
        if not chosen[i] and not banned[i] and weights[i] <= room:
            chosen[i] = True
            room -= weights[i]
    return room


@cached_njit(nogil=True)
def fill(chosen, weights, capacity, orders):  # type: ignore[no-untyped-def]
    """Add to each feasible row, in its own order [rows, n], every item that still fits."""
    banned = np.zeros(chosen.shape[1], dtype=np.bool_)
    for r in range(chosen.shape[0]):
        room = capacity - _weigh(chosen[r], weights)
        _fill_row(chosen[r], banned, weights, room, orders[r])


@cached_njit(nogil=True)
def repair(chosen, weights, capacity, orders, ranks, picks):  # type: ignore[no-untyped-def]
    """Drop the worst items of each row until it fits, then add what fits, by orders[picks[r]].

    A pick of -1 stands for the order to which the row is closest.
    """
    banned = np.zeros(chosen.shape[1], dtype=np.bool_)
    for r in range(chosen.shape[0]):
        pick = picks[r] if picks[r] >= 0 else _closest_order(chosen[r], ranks)
        order = orders[pick]
        room = capacity - _weigh(chosen[r], weights)
        at = order.shape[0] - 1
        while room < 0:
            if chosen[r, order[at]]:
                chosen[r, order[at]] = False
                room += weights[order[at]]
            at -= 1
        _fill_row(chosen[r], banned, weights, room, order)


@cached_njit(nogil=True)
def exchange(chosen, weights, capacity, orders, ranks, uniforms, out):  # type: ignore[no-untyped-def]
    """Write to out[row, c] the row with one or two items out, another in, and refilled.

    A random order tells good items from bad ones: of two random items the worse one leaves, of two
    random others the better one enters. Items that left are tried last in the refill. `ranks`
    [n_orders, n] holds the position of each item in each order; `uniforms` has the shape
    [rows, k, 16]. The rows must be feasible.
    """
    rows, n = chosen.shape
    inside = np.empty(n, dtype=np.int64)
    outside = np.empty(n, dtype=np.int64)
    banned = np.zeros(n, dtype=np.bool_)
    for r in range(rows):
        total = _weigh(chosen[r], weights)
        n_out = 0
        for i in range(n):
            if not chosen[r, i] and weights[i] <= capacity:
                outside[n_out] = i
                n_out += 1
        own = _closest_order(chosen[r], ranks)
        for c in range(out.shape[1]):
            y = out[r, c]
            u = uniforms[r, c]
            pick = own if u[0] < OWN else int((u[0] - OWN) / (1.0 - OWN) * orders.shape[0])
            rank = ranks[pick]
            n_in = 0
            for i in range(n):
                y[i] = chosen[r, i]
                if y[i]:
                    inside[n_in] = i
                    n_in += 1
            room = capacity - total
            entering = -1
            if n_out > 0:
                entering = outside[int(u[1] * n_out)]
                other = outside[int(u[2] * n_out)]
                if rank[other] < rank[entering]:
                    entering = other
                room -= weights[entering]
            least = 1 if u[3] < 0.75 else 2
            left = n_in
            dropped = 0
            while left > 0 and (dropped < least or room < 0):
                at = int(u[4 + 2 * (dropped % 6)] * left)
                other = int(u[5 + 2 * (dropped % 6)] * left)
                if rank[inside[other]] > rank[inside[at]]:
                    at = other
                item = inside[at]
                left -= 1
                inside[at] = inside[left]
                inside[left] = item  # dropped items gather at the end
                y[item] = False
                banned[item] = True
                room += weights[item]
                dropped += 1
            if entering >= 0:
                y[entering] = True
            room = _fill_row(y, banned, weights, room, orders[pick])
            # No other item fits now, so dropped items may return, which makes the result maximal.
            # It contains another item and so differs from the row.
            for a in range(left, n_in):
                banned[inside[a]] = False
                if weights[inside[a]] <= room:
                    y[inside[a]] = True
                    room -= weights[inside[a]]
