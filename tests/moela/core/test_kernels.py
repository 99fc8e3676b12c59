"""Compiled parts of the core: they compute what the plain formulas do."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela.core.individuals import unevaluated
from moela.core.scaling import Normalization
from moela.core.volume import DirectionalVolume


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
