"""Features of designs for learned models."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.mutation.inversion import InversionMutation
from pymoo.operators.sampling.rnd import PermutationRandomSampling
from pymoo.optimize import minimize
from sklearn.linear_model import Ridge

from moela import MOELA, Models
from moela.learning.features import Encoder, encode
from moela.learning.permutation_moves import PermutationMoveModel
from problems import MultiObjectiveQAP

PERMUTED = {
    "sampling": PermutationRandomSampling(),
    "crossover": OrderCrossover(),
    "mutation": InversionMutation(),
}


class Assignment(Problem):
    """A QAP without features or moves of its own."""

    def __init__(self, n=12):
        super().__init__(n_var=n, n_obj=2, xl=0, xu=n - 1, vtype=int)
        self.inner = MultiObjectiveQAP.random(n_facilities=n, n_obj=2, correlation=0.0, seed=1)

    def _evaluate(self, X, out, *args, **kwargs):
        out["F"] = self.inner.evaluate(X.astype(int), return_values_of=["F"])


def random_permutations(m, n=5):
    rng = np.random.default_rng(1)
    return np.array([rng.permutation(m) for _ in range(n)])


def described(problem, X, first):
    encoder = Encoder(problem)
    encoder.fit(np.array(first))
    return encoder(np.array(X))


def test_permutations_are_described_by_the_place_of_each_item():
    first = [[0, 1, 2], [2, 1, 0]]
    rows = described(Assignment(3), [[1, 2, 0]], first)
    np.testing.assert_array_equal(rows, [[2, 0, 1]])
    # Any values will do, such as city codes, and they need not be whole.
    values = described(Assignment(3), [[7.5, 40.0, -1.0]], [[40.0, 7.5, -1.0], [-1.0, 7.5, 40.0]])
    np.testing.assert_array_equal(values, [[2, 0, 1]])


def test_models_that_know_no_permutations_get_columns_if_these_are_few():
    encoder = Encoder(Assignment(3))
    encoder.fit(np.array([[0, 1, 2], [2, 1, 0]]), in_columns=True)
    assert not encoder.gives_places
    rows = encoder(np.array([[1, 2, 0]]))
    np.testing.assert_array_equal(rows, [[0, 0, 1, 1, 0, 0, 0, 1, 0]])
    first = random_permutations(33)
    encoder.fit(first, in_columns=True)
    assert encoder.gives_places
    assert encoder(first).shape == (5, 33)


@pytest.mark.parametrize(
    "first",
    [
        [[0, 1, 2], [0, 1, 1]],  # a value twice
        [[0, 1, 1], [1, 0, 1]],  # rearranged, but not apart
        [[0, 1, 2], [0, 1, 2]],  # no evidence
        [[0, 1, 2]],
        [[True, False, True], [False, True, True]],
        [[0, 1], [1, 0]],
    ],
)
def test_what_is_no_permutation_stays_as_it_is(first):
    problem = Assignment(len(first[0]))
    np.testing.assert_array_equal(described(problem, first, first), encode(problem, first))


def test_features_of_the_problem_come_first():
    qap = MultiObjectiveQAP.random(n_facilities=5, n_obj=2, correlation=0.0, seed=1)
    qap.features = lambda X: np.zeros((len(X), 2))
    assert described(qap, [[0, 1, 2, 3, 4]], [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]]).shape == (1, 2)


@pytest.mark.parametrize("transposed", [False, True])
def test_features_that_only_say_which_item_is_where_are_replaced_by_places(transposed):
    problem, X = Assignment(5), random_permutations(5)
    orders = X.argsort(axis=1) if transposed else X
    problem.features = lambda X: np.eye(5)[X.argsort(axis=1) if transposed else X].reshape(-1, 25)
    assert problem.features(X).sum() == orders.size
    encoder = Encoder(problem)
    encoder.fit(X)
    assert encoder.gives_places
    np.testing.assert_array_equal(encoder(X), X.argsort(axis=1))
    np.testing.assert_array_equal(encoder.permutations(X.argsort(axis=1)), X)
    # A regressor of the user's sees the problem's own columns.
    encoder.fit(X, in_columns=True)
    np.testing.assert_array_equal(encoder(X), problem.features(X))


def test_features_that_say_more_than_that_are_kept():
    problem, X = Assignment(5), random_permutations(5)
    problem.features = lambda X: np.hstack([np.eye(5)[X].reshape(-1, 25), X[:, :1]])
    encoder = Encoder(problem)
    encoder.fit(X)
    assert not encoder.gives_places
    np.testing.assert_array_equal(encoder(X), problem.features(X))


def test_a_permutation_of_somebody_has_a_model_of_its_own():
    algorithm = minimize(Assignment(), MOELA(**PERMUTED), ("n_eval", 1500), seed=1).algorithm
    model = algorithm.guided.move_ranking.move_model
    assert isinstance(model, PermutationMoveModel)
    assert model.ready
    assert algorithm.guided.move_ranking.hamming_model.ready


def test_a_regressor_of_the_user_learns_permutations_in_columns():
    models = Models(moves=Ridge())
    algorithm = MOELA(models=models, **PERMUTED)
    algorithm = minimize(Assignment(), algorithm, ("n_eval", 400), seed=1).algorithm
    assert algorithm.guided.move_ranking.move_model.window.inputs[0].shape[1] == 144


class Grouped(Assignment):
    """Describes neighbors together; says how often it was asked to."""

    def __init__(self, answer=None):
        super().__init__(8)
        self.answer, self.n_asked = answer, 0

    def features(self, X):
        return np.asarray(X, dtype=float)

    def neighbor_features(self, X, near):
        assert near.shape == (len(X), near.shape[1], 8)
        self.n_asked += 1
        return near.astype(float) if self.answer is None else self.answer(near)


def test_a_problem_may_describe_neighbors_together():
    problem, plain = Grouped(), Grouped()
    plain.neighbor_features = None
    fronts = [minimize(p, MOELA(**PERMUTED), ("n_eval", 600), seed=1).F for p in (problem, plain)]
    assert problem.n_asked > 10
    np.testing.assert_array_equal(*fronts)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            lambda near: near[0] * 1.0,
            r"Grouped.neighbor_features\(X, near\) must return an array of",
        ),
        (lambda near: np.where(near == 3, np.inf, near), "must return finite numbers. Got inf for"),
    ],
)
def test_wrong_features_of_neighbors_are_named(answer, message):
    encoder = Encoder(Grouped(answer))
    X = random_permutations(8)
    with pytest.raises(ValueError, match=message):
        encoder.near(X, np.repeat(X[:, None], 3, axis=1))
