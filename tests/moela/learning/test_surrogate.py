"""Tests of the surrogate of real-valued designs: predictions, when it is used, its limit."""

import numpy as np
import pytest

from moela._codes import NO_CODES, Codes
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


def trained(n, function=smooth, limit=2000, seed=1):
    model = Surrogate(XL, XU, limit)
    X = drawn(n, seed)
    model.add(X, *function(X))
    return model


def test_it_predicts_designs_that_it_has_not_seen():
    model, X = trained(200), drawn(500, 2)
    F, CV = smooth(X)
    predicted, violation = model.predict(X)
    assert predicted.shape == (500, 2)
    assert violation.shape == (500,)
    for column in range(2):
        error = ((predicted - F)[:, column] ** 2).mean() / F[:, column].var()
        # Measured: 5e-5 for both objectives.
        assert error < 1e-3
    assert (violation >= 0).all()
    # Measured: 0.996; the violation has a kink.
    assert np.corrcoef(violation, CV)[0, 1] > 0.95


def test_it_is_used_only_if_it_predicts_well():
    assert trained(49).n_fits == 0
    assert not trained(49).ready
    assert trained(200).ready
    # Measured: 0.999 on the smooth function, and 0.05 on the rugged one.
    assert trained(200).correlation > 0.99
    model = trained(200, rugged)
    assert model.n_fits == 1
    assert model.correlation < 0.5
    assert not model.ready


def test_runs_of_few_evaluations_use_worse_predictions():
    few, many = (Surrogate(XL, XU, 2000, lenient=lenient) for lenient in (True, False))
    X = drawn(200, 1)
    F, CV = smooth(X)
    F = F + np.random.default_rng(2).normal(size=F.shape) * 0.4 * F.std(axis=0)
    for model in (few, many):
        model.add(X, F, CV)
    assert few.correlation == many.correlation
    assert 0.8 < few.correlation < 0.95
    assert few.ready
    assert not many.ready


def test_its_correlation_is_that_of_designs_left_out():
    n, X = 60, drawn(60, 3)
    model = Surrogate(XL, XU, 2000)
    F, CV = smooth(X)
    model.add(X, F, CV)
    Y = np.column_stack([F, CV])
    Y = (Y - np.median(Y, axis=0)) / Y.std(axis=0)
    Z = (X - XL) / (XU - XL)
    Z = Z / np.sqrt(Z.std(axis=0))
    K = np.exp(-((Z[:, None] - Z) ** 2).sum(axis=2) / model.width)
    left_out = np.empty_like(Y)
    for i in range(n):
        others = np.arange(n) != i
        system = K[np.ix_(others, others)] + model.penalty * np.eye(n - 1)
        left_out[i] = K[i, others] @ np.linalg.solve(system, Y[others])
    expected = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(left_out.T, Y.T, strict=True)])
    # Both solve the same equations; only rounding errors differ.
    assert model.correlation == pytest.approx(expected, abs=1e-6)


def test_it_is_fitted_anew_once_it_knows_25_percent_more_and_not_before():
    model = trained(100)
    few, many = drawn(20, 4), drawn(10, 5)
    model.add(few, *smooth(few))
    assert model.n_fits == 1
    model.add(many, *smooth(many))
    assert model.n_fits == 2


def test_it_ends_and_forgets_at_its_limit():
    model = trained(100, limit=110)
    assert model.ready
    X = drawn(11, 4)
    model.add(X, *smooth(X))
    assert not model.ready
    n_fits = model.n_fits
    model.add(X, *smooth(X))
    assert model.n_fits == n_fits


def test_fixed_variables_and_constant_objectives_do_no_harm():
    xl, xu = np.array([0.0, 1e6, 0.0]), np.array([1.0, 1e6, 1.0])
    X = np.random.default_rng(1).uniform(xl, xu, (80, 3))
    F = np.column_stack([X[:, 0] + X[:, 2], np.ones(80)])
    model = Surrogate(xl, xu, 2000)
    model.add(X, F, np.zeros(80))
    predicted, violation = model.predict(X)
    # Measured: 2e-4.
    assert np.abs(predicted[:, 0] - F[:, 0]).max() < 0.05
    np.testing.assert_allclose(predicted[:, 1], 1.0)
    np.testing.assert_allclose(violation, 0.0, atol=1e-12)
    none = Surrogate(xl, xu, 2000)
    none.add(X, np.ones((80, 2)), np.zeros(80))
    assert not none.ready


def test_designs_that_are_close_together_are_told_apart():
    X = 0.5 + 1e-4 * np.random.default_rng(1).random((100, 3))
    F = np.column_stack([X[:, 0] + X[:, 1], X[:, 2] - X[:, 0]])
    model = Surrogate(np.zeros(3), np.ones(3), 2000)
    model.add(X, F, np.zeros(100))
    # Measured: 1.000.
    assert model.correlation > 0.99


def test_labels_are_described_by_their_values():
    rng = np.random.default_rng(5)
    n_labels, n_values = 6, 5
    worth = rng.random((2, n_labels, n_values))
    X = np.column_stack([rng.random(400), rng.integers(0, n_values, (400, n_labels))])
    at = X[:, 1:].astype(int)
    F = np.array([w[np.arange(n_labels), at].sum(axis=1) + X[:, 0] for w in worth]).T
    xl, xu = np.r_[0.0, np.full(n_labels, -0.5)], np.r_[1.0, np.full(n_labels, 4.5)]
    found = {}
    for name, codes in (
        ("labels", Codes(np.arange(1, n_labels + 1), np.empty(0, dtype=int))),
        ("numbers", NO_CODES),
    ):
        surrogate = Surrogate(xl, xu, 1000, codes=codes)
        surrogate.add(X[:300], F[:300], np.zeros(300))
        predicted, _ = surrogate.predict(X[300:])
        found[name] = np.corrcoef(predicted[:, 0], F[300:, 0])[0, 1]
    # A sum over labels is linear in their columns, and has no order in their numbers.
    assert found["labels"] > 0.99
    assert found["numbers"] < 0.9
