"""Comparisons and choices on fronts of huge and tiny objectives."""

from __future__ import annotations

import numpy as np
import pytest

from moela import Front, compare
from moela.quality.front import largest_box


@pytest.fixture
def front():
    F = np.random.default_rng(1).random((20, 3)) + 0.01
    return F / np.linalg.norm(F, axis=1, keepdims=True)


def rows_of(runs):
    """Return the table's rows without volumes, which are in units of the objectives."""
    return [
        {name: value for name, value in row.items() if name != "volume"}
        for row in compare(runs).table().rows
    ]


@pytest.mark.parametrize("e", [-830, 830, (-830, 0, 830)])
def test_scaled_runs_compare_in_the_same_way(front, e):
    runs = {"A": [front + 0.01 * k for k in range(3)], "B": [front + 0.02 * k for k in range(3)]}
    scaled = {name: [np.ldexp(F, e) for F in group] for name, group in runs.items()}
    assert rows_of(runs) == rows_of(scaled)


@pytest.mark.parametrize("e", [-830, 830, (-830, 0, 830)])
def test_choices_from_a_scaled_front_are_the_same(front, e):
    plain, scaled = Front(front), Front(np.ldexp(front, e))
    np.testing.assert_array_equal(plain.bulges(), scaled.bulges())
    np.testing.assert_array_equal(plain.knees(3), scaled.knees(3))
    np.testing.assert_array_equal(plain.pseudo_weights(), scaled.pseudo_weights())
    assert largest_box(front) == largest_box(np.ldexp(front, e))
    point = np.full(3, 0.5)
    np.testing.assert_array_equal(
        plain.by_reference(point, 5), scaled.by_reference(np.ldexp(point, e), 5)
    )
    scaled.by_reference(np.full(3, np.finfo(float).max))


def test_a_volume_that_is_no_float_is_unknown():
    comparison = compare({"A": [[1e200, 2e200], [2e200, 1e200]], "B": [[2e200, 2e200]]})
    assert [np.isnan(row["volume"]) for row in comparison.table().rows] == [True, True]
    assert comparison.table().rows[0]["hypervolume"] > 0.0


def test_dominated_penalties_may_be_of_any_size():
    runs = [[1.0, 2.0], [2.0, 1.0], [1.7e308, 1.7e308]]
    assert len(Front(runs)) == 2
    assert compare({"A": runs}).table().rows[0]["left_out"] == "1 dominated"
    with pytest.raises(ValueError, match=r"between -1e\+307 and 1e\+307"):
        Front([[1.0, 1.7e308], [2.0, 1.0]])


def test_a_run_far_beyond_the_pooled_front():
    table = compare({"A": [[5e-324, 1.0], [1e-310, 0.5]], "B": [[1e306, 0.6]]}).table()
    assert [row["hypervolume"] > 0.0 for row in table.rows] == [True, False]
    assert all(np.isfinite(row["igd_plus"]) for row in table.rows)
