"""Tests of the model of real-valued designs: predictions, when it is believed, its end."""

from copy import deepcopy

import numpy as np
import pytest

from moela.learning.surrogate import Surrogate

XL, XU = np.array([-5.0, 0.0, 100.0]), np.array([5.0, 1.0, 300.0])


def drawn(n, seed):
    return np.random.default_rng(seed).uniform(XL, XU, (n, 3))


def smooth(X):
    """Return two smooth objectives of very different scale, and a violation."""
    Z = (X - XL) / (XU - XL)
    F = np.column_stack([1e3 * np.sin(2 * Z[:, 0]) + 500 * Z[:, 1] ** 2, Z[:, 2] * Z[:, 0]])
    return F, np.maximum(Z[:, 1] + Z[:, 2] - 1.2, 0.0)


def rugged(X):
    return np.column_stack([np.sin(1e4 * X[:, 0]), np.sin(1e4 * X[:, 1])]), np.zeros(len(X))


def taught(n, function=smooth, limit=2000, seed=1):
    model = Surrogate(XL, XU, limit)
    X = drawn(n, seed)
    model.learn(X, *function(X))
    return model


def test_it_predicts_designs_that_it_has_not_seen():
    model, X = taught(200), drawn(500, 2)
    F, CV = smooth(X)
    said, broken = model.predict(X)
    assert said.shape == (500, 2)
    assert broken.shape == (500,)
    for column in range(2):
        left = ((said - F)[:, column] ** 2).mean() / F[:, column].var()
        assert left < 1e-3
    assert (broken >= 0).all()
    assert np.corrcoef(broken, CV)[0, 1] > 0.95


def test_it_is_believed_where_it_is_right_and_nowhere_else():
    assert taught(49).n_fits == 0
    assert not taught(49).ready
    assert taught(200).ready
    assert taught(200).correlation > 0.99
    model = taught(200, rugged)
    assert model.n_fits == 1
    assert model.correlation < 0.5
    assert not model.ready


def test_its_correlation_is_that_of_designs_left_out():
    n, X = 60, drawn(60, 3)
    model = Surrogate(XL, XU, 2000)
    F, CV = smooth(X)
    model.learn(X, F, CV)
    Y = np.column_stack([F, CV])
    Y = (Y - np.median(Y, axis=0)) / Y.std(axis=0)
    Z = model._scaled((X - XL) / (XU - XL))
    apart = ((Z[:, None] - Z) ** 2).sum(axis=2)
    K = np.exp(-apart / model._width)
    said = np.empty_like(Y)
    for i in range(n):
        others = np.arange(n) != i
        system = K[np.ix_(others, others)] + model._penalty * np.eye(n - 1)
        said[i] = K[i, others] @ np.linalg.solve(system, Y[others])
    expected = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(said.T, Y.T, strict=True)])
    assert model.correlation == pytest.approx(expected, abs=1e-6)


def test_it_is_fitted_anew_once_it_knows_15_percent_more_and_not_before():
    model = taught(100)
    few, many = drawn(10, 4), drawn(10, 5)
    model.learn(few, *smooth(few))
    assert model.n_fits == 1
    model.learn(many, *smooth(many))
    assert model.n_fits == 2


def test_it_ends_and_forgets_when_there_are_too_many():
    model = taught(100, limit=110)
    assert model.ready
    X = drawn(11, 4)
    model.learn(X, *smooth(X))
    assert not model.ready
    assert len(model._X) == 0
    n_fits = model.n_fits
    model.learn(X, *smooth(X))
    assert model.n_fits == n_fits


def test_fixed_variables_and_constant_objectives_do_no_harm():
    xl, xu = np.array([0.0, 1e6, 0.0]), np.array([1.0, 1e6, 1.0])
    X = np.random.default_rng(1).uniform(xl, xu, (80, 3))
    F = np.column_stack([X[:, 0] + X[:, 2], np.ones(80)])
    model = Surrogate(xl, xu, 2000)
    model.learn(X, F, np.zeros(80))
    said, broken = model.predict(X)
    assert np.abs(said[:, 0] - F[:, 0]).max() < 0.05
    np.testing.assert_allclose(said[:, 1], 1.0)
    np.testing.assert_allclose(broken, 0.0, atol=1e-12)
    none = Surrogate(xl, xu, 2000)
    none.learn(X, np.ones((80, 2)), np.zeros(80))
    assert not none.ready


def test_designs_that_are_close_together_are_told_apart():
    X = 0.5 + 1e-4 * np.random.default_rng(1).random((100, 3))
    F = np.column_stack([X[:, 0] + X[:, 1], X[:, 2] - X[:, 0]])
    model = Surrogate(np.zeros(3), np.ones(3), 2000)
    model.learn(X, F, np.zeros(100))
    assert model.correlation > 0.99


def test_copies_go_their_own_ways():
    model = taught(100)
    copied = deepcopy(model)
    X = drawn(100, 6)
    before = model.predict(X)[0]
    copied.learn(X, *smooth(X))
    assert (model.n_fits, copied.n_fits) == (1, 2)
    np.testing.assert_array_equal(model.predict(X)[0], before)
