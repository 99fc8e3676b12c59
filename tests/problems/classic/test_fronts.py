"""Exact fronts against the proven ones in public files, and the limits of exactness."""

from __future__ import annotations

import itertools

import moocore
import numpy as np
import pytest

from problems.classic import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP
from problems.classic.front import nondominated


@pytest.mark.parametrize("name", ["KC10-2fl-1rl", "KC10-2fl-2uni", "KC10-2fl-3uni", "KC10-2fl-4rl"])
def test_enumeration_equals_the_proven_fronts_of_kc10(shared_data, name):
    problem = MultiObjectiveQAP.from_file(shared_data / "mqap" / f"{name}.dat")
    assert problem.known_front_source == f"file {name}.PO"
    exact = problem.exact_front()
    assert exact.source == "enumeration"
    np.testing.assert_array_equal(exact.F, problem.pareto_front())
    np.testing.assert_array_equal(problem.evaluate(problem.pareto_set()), problem.pareto_front())
    span = np.ptp(exact.F, axis=0)
    if np.all(span > 0):
        np.testing.assert_allclose(problem.ref_point, exact.F.max(axis=0) + 0.1 * span)
    else:  # a front of one point has no range
        assert len(exact.F) == 1
        # Measured: 1.54 and 1.59 times the point.
        assert np.all(problem.ref_point > 1.2 * exact.F[0])
        assert "bound" in problem.ref_point_source


@pytest.mark.parametrize("name", ["KC20-2fl-1rl", "KC20-2fl-2uni", "KC30-3fl-1rl"])
def test_large_qaps_have_no_known_front(shared_data, name):
    problem = MultiObjectiveQAP.from_file(shared_data / "mqap" / f"{name}.dat")
    assert problem.pareto_front() is None
    assert problem.pareto_set() is None
    assert problem.nadir_point() is None
    assert problem.best_known_hypervolume is None
    assert problem.known_front_source is None
    X = np.array([np.random.default_rng(i).permutation(problem.n_var) for i in range(200)])
    assert np.all(problem.evaluate(X) < problem.ref_point)


@pytest.mark.parametrize(
    "name",
    [
        "random-2D-100_1",
        "random-2D-200_1",
        "positive-3D-25_7_0.450000",
        "negative-3D-25_7_-0.450000",
        "random-4D-25_7",
    ],
)
def test_dynamic_programming_equals_the_fronts_in_the_files(shared_data, name):
    problem = MultiObjectiveKnapsack.from_file(shared_data / "knapsack" / f"{name}.in")
    assert problem.known_front_source == f"file {name}.in"
    exact = problem.exact_front()
    assert exact.source == "dynamic programming"
    front = problem.pareto_front()
    np.testing.assert_array_equal(exact.F, front[np.lexsort(front.T[::-1])])
    F, G = problem.evaluate(exact.X)
    np.testing.assert_array_equal(F, exact.F)
    assert np.all(G <= 0)
    np.testing.assert_array_equal(problem.ref_point, front.max(axis=0))


def test_the_front_of_a_large_knapsack_is_that_of_its_file_only(shared_data, monkeypatch):
    monkeypatch.setattr(MultiObjectiveKnapsack, "MAX_STATES_MANY", 2000)
    problem = MultiObjectiveKnapsack.from_file(shared_data / "knapsack" / "random-3D-100_1.in")
    assert problem.pareto_front().shape == (7895, 3)
    assert problem.exact_front() is None
    assert problem.pareto_set() is None


@pytest.mark.parametrize("name", ["random-2D-100_1", "random-2D-200_1"])
def test_two_hundred_samples_come_close_to_the_front(shared_data, name):
    problem = MultiObjectiveKnapsack.from_file(shared_data / "knapsack" / f"{name}.in")
    rng = np.random.default_rng(1)
    pop = problem.operators()["sampling"].do(problem, 200, random_state=rng)
    F = problem.evaluate(pop.get("X"))[0]
    share = moocore.hypervolume(F, ref=problem.ref_point) / problem.best_known_hypervolume
    # Measured with three seeds: 0.977 to 0.983.
    assert 0.97 < share < 1.0


def test_fronts_beyond_the_limits_are_none_and_cost_nothing():
    assert MNKLandscape.random(n=MNKLandscape.EXACT_N + 1, k=1).pareto_front() is None
    n = MultiObjectiveQAP.EXACT_N + 1
    assert MultiObjectiveQAP.random(n_facilities=n).pareto_front() is None


def test_knapsack_gives_up_at_its_state_limit(monkeypatch):
    problem = MultiObjectiveKnapsack.random(n_items=40, seed=1)
    monkeypatch.setattr(MultiObjectiveKnapsack, "MAX_STATES", 3)
    assert problem.exact_front() is None
    monkeypatch.undo()
    assert problem.exact_front() is None  # kept
    assert len(MultiObjectiveKnapsack.random(n_items=40, seed=1).exact_front().F) > 3


def test_qap_with_asymmetric_and_fractional_matrices_is_exact():
    rng = np.random.default_rng(5)
    problem = MultiObjectiveQAP(distance=rng.random((6, 6)), flow=rng.random((2, 6, 6)))
    X = np.array(list(itertools.permutations(range(6))))
    F = problem.evaluate(X)
    best = F[nondominated(F)]
    np.testing.assert_array_equal(problem.pareto_front(), best[np.argsort(best[:, 0])])


def test_knapsack_corner_cases_are_exact():
    cases = [
        {"weights": [5, 6], "values": [[1, 2], [2, 1]], "capacity": 4},  # nothing fits
        {"weights": [5, 6], "values": [[1, 2], [2, 1]], "capacity": 11},  # all fits
        {
            "weights": [0, 3, 3],
            "values": [[1, 1], [0, 5], [5, 0]],
            "capacity": 3,
        },  # weightless item
        {"weights": [2, 2], "values": [[3, 3], [3, 3]], "capacity": 2},  # equal items
        {"weights": [2, 2, 1], "values": [[0, 0], [0, 0], [0, 0]], "capacity": 3},  # worthless
        {"weights": [2, 3, 1], "values": [[4], [5], [3]], "capacity": 4},  # one objective
    ]
    expected = [
        {(0, 0)},
        {(-3, -3)},
        {(-1, -6), (-6, -1)},
        {(-3, -3)},
        {(0, 0)},
        {(-8,)},
    ]
    for settings, points in zip(cases, expected, strict=True):
        problem = MultiObjectiveKnapsack(**settings)
        assert {tuple(f) for f in problem.pareto_front()} == points
        rng = np.random.default_rng(1)
        X = problem.operators()["sampling"].do(problem, 6, random_state=rng).get("X")
        near = problem.neighbors_many(X, 3, rng)
        assert np.all(problem.evaluate(near.reshape(-1, problem.n_var))[1] <= 0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("m", [2, 3])
def test_knapsack_front_equals_enumeration(seed, m):
    problem = MultiObjectiveKnapsack.random(
        n_items=13, n_obj=m, max_value=12, max_weight=9, tightness=0.3, seed=seed
    )
    X = (np.arange(1 << 13)[:, None] >> np.arange(13)) & 1 == 1
    F, G = problem.evaluate(X)
    F = F[G[:, 0] <= 0]
    best = F[nondominated(F)]
    np.testing.assert_array_equal(problem.exact_front().F, best[np.lexsort(best.T[::-1])])


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_nondominated_equals_comparing_each_with_each(m):
    rng = np.random.default_rng(m)
    F = rng.integers(0, 6, size=(300, m)).astype(float)
    expected = {tuple(f) for f in F if not np.any(np.all(f >= F, axis=1) & np.any(f > F, axis=1))}
    kept = nondominated(F)
    assert {tuple(f) for f in F[kept]} == expected
    assert len(kept) == len(expected)
