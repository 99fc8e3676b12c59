"""Adapters to other libraries: budget, start designs, seeds, legality, progress."""

from __future__ import annotations

import importlib

import moocore
import numpy as np
import pytest
from pymoo.core.problem import Problem
from pymoo.core.variable import Binary, Choice, Integer, Real
from pymoo.problems import get_problem

from problems.classic import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP
from tests.benchmarks.adapters import ADAPTERS, run_adapter, start_designs, variable_type


class Whole(Problem):
    def __init__(self):
        super().__init__(n_var=5, n_obj=2, xl=-3, xu=9, vtype=int)

    def _evaluate(self, X, out, *args, **kwargs):
        out["F"] = np.column_stack([(X**2).sum(axis=1), ((X - 5) ** 2).sum(axis=1)])


class Mixed(Problem):
    def __init__(self):
        variables = {
            "b": Binary(),
            "c": Choice(options=["low", "high"]),
            "i": Integer(bounds=(-2, 7)),
            "r": Real(bounds=(0.0, 1.0)),
        }
        super().__init__(vars=variables, n_obj=2)

    def _evaluate(self, X, out, *args, **kwargs):
        high = np.array([x["c"] == "high" for x in X])
        size = np.array([x["i"] + x["r"] + x["b"] for x in X])
        out["F"] = np.column_stack([size + high, -size + ~high])


PROBLEMS = {
    "real": lambda: get_problem("zdt1", n_var=6),
    "integer": Whole,
    "binary": lambda: MNKLandscape.random(n=12, k=2, rho=-0.3, seed=1),
    "permutation": lambda: MultiObjectiveQAP.random(n_facilities=6, correlation=-0.5, seed=1),
    "repaired": lambda: MultiObjectiveKnapsack.random(n_items=15, seed=1),
    "constrained": lambda: get_problem("bnh"),
    "mixed": Mixed,
}
CANNOT = {
    ("pygmo-nsga2", "constrained"),
    ("pygmo-moead", "constrained"),
    ("pygmo-nsga2", "mixed"),
    ("pygmo-moead", "mixed"),
    ("jmetal-nsga2", "mixed"),
}

# Adapters that take about a second per evaluation.
SLOW = {"optuna-gp"}


@pytest.fixture(params=ADAPTERS)
def adapter(request):
    library = request.param.split("-")[0]
    try:
        importlib.import_module(library)
    except ImportError:
        pytest.skip(f"{library} is not installed")
    return request.param


@pytest.mark.parametrize("kind", sorted(PROBLEMS))
def test_every_evaluation_is_recorded(adapter, kind):
    problem = PROBLEMS[kind]()
    if (adapter, kind) in CANNOT:
        with pytest.raises(ValueError, match="cannot handle"):
            run_adapter(adapter, problem, 50, 1)
        return
    # Optuna's Gaussian processes choose designs once ten are known.
    n, size = (13, 10) if adapter in SLOW else (50, 20)
    X, F, G = run_adapter(adapter, problem, n, 1, pop_size=size)
    assert len(X) == len(F) == len(G) == n
    assert F.shape == (n, problem.n_obj)
    assert G.shape == (n, problem.n_ieq_constr)
    out = problem.evaluate(X, return_as_dictionary=True)
    np.testing.assert_array_equal(out["F"], F)
    start = start_designs(problem, size, 1)
    names = [str(x) for x in start]
    assert sorted(str(x) for x in X[:size]) == sorted(names)
    if kind == "repaired":
        assert np.all(G <= 0)
    else:
        # An optimizer whose operators change nothing would find no new design. A third of the 30
        # designs after the start leaves a margin, and so do two of the three of Optuna's Gaussian
        # processes.
        assert len({str(x) for x in X[size:]} - set(names)) >= (2 if adapter in SLOW else 10)
    again = run_adapter(adapter, problem, n, 1, pop_size=size)
    np.testing.assert_array_equal(again[1], F)
    other = run_adapter(adapter, problem, size, 2, pop_size=size)
    assert not np.array_equal(other[1], F[:size])


def test_optimizers_improve_on_their_start(adapter):
    problem = PROBLEMS["real"]()
    n, size = (25, 20) if adapter in SLOW else (160, 40)
    _, F, _ = run_adapter(adapter, problem, n, 1, pop_size=size)
    volume = [moocore.hypervolume(part, ref=[1.1, 6.0]) for part in (F[:size], F)]
    assert volume[1] > 1.05 * volume[0]


def test_a_budget_that_is_no_multiple_of_the_population(adapter):
    problem = PROBLEMS["real"]()
    size, budgets = (10, (8, 11)) if adapter in SLOW else (20, (8, 21, 45))
    for n_eval in budgets:
        assert len(run_adapter(adapter, problem, n_eval, 1, pop_size=size)[1]) == n_eval


@pytest.mark.parametrize("kind", ["real", "integer", "binary", "permutation", "mixed"])
def test_variable_types_are_told_apart(kind):
    assert variable_type(PROBLEMS[kind]()) == kind


def test_bad_requests_are_named():
    problem = PROBLEMS["real"]()
    with pytest.raises(ValueError, match=r"'name' .* must be one of .*pygmo-nsga2. Got 'nsga'"):
        run_adapter("nsga", problem, 100, 1)
    with pytest.raises(ValueError, match=r"'n_eval' .* at least 8. Got 3"):
        run_adapter("optuna-tpe", problem, 3, 1)
