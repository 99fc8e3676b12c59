"""The contract of all classic problems: values, fronts, operators, neighbors, copies, pymoo."""

from __future__ import annotations

import copy
import pickle

import moocore
import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.optimize import minimize

from problems.classic import KnownFront, MultiObjectiveQAP
from tests.problems.classic import slow

SETTINGS = {
    "MultiObjectiveQAP": ("distance", "flow"),
    "MultiObjectiveKnapsack": ("weights", "values", "capacity"),
    "MNKLandscape": ("links", "tables"),
}


def sample(problem, n, rng):
    return problem.operators()["sampling"].do(problem, n, random_state=rng).get("X")


def objectives(problem, X):
    return problem.evaluate(X, return_as_dictionary=True)["F"]


def test_values_equal_the_plain_formula(problem, rng):
    X = sample(problem, 20, rng)
    F = objectives(problem, X)
    assert pytest.approx(np.array([slow.values(problem, x) for x in X]), rel=1e-12) == F


def test_exact_front_equals_that_of_all_designs(problem):
    front = problem.exact_front()
    expected = slow.front([slow.values(problem, x) for x in slow.legal_designs(problem)])
    assert len(front.F) == len(expected)
    np.testing.assert_allclose(front.F, np.array(sorted(expected)), rtol=1e-12)


def test_pareto_set_evaluates_to_the_pareto_front(problem):
    out = problem.evaluate(problem.pareto_set(), return_as_dictionary=True)
    np.testing.assert_array_equal(out["F"], problem.pareto_front())
    assert np.all(out.get("G", np.zeros(1)) <= 0)


def test_ref_point_is_worse_than_every_design_and_scores_the_front(problem, rng):
    F = objectives(problem, sample(problem, 200, rng))
    assert np.all(problem.ref_point >= F.max(axis=0))
    assert problem.ref_point_source
    expected = moocore.hypervolume(problem.pareto_front(), ref=problem.ref_point)
    assert problem.best_known_hypervolume == pytest.approx(expected)
    assert problem.best_known_hypervolume >= moocore.hypervolume(F, ref=problem.ref_point)


def test_a_known_front_comes_first_and_sets_the_reference(problem):
    exact = problem.exact_front()
    known = KnownFront(exact.F, "somebody's paper")
    settings = {name: getattr(problem, name) for name in SETTINGS[type(problem).__name__]}
    again = type(problem)(known_front=known, **settings)
    np.testing.assert_array_equal(again.pareto_front(), exact.F)
    assert again.known_front_source == "somebody's paper"
    margin = 0.0 if type(problem).__name__ == "MultiObjectiveKnapsack" else 0.1
    span = np.ptp(exact.F, axis=0)
    assert np.all(span > 0)
    np.testing.assert_allclose(again.ref_point, exact.F.max(axis=0) + margin * span)
    np.testing.assert_array_equal(objectives(again, again.pareto_set()), exact.F)


def test_sampling_is_legal_and_varied(problem, rng):
    X = sample(problem, 60, rng)
    assert X.shape == (60, problem.n_var)
    assert all(slow.is_legal(problem, x) for x in X)
    # Greedy filling reaches the fewest packings on the smallest knapsack: 33 of 60 differ.
    assert len(np.unique(X, axis=0)) > 16


def test_crossover_and_mutation_are_legal_and_change_no_parent(problem, rng):
    operators = problem.operators()
    pop = Population.new("X", sample(problem, 40, rng))
    before = pop.get("X").copy()
    parents = rng.integers(40, size=(30, 2))
    off = operators["crossover"].do(problem, pop, parents, random_state=rng)
    assert len(off) == 60
    assert all(slow.is_legal(problem, x) for x in off.get("X"))
    crossed = off.get("X").copy()
    off = operators["mutation"].do(problem, off, random_state=rng)
    assert all(slow.is_legal(problem, x) for x in off.get("X"))
    # Measured: 0.98 to 1; exchanges of a permutation can undo one another.
    assert np.mean(np.any(off.get("X") != crossed, axis=1)) > 0.9
    np.testing.assert_array_equal(pop.get("X"), before)


@pytest.mark.parametrize("k", [1, 5, 40])
def test_neighbors_are_legal_and_differ_from_their_design(problem, rng, k):
    X = sample(problem, 10, rng)
    before = X.copy()
    near = problem.neighbors_many(X, k, rng)
    assert near.shape == (10, k, problem.n_var)
    np.testing.assert_array_equal(X, before)
    for x, row in zip(X, near, strict=True):
        assert all(slow.is_legal(problem, y) for y in row)
        assert np.all(np.any(row != x, axis=1))


def test_walks_over_neighbors_reach_the_whole_front(problem, rng):
    # A walk keeps all non-dominated designs. Rugged landscapes need several walks.
    fronts = []
    for _ in range(8):
        X = sample(problem, 20, rng)
        for _ in range(25):
            near = problem.neighbors_many(X, 20, rng).reshape(-1, problem.n_var)
            X = np.unique(np.vstack([X, near]), axis=0)
            F = objectives(problem, X)
            X = X[moocore.is_nondominated(F, keep_weakly=True)]
        fronts.append(objectives(problem, X))
    points = np.vstack(fronts)
    front = problem.pareto_front()
    hit = np.mean([np.any(np.all(np.isclose(points, f), axis=1)) for f in front])
    # Measured: 1 for all six instances; 5 % are left for other random numbers.
    assert hit >= 0.95


def test_qap_features_say_who_is_where():
    problem = MultiObjectiveQAP.random(n_facilities=4, n_obj=2, seed=1)
    (features,) = problem.features(np.array([[2, 0, 3, 1]]))
    np.testing.assert_array_equal(features.reshape(4, 4).argmax(axis=1), [2, 0, 3, 1])
    assert features.sum() == 4


def test_arrays_of_an_instance_are_read_only(problem):
    copies = copy.deepcopy(problem), copy.copy(problem), pickle.loads(pickle.dumps(problem))
    for one in (problem, *copies):
        for name in set(SETTINGS[type(problem).__name__]) - {"capacity"}:
            with pytest.raises(ValueError, match="read-only"):
                getattr(one, name)[0] = 1


def test_nsga2_runs_with_the_operators_and_comes_near_the_front(problem):
    algorithm = NSGA2(pop_size=40, **problem.operators())
    run = minimize(problem, algorithm, ("n_eval", 2000), seed=1)
    assert all(slow.is_legal(problem, x) for x in run.X)
    reached = moocore.hypervolume(run.F, ref=problem.ref_point)
    # Measured with three seeds: at least 0.999 after 3,000 evaluations.
    assert reached >= 0.98 * problem.best_known_hypervolume
