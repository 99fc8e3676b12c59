"""Tests of the Gaussian process and of the transformation of its outputs."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from moela.bayesian.gaussian_process import GaussianProcess
from moela.bayesian.outputs import Output, bilog

pytestmark = pytest.mark.few_evaluations


def smooth(X):
    return np.sin(5.0 * X[:, 0]) + X[:, 1] ** 2


def fitted(n=60, noise=0.0, n_inputs=4, function=smooth):
    rng = np.random.default_rng(1)
    X = rng.random((n, n_inputs))
    y = function(X) + noise * rng.normal(size=n)
    out = Output.of(y, powered=False)
    process = GaussianProcess(n_inputs)
    process.fit(X, out(y))
    return process, out


def test_it_predicts_designs_that_it_has_not_seen_and_knows_how_well():
    process, out = fitted()
    X = np.random.default_rng(2).random((300, 4))
    mean, deviation = process.predict(X)
    error = mean - out(smooth(X))
    assert np.corrcoef(mean, out(smooth(X)))[0, 1] > 0.99
    assert process.correlation > 0.99
    assert (np.abs(error) < 4.0 * deviation).mean() > 0.95


def test_inputs_without_effect_get_longer_scales():
    # The effect of the second is no parabola, which the trend would explain alone.
    process, _ = fitted(function=lambda X: np.sin(5.0 * X[:, 0]) + 0.5 * np.sin(6.0 * X[:, 1]))
    used, unused = process.scales[:2], process.scales[2:]
    assert used.max() < unused.min()


def test_what_it_has_learned_it_predicts_with_certainty():
    process, out = fitted()
    X = np.random.default_rng(1).random((60, 4))
    mean, deviation = process.predict(X)
    np.testing.assert_allclose(mean, out(smooth(X)), atol=0.02)
    assert deviation.max() < 0.05 * process.predict(np.full((1, 4), 3.0))[1][0]


def test_noise_is_told_from_shape():
    process, out = fitted(n=120, noise=0.3)
    X = np.random.default_rng(3).random((300, 4))
    assert np.corrcoef(process.predict(X)[0], out(smooth(X)))[0, 1] > 0.9
    assert process.noise > 0.01
    assert fitted()[0].noise < 1e-3


@pytest.mark.parametrize("scale_of", [[0, 1, 2, 3], [0, 1, 1, 2], [0, 0, 0, 0]])
def test_the_gradient_of_the_fit_is_that_of_the_likelihood(scale_of):
    rng = np.random.default_rng(0)
    X = rng.random((30, 4))
    y = rng.normal(size=30)
    process = GaussianProcess(4, np.array(scale_of))
    process.fit(X, y)
    squares, parabolas = process._squares(X), process._parabolas(X)
    trend = parabolas @ parabolas.T
    theta = np.array([0.3, -0.4, 0.1, 0.2])[: process.n_scales]
    theta = np.append(theta, [-1.0, -4.0])
    numeric = approx_fprime(theta, lambda t: process._loss(t, squares, trend, y)[0], 1e-6)
    found = process._loss(theta, squares, trend, y)[1]
    np.testing.assert_allclose(found, numeric, rtol=1e-4, atol=1e-4)


def test_the_trend_of_many_small_valleys_is_found():
    def valleys(X):
        return ((10.0 * X - 4.0) ** 2 - 5.0 * np.cos(2.0 * np.pi * (10.0 * X - 4.0))).sum(axis=1)

    process, out = fitted(n=50, n_inputs=20, function=valleys)
    X = np.random.default_rng(2).random((300, 20))
    mean, deviation = process.predict(X)
    # Without the trend, the correlation is 0.46.
    assert np.corrcoef(mean, out(valleys(X)))[0, 1] > 0.7
    assert (np.abs(mean - out(valleys(X))) < 3.0 * deviation).mean() > 0.9


def test_inputs_that_share_a_scale_count_together():
    rng = np.random.default_rng(2)
    X = rng.integers(0, 2, (80, 12)).astype(float)
    X[:, 0] = rng.random(80)
    y = np.sin(6.0 * X[:, 0]) + 0.3 * X[:, 1:] @ rng.normal(size=11)
    y = (y - y.mean()) / y.std()
    process = GaussianProcess(12, np.array([0] + [1] * 11))
    process.fit(X[:60], y[:60])
    assert len(process.scales) == 2
    assert np.corrcoef(process.predict(X[60:])[0], y[60:])[0, 1] > 0.9
    process.learn(X, y)
    np.testing.assert_allclose(process.predict(X)[0], y, atol=0.1)


def test_equal_rows_do_not_stop_it():
    process = GaussianProcess(2)
    X = np.repeat(np.random.default_rng(0).random((5, 2)), 4, axis=0)
    y = np.repeat(np.arange(5.0) - 2.0, 4)
    process.fit(X, y)
    assert np.isfinite(process.predict(X)[0]).all()


def test_many_inputs_share_a_length_scale():
    process, _ = fitted(n=60, n_inputs=100, function=lambda X: X.sum(axis=1))
    assert len(process.scales) == 1
    X = np.random.default_rng(2).random((300, 100))
    assert np.corrcoef(process.predict(X)[0], X.sum(axis=1))[0, 1] > 0.6


def test_constants_and_signs_stay():
    assert Output.of(np.full(5, 3.0), powered=True)(np.full(2, 3.0)).tolist() == [0.0, 0.0]
    G = np.array([[-1e6, 0.0], [2.0, 1e-9], [-3.0, -5.0]])
    assert (np.sign(bilog(G)) == np.sign(G)).all()
    assert np.abs(bilog(G)).max() < 30.0
