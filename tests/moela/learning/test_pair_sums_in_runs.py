"""Sums over pairs of items in runs of MOELA: they find more, and break no rule."""

import numpy as np
import pytest
from pymoo.core.problem import ElementwiseProblem
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.mutation.inversion import InversionMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import PermutationRandomSampling
from pymoo.optimize import minimize
from scipy.optimize import linear_sum_assignment

from moela import MOELA, Models
from problems import MultiObjectiveQAP


@pytest.mark.parametrize("seed", range(3))
def test_moela_finds_more_of_a_front_with_it(seed):
    problem = MultiObjectiveQAP.random(n_facilities=12, seed=4)
    found = {}
    for used in (True, False):
        algorithm = MOELA(models=Models(pair_sums=used))
        result = minimize(problem, algorithm, ("n_eval", 1200), seed=seed)
        assert result.algorithm.evaluator.n_eval == 1200
        assert result.algorithm.guided.move_ranking.move_model.complete == used
        found[used] = result.F
    worse = [(found[True] <= F).all(axis=1).any() for F in found[False]]
    assert np.mean(worse) >= 0.9


class Assignment(ElementwiseProblem):
    """Two costs of 12 items at places."""

    def __init__(self):
        super().__init__(n_var=12, n_obj=2, xl=0, xu=11, vtype=int)
        self.costs = np.random.default_rng(4).random((2, 12, 12))

    def _evaluate(self, x, out, *args, **kwargs):
        out["F"] = self.costs[:, np.arange(12), x.astype(int)].sum(axis=1)

    def optimum(self, weight):
        """Return the objectives of the assignment of least weighted cost, by scipy."""
        at = linear_sum_assignment(weight * self.costs[0] + (1.0 - weight) * self.costs[1])
        return self.costs[:, at[0], at[1]].sum(axis=1)


@pytest.mark.parametrize(("used", "least", "most"), [(True, 20, 21), (False, 0, 10)])
def test_optimal_assignments_are_found(used, least, most):
    problem = Assignment()
    F = run(problem, 1000, models=Models(pair_sums=used)).opt.get("F")
    optima = [problem.optimum(weight) for weight in np.linspace(0.0, 1.0, 21)]
    found = sum(np.isclose(F, optimum).all(axis=1).any() for optimum in optima)
    assert least <= found <= most


class Tours(ElementwiseProblem):
    """Two lengths of a tour, and a limit on a third one."""

    def __init__(self, limited):
        super().__init__(n_var=10, n_obj=2, n_ieq_constr=int(limited), xl=0, xu=9, vtype=int)
        self.lengths = np.random.default_rng(1).random((3, 10, 10))
        self.lengths += self.lengths.transpose(0, 2, 1)

    def _evaluate(self, x, out, *args, **kwargs):
        lengths = self.lengths[:, x.astype(int), np.roll(x, 1).astype(int)].sum(axis=1)
        out["F"] = lengths[:2]
        if self.n_ieq_constr:
            out["G"] = lengths[2:] - 9.0


def run(problem, n, **given):
    algorithm = MOELA(
        sampling=PermutationRandomSampling(),
        crossover=OrderCrossover(),
        mutation=InversionMutation(),
        **given,
    )
    return minimize(problem, algorithm, ("n_eval", n), seed=1).algorithm


def test_lengths_of_tours_are_sums_over_pairs():
    assert run(Tours(limited=False), 800).guided.move_ranking.move_model.complete


@pytest.mark.parametrize("kind", ["constraints", "repair"])
def test_children_stay_as_they_are_where_a_descent_could_break_a_rule(kind):
    given = {"repair": RoundingRepair()} if kind == "repair" else {}
    algorithm = run(Tours(limited=kind == "constraints"), 800, **given)
    guided = algorithm.guided
    assert guided.move_ranking.move_model.complete
    pop = algorithm.pop[:3]
    assert guided.descended(pop, np.full((3, 2), 0.5)) is pop


class Shop(ElementwiseProblem):
    """Makespan and mean end of 10 jobs on three machines, which are no sums over pairs."""

    def __init__(self, limited=False):
        super().__init__(n_var=10, n_obj=2, n_ieq_constr=int(limited), xl=0, xu=9, vtype=int)
        self.times = np.random.default_rng(2).random((10, 3))

    def _evaluate(self, x, out, *args, **kwargs):
        ready, ends = np.zeros(3), []
        for job in x.astype(int):
            for machine in range(3):
                start = max(ready[machine], ready[machine - 1]) if machine else ready[0]
                ready[machine] = start + self.times[job, machine]
            ends.append(ready[2])
        out["F"] = [ends[-1], np.mean(ends)]
        if self.n_ieq_constr:
            out["G"] = [-1.0]


def test_objectives_with_third_differences_are_not_fitted():
    algorithm = run(Shop(), 600)
    assert algorithm.evaluator.n_eval == 600
    assert algorithm.guided.move_ranking.move_model.pair_sums.n_fits == 0
    # An exchange could break a constraint, so that nothing is tested before the fits.
    limited = run(Shop(limited=True), 600)
    assert limited.guided.move_ranking.move_model.pair_sums.n_fits > 0
