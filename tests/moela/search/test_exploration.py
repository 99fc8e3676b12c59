"""Tests of random children and children at bounds, in runs of few evaluations."""

import numpy as np
import pytest
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._codes import NO_CODES, Codes
from moela.core.archive import Archive
from moela.search import real_mating
from moela.search.real_mating import AT_BOUND, OTHER, RANDOM, Exploration

N = 2000


class Box(Problem):
    """Three variables, each between bounds of its own; the tests set the objectives."""

    def __init__(self, n_obj=2):
        super().__init__(n_var=3, n_obj=n_obj, xl=np.array([-1.0, 0, 2]), xu=np.array([1.0, 5, 4]))


@pytest.fixture
def without_bounds(monkeypatch):
    """Leave out the children at bounds."""
    monkeypatch.setattr(real_mating, "_PROB_AT_BOUND", 0.0)


def front_of(n, violation=0.0):
    """Return an archive of designs in the middle of the box, none of which dominates another."""
    F = np.column_stack([np.linspace(0.0, 1.0, n), np.linspace(1.0, 0.0, n)])
    X = np.array([0.0, 2.5, 3.0]) + np.random.default_rng(2).uniform(-0.1, 0.1, (n, 3))
    front = Archive(2)
    front.add(Population.new("X", X, "F", F), F, np.full(n, violation))
    return front


def explored(front, n_each=1, codes=NO_CODES, problem=None, exploration=None):
    """Return children that were all outside of the box, and which of them were replaced."""
    children = np.full((N, 3), 9.0)
    problem = problem or Box()
    kinds = (exploration or Exploration()).replace(
        children, n_each, front, problem, codes, np.random.default_rng(1)
    )
    replaced = kinds != OTHER
    assert (children[~replaced] == 9.0).all()
    assert (children[replaced] != 9.0).all()
    return children, replaced


def test_while_the_front_is_small_some_children_are_random(without_bounds):
    children, replaced = explored(front_of(19))
    # Expected: 0.25. The standard deviation is 0.0097; the limits are three away.
    assert 0.22 < replaced.mean() < 0.28
    X = (children[replaced] - [-1, 0, 2]) / [2, 5, 2]
    # Uniform on [0, 1]: means 0.5, standard deviations 0.29.
    np.testing.assert_allclose(X.mean(axis=0), 0.5, atol=0.06)
    np.testing.assert_allclose(X.std(axis=0), 0.289, atol=0.04)


def test_all_children_of_a_choice_are_random_or_none(without_bounds):
    _, replaced = explored(front_of(19), n_each=10)
    share = replaced.reshape(-1, 10).mean(axis=1)
    assert set(share) == {0.0, 1.0}


def test_with_a_larger_front_no_child_is_random(without_bounds):
    _, replaced = explored(front_of(20))
    assert not replaced.any()


def test_some_children_are_designs_of_the_front_with_one_variable_at_a_bound():
    front = front_of(20)
    children, replaced = explored(front)
    # Expected: 0.1. The standard deviation is 0.0067; the limits are three away.
    assert 0.08 < replaced.mean() < 0.12
    X = children[replaced]
    at_lower, at_upper = np.array([-1, 0, 2]) == X, np.array([1, 5, 4]) == X
    assert ((at_lower | at_upper).sum(axis=1) == 1).all()
    assert (at_lower.any(axis=0) & at_upper.any(axis=0)).all()
    members = np.array([member.X for member in front.individuals(np.arange(20))])
    equal = (X[:, None] == members).sum(axis=2).max(axis=1)
    assert (equal == 2).all()


def test_labels_are_not_moved_to_a_bound():
    codes = Codes(np.array([0, 2]), np.empty(0, dtype=np.intp))
    children, replaced = explored(front_of(20), codes=codes)
    assert np.isin(children[replaced, 1], (0.0, 5.0)).all()


def test_of_labels_alone_one_becomes_its_first_or_last_value():
    codes = Codes(np.arange(3), np.empty(0, dtype=np.intp))
    children, replaced = explored(front_of(20), codes=codes)
    X = children[replaced]
    assert ((X == [-1, 0, 2]) | (X == [1, 5, 4])).any(axis=1).all()


def test_with_one_objective_no_child_explores():
    _, replaced = explored(front_of(1), problem=Box(n_obj=1))
    assert not replaced.any()


@pytest.mark.parametrize("front", [Archive(2), front_of(1, violation=1.0)])
def test_without_a_feasible_design_no_child_explores(front):
    _, replaced = explored(front)
    assert not replaced.any()


def after(entered, n=40, least=0.1):
    """Return an exploration that knows n children of each kind, and which share was archived."""
    exploration = Exploration(least)
    for kind, share in entered.items():
        accepted = np.arange(n) % 10 < 10 * share
        exploration.learn(np.full(n, kind), accepted)
    return exploration


def test_at_first_the_probabilities_are_the_initial_ones():
    np.testing.assert_allclose(Exploration().probabilities(), [0.25, 0.1])


def test_kinds_that_never_enter_the_archive_keep_the_least_share():
    exploration = after({RANDOM: 0.0, AT_BOUND: 0.0, OTHER: 0.5})
    np.testing.assert_allclose(exploration.probabilities(), [0.025, 0.01])
    _, replaced = explored(front_of(19), exploration=exploration)
    # Expected: 0.035. The standard deviation is 0.0041; the limits are three away.
    assert 0.022 < replaced.mean() < 0.048


def test_each_kind_is_judged_by_its_own_children():
    random, at_bound = after({RANDOM: 0.0, AT_BOUND: 1.0, OTHER: 0.5}).probabilities()
    assert random == pytest.approx(0.025)
    assert at_bound == pytest.approx(0.1)


def test_kinds_that_enter_less_often_than_others_become_fewer():
    exploration = Exploration()
    exploration.learn(np.array([RANDOM, OTHER]), np.array([False, True]))
    # The running means are 0.8 * 0.3, and 0.8 * 0.3 + 0.2.
    random, at_bound = exploration.probabilities()
    assert random == pytest.approx(0.25 * 0.24 / 0.44)
    assert at_bound == pytest.approx(0.1 * 0.3 / 0.44)


def test_kinds_become_as_many_again_once_they_pay():
    exploration = after({RANDOM: 0.0, OTHER: 0.5})
    exploration.learn(np.full(20, RANDOM), np.ones(20, dtype=bool))
    assert exploration.probabilities()[0] == pytest.approx(0.25)


def test_where_no_child_enters_for_a_long_time_the_probabilities_stay_finite():
    exploration = after({RANDOM: 0.0, AT_BOUND: 0.0, OTHER: 0.0}, n=5000)
    np.testing.assert_allclose(exploration.probabilities(), [0.025, 0.01])
