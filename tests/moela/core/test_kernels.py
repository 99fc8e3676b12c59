"""Compiled parts of the core: they compute what the plain formulas do."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela.core.origin import unevaluated
from moela.core.scaling import SCALARIZATIONS, Normalization, scalarize
from moela.core.volume import DirectionalVolume


def scaled(n_obj):
    """Return a normalization whose last objective never varied."""
    normalization = Normalization(n_obj)
    normalization.ideal = np.arange(n_obj, dtype=float)
    normalization.nadir = normalization.ideal + np.append(np.arange(1.0, n_obj), 0.0)
    return normalization


@pytest.mark.parametrize("by", SCALARIZATIONS)
def test_scalarized_values_are_those_of_the_plain_formula(by):
    rng = np.random.default_rng(1)
    normalization = scaled(4)
    # Inside, outside, and far outside of the reference box.
    F = rng.normal(size=(6, 9, 4)) * 10.0 ** rng.integers(-1, 40, (6, 9, 1))
    W = rng.dirichlet(np.ones(4), 6)[:, None]
    expected = scalarize(normalization.scale(F), W, by)
    np.testing.assert_allclose(normalization.scalarize(F, W, by), expected, rtol=1e-12)


def test_growths_of_the_hypervolume_add_up():
    rng = np.random.default_rng(2)
    normalization = Normalization(3)
    normalization.ideal, normalization.nadir = np.zeros(3), np.ones(3)
    volume = DirectionalVolume(3, rng)
    F = 1.2 * rng.random((60, 3))
    room = 1.0 - F
    reach = np.maximum((room[:, None] / volume.rays).min(axis=2), 0.0)
    expected = (reach.max(axis=0) ** 3).mean()
    volume.reset(F[:20], normalization)
    before = volume.of(F[:20], normalization)
    alone = volume.gain(F[20:], normalization)
    assert volume.of(F[:21], normalization) - before == pytest.approx(alone[0], abs=1e-12)
    gains = volume.add(F[20:], normalization)
    assert before + gains.sum() == pytest.approx(expected)
    assert (gains <= alone + 1e-12).all()


def test_what_one_copy_adds_another_does_not_see():
    normalization = Normalization(2)
    normalization.ideal, normalization.nadir = np.zeros(2), np.ones(2)
    volume = DirectionalVolume(2, np.random.default_rng(3))
    reach = volume.reach
    volume.add(np.full((1, 2), 0.5), normalization)
    assert not reach.any()
    assert volume.reach.any()


@pytest.mark.parametrize("X", [np.eye(3), [{"a": 1}, {"a": 2}], np.arange(6).reshape(3, 2)])
def test_individuals_are_those_that_pymoo_makes(X):
    made, expected = unevaluated(X), Population.new("X", X)
    assert type(made) is Population
    for ind, other in zip(made, expected, strict=True):
        assert type(ind) is Individual
        assert vars(ind).keys() == vars(other).keys()
        np.testing.assert_array_equal(ind.X, other.X)
        assert ind.config == other.config
        assert (ind.data, ind.evaluated, ind.CV.tolist()) == ({}, set(), other.CV.tolist())
    made[0].data["seen"] = True
    made[0].evaluated.add("F")
    made[0].config["cache"] = "changed"
    assert (made[1].data, made[1].evaluated) == ({}, set())
    assert made[1].config == expected[1].config


def test_individuals_do_not_keep_the_array_that_their_designs_come_from():
    X = np.zeros((4, 3))
    pop = unevaluated(X)
    X[:] = 1.0
    assert not pop[0].X.any()
    assert len(unevaluated([])) == 0
