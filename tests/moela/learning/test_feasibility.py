"""Feasibility model: what it predicts, and how it ranks moves."""

import numpy as np
import pytest
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela.learning.feasibility import FeasibilityModel, constraints_of


def fitted(n=120, d=10, *, smooth=False, constraint=lambda X: X.sum(axis=1) - 4.0):
    """Return a model of one linear objective and one constraint of random designs."""
    rng = np.random.default_rng(1)
    X = rng.random((n, d)) if smooth else (rng.random((n, d)) < 0.5).astype(float)
    model = FeasibilityModel(1, smooth=smooth)
    model.add(X, X[:, :1], constraint(X)[:, None])
    return model, X


def test_a_linear_constraint_is_predicted_on_both_sides_of_its_limit():
    model, X = fitted()
    F, C = model.predict(X[:20])
    np.testing.assert_allclose(F[:, 0], X[:20, 0], atol=1e-2)
    np.testing.assert_allclose(C[:, 0], X[:20].sum(axis=1) - 4.0, atol=1e-2)
    objectives, constraints = model.changes_to(X[:2], X[None, 2:5].repeat(2, axis=0))
    expected = X[2:5].sum(axis=1) - X[:2].sum(axis=1)[:, None]
    np.testing.assert_allclose(constraints[..., 0], expected, atol=1e-2)
    assert objectives.shape == (2, 3, 1)


def test_a_smooth_model_predicts_waves_of_each_variable():
    def waves(X):
        return np.cos(4.0 * np.pi * X).sum(axis=1)

    rng = np.random.default_rng(2)
    X = rng.random((50, 10))
    errors = {}
    for smooth in (False, True):
        model, _ = fitted(300, smooth=smooth, constraint=waves)
        if not smooth:
            Y = rng.random((300, 10))
            model = FeasibilityModel(1)
            model.add(Y, Y[:, :1], waves(Y)[:, None])
        errors[smooth] = np.abs(model.predict(X)[1][:, 0] - waves(X)).mean()
    assert errors[True] < 0.2 * errors[False]


def test_violation_is_expected_with_the_error_of_the_model():
    model, _ = fitted()
    violation, probability = model.violation(np.array([[-2.0], [0.0], [3.0]]))
    np.testing.assert_allclose(probability, [1.0, 0.5, 0.0], atol=1e-6)
    assert violation[0] == pytest.approx(0.0, abs=1e-6)
    assert 0.0 < violation[1] < 0.1
    assert violation[2] == pytest.approx(3.0, rel=1e-3)


def test_from_a_feasible_design_improvements_count_as_far_as_they_are_feasible():
    model, _ = fitted()
    value = np.array([[-5.0, -1.0, 2.0]])
    rank = model.rank(value, np.array([[-1.0]]), np.array([[[3.0], [0.0], [0.0]]]))
    # The largest improvement is infeasible, the second is not; the third is no improvement.
    assert rank[0].argmin() == 1
    assert rank[0, 2] >= 0.0


def test_from_an_infeasible_design_less_violation_comes_first():
    model, _ = fitted()
    value = np.array([[-5.0, -1.0, 2.0]])
    rank = model.rank(value, np.array([[2.0]]), np.array([[[0.0], [-1.0], [-3.0]]]))
    assert rank[0].argsort().tolist() == [2, 1, 0]


def test_an_uncertain_model_leaves_the_order_of_the_values():
    rng = np.random.default_rng(3)
    X = rng.random((100, 5))
    model = FeasibilityModel(1)
    model.add(X, X[:, :1], rng.normal(size=(100, 1)))
    value = -rng.random((1, 30))
    changes = model.changes_to(X[:1], X[None, 1:31])[1]
    rank = model.rank(value, np.array([[-0.1]]), changes)
    assert np.corrcoef(rank[0], value[0])[0, 1] > 0.9


def test_a_penalty_leaves_something_to_learn():
    rng = np.random.default_rng(4)
    X = rng.random((100, 5))
    C = X[:, :1] - 0.5
    C[7] = 1e100
    model = FeasibilityModel(1)
    model.add(X, X[:, :1], C)
    assert np.corrcoef(model.predict(X)[1][:, 0], X[:, 0])[0, 1] > 0.5


def test_features_that_never_vary_leave_the_model_unfitted():
    model = FeasibilityModel(1)
    model.add(np.ones((80, 3)), np.zeros((80, 1)), np.zeros((80, 1)))
    assert not model.ready


def test_equalities_are_limited_on_both_sides_and_many_constraints_are_one():
    individual = Individual(X=np.zeros(2))
    individual.F, individual.G = np.zeros(2), np.array([-1.0, np.inf])
    individual.H = np.array([0.5])
    C = constraints_of(Population.create(individual), np.array([3.0]))
    np.testing.assert_allclose(C, [[-1.0, 2.0**960, 0.5 - 1e-4, -0.5 - 1e-4]])
    individual.G = np.zeros(40)
    assert constraints_of(Population.create(individual), np.array([3.0])).tolist() == [[3.0]]


def test_designs_with_different_numbers_of_constraints_count_with_their_violations():
    pop = Population.new("X", np.zeros((3, 2)))
    for ind, G in zip(pop, [np.zeros(2), np.zeros(1), None], strict=True):
        ind.G = G
    CV = np.array([1.0, 2.0, 3.0])
    assert constraints_of(pop, CV).tolist() == [[1.0], [2.0], [3.0]]
    assert constraints_of(pop[:0], CV[:0]).shape == (0, 1)
    pop[1].G = np.array([-4.0, 5.0])
    assert constraints_of(pop[:2], CV[:2]).tolist() == [[0.0, 0.0], [-4.0, 5.0]]
