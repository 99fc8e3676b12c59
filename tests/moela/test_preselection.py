"""Tests of which children are evaluated: picks, what they are paid for, and runs with them."""

import moocore
import numpy as np
import pytest
from pymoo.operators.crossover.sbx import SBX
from pymoo.optimize import minimize
from pymoo.problems import get_problem

from moela import MOELA
from moela.preselection import Preselection
from moela.surrogate import Surrogate
from problems import MultiObjectiveKnapsack


@pytest.fixture
def preselection():
    """Return a preselection whose model knows a smooth function."""
    surrogate = Surrogate(np.zeros(2), np.ones(2), 1000)
    X = np.random.default_rng(1).random((100, 2))
    surrogate.learn(X, np.column_stack([X[:, 0], 1.0 - X[:, 0] + X[:, 1]]), np.zeros(100))
    assert surrogate.ready
    return Preselection(surrogate, n_each=3)


def test_the_least_violation_counts_first_then_the_gain(preselection):
    gain = np.array([[0.1, 0.9, 0.5], [0.3, 0.2, 0.1], [9.0, -2.0, -1.0]])
    CV = np.array([[0.0, 0.0, 0.0], [2.0, 1.0, 1.0], [0.5, 0.0, 0.0]])
    assert preselection.pick(gain, CV).tolist() == [1, 3 + 1, 6 + 2]


def test_children_are_picked_more_often_where_that_pays(preselection):
    rng = np.random.default_rng(1)
    assert preselection.draw(2000, rng).mean() == pytest.approx(0.5, abs=0.05)
    picked = np.arange(400) % 2 == 0
    preselection.learn(picked, np.where(picked, 0.0, 0.4))
    seldom = preselection.draw(2000, rng).mean()
    assert 0.1 <= seldom < 0.25
    preselection.learn(picked, np.where(picked, 0.4, 0.0))
    preselection.learn(picked, np.where(picked, 0.4, 0.0))
    assert 0.75 < preselection.draw(2000, rng).mean() < 0.95


def run(name, n_eval, seed=1, **settings):
    algorithm = MOELA(**settings)
    return minimize(get_problem(name), algorithm, ("n_eval", n_eval), seed=seed)


def distance(result, problem):
    return moocore.igd_plus(result.F, ref=get_problem(problem).pareto_front())


@pytest.mark.parametrize(("name", "times"), [("zdt1", 1.5), ("dtlz2", 1.3)])
def test_on_smooth_problems_fronts_come_closer(name, times):
    without = [distance(run(name, 600, seed, surrogate_size=0), name) for seed in range(1, 6)]
    with_it = [distance(run(name, 600, seed), name) for seed in range(1, 6)]
    assert np.median(without) > times * np.median(with_it)


def test_on_a_rugged_problem_a_run_is_what_it_is_without():
    one, other = run("zdt4", 600), run("zdt4", 600, surrogate_size=0)
    np.testing.assert_array_equal(one.X, other.X)
    assert one.algorithm.log["screening"] == other.algorithm.log["screening"]
    assert one.algorithm.preselection.surrogate.n_fits > 5


def test_children_that_are_picked_are_counted():
    def picked(surrogate_size):
        log = run("zdt1", 600, surrogate_size=surrogate_size).algorithm.log
        return log["screening"]["n_eval"]

    assert picked(600) > picked(0) + 100


def test_it_stops_at_its_size():
    algorithm = run("zdt1", 400, surrogate_size=200).algorithm
    assert not algorithm.preselection.ready
    assert 0 < algorithm.log["screening"]["n_eval"] < 200


def test_it_is_there_for_real_variables_without_operators_of_ones_own():
    assert run("zdt1", 60).algorithm.preselection is not None
    assert run("zdt1", 60, surrogate_size=0).algorithm.preselection is None
    assert run("zdt1", 60, crossover=SBX()).algorithm.preselection is None
    knapsack = MultiObjectiveKnapsack.random(n_items=20, seed=1)
    result = minimize(knapsack, MOELA(), ("n_eval", 60), seed=1)
    assert result.algorithm.preselection is None


def test_where_constraints_are_predicted_fronts_come_closer_too():
    def end(seed, **settings):
        result = run("mw3", 800, seed, **settings)
        return np.inf if result.F is None else distance(result, "mw3")

    seeds = range(1, 6)
    with_it = [end(seed) for seed in seeds]
    assert np.median([end(seed, surrogate_size=0) for seed in seeds]) > 1.5 * np.median(with_it)


def test_a_size_that_makes_no_sense_is_refused():
    for size in (-1, 2.5, None):
        with pytest.raises(ValueError, match="surrogate_size"):
            MOELA(surrogate_size=size)
