from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.population import Population

from moela.core.scaling import Normalization
from moela.search.local_search import LocalSearches, tries_of


@pytest.fixture
def normalization():
    return Normalization(2, bounds=([0.0, 0.0], [1.0, 1.0]))


def started(F, patience=3, max_gains=None, W=None):
    searches = LocalSearches(2, "weighted_sum", patience, max_gains)
    F = np.asarray(F, dtype=float)
    W = np.full(F.shape, 0.5) if W is None else np.asarray(W, dtype=float)
    X = np.arange(len(F) * 3.0).reshape(len(F), 3)
    ids = searches.begin(Population.new(X=X), F, np.zeros(len(F)), W, np.empty((len(F), 0)))
    return searches, ids


def receive(searches, ids, F, normalization, CV=None, X=None):
    F = np.atleast_2d(np.asarray(F, dtype=float))
    X = np.full((len(F), 3), -1.0) if X is None else X
    CV = np.zeros(len(F)) if CV is None else np.asarray(CV, dtype=float)
    return searches.receive(np.asarray(ids), Population.new(X=X), F, CV, normalization)


def test_a_better_neighbor_is_taken_and_a_worse_one_is_not(normalization):
    searches, _ = started([[0.5, 0.5], [0.5, 0.5]])
    receive(searches, [0, 1], [[0.4, 0.5], [0.6, 0.5]], normalization)
    assert searches.F.tolist() == [[0.4, 0.5], [0.5, 0.5]]
    assert searches.X[0].tolist() == [-1.0, -1.0, -1.0]
    assert searches.fails.tolist() == [0, 1]
    assert searches.gains.tolist() == [1, 0]
    assert searches.cost.tolist() == [1, 1]


def test_the_gain_of_a_search_that_leaves_a_penalty_behind_is_limited(normalization):
    searches, _ = started([[1e300, 0.5], [0.5, 0.5]])
    receive(searches, [0, 1], [[0.5, 0.5], [0.25, 0.5]], normalization)
    gained = searches.gained(normalization)
    # Half of 1024 extents beyond the nadir, from which all learned models learn at most.
    assert 500.0 < gained[0] < 520.0
    assert gained[1] == 0.125


def test_each_search_follows_its_own_weights(normalization):
    searches, _ = started([[0.5, 0.5]] * 2, W=[[1.0, 0.0], [0.0, 1.0]])
    receive(searches, [0, 1], [[0.4, 0.9], [0.4, 0.9]], normalization)
    assert searches.gains.tolist() == [1, 0]


def test_a_search_ends_by_patience_or_by_gains(normalization):
    searches, _ = started([[0.5, 0.5]] * 2, patience=2, max_gains=2)
    worse, better = [0.9, 0.9], [0.4, 0.4]
    assert receive(searches, [0, 1], [worse, better], normalization).tolist() == [False, False]
    assert receive(searches, [0, 1], [worse, [0.3, 0.3]], normalization).tolist() == [True, True]


def test_a_gain_resets_the_failures(normalization):
    searches, _ = started([[0.5, 0.5]], patience=2)
    receive(searches, [0], [[0.9, 0.9]], normalization)
    receive(searches, [0], [[0.4, 0.4]], normalization)
    assert not receive(searches, [0], [[0.9, 0.9]], normalization).any()


def test_feasibility_comes_first(normalization):
    searches, _ = started([[0.5, 0.5]])
    searches.CV[:] = 1.0
    receive(searches, [0], [[0.9, 0.9]], normalization, CV=[0.5])
    assert searches.CV.tolist() == [0.5]
    receive(searches, [0], [[0.1, 0.1]], normalization, CV=[0.7])
    assert searches.F.tolist() == [[0.9, 0.9]]


def test_steps_grow_with_success_and_shrink_with_failure(normalization):
    searches, _ = started([[0.5, 0.5]] * 2, patience=100)
    before = searches.step.copy()
    receive(searches, [0, 1], [[0.4, 0.4], [0.9, 0.9]], normalization)
    assert searches.step[0] > before[0]
    assert searches.step[1] < before[1]
    for _ in range(99):
        receive(searches, [1], [[0.9, 0.9]], normalization)
    assert searches.step[1] > 0.0


def test_tries_are_counted_on_the_design_they_were_made_from(normalization):
    searches, _ = started([[0.5, 0.5]])
    first = searches.pop[0]
    receive(searches, [0, 0], [[0.9, 0.9], [0.4, 0.4]], normalization)
    receive(searches, [0], [[0.9, 0.9]], normalization)
    assert tries_of(Population.create(first)).tolist() == [2]
    assert tries_of(searches.pop).tolist() == [1]


def test_moves_on_predictions_double_after_improvements_and_halve_after_failures(normalization):
    searches = LocalSearches(2, "weighted_sum", 99, most_moves=6)
    F = np.full((2, 2), 0.5)
    X = np.zeros((2, 3))
    searches.begin(Population.new(X=X), F, np.zeros(2), F, np.empty((2, 0)))
    seen = []
    for value, n_moves in [(0.4, 1), (0.3, 2), (0.2, 4), (0.9, 6), (0.9, 3), (0.1, 1)]:
        searches.receive(
            np.array([0]),
            Population.new(X=X[:1]),
            np.full((1, 2), value),
            np.zeros(1),
            normalization,
            n_moves=np.array([n_moves]),
        )
        seen.append(searches.reach.tolist())
    assert seen == [[2, 1], [4, 1], [6, 1], [3, 1], [1, 1], [2, 1]]


def test_predicted_changes_are_those_of_the_scalarized_values(normalization):
    searches, _ = started([[0.5, 0.5], [0.2, 0.6]], W=[[1.0, 0.0], [0.25, 0.75]])
    change = np.array([[[-0.1, 3.0], [0.2, 0.0]], [[0.4, 0.0], [0.0, -0.4]]])
    both = searches.predicted(change, normalization)
    np.testing.assert_allclose(both, [[-0.1, 0.2], [0.1, -0.3]])
    second = searches.predicted(change[1:], normalization, np.array([1]))
    np.testing.assert_array_equal(second, both[1:])
