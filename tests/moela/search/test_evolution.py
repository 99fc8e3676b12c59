"""Tests of the members of the sub-problems and their replacement."""

import numpy as np
import pytest
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.optimize import minimize
from pymoo.problems import get_problem

from moela import MOELA
from moela.core.archive import Archive
from moela.core.context import SearchContext
from moela.core.decomposition import Subproblems, simplex_weights
from moela.core.duplicates import Duplicates
from moela.core.operators import resolve
from moela.core.origin import origins, set_origin
from moela.core.scaling import Normalization, scalarize
from moela.search.evolution import Evolution


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


def children_and_operators(evolution, exploring):
    """Return 1,000 children, duplicates included, and the number of the operator of each."""
    evolution.exploring = exploring
    F = np.column_stack([np.linspace(0.0, 1.0, 20), np.linspace(1.0, 0.0, 20)])
    pop = evaluated(F, "initial")
    evolution.populate(pop, F, np.zeros(20))
    front = Archive(2)
    front.add(pop, F, np.zeros(20))
    children = evolution._mate(np.arange(1000) % 20, front)
    return children.get("X").astype(float), origins(children, "mating_operator", np.int64)


def test_children_that_explore_belong_to_no_operator(evolution):
    X, operator = children_and_operators(evolution, exploring=True)
    explored = operator == -1
    # Expected: one in ten. The standard deviation is 0.0095; the limits are three away.
    assert 0.071 < explored.mean() < 0.129
    assert np.isin(X[explored], (0.0, 1.0)).any(axis=1).all()


def test_in_longer_runs_no_child_explores(evolution):
    _, operator = children_and_operators(evolution, exploring=False)
    assert (operator >= 0).all()


def on_island(evolution, share):
    """Return an evolution like the given one with an island, after the first designs."""
    old = evolution
    new = Evolution(old.context, old.subproblems, 0.9, n_survivors=5, island=share)
    F = np.column_stack([np.linspace(0.0, 1.0, 20), np.linspace(1.0, 0.0, 20)])
    pop = evaluated(F, "initial")
    new.populate(pop, F, np.zeros(20))
    return new


def test_an_island_takes_in_its_own_children_only(evolution):
    evolution = on_island(evolution, 0.4)
    assert len(evolution.island.X) == 20
    F = np.array([[-1.0, 2.0], [2.0, -1.0], [-2.0, 3.0]])  # all non-dominated
    pop = evaluated(F, "evolution")
    pop.set("X", np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]))
    set_origin(pop, on_island=np.array([False, True, False]), part=["evolution"] * 2 + ["search"])
    evolution.answer(pop, F, np.zeros(3), np.ones(3, dtype=bool))
    there = {tuple(x) for x in evolution.island.X}
    assert tuple(pop[1].X) in there
    assert tuple(pop[0].X) not in there
    assert tuple(pop[2].X) not in there
    assert tuple(pop[1].X) in {tuple(x) for x in evolution.ranked.X}
    none = pop[[0]]
    evolution.answer(none, F[:1], np.zeros(1), np.ones(1, dtype=bool))
    assert len(evolution.island.X) == 20


def test_the_share_of_children_on_the_island_is_the_given_one(evolution):
    evolution = on_island(evolution, 0.4)
    front = Archive(2)
    made = [evolution.children(20, front) for _ in range(50)]
    share = np.mean(np.concatenate([origins(pop, "on_island", bool) for pop in made]))
    assert 0.34 < share < 0.46  # four standard deviations of 1,000 draws


def test_parents_on_the_island_are_its_survivors(evolution):
    evolution = on_island(evolution, 0.999)
    # Copies of equal designs are equal: with one survivor, all children descend from it.
    evolution.island.X[:] = 0.5
    children = evolution.children(20, Archive(2))
    there = children[origins(children, "on_island", bool)]
    assert len(there) > 0
    moved = np.abs(there.get("X") - 0.5)
    others = np.abs(evolution.ranked.X - 0.5)
    assert np.median(moved) < np.median(others)


def test_an_island_is_refused_where_children_are_made_otherwise():
    problem = get_problem("dtlz2", n_var=12, n_obj=6)
    with pytest.raises(ValueError, match="'island' parameter of MOELA must be 0 for this problem"):
        minimize(problem, MOELA(island=0.4), ("n_eval", 60), seed=1)
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        MOELA(island=1.0)


def test_runs_with_an_island_are_repeatable_and_differ_from_others():
    def run(**parameters):
        return minimize(get_problem("zdt4"), MOELA(**parameters), ("n_eval", 1200), seed=1).F

    np.testing.assert_array_equal(run(island=0.4), run(island=0.4))
    np.testing.assert_array_equal(run(), run(island=0.0))
    assert not np.array_equal(run(), run(island=0.4))
