"""Tests of the perturbation of starting points."""

import numpy as np
import pytest
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.nom import NoMutation
from pymoo.operators.sampling.rnd import BinaryRandomSampling

from moela.core.archive import Archive
from moela.core.context import SearchContext
from moela.core.duplicates import Duplicates
from moela.core.operators import resolve
from moela.core.scaling import Normalization
from moela.search.local_search import LocalSearches
from moela.search.perturbation import Perturbation

N_VAR = 30


class Bits(Problem):
    """How many ones are in either half."""

    def __init__(self):
        super().__init__(n_var=N_VAR, n_obj=2, xl=0, xu=1, vtype=bool)

    def operators(self):
        return {"sampling": BinaryRandomSampling(), "crossover": UX(), "mutation": NoMutation()}

    def neighbors(self, x, k, random_state):
        near = np.repeat(x[None], k, axis=0)
        at = random_state.integers(0, N_VAR, k)
        near[np.arange(k), at] = ~near[np.arange(k), at]
        return near


@pytest.fixture
def problem():
    return Bits()


def perturbed(problem, kind, duplicates=None, seed=0):
    """Perturb a search from the first of two archived designs; return these and the result."""
    rng = np.random.default_rng(seed)
    X = np.zeros((2, N_VAR), dtype=bool)
    X[0, : N_VAR // 2] = X[1, N_VAR // 2 :] = True
    F = np.array([[15.0, 0.0], [0.0, 15.0]])
    front = Archive(2)
    front.add(Population.new("X", X), F, np.zeros(2))
    normalization = Normalization(2, bounds=([0.0, 0.0], [15.0, 15.0]))
    searches = LocalSearches(2, "weighted_sum", patience=5)
    W, kinds = np.full((1, 2), 0.5), np.array([Perturbation.KINDS.index(kind)])
    searches.begin(front.pop[:1], F[:1], np.zeros(1), W, np.empty((1, 0)), perturbation=kinds)
    duplicates = Duplicates(problem) if duplicates is None else duplicates
    context = SearchContext(problem, resolve(problem), duplicates, normalization, rng)
    at, Y = Perturbation(context, used=True).perturb(searches, front)
    return X, at, Y, duplicates


def test_moves_lead_a_few_moves_away(problem):
    far = []
    for seed in range(30):
        X, at, Y, duplicates = perturbed(problem, "moves", seed=seed)
        assert at.tolist() == [0]
        assert duplicates.keys(Y)[0] in duplicates
        far.append(int((Y[0] != X[0]).sum()))
    assert min(far) < 4 < max(far) <= N_VAR // 5


def test_a_crossover_takes_something_of_both(problem):
    _, at, Y, duplicates = perturbed(problem, "crossover")
    assert at.tolist() == [0]
    ones = Y[0].reshape(2, -1).sum(axis=1)
    assert (ones > 0).all()
    assert (ones < N_VAR // 2).all()
    assert duplicates.keys(Y)[0] in duplicates


def test_a_crossover_that_is_known_makes_a_move_more(problem):
    _, _, first, _ = perturbed(problem, "crossover")
    duplicates = Duplicates(problem)
    duplicates.add(first)
    _, _, second, _ = perturbed(problem, "crossover", duplicates=duplicates)
    assert (first != second).sum() == 1


def test_the_perturbed_design_becomes_the_incumbent(problem):
    searches = LocalSearches(2, "weighted_sum", patience=5)
    normalization = Normalization(2, bounds=([0.0, 0.0], [1.0, 1.0]))
    pop = Population.new("X", np.zeros((2, N_VAR), dtype=bool))
    F, W = np.full((2, 2), 0.2), np.full((2, 2), 0.5)
    predicted = np.array([0.1, 0.1])
    ids = searches.begin(
        pop,
        F,
        np.zeros(2),
        W,
        np.empty((2, 0)),
        perturbation=np.array([2, 0]),
        predicted_gain=predicted,
    )
    worse = np.full((2, 2), 0.9)
    searches.receive(ids, pop, worse, np.zeros(2), normalization)
    assert searches.F[:, 0].tolist() == [0.9, 0.2]
    assert searches.pending.tolist() == [False, False]
    # The prediction for the archived design does not hold for the perturbed one.
    assert np.isnan(searches.predicted_gain).tolist() == [True, False]
    searches.receive(ids, pop, worse + 0.1, np.zeros(2), normalization)
    assert searches.F[:, 0].tolist() == [0.9, 0.2]


def test_the_kind_with_larger_gains_is_drawn_more_often(problem):
    context = SearchContext(
        problem, resolve(problem), Duplicates(problem), Normalization(2), np.random.default_rng(0)
    )
    perturbation = Perturbation(context, used=True)
    # Expected from the initial qualities: 0.76 of 2,000, with a standard deviation of 19.
    assert np.bincount(perturbation.draw(2000), minlength=3)[0] > 1200
    for _ in range(50):
        perturbation.learn(np.arange(3), np.array([0.0, 0.1, 0.6]))
    often = np.bincount(perturbation.draw(2000), minlength=3)
    assert often.argmax() == Perturbation.KINDS.index("crossover")
    # Expected: at least 0.05 of 2,000, that is 100; the standard deviation is 10.
    assert often.min() > 0.02 * 2000
    assert not Perturbation(context, used=False).draw(100).any()
