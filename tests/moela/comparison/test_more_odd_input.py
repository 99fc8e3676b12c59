"""Populations, tables without a heading or without rows, JSON, and very many objectives."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.population import Population

import moela
from moela import Front, compare, front_of

POINTS = [[1.0, 2.0], [2.0, 1.0]]


def test_a_population_is_a_run():
    population = Population.new("X", np.eye(2), "F", np.array(POINTS))
    assert len(front_of(population)) == 2
    assert [len(run.F) for run in compare([population, population]).runs] == [2, 2]
    assert compare(population).runs[0].F.tolist() == POINTS


def test_indicators_of_very_many_objectives_are_named():
    F = np.random.default_rng(0).random((5, 32))
    for call in (lambda: compare(F), lambda: Front(F).contributions()):
        with pytest.raises(ValueError, match=r"at most 31 objectives\. Got 32 .*igd_plus"):
            call()
    others = compare(F, indicators=["igd_plus", "epsilon", "r2"]).table().rows[0]
    assert np.isfinite(others["r2"])


def test_a_store_of_one_objective_says_what_to_compare(tmp_path):
    moela.minimize(
        lambda d: d["x"], variables={"x": (0.0, 1.0)}, objectives="f", n_eval=20,
        store=tmp_path / "run.db", verbose=False, progress=False,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"two or more objectives.*from_store\('.*', 1\)\.best"):
        compare(tmp_path / "run.db")
