"""Ridge regression of moves whose sums are updated as rows come and go."""

from __future__ import annotations

import numpy as np
import pytest

from moela.learning.move_model import MoveModel
from moela.learning.window import Moments


def shrinking(rng, scale):
    """Yield batches of moves [40, 12] of which three columns, whose sum is 0, become small."""
    for k in range(200):
        moves, few = rng.normal(size=(40, 12)), k < 60
        parts = rng.integers(-2, 3, size=(40, 3)) if few else rng.integers(-1, 2, size=(40, 3))
        parts[:, 2] = -parts[:, 0] - parts[:, 1]
        moves[:, :3] = parts / rng.uniform(1, 3, size=(40, 1)) if few else parts * scale
        yield moves


# What the dropped rows leave in the sums makes the matrix indefinite for about half of the seeds.
@pytest.mark.parametrize("scale", [1e-7, 3.8e-8, 1e-8])
def test_moves_that_become_small_are_fitted(scale):
    for seed in range(11):
        rng, model = np.random.default_rng(seed), MoveModel()
        effects = np.random.default_rng(100 + seed).normal(size=(12, 2))
        for moves in shrinking(rng, scale):
            model.add(moves, moves @ effects)
            model.fit_if_due()
        new = rng.normal(size=(50, 12)) * np.r_[np.zeros(3), np.ones(9)]
        np.testing.assert_allclose(model.predict(new), new @ effects, rtol=0.02, atol=0.02)


def test_sums_say_when_rounding_counts():
    rng = np.random.default_rng(1)
    large, small = rng.normal(size=(50, 3)), rng.normal(size=(50, 3)) * [1.0, 1.0, 1e-6]
    sums = Moments.of(large)
    assert sums.exact
    replaced = sums.changed(small, large)
    assert not replaced.exact
    assert Moments.of(small).exact
    unused = np.zeros((5, 3))
    assert Moments.of(unused).changed(unused, unused).exact
