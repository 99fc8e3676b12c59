"""Orders of items that are coded by keys: moves and crossover."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import moela
from moela._codes import Codes, cross_orders, move_orders


def keys_of(orders):
    orders = np.array(orders)
    return orders.argsort(axis=1) / (orders.shape[1] - 1.0)


def orders_of(keys):
    return [tuple(order) for order in keys.argsort(axis=1).tolist()]


def moves_of(order):
    """Return all orders after a move, in plain Python."""
    out = set()
    for i, j in itertools.combinations(range(len(order)), 2):
        part = order[i : j + 1]
        exchanged = (part[-1], *part[1:-1], part[0])
        for new in (exchanged, (*part[1:], part[0]), (part[-1], *part[:-1]), part[::-1]):
            out.add((*order[:i], *new, *order[j + 1 :]))
    return out


def test_a_move_exchanges_moves_or_reverses_and_all_moves_are_made():
    order = (3, 0, 4, 1, 2)
    made = move_orders(keys_of([order] * 3000), np.random.default_rng(1))
    assert set(orders_of(made)) == moves_of(order)
    np.testing.assert_array_equal(np.sort(made, axis=1), [np.arange(5) / 4.0] * 3000)


def crossed(order, other):
    """Return all children, in plain Python."""
    out = set()
    for i, j in itertools.combinations(range(len(order)), 2):
        part = other[i : j + 1]
        rest = [item for item in order if item not in part]
        out.add((*rest[:i], *part, *rest[i:]))
    return out


def test_a_child_has_a_part_of_another_order_in_its_place():
    first, second = (0, 1, 2, 3, 4, 5), (5, 2, 0, 4, 1, 3)
    made = cross_orders(keys_of([first] * 2000), keys_of([second] * 2000), np.random.default_rng(1))
    assert set(orders_of(made)) == crossed(first, second)
    np.testing.assert_array_equal(np.sort(made, axis=1), [np.arange(6) / 5.0] * 2000)


def test_orders_of_two_items_can_be_moved_and_crossed():
    keys, rng = keys_of([(0, 1)] * 5), np.random.default_rng(1)
    np.testing.assert_array_equal(move_orders(keys, rng), 1.0 - keys)
    np.testing.assert_array_equal(cross_orders(keys, 1.0 - keys, rng), 1.0 - keys)


@pytest.mark.parametrize("n", [0, 400])
def test_half_of_the_marked_orders_change_and_nothing_else(n):
    none = np.empty(0, dtype=int)
    codes = Codes(none, none, (np.arange(1, 6), np.arange(7, 10)))
    rng = np.random.default_rng(1)
    before, others = (
        np.hstack([rng.random((n, 1)), _orders(n, 5, rng), rng.random((n, 1)), _orders(n, 3, rng)])
        for _ in range(2)
    )
    chosen = np.zeros((n, 10), dtype=bool)
    chosen[::2, [0, 3]] = True
    for change in (
        lambda X: codes.rearrange(X, before, chosen, rng),
        lambda X: codes.cross(X, before, others, chosen, rng),
    ):
        X = before.copy()
        change(X)
        np.testing.assert_array_equal(X[:, [0, 6, 7, 8, 9]], before[:, [0, 6, 7, 8, 9]])
        np.testing.assert_array_equal(X[1::2], before[1::2])
        share = (X[::2] != before[::2]).any(axis=1).mean() if n else 0.5
        assert 0.35 < share < 0.6


def _orders(n, m, rng):
    return rng.permuted(np.tile(np.arange(m) / (m - 1.0), (n, 1)), axis=1)


@pytest.mark.few_evaluations
@pytest.mark.parametrize(("n_eval", "within"), [(100, 1.1), (600, 1.02)])
def test_functions_of_an_order_and_other_variables_are_optimized(n_eval, within):
    places = np.random.default_rng(3).random((8, 2))
    distance = np.linalg.norm(places[:, None] - places, axis=-1)

    def function(d):
        length = sum(distance[a, b] for a, b in itertools.pairwise([*d["route"], d["route"][0]]))
        return {"time": length / d["speed"], "fuel": length * d["speed"] ** 2}

    result = moela.minimize(
        function,
        variables={"route": moela.permutation(8), "speed": (0.5, 2.0)},
        objectives=["time", "fuel"],
        n_eval=n_eval,
        seed=1,
        progress=False,
    )
    routes = np.array([(0, *rest) for rest in itertools.permutations(range(1, 8))])
    shortest = distance[routes, np.roll(routes, -1, axis=1)].sum(axis=1).min()
    # In the product of time and the root of fuel, the speed cancels out.
    products = [c.objectives["time"] * c.objectives["fuel"] ** 0.5 for c in result.front]
    found = min(products) ** (2.0 / 3.0)
    assert shortest <= found * (1.0 + 1e-9)
    assert found <= within * shortest
