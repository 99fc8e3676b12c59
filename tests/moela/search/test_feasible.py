"""MOELA where few designs are feasible."""

import copy

import numpy as np
import pytest
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.problems import get_problem

from moela import MOELA, Models
from moela.core.archive import Archive
from moela.core.context import SearchContext
from moela.core.decomposition import Subproblems, simplex_weights
from moela.core.duplicates import Duplicates
from moela.core.operators import resolve
from moela.core.origin import set_origin
from moela.core.scaling import Normalization
from moela.core.volume import DirectionalVolume
from moela.search.evolution import Evolution
from moela.search.restarts import Restart


class Band(Problem):
    """Bits with weights; their sum must be within a band of half a percent."""

    def __init__(self, n=40):
        rng = np.random.default_rng(6)
        self.weights, self.values = rng.random(n), rng.random((2, n))
        self.limits = 0.3 * self.weights.sum() * np.array([1.0, 1.005])
        super().__init__(n_var=n, n_obj=2, n_ieq_constr=2, xl=0, xu=1, vtype=bool)

    def _evaluate(self, x, out, *args, **kwargs):
        weight = x @ self.weights
        out["F"] = -(x @ self.values.T)
        out["G"] = np.column_stack([weight - self.limits[1], self.limits[0] - weight])


def run(problem, n_eval, seed, **settings):
    """Return the algorithm after a run, and how many of its designs were feasible."""
    algorithm, n_feasible = MOELA(**settings), 0
    algorithm.setup(problem, seed=seed, termination=("n_eval", n_eval))
    while algorithm.has_next():
        pop = algorithm.ask()
        algorithm.evaluator.eval(problem, pop)
        n_feasible += int((pop.get("CV") <= 0.0).sum())
        algorithm.tell(infills=pop)
    return algorithm, n_feasible


def test_the_model_of_constraints_keeps_moves_within_a_narrow_band():
    with_model = [run(Band(), 400, seed)[1] for seed in (1, 2)]
    without = [run(Band(), 400, seed, models=Models(moves=None))[1] for seed in (1, 2)]
    assert min(with_model) > 3 * max(without)


def test_a_rugged_constraint_of_real_variables_is_met():
    # Each variable of MW2 is feasible near one value only. In 1,000 evaluations, MOELA met none of
    # it in four of seven runs before it learned the constraints.
    for seed in (1, 2):
        algorithm, _ = run(get_problem("mw2"), 600, seed)
        assert algorithm.front.feasible


def test_a_copy_goes_on_like_the_original():
    problem, algorithm = Band(), MOELA()
    algorithm.setup(problem, seed=1, termination=("n_eval", 300))
    while algorithm.n_eval < 200:
        pop = algorithm.ask()
        algorithm.evaluator.eval(problem, pop)
        algorithm.tell(infills=pop)
    X = [a.ask().get("X") for a in (copy.deepcopy(algorithm), algorithm)]
    np.testing.assert_array_equal(*X)


@pytest.fixture
def evolution():
    """Return an evolution of twenty sub-problems, whose members violate by 1, 2, ..., 20."""
    problem, rng = Band(), np.random.default_rng(1)
    subproblems = Subproblems(simplex_weights(20, 2, rng), 5, "chebyshev")
    unit = Normalization(2, bounds=(np.zeros(2), np.ones(2)))
    context = SearchContext(problem, resolve(problem), Duplicates(problem), unit, rng)
    made = Evolution(context, subproblems, 0.9)
    made.populate(*designs(np.arange(1.0, 21.0)))
    return made


def designs(CV):
    """Return children with these violations, and objectives that suit sub-problem 0."""
    X = np.random.default_rng(2).random((len(CV), 40)) < 0.5
    F = np.tile([0.01, 0.9], (len(CV), 1))
    pop = Population.new("X", X, "F", F)
    set_origin(pop, part="evolution", subproblem=0)
    return pop, F, CV


def test_a_child_replaces_the_member_of_most_violation(evolution):
    evolution.answer(*designs(np.array([0.5, 50.0])), np.zeros(2, dtype=bool))
    assert sorted(evolution.subproblems.CV) == [0.5, *range(1, 20)]


def test_a_feasible_child_replaces_one_member(evolution):
    evolution.answer(*designs(np.array([0.0])), np.ones(1, dtype=bool))
    assert (evolution.subproblems.CV == 0.0).sum() == 1


def test_members_that_violate_constraints_less_have_more_children(evolution):
    CV = evolution.subproblems.CV
    drawn = np.concatenate([evolution._order() for _ in range(200)])
    count = np.bincount(drawn, minlength=20)
    assert count[CV.argmin()] > 1.7 * 200
    assert count[CV.argmax()] < 0.3 * 200
    CV[:] = 0.0
    assert sorted(evolution._order()) == list(range(20))


def test_infeasible_evaluations_do_not_make_a_run_stagnate():
    archive, rng = Archive(2), np.random.default_rng(1)
    restart = Restart(archive, Normalization(2), DirectionalVolume(2, rng), 100)
    pop, F, CV = designs(np.array([0.0]))
    restart.take(F, CV, archive.add(pop, F, CV), first=True)
    restart.begin(1)
    pop, F, CV = designs(np.ones(300))
    restart.take(F, CV, archive.add(pop, F, CV))
    assert not restart.stagnates(301)
    pop, F, CV = designs(np.zeros(300))
    restart.take(F, CV, archive.add(pop, F, CV))
    assert restart.stagnates(601)


def test_infeasible_designs_do_not_stay_the_ideal():
    archive, rng = Archive(2), np.random.default_rng(1)
    restart = Restart(archive, Normalization(2), DirectionalVolume(2, rng), 100)
    pop = Population.new("X", np.eye(3))
    F, CV = np.array([[-9.0, -9.0], [1.0, 3.0], [2.0, 1.0]]), np.array([1.0, 0.0, 0.0])
    restart.take(F, CV, archive.add(pop, F, CV), first=True)
    np.testing.assert_array_equal(restart.normalization.ideal, [1.0, 1.0])
