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
from moela.core.operators import resolve
from moela.evaluation.runners.outcome import failed
from moela.evaluation.runners.violation import violation, violation_of
from moela.search.moela import MOELA
from moela.testing import ToyConstrained, ToyPermutation, ToyReal


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


@pytest.mark.parametrize("source", ["ask", "sampling"])
def test_an_algorithm_that_asks_for_nothing_is_named(source):
    class AsksForNothing(RandomChildren):
        def _ask(self):
            return super()._ask()[:0]

    class SamplesNothing(RandomChildren):
        def _draw(self, sampling, n):
            return Population.empty()

    cls = AsksForNothing if source == "ask" else SamplesNothing
    with pytest.raises(RuntimeError, match=rf"{cls.__name__} must ask .* Its _?{source}"):
        minimize(ToyReal(), cls(n_init=5), ("n_eval", 20), seed=1)


def test_asking_after_the_end_of_a_run_gives_no_design():
    algorithm = minimize(ToyReal(), RandomChildren(n_init=5), ("n_eval", 20), seed=1).algorithm
    assert len(algorithm.ask()) == 0


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


def asked(problem, n_eval=40):
    """Return an algorithm that has been set up, and its first designs, evaluated."""
    algorithm = RandomChildren(n_init=8)
    algorithm.setup(problem, termination=("n_eval", n_eval), seed=1)
    return algorithm, evaluated_as_they_are(problem, algorithm.ask())


def evaluated_as_they_are(problem, pop):
    Evaluator().eval(problem, pop)
    return pop


def test_a_design_that_succeeds_after_a_failure_is_taken():
    algorithm, pop = asked(ToyReal())
    pop[0].data["status"] = "error"
    algorithm.tell(pop)
    algorithm.tell(pop[0])
    assert algorithm.n_answered == 8
    pop[0].data["status"] = "ok"
    algorithm.tell(pop[0])
    assert algorithm.n_answered == 9


def test_a_tell_that_raises_counts_nothing():
    algorithm, pop = asked(ToyReal())
    F, pop[3].F = pop[3].F, np.array([1.0, np.nan])
    with pytest.raises(ValueError, match="finite"):
        algorithm.tell(pop)
    assert algorithm.n_answered == 0
    pop[3].F = F
    algorithm.tell(pop)
    assert algorithm.n_answered == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"F": np.array([1 + 2j, 1])}, r"Objectives must be real numbers. Got F = .*j.* take the"),
        ({"F": np.array([1 + 2j, 1], dtype=object)}, "Objectives must be real .* take the real"),
        ({"F": np.array(["a", "b"])}, "Objectives must be real .* set numbers, or leave such"),
        ({"G": np.array([1j, 0])}, r"Constraints must be real numbers. Got G = .*j.* take the"),
        ({"X": np.full(2, 30.0)}, "Variable 0 of design 3 told to .* at most 5, its bound"),
        ({"X": np.full(2, np.nan)}, "Variable 0 of design 3 told to .* a number. Got .*nan"),
        ({"X": np.zeros(4)}, r"Design 3 told to .* 2 variables. Got shape \(4,\)"),
        ({"X": np.zeros(2, dtype=complex)}, "Variable 0 of design 3 told to .* a number. Got .*j"),
    ],
)
def test_asked_designs_with_other_values_are_refused_and_the_run_goes_on(change, message):
    algorithm, pop = asked(ToyConstrained())
    before = {name: getattr(pop[3], name) for name in change}
    for name, value in change.items():
        setattr(pop[3], name, value)
    with pytest.raises(ValueError, match=message):
        algorithm.tell(pop)
    assert algorithm.n_answered == 0
    for name, value in before.items():
        setattr(pop[3], name, value)
    algorithm.tell(pop)
    assert algorithm.n_answered == 8
    assert len(algorithm.ask())


def test_complex_values_without_an_imaginary_part_are_real():
    algorithm, pop = asked(ToyConstrained())
    expected = pop.get("F")
    pop.set("F", expected + 0j)
    pop.set("G", pop.get("G") + 0j)
    algorithm.tell(pop)
    assert pop.get("F").tolist() == expected.tolist()
    assert pop.get("G").dtype == float


def test_asked_designs_may_be_rounded():
    algorithm, pop = asked(ToyReal())
    for ind in pop:
        ind.X = np.round(ind.X, 2)
    algorithm.tell(pop)
    assert algorithm.n_answered == 8


@pytest.mark.parametrize("told", [5, [5], np.zeros((8, 2)), "pop"])
def test_what_is_no_individual_is_not_told(told):
    algorithm, _ = asked(ToyReal())
    with pytest.raises(TypeError, match=r"RandomChildren.tell\(\) needs the evaluated individuals"):
        algorithm.tell(told)


@pytest.mark.parametrize(
    ("problem", "X", "message"),
    [
        (ToyReal(), np.full(5, 3.0), "Variable 0 of design 0 told to .* at most 2, its bound"),
        (ToyReal(), np.full(5, np.nan), "Variable 0 of design 0 told to .* a number. Got .*nan"),
        (ToyReal(), np.zeros(4), r"Design 0 told to .* 5 variables. Got shape \(4,\)"),
        (ToyPermutation(), np.zeros(8, int), "Designs told to MOELA must be legal. "),
    ],
)
def test_designs_of_others_are_told_if_they_are_legal(problem, X, message):
    algorithm = MOELA()
    algorithm.setup(problem, termination=("n_eval", 200), seed=1)
    algorithm.tell(evaluated_as_they_are(problem, algorithm.ask()))
    n = algorithm.n_answered
    legal = resolve(problem).sampling(problem, 2, random_state=np.random.default_rng(5))
    algorithm.tell(evaluated_as_they_are(problem, legal))
    algorithm.tell(legal)
    assert algorithm.n_answered == n + 2
    with pytest.raises(ValueError, match=message):
        algorithm.tell(Individual(X=X, F=np.zeros(2)))
    assert algorithm.n_answered == n + 2


def test_a_constrained_design_is_not_told_without_its_constraints():
    algorithm, pop = asked(ToyConstrained())
    pop[2].G = np.empty(0)
    with pytest.raises(
        ValueError, match=r"2 inequality constraints, .* Got shape \(0,\) for design"
    ):
        algorithm.tell(pop)
    pop[2].G, pop[2].H = np.zeros(2), np.zeros(1)
    with pytest.raises(
        ValueError, match=r"0 equality constraints, H of shape \(0,\). Got .*\(1,\)"
    ):
        algorithm.tell(pop)


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
