from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.evaluator import Evaluator
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import TerminateIfAny
from pymoo.optimize import minimize
from pymoo.termination.max_eval import MaximumFunctionCallTermination
from pymoo.termination.max_gen import MaximumGenerationTermination

from moela._arrays import rows
from moela.core.algorithm import ArchiveAlgorithm
from moela.evaluation.runners.outcome import failed
from moela.evaluation.runners.violation import violation, violation_of
from moela.testing import ToyConstrained, ToyMixed, ToyReal


class RandomChildren(ArchiveAlgorithm):
    """A minimal algorithm: its offspring have random archive members as parents."""

    def _ask(self):
        parents = self.random_state.integers(0, len(self.front), (8, 2))
        return self.operators.children(self.problem, self.front.pop, parents, self.random_state)


def evaluated(problem, X):
    pop = Population.new("X", X)
    Evaluator().eval(problem, pop)
    return pop


def test_needs_two_objectives():
    problem = Problem(n_var=2, n_obj=1, xl=0.0, xu=1.0)
    with pytest.raises(ValueError, match=r"at least 2 objectives. Problem has n_obj = 1"):
        RandomChildren(n_init=5).setup(problem)


@pytest.mark.parametrize("n_init", [1, 0, -3])
def test_parameter_errors_have_one_form(n_init):
    expected = "The 'n_init' parameter of RandomChildren must be an integer of at least 2. Got"
    with pytest.raises(ValueError, match=expected):
        RandomChildren(n_init=n_init)


def test_the_budget_inside_other_terminations_is_met():
    termination = TerminateIfAny(
        MaximumFunctionCallTermination(43), MaximumGenerationTermination(1000)
    )
    res = minimize(ToyReal(), RandomChildren(n_init=10), termination, seed=1)
    assert res.algorithm.evaluator.n_eval == 43


def test_an_evaluated_front_as_sampling_costs_nothing():
    problem = ToyReal()
    rng = np.random.default_rng(0)
    front = evaluated(problem, rng.random((30, 5)))
    res = minimize(problem, RandomChildren(n_init=10, sampling=front), ("n_eval", 20), seed=1)
    assert res.algorithm.evaluator.n_eval == 20
    assert res.algorithm.n_answered == 20
    best = res.F[:, None] <= front.get("F")[None]
    assert best.all(axis=2).any(axis=0).all(), "each given design must be in the front or dominated"


def test_a_half_evaluated_population_as_sampling():
    problem = ToyReal()
    rng = np.random.default_rng(0)
    given = Population.merge(
        evaluated(problem, rng.random((6, 5))), Population.new("X", rng.random((9, 5)))
    )
    algorithm = RandomChildren(n_init=10, sampling=given)
    res = minimize(problem, algorithm, ("n_eval", 7), seed=1)
    assert res.algorithm.evaluator.n_eval == 7
    assert res.algorithm.n_answered == 7


def test_designs_given_twice_are_evaluated_once():
    X = np.repeat(np.random.default_rng(0).random((5, 5)), 3, axis=0)
    algorithm = RandomChildren(n_init=10, sampling=X)
    algorithm.setup(ToyReal(), seed=1)
    assert len(algorithm.ask()) == 5


def test_tell_without_answers_says_what_is_needed():
    algorithm = RandomChildren(n_init=5)
    algorithm.setup(ToyReal(), seed=1)
    algorithm.ask()
    with pytest.raises(ValueError, match=r"tell\(infills=pop\). Got None"):
        algorithm.tell()


def test_tell_before_evaluation_says_so():
    algorithm = RandomChildren(n_init=5)
    algorithm.setup(ToyReal(), seed=1)
    with pytest.raises(ValueError, match=r"evaluate the population before tell\(\)"):
        algorithm.tell(infills=algorithm.ask())


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_objectives_are_failures_that_are_said_once(value, caplog):
    algorithm = RandomChildren(n_init=5)
    algorithm.setup(ToyReal(), seed=1)
    for _ in range(2):
        pop = algorithm.ask()
        Evaluator().eval(algorithm.problem, pop)
        pop[3].F = np.array([1.0, value])
        algorithm.tell(infills=pop)
        assert failed(pop).tolist() == [i == 3 for i in range(len(pop))]
        assert pop[3] not in set(algorithm.front.pop)
    assert f"ToyReal gave F[1] = {value}: a design with an infinite objective" in caplog.text
    assert "So far, 1 of 5 designs did." in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_constraints_are_constraints(value):
    algorithm = RandomChildren(n_init=5)
    algorithm.setup(ToyConstrained(), seed=1)
    pop = algorithm.ask()
    Evaluator().eval(algorithm.problem, pop)
    pop[2].G, pop[2].CV = np.array([value, 1.0]), None
    algorithm.tell(infills=pop)
    assert np.isfinite(pop[2].CV).all()
    assert (pop[2].CV[0] > 1e100) == (value > 0)


def test_violations_keep_their_order_whatever_their_size():
    tiny = [0.0, 5e-324, 1e-200, 1.0, 1e100, 2e120, 1e121, 1e308]
    sizes = [*tiny, 1.7e308, np.inf]
    with np.errstate(all="raise", under="ignore"):
        values = [violation(np.array([-np.inf, G]), np.empty(0)) for G in sizes]
        two = [violation(np.array([G, G]), np.array([G])) for G in sizes]
        largest = np.array(values)[-1]
        assert np.isfinite(largest * 1e4)  # sums over populations
    for order in (values, two):
        assert sorted(order) == order
        assert len(set(order)) == len(order)
    individual = Individual(X=np.zeros(1), G=np.array([1.7e308, 1.7e308]), H=np.array([1e308]))
    assert violation_of(individual) == violation_of(individual) == individual.CV[0] < values[-1]


def test_objectives_that_are_nan_are_named():
    value = np.nan
    algorithm = RandomChildren(n_init=5)
    algorithm.setup(ToyReal(), seed=1)
    pop = algorithm.ask()
    Evaluator().eval(algorithm.problem, pop)
    pop[3].F = np.array([1.0, value])
    with pytest.raises(ValueError, match=r"finite. Got F\[1\] = .*for the design"):
        algorithm.tell(infills=pop)


def test_constraints_that_are_not_numbers_are_named():
    algorithm = RandomChildren(n_init=5)
    algorithm.setup(ToyConstrained(), seed=1)
    pop = algorithm.ask()
    Evaluator().eval(algorithm.problem, pop)
    pop[2].G = np.array([np.nan, 0.0])
    with pytest.raises(ValueError, match="Constraints must not be NaN"):
        algorithm.tell(infills=pop)


def test_rows_stacks_numbers_and_dictionaries():
    assert rows([[1, 2], [3, 4]]).shape == (2, 2)
    assert rows([1, 2]).shape == (1, 2)
    designs = [{"a": 1}, {"a": 2}]
    stacked = rows(designs)
    assert stacked.shape == (2,)
    assert stacked[1] is designs[1]


def test_mixed_designs_as_sampling():
    problem = ToyMixed()
    given = [{"width": 1.0, "layers": k, "sealed": True, "metal": "tin"} for k in (1, 2, 3)]
    algorithm = RandomChildren(n_init=10, sampling=given)
    algorithm.setup(problem, seed=1)
    first = algorithm.ask()
    assert [ind.X["layers"] for ind in first[:3]] == [1, 2, 3]
    assert len(first) == 10, "what is missing is drawn"
