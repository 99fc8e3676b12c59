from __future__ import annotations

import moocore
import numpy as np
import pytest

from moela.core.scaling import Normalization
from moela.rivals.phv import contributions, hypervolume, scaled_reference


@pytest.mark.parametrize("n_obj", [2, 3, 5])
def test_contributions_are_what_the_hypervolume_grows_by(n_obj):
    rng = np.random.default_rng(n_obj)
    front = rng.random((60, n_obj)) * 1.1
    Z = np.concatenate([rng.random((40, n_obj)) * 1.1, front[:5], front[5:10] - 0.05])
    ref = np.ones(n_obj)
    whole = moocore.hypervolume(front, ref=ref)
    slow = [moocore.hypervolume(np.vstack([front, z]), ref=ref) - whole for z in Z]
    np.testing.assert_allclose(contributions(Z, front, ref), slow, atol=1e-12)
    assert max(slow) > 0.0


def test_contributions_to_many_points_in_many_objectives_are_averages_over_directions():
    rng = np.random.default_rng(0)
    sphere = np.abs(rng.normal(size=(300, 12)))
    front = 1.0 - sphere / np.linalg.norm(sphere, axis=1)[:, None]
    Z, ref = front[:20] - 0.05, np.ones(12)
    few = front[20:40]  # few enough for moocore, and too many for an exact volume by default
    whole = moocore.hypervolume(few, ref=ref)
    slow = [moocore.hypervolume(np.vstack([few, z]), ref=ref) - whole for z in Z]
    np.testing.assert_allclose(contributions(Z, few, ref), slow, rtol=0.1)
    # All of them would take moocore years.
    gains = contributions(np.vstack([Z, front[:1] + 0.01]), front, ref)
    assert (gains[:-1] > 0.0).all()
    assert gains[-1] == pytest.approx(0.0, abs=1e-12)


def test_a_design_on_or_beyond_the_reference_adds_nothing():
    Z = np.array([[1.0, 0.0], [0.5, 1.2], [0.5, 0.5]])
    gains = contributions(Z, np.empty((0, 2)), np.ones(2))
    assert gains.tolist() == [0.0, 0.0, 0.25]


def test_hypervolume_of_nothing_is_zero():
    assert hypervolume(np.empty((0, 3)), np.ones(3)) == 0.0
    assert hypervolume(np.full((2, 3), 1.5), np.ones(3)) == 0.0


def test_the_reference_is_the_problems_or_lies_beyond_the_nadir():
    assert scaled_reference(Normalization(2)).tolist() == [1.1, 1.1]
    normalization = Normalization(2, ref_point=[5.0, -9.0])
    normalization.ideal = np.array([0.0, 0.0])
    assert scaled_reference(normalization).tolist() == [1.0, 1.1]
