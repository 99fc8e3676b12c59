"""Vectors of numbers that are codes: of labels, of whole numbers, and of orders.

An order of items is coded by keys, by which the items are sorted (Bean 1994, "Genetic algorithms
and random keys for sequencing and optimization", ORSA Journal on Computing 6(2)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moela._arrays import Bools, Designs, Floats, Ints

__all__ = [
    "NO_CODES",
    "Bound",
    "Codes",
    "cross_orders",
    "move_orders",
    "moved",
    "permutation_moves",
]

Bound = Floats | float

# Share of the changed orders that change as orders. The keys of the others change as numbers do,
# which moves single items to other places. In trials, neither way alone was best on all functions.
_PROB_AS_ORDER = 0.5


@dataclass(frozen=True)
class Codes:
    """Columns of vectors of numbers that are codes.

    These are labels without an order, whole numbers, and orders, each the columns of the keys that
    its items are sorted by.
    """

    labels: Ints
    whole: Ints
    orders: tuple[Ints, ...] = ()

    def relabel(
        self,
        X: Floats,
        before: Floats,
        chosen: Bools,
        xl: Bound,
        xu: Bound,
        random_state: np.random.Generator,
    ) -> None:
        """Write labels into vectors X [b, n_var], in place.

        Where `chosen` [b, n_var] is true, a label is drawn among all except that of `before`
        [b, n_var]; elsewhere it is that of `before`. Columns without labels stay as they are. The
        bounds may lie half a unit beyond the outer codes.
        """
        at = self.labels
        if len(at) == 0:
            return
        low = np.ceil(np.broadcast_to(xl, X.shape[-1])[at])
        n = np.floor(np.broadcast_to(xu, X.shape[-1])[at]) - low + 1
        values = before[:, at]
        shift = 1 + np.floor(random_state.random(values.shape) * (n - 1))
        X[:, at] = np.where(chosen[:, at], low + (np.rint(values) - low + shift) % n, values)

    def step(self, X: Floats, before: Floats, xl: Bound, xu: Bound) -> None:
        """Enlarge changes of whole numbers in vectors X [b, n_var] to at least 1, in place.

        Rounding would undo smaller changes from `before` [b, n_var]. A change beyond a bound goes
        the other way if that is inside.
        """
        at = self.whole
        if len(at) == 0:
            return
        low, high = (np.broadcast_to(bound, X.shape[-1])[at] for bound in (xl, xu))
        old = before[:, at]
        change = X[:, at] - old
        change = np.where(change == 0.0, 0.0, np.copysign(np.maximum(np.abs(change), 1.0), change))
        new, other = old + change, old - change
        turned = ((new < low) | (new > high)) & (other >= low) & (other <= high)
        X[:, at] = np.where(turned, other, new)

    def rearrange(
        self, X: Floats, before: Floats, chosen: Bools, random_state: np.random.Generator
    ) -> None:
        """Write orders into vectors X [b, n_var], in place: those of `before` after a random move.

        This is done to half of the orders with a key that `chosen` [b, n_var] marks.
        """
        for at in self.orders:
            rows = _some_of(chosen[:, at], random_state)
            X[np.ix_(rows, at)] = move_orders(before[np.ix_(rows, at)], random_state)

    def cross(
        self,
        X: Floats,
        before: Floats,
        others: Floats,
        chosen: Bools,
        random_state: np.random.Generator,
    ) -> None:
        """Write orders into vectors X [b, n_var], in place: those of `before` and `others` crossed.

        This is done to half of the orders with a key that `chosen` [b, n_var] marks.
        """
        for at in self.orders:
            place = np.ix_(_some_of(chosen[:, at], random_state), at)
            X[place] = cross_orders(before[place], others[place], random_state)


NO_CODES = Codes(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
"""All columns are real numbers."""


def move_orders(keys: Floats, random_state: np.random.Generator) -> Floats:
    """Return orders with keys [b, m] after one move each: keys [b, m] that are evenly spaced.

    Two items change places, an item moves to another place, or a part is reversed.
    """
    b, m = keys.shape
    first, last = _parts(b, m, random_state)
    kind = random_state.integers(0, 3, (b, 1))
    forward = random_state.random((b, 1)) >= 0.5
    return _keys(moved(_order(keys), kind, first, last, forward))


def moved(orders: Ints, kind: Ints, first: Ints, last: Ints, forward: Bools) -> Ints:
    """Return orders [b, m] after a move each; the moves are arrays [b, 1].

    The kinds of moves are: 0 exchanges the items at the places `first` and `last`, 1 moves the last
    item before the first one if `forward`, else the first item behind the last one, and 2 reverses
    the part between them.
    """
    at = np.arange(orders.shape[1])
    inside = (first <= at) & (at <= last)
    ends = np.where(at == first, last, np.where(at == last, first, at))
    shifted = np.where(
        forward, np.where(at == first, last, at - 1), np.where(at == last, first, at + 1)
    )
    turned = first + last - at
    source = np.where(inside, np.where(kind == 1, shifted, turned), at)
    return np.asarray(np.take_along_axis(orders, np.where(kind == 0, ends, source), axis=1))


def cross_orders(keys: Floats, others: Floats, random_state: np.random.Generator) -> Floats:
    """Return orders with keys [b, m], in which a part comes from other orders, keys [b, m].

    The other items keep their order (Davis 1985, "Applying adaptive algorithms to epistatic
    domains", IJCAI).
    """
    b, m = keys.shape
    first, last = _parts(b, m, random_state)
    place = _order(_order(others))  # of each item, [b, m]
    taken = (first <= place) & (place <= last)
    order = _order(keys)
    left = ~np.take_along_axis(taken, order, axis=1)
    number = left.cumsum(axis=1) - 1  # of each item that is left, in their order
    free = np.where(number < first, number, number + last - first + 1)
    own = np.empty_like(order)
    np.put_along_axis(own, order, free, axis=1)
    return np.asarray(np.where(taken, place, own) / (m - 1.0))


def _some_of(chosen: Bools, random_state: np.random.Generator) -> Ints:
    """Return some of the rows [b, m] with a mark, whose orders change as orders, [n]."""
    drawn = random_state.random(len(chosen)) < _PROB_AS_ORDER
    return np.flatnonzero(drawn & chosen.any(axis=1))


def _parts(b: int, m: int, random_state: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw the first and the last place of a part of two items or more, [b, 1] each."""
    first = random_state.integers(0, m, (b, 1))
    other = (first + random_state.integers(1, m, (b, 1))) % m
    return np.minimum(first, other), np.maximum(first, other)


def _order(keys: Floats | Ints) -> Ints:
    return np.asarray(keys.argsort(axis=1, kind="stable"))


def _keys(order: Ints) -> Floats:
    return np.asarray(order.argsort(axis=1) / (order.shape[1] - 1.0))


def permutation_moves(X: Designs, k: int, random_state: np.random.Generator) -> Designs:
    """Return k neighbors of each permutation X [n, m], [n, k, m].

    Two items change places, an item moves to another place, or a part is reversed.
    """
    n, m = X.shape
    first, last = _parts(n * k, m, random_state)
    kinds = random_state.integers(0, 3, (n * k, 1))
    forward = random_state.random((n * k, 1)) < 0.5
    return moved(np.repeat(X, k, axis=0), kinds, first, last, forward).reshape(n, k, m)
