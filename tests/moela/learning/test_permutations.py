"""Permutations as learned models see them, and the model of moves between them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from moela.learning.permutation_moves import PermutationHammingModel, PermutationMoveModel
from moela.learning.permutations import (
    ASPECTS,
    differences,
    n_columns,
    ones,
    permuted_items,
    places_of,
)

N_ITEMS = 12


def random_places(n, seed, m=N_ITEMS):
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(m) for _ in range(n)])


def exchanged(places, seed):
    """Reverse a part of each permutation, or exchange two items."""
    rng = np.random.default_rng(seed)
    out = []
    for row in places:
        items = row.argsort()
        i, j = np.sort(rng.choice(len(row), 2, replace=False))
        if rng.random() < 0.5:
            items[i : j + 1] = items[i : j + 1][::-1].copy()
        else:
            items[[i, j]] = items[[j, i]]
        out.append(items.argsort())
    return np.array(out)


def test_places_are_those_of_the_sorted_items():
    X = np.array([[7.5, 40.0, -1.0], [40.0, -1.0, 7.5]])
    np.testing.assert_array_equal(permuted_items(X), [-1.0, 7.5, 40.0])
    np.testing.assert_array_equal(places_of(X, permuted_items(X)), [[2, 0, 1], [1, 2, 0]])


def test_aspects_of_a_small_permutation():
    places = places_of(np.array([[2, 0, 1, 3]]), np.arange(4))  # items in their order
    shown = {aspect: np.flatnonzero(ones(places, aspect)[0]).tolist() for aspect in ASPECTS}
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert shown["place"] == [0 * 4 + 1, 1 * 4 + 2, 2 * 4 + 0, 3 * 4 + 3]
    assert [pairs[i] for i in shown["neighbors"]] == [(0, 1), (0, 2), (1, 3), (2, 3)]
    assert shown["successor"] == [0 * 4 + 1, 1 * 4 + 3, 2 * 4 + 0, 3 * 4 + 2]
    assert [pairs[i] for i in shown["order"]] == [(0, 1), (0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("aspect", ASPECTS)
def test_differences_are_those_of_zeros_and_ones(aspect):
    before = random_places(700, 1)
    after = exchanged(before, 2)
    rows = differences(before, after, aspect)
    assert rows.shape == (700, n_columns(N_ITEMS, aspect))
    np.testing.assert_array_equal(rows.toarray(), ones(after, aspect) - ones(before, aspect))


def test_a_reversed_tour_has_the_same_neighbors():
    places = random_places(5, 3)
    backwards = N_ITEMS - 1 - places
    np.testing.assert_array_equal(ones(places, "neighbors"), ones(backwards, "neighbors"))
    assert not np.array_equal(ones(places, "successor"), ones(backwards, "successor"))


def problem_of(aspects, seed=5):
    """Return objectives that are linear in one aspect each."""
    rng = np.random.default_rng(seed)
    worth = [rng.normal(size=n_columns(N_ITEMS, aspect)) for aspect in aspects]

    def evaluate(places):
        return np.column_stack([ones(places, a) @ w for a, w in zip(aspects, worth, strict=True)])

    return evaluate


def trained(evaluate, n_batches=40, size=20):
    model = PermutationMoveModel()
    for batch in range(n_batches):
        before = random_places(size, 100 + batch)
        after = exchanged(before, 500 + batch)
        model.add_at(1.0 * (after - before), 1.0 * after, evaluate(after) - evaluate(before))
        model.fit_if_due()
    return model


@pytest.mark.parametrize("aspects", [(a, b) for a in ASPECTS for b in ASPECTS if a < b])
def test_each_objective_is_predicted_by_the_aspect_that_it_depends_on(aspects):
    evaluate = problem_of(aspects)
    model = trained(evaluate)
    base = random_places(50, 7)
    near = exchanged(base, 8)
    predicted = model.changes_to(base.astype(float), near[:, None].astype(float))[:, 0]
    observed = evaluate(near) - evaluate(base)
    for j, aspect in enumerate(aspects):
        assert spearmanr(predicted[:, j], observed[:, j]).statistic > 0.9
        # Directed pairs hold everything that undirected ones do.
        best = ASPECTS[model.weights[:, j].argmax()]
        assert best == aspect or {best, aspect} == {"neighbors", "successor"}


def test_tables_are_worth_what_the_regressions_say():
    evaluate = problem_of(("order", "place"))
    model = trained(evaluate, n_batches=5)
    base, near = random_places(10, 9), random_places(10, 10)
    expected = sum(
        differences(base, near, aspect) @ known * weights
        for aspect, known, weights in zip(ASPECTS, model._coefficients, model.weights, strict=True)
    )
    predicted = model.changes_to(base.astype(float), near[:, None].astype(float))[:, 0]
    np.testing.assert_allclose(predicted, expected, atol=1e-10)


def test_very_long_permutations_have_no_order():
    before = random_places(40, 15, m=210)
    after = exchanged(before, 16)
    model = PermutationMoveModel()
    model.add_at(1.0 * (after - before), 1.0 * after, np.random.default_rng(1).normal(size=(40, 2)))
    assert model.fit_if_due()
    assert model.weights.shape == (3, 2)
    assert model.changes_to(before[:2] * 1.0, after[:2, None] * 1.0).shape == (2, 1, 2)


def test_distances_learn_what_depends_on_several_items_at_once():
    rng = np.random.default_rng(17)
    worth = rng.normal(size=(6, N_ITEMS, N_ITEMS))

    def evaluate(places):  # items 0 to 5 act only together with the place of the next one
        return np.column_stack(
            [sum(worth[i][places[:, i], places[:, i + 1]] for i in range(6)), places[:, 0]]
        ).astype(float)

    model = PermutationHammingModel()
    base = random_places(1, 18).repeat(900, axis=0)
    for seed in range(6):
        base = exchanged(base, 19 + seed)
    model.add(base[:800] * 1.0, evaluate(base[:800]))
    assert model.fit_if_due(used=False)
    predicted = model.predict(base[800:] * 1.0)
    assert spearmanr(predicted[:, 0], evaluate(base[800:])[:, 0]).statistic > 0.3
    near = exchanged(base[800:], 30)
    changes = model.changes_to(base[800:] * 1.0, near[:, None] * 1.0)[:, 0]
    np.testing.assert_allclose(changes, model.predict(near * 1.0) - predicted, atol=2e-4)
