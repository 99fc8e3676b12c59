"""Working units: exact for ordinary numbers, safe for all, and the same for scaled objectives."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.population import Population

from moela.core.archive import Archive
from moela.core.scaling import Normalization
from moela.core.units import Units

LARGEST = np.finfo(float).max


@pytest.fixture(autouse=True)
def numpy_raises():
    with np.errstate(all="raise"):
        yield


def seen(F, CV=None, front=None):
    units, F = Units(), np.asarray(F, dtype=float)
    CV = np.zeros(len(F)) if CV is None else np.asarray(CV, dtype=float)
    units.see(F, CV, F if front is None else np.asarray(front, dtype=float))
    return units


def test_ordinary_numbers_stay_as_they_are():
    F = np.random.default_rng(1).normal(size=(20, 3)) * [1e-20, 1.0, 1e20]
    units = seen(F, np.ones(20))
    assert units.objectives(F) is F
    violations = np.ones(20)
    assert units.violations(violations) is violations
    assert units.volume(3.0) == 3.0


def test_numbers_next_to_nothing_do_not_choose_the_units():
    # As on DTLZ4, where few of the first designs differ from 0 in all but one objective.
    F = np.ldexp(1.0, -np.arange(600, step=10))[:, None] * [1.0, 1e-20]
    units = seen(F)
    assert units.objectives(F) is F
    assert not units.some_far


def test_penalties_do_not_choose_the_units():
    F = np.full((50, 2), 1e308)
    F[:2] = [[1.0, 2.0], [2.0, 1.0]]
    units = seen(F, front=F[:2])
    np.testing.assert_array_equal(units.objectives(F)[:2], F[:2])
    assert units.some_far
    assert units.objectives(F).max() < 1e100
    # Nor do those that all first designs have.
    units = seen(np.full((50, 2), 1e308))
    np.testing.assert_array_equal(units.objectives(F)[:2], F[:2])


def test_violations_stay_positive():
    units = seen([[1.0, 2.0]], [1e250])
    CV = units.violations(np.array([0.0, 5e-324, 1e250, LARGEST, np.inf]))
    assert CV[0] == 0.0
    assert (CV[1:] > 0.0).all()
    assert np.isfinite(CV).all()


def test_a_volume_that_is_no_float_is_infinite_or_zero():
    assert seen([[2.0**830, 2.0**-830]]).volume(1.0) == 4.0
    assert seen([[2.0**830, 2.0**830]]).volume(1.0) == np.inf
    assert seen([[2.0**-830, 2.0**-830]]).volume(1.0) == 0.0


def test_archive_tells_designs_apart_that_working_units_cannot():
    F = np.array([[1.0, 1.0], [5e-324, 2.0], [1e308, 0.5], [1.1e308, 0.4]])
    units = seen(np.ldexp(F[:1], 200), front=np.ldexp(F[:1], 200))
    archive = Archive(2, units=units)
    archive.add(Population.new("X", np.arange(4)[:, None]), F, np.zeros(4))
    units.see(F, np.zeros(4), archive.F)
    np.testing.assert_array_equal(archive.F, F)
    assert np.isfinite(archive.working_F).all()
    assert archive.working_F[2, 0] == archive.working_F[3, 0]


def normalized(F, units=None, ref_point=None):
    F = np.asarray(F, dtype=float)
    units = seen(F) if units is None else units
    archive = Archive(F.shape[1], units=units)
    archive.add(Population.new("X", np.arange(len(F))[:, None]), F, np.zeros(len(F)))
    units.see(F, np.zeros(len(F)), archive.F)
    normalization = Normalization(F.shape[1], ref_point, units=units)
    normalization.update(units.objectives(F), archive)
    return normalization, units


@pytest.mark.parametrize("size", [LARGEST, 1.0, 5e-324])
def test_any_front_scales_to_the_unit_cube(size):
    F = np.array([[-size, size], [0.0, 0.0], [size, -size]])
    normalization, units = normalized(F)
    Z = normalization.scale(units.objectives(F))
    np.testing.assert_array_equal(Z, [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])


def test_values_far_away_do_not_stretch_the_scale():
    F = np.array([[1.0, 2.0], [2.0, 1.0], [1e308, 0.5]])
    normalization, units = normalized(F)
    Z = normalization.scale(units.objectives(F))
    np.testing.assert_allclose(Z[:2, 0], [0.0, 1.0])
    assert 1e3 < Z[2, 0] < np.finfo(np.float32).max, "models of single precision read these"
    # An archive of one design takes the worst of the others that are not far away.
    normalization, _ = normalized([[1.0, 1.0], [3.0, 2.0], [1e308, 1e308]])
    np.testing.assert_array_equal(normalization.nadir, [3.0, 2.0])


def test_reference_point_is_in_the_units_of_the_user():
    F = np.ldexp([[1.0, 2.0], [2.0, 1.0]], 800)
    normalization, units = normalized(F, ref_point=np.ldexp([4.0, 4.0], 800))
    np.testing.assert_array_equal(normalization.scale(units.objectives(F))[0], [0.0, 1.0 / 3.0])
    np.testing.assert_array_equal(normalization.fresh().ref_point, normalization.ref_point)
    normalization, _ = normalized([[1.0, 2.0], [2.0, 1.0]], ref_point=[LARGEST, np.inf])
    assert np.isfinite(normalization.nadir).all()


def test_models_learn_little_from_what_is_far_away():
    normalization, units = normalized([[1.0, 2.0], [2.0, 1.0], [1e308, 1e308]])
    learned = normalization.learned(units.objectives(np.array([[1.5, 1.5], [1e308, 1e308]])))
    np.testing.assert_array_equal(learned[0], [1.5, 1.5])
    # 1024 extents beyond the nadir, as `_LEARNED` says.
    np.testing.assert_array_equal(learned[1], [1026.0, 1026.0])
    changes = normalization.learned_changes(np.array([[0.5, -1e300]]))
    np.testing.assert_array_equal(changes, [[0.5, -1024.0]])
