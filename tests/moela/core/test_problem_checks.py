"""The same checks with the same words, with and without an Evaluator of ours."""

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice, Real
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.sampling.rnd import FloatRandomSampling
from pymoo.optimize import minimize
from pymoo.problems import get_problem
from pymoo.problems.multi.zdt import ZDT1

from moela import (
    MOELA,
    EvaluationError,
    Evaluator,
    failed,
    plot_front,
    run_experiment,
)
from moela.experiments.run import ExperimentError
from moela.testing import ToyMixed
from tests.conformance.test_algorithms import ALGORITHMS as OURS


class Box(Problem):
    """Two objectives, set in a wrong way if one is given."""

    def __init__(self, how="right", **changes):
        super().__init__(**{"n_var": 3, "n_obj": 2, "xl": 0.0, "xu": 1.0, **changes})
        self.how = how

    def _evaluate(self, X, out, *args, **kwargs):
        F = np.column_stack([X[:, 0], 1 - X[:, 0] + X[:, 1]])
        if self.how == "transposed":
            out["F"] = F.T
        elif self.how != "unset":
            out["F"] = F


def run(problem, evaluator, algorithm=None, n_eval=60, seed=1, **kwargs):
    if evaluator:
        kwargs["evaluator"] = Evaluator(progress=False)
    return minimize(problem, algorithm or OURS["MOELA"](), ("n_eval", n_eval), seed=seed, **kwargs)


@pytest.fixture(params=[False, True], ids=["pymoo's evaluator", "our evaluator"])
def evaluator(request):
    return request.param


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Box("transposed"), r'Box must set out\["F"\] to \[\d+, 2\] for \d+ designs. Got shape'),
        (Box("unset"), r'Box never set out\["F"\]. Its _evaluate must set it for every design'),
        (Box(n_ieq_constr=1), r'Box never set out\["G"\]'),
        (Box(n_eq_constr=1), r'Box never set out\["H"\]'),
    ],
)
def test_wrong_outputs(name, problem, message, evaluator):
    with pytest.raises(EvaluationError, match=message) as caught:
        run(problem, evaluator, OURS[name]())
    assert caught.value.status == "invalid"
    assert "Fix the problem" in str(caught.value)


def test_an_experiment_checks_outputs_of_every_algorithm():
    for make in (OURS["MOELA"], lambda: NSGA2(12)):
        with pytest.raises(ExperimentError, match=r'Box must set out\["F"\]'):
            run_experiment(
                {"box": Box("transposed")}, {"x": make}, seeds=1, budget=30, progress=False
            )


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"xl": np.array([0.0, 2.0, 0.0])}, r"Got xl\[1\] = 2.0 and xu\[1\] = 1.0; swap them"),
        ({"xl": np.zeros(2)}, r"a bound xl for each of its 3 variables.*Got shape \(2,\)"),
        ({"xu": np.ones(4)}, r"a bound xu for each of its 3 variables.*Got shape \(4,\)"),
        ({"xu": np.array([1.0, np.nan, 1.0])}, r"must be numbers. Got xu\[1\] = nan"),
        ({"xl": None}, "must have finite bounds"),
        ({"xu": np.array([1.0, np.inf, 1.0])}, "must have finite bounds"),
        ({"n_var": -1}, "must have at least one variable. Got n_var = -1"),
        ({"n_var": 0}, "must have at least one variable. Got n_var = 0"),
    ],
)
def test_wrong_bounds(bounds, message, evaluator):
    for make in OURS.values():
        with pytest.raises(ValueError, match=message):
            run(Box(**bounds), evaluator, make())


def test_wrong_bounds_with_designs_that_are_given():
    """pymoo's own sampling would have stopped before."""
    for bounds in ({"xl": np.array([0.0, 2.0, 0.0])}, {"xl": np.full(3, np.nan)}):
        with pytest.raises(ValueError, match=r"Lower bounds of Box|The bounds of Box"):
            run(Box(**bounds), True, NSGA2(12, sampling=np.full((12, 3), 0.5)))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"a": Real(bounds=(2.0, 1.0))}, "the lower bound of 'a' = 2.0 and the upper bound of 'a'"),
        ({"a": Real(bounds=(0.0, np.nan))}, "Got the upper bound of 'a' = nan"),
        ({"a": Choice(options=[])}, "an option. Got none; write Choice"),
    ],
)
def test_wrong_mixed_variables(variables, message, evaluator):
    with pytest.raises(ValueError, match=message):
        run(Problem(vars=variables, n_obj=2), evaluator)


def test_classes_in_place_of_instances(evaluator):
    words = "parameter of {} must be an instance. Got the class {} instead; call it: {}"
    with pytest.raises(TypeError, match=words.format("MOELA", "ZDT1", "ZDT1")):
        run(ZDT1, evaluator)
    with pytest.raises(AttributeError, match=words.format("minimize", "MOELA", "MOELA")):
        run(ZDT1(), evaluator, MOELA)
    for name, kind in (("sampling", FloatRandomSampling), ("crossover", SBX)):
        with pytest.raises(
            TypeError, match=f"'{name}' {words.format('MOELA', *[kind.__name__] * 2)}"
        ):
            run(ZDT1(), evaluator, MOELA(**{name: kind}))
    with pytest.raises(TypeError, match=words.format("MOELA", "Evaluator", "Evaluator")):
        minimize(ZDT1(), MOELA(), ("n_eval", 60), evaluator=Evaluator)
    with pytest.raises(TypeError, match=words.format("Evaluator.eval", "ZDT1", "ZDT1")):
        Evaluator().eval(ZDT1, Population.new(X=np.zeros((1, 30))))


@pytest.mark.parametrize("problem", ["zdt1", None, lambda x: x])
def test_a_name_or_a_function_in_place_of_a_problem(problem, evaluator):
    with pytest.raises(TypeError, match=r"parameter of MOELA must be a pymoo Problem. Got"):
        run(problem, evaluator)


@pytest.mark.parametrize("n_eval", [0, -3, 0.5, float("nan")])
def test_a_budget_below_one(n_eval, evaluator):
    words = r"must allow at least one evaluation. Got n_eval = (0|-3|nan) instead"
    for make in OURS.values():
        with pytest.raises(ValueError, match=words):
            run(ZDT1(), evaluator, make(), n_eval)
    if evaluator:
        with pytest.raises(ValueError, match=words):
            run(ZDT1(), True, NSGA2(12), n_eval)


@pytest.mark.parametrize("n_gen", [0, -1])
def test_a_number_of_generations_below_one(n_gen, evaluator):
    words = rf"must allow at least one evaluation. Got n_gen = {n_gen} instead"
    settings = {"evaluator": Evaluator(progress=False)} if evaluator else {}
    with pytest.raises(ValueError, match=words):
        minimize(ZDT1(), MOELA(), ("n_gen", n_gen), **settings)


def test_a_run_without_a_termination_ends(evaluator):
    """By pymoo's default for several objectives."""
    kwargs = {"evaluator": Evaluator(progress=False)} if evaluator else {}
    result = minimize(Box(), OURS["MOELA"](), seed=1, **kwargs)
    assert 100 < result.algorithm.n_eval < 100_000


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"], "ab"])
def test_names_of_the_wrong_length(names):
    with pytest.raises(ValueError, match="'names' parameter of plot_front must be 2 names"):
        plot_front([[0.0, 1.0], [1.0, 0.0]], names=names)
    with pytest.raises(ValueError, match="'ref_point' parameter of plot_front must be 2 finite"):
        plot_front([[0.0, 1.0], [1.0, 0.0]], ref_point=[1.0])


# ---- infinite objectives -------------------------------------------------------------------------


class WithoutZinc(ToyMixed):
    """Answers infinity for a third of its designs."""

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        out["F"][[design["metal"] == "zinc" for design in x]] = np.inf


@pytest.mark.parametrize("name", OURS)
def test_a_mixed_problem_that_answers_infinity(name, evaluator, caplog):
    result = run(WithoutZinc(), evaluator, OURS[name](), 150)
    assert result.algorithm.n_eval == 150
    assert all(design["metal"] != "zinc" for design in result.X)
    assert np.isfinite(result.F).all()
    assert not failed(result.pop).any()
    assert caplog.text.count("WithoutZinc gave F[0] = inf") == 1


# pymoo's truss divides by zero, and answers infinity.
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning:pymoo")
@pytest.mark.parametrize("seed", [4, 5])  # which find designs with infinite objectives
def test_the_truss_of_pymoo_runs_through(seed, evaluator, caplog):
    truss = get_problem("truss2d")
    result = run(truss, evaluator, MOELA(), 600, seed=seed, copy_algorithm=False)
    assert result.algorithm.n_eval == 600
    assert np.isfinite(result.F).all()
    assert caplog.text.count("Truss2D gave F[1] = inf") == 1


@pytest.mark.parametrize("problem", ["mw1", "mw7", "mw12", "welded_beam", "bnh"])
def test_constrained_problems_of_pymoo_run_through(problem, evaluator):
    result = run(get_problem(problem), evaluator, n_eval=150)
    assert result.algorithm.n_eval == 150


@pytest.mark.parametrize("size", [np.inf, 1e308, 1e200, 1e-308])
@pytest.mark.parametrize("name", OURS)
def test_constraints_of_any_size(name, size, evaluator):
    class Sized(Box):
        def _evaluate(self, X, out, *args, **kwargs):
            super()._evaluate(X, out)
            bad = X[:, 0] > 0.5
            out["G"] = np.where(bad[:, None], size * (0.5 + X[:, 1:]), [[-np.inf, -1.0]])
            out["H"] = np.where(bad, -size, 0.0)

    problem = Sized(n_ieq_constr=2, n_eq_constr=1)
    result = run(problem, evaluator, OURS[name](), 100)
    assert (result.X[:, 0] <= 0.5).all()
    assert np.isfinite(result.CV).all()
