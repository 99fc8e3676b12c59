"""Tests of the members of the sub-problems and their replacement."""

import numpy as np
import pytest
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela.core.archive import Archive
from moela.core.context import SearchContext
from moela.core.decomposition import Subproblems, simplex_weights
from moela.core.duplicates import Duplicates
from moela.core.operators import resolve
from moela.core.origin import origins, set_origin
from moela.core.scaling import Normalization, scalarize
from moela.search.evolution import Evolution
from moela.search.real_mating import AT_BOUND, RANDOM, Exploration


class Box(Problem):
    """Two variables in [0, 1]; the tests set the objectives."""

    def __init__(self):
        super().__init__(n_var=2, n_obj=2, xl=0.0, xu=1.0)


@pytest.fixture
def evolution():
    """Return an evolution of twenty sub-problems with a unit normalization."""
    problem, rng = Box(), np.random.default_rng(1)
    subproblems = Subproblems(simplex_weights(20, 2, rng), 5, "chebyshev")
    unit = Normalization(2, bounds=(np.zeros(2), np.ones(2)))
    context = SearchContext(problem, resolve(problem), Duplicates(problem), unit, rng)
    return Evolution(context, subproblems, 0.9)


def evaluated(F, part):
    pop = Population.new("X", np.random.default_rng(2).random((len(F), 2)), "F", F)
    set_origin(pop, part=part, subproblem=0)
    return pop


def numbers(sub):
    return [ind.data["number"] for ind in sub.pop]


def test_initial_designs_are_assigned_one_to_one(evolution):
    F = np.random.default_rng(3).random((20, 2))
    F[0] = 0.0  # the best one for every sub-problem
    pop = evaluated(F, "initial")
    for i, ind in enumerate(pop):
        ind.data["number"] = i
    evolution.populate(pop, F, np.zeros(20))
    assert sorted(numbers(evolution.subproblems)) == list(range(20))
    np.testing.assert_array_equal(evolution.subproblems.F, F[numbers(evolution.subproblems)])


def test_if_there_are_fewer_the_rest_get_the_best(evolution):
    F = np.array([[0.0, 0.0], [0.9, 0.8], [0.7, 0.9]])
    pop = evaluated(F, "initial")
    for i, ind in enumerate(pop):
        ind.data["number"] = i
    evolution.populate(pop, F, np.zeros(3))
    assert np.bincount(numbers(evolution.subproblems)).tolist() == [18, 1, 1]


def test_a_child_replaces_near_the_subproblem_that_it_suits_only(evolution):
    sub = evolution.subproblems
    evolution.populate(evaluated(np.ones((20, 2)), "initial"), np.ones((20, 2)), np.zeros(20))
    F = np.array([[0.01, 0.5]])  # better than every member, best for weights on the first
    evolution.answer(evaluated(F, "evolution"), F, np.zeros(1), np.ones(1, dtype=bool))
    changed = np.flatnonzero((sub.F == F[0]).all(axis=1))
    suits = scalarize(F[0], sub.W, "chebyshev").argmin()
    assert 1 <= len(changed) <= 2
    assert set(changed) <= set(sub.B[suits])


def replaced_by(evolution, part, accepted, F, n):
    """Return how many dominated members are replaced if n evaluations have these objectives."""
    none, replaced = np.zeros(20), 0
    for _ in range(n):
        evolution.populate(evaluated(np.ones((20, 2)), "initial"), np.ones((20, 2)), none)
        evolution.answer(evaluated(F, part), F, np.zeros(len(F)), accepted)
        replaced += int((evolution.subproblems.F < 1.0).any(axis=1).sum())
    return replaced


def test_some_of_the_archived_designs_of_searches_become_members(evolution):
    F = np.array([[0.4, 0.4]])
    yes, no = np.ones(1, dtype=bool), np.zeros(1, dtype=bool)
    assert replaced_by(evolution, "search", no, F, 50) == 0
    all_of_them = replaced_by(evolution, "evolution", yes, F, 200)
    some = replaced_by(evolution, "search", yes, F, 200)
    # Expected: one in five, 40 of 200. The standard deviation is 5.7; the limits are three away.
    assert 0.11 * all_of_them < some < 0.29 * all_of_them


def children_and_operators(evolution, exploration):
    """Return 1,000 children, duplicates included, and the number of the operator of each."""
    evolution.exploration = exploration
    F = np.column_stack([np.linspace(0.0, 1.0, 20), np.linspace(1.0, 0.0, 20)])
    pop = evaluated(F, "initial")
    evolution.populate(pop, F, np.zeros(20))
    front = Archive(2)
    front.add(pop, F, np.zeros(20))
    children = evolution._mate(np.arange(1000) % 20, front)
    return children.get("X").astype(float), origins(children, "mating_operator", np.int64)


def test_children_that_explore_belong_to_no_operator(evolution):
    X, operator = children_and_operators(evolution, Exploration())
    explored = operator == -1 - AT_BOUND
    # Expected: one in ten. The standard deviation is 0.0095; the limits are three away.
    assert 0.071 < explored.mean() < 0.129
    assert np.isin(X[explored], (0.0, 1.0)).any(axis=1).all()


def test_in_longer_runs_no_child_explores(evolution):
    _, operator = children_and_operators(evolution, exploration=None)
    assert (operator >= 0).all()


def test_evolution_learns_which_children_that_explore_enter_the_archive(evolution):
    evolution.exploration = exploration = Exploration()
    F = np.ones((20, 2))
    evolution.populate(evaluated(F, "initial"), F, np.zeros(20))
    kinds = np.repeat([RANDOM, AT_BOUND], 10)
    children = evaluated(F, "evolution")
    set_origin(children, part="evolution", subproblem=0, mating_operator=-1 - kinds)
    evolution.answer(children, F, np.zeros(20), kinds == AT_BOUND)
    random, at_bound = exploration.probabilities()
    assert random < 0.1  # 0.25 at first
    assert at_bound == 0.1
