"""Runs that begin from an earlier front, a store, or a design."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize
from pymoo.problems import get_problem

from moela import MOELA, EvaluationStore, Evaluator
from moela.core.origin import origins
from moela.rivals import MOOS
from moela.testing import ToyMixed
from problems import NoC3D


def begin(problem, sampling, budget=60, **settings):
    """Start a run; return the algorithm and the designs of its first batch."""
    algorithm = MOELA(sampling=sampling, **settings)
    algorithm.setup(problem, termination=("n_eval", budget), seed=3)
    first = algorithm.ask()
    algorithm.evaluator.eval(problem, first)
    algorithm.tell(infills=first)
    return algorithm, first


@pytest.fixture(scope="module")
def earlier():
    return minimize(get_problem("zdt1"), NSGA2(pop_size=40), ("n_eval", 800), seed=1)


@pytest.mark.parametrize(
    ("give", "n"),
    [(lambda r: r, None), (lambda r: r.opt, None), (lambda r: r.X, None), (lambda r: r.X[0], 1)],
    ids=["result", "population", "array", "one design"],
)
def test_a_run_begins_from_an_earlier_front(earlier, give, n):
    given, X = give(earlier), earlier.X[:n]
    _, first = begin(get_problem("zdt1"), given)
    np.testing.assert_array_equal(first.get("X")[: len(X)], X)
    assert len(first) >= 50, "what is missing must be drawn"


def test_evaluated_designs_cost_nothing_and_keep_their_objectives(earlier):
    algorithm, first = begin(get_problem("zdt1"), earlier, budget=100)
    known = int(origins(first, "already_evaluated").sum())
    assert known == len(earlier.opt)
    assert algorithm.n_eval == len(first) - known
    # The old front is in the archive, unless something drawn beside it is better.
    assert algorithm.front.F[:, 0].min() <= earlier.F[:, 0].min()


def test_a_run_writes_into_none_of_the_given_individuals(earlier):
    before = [dict(ind.data) for ind in earlier.opt]
    begin(get_problem("zdt1"), earlier.opt)
    assert [dict(ind.data) for ind in earlier.opt] == before


def test_a_store_is_gone_on_from_by_its_path_or_opened(tmp_path):
    path = tmp_path / "run.db"
    problem = get_problem("zdt1")
    with Evaluator(store=path) as evaluator:
        minimize(problem, NSGA2(pop_size=20), ("n_eval", 200), seed=1, evaluator=evaluator)
    with EvaluationStore(path) as store:
        front = store.front().get("X")
        _, first = begin(problem, store)
    np.testing.assert_array_equal(first.get("X")[: len(front)], front)
    for given in (path, str(path)):
        _, again = begin(problem, given)
        np.testing.assert_array_equal(again.get("X"), first.get("X"))


def test_a_design_that_the_problem_can_encode_is_a_start():
    problem = NoC3D.example(objectives=3)
    mesh = problem.decode(problem.encode(type(problem.decode(_some(problem))).mesh()))
    for given in (mesh, [mesh, mesh]):
        _, first = begin(problem, given)
        np.testing.assert_array_equal(first[0].X, problem.encode(mesh))


def _some(problem):
    sampling = problem.operators()["sampling"]
    return sampling(problem, 1, random_state=np.random.default_rng(0))[0].X


def test_dictionaries_are_designs_of_mixed_variables():
    design = {"width": 0.25, "layers": 3, "sealed": True, "metal": "tin"}
    for given in (design, [design]):
        _, first = begin(ToyMixed(), given)
        assert first[0].X == design
    names = "width, layers, sealed, metal"
    with pytest.raises(ValueError, match=rf"with the variables {names}. Got \{{'width': 1\}}"):
        begin(ToyMixed(), {"width": 1})


def test_rivals_take_the_same(earlier):
    algorithm = MOOS(sampling=earlier)
    algorithm.setup(get_problem("zdt1"), termination=("n_eval", 60), seed=3)
    assert len(algorithm.ask()) > len(earlier.opt)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((0, 30)), "one design at least"),
        (np.zeros((2, 7)), r"30 variables. Got shape \(7,\)"),
        ([[1.0, 2.0], [1.0]], "different lengths"),
        (42, r"30 variables. Got shape \(1,\)"),
        (object(), "must be a pymoo Sampling.* Got object"),
        (Population(), "one design at least"),
        (
            Population.create(Individual(X=np.zeros(30), F=np.zeros(3), evaluated={"F"})),
            r"2 objectives. Got F = \[0. 0. 0.\]",
        ),
    ],
)
def test_what_is_no_design_is_refused_by_name(given, message):
    with pytest.raises(ValueError, match=message):
        begin(get_problem("zdt1"), given)


class Nowhere(ElementwiseProblem):
    """No design is feasible; the nearest are those with x0 = 0."""

    def __init__(self):
        super().__init__(n_var=2, n_obj=2, n_ieq_constr=1, xl=0.0, xu=1.0)

    def _evaluate(self, x, out, *args, **kwargs):
        out["F"], out["G"] = [x[1], 1 - x[1]], [0.5 + x[0]]


def test_where_nothing_is_feasible_the_run_says_so_and_keeps_the_nearest(caplog):
    with caplog.at_level(logging.WARNING, "moela"):
        result = minimize(Nowhere(), MOELA(n_subproblems=10), ("n_eval", 300), seed=1)
    assert result.F is None
    assert "no feasible design after 300 evaluations" in result.status
    assert "no feasible design" in caplog.text
    assert (result.pop.get("CV") == result.pop.get("CV").min()).all()
    kept = MOELA(n_subproblems=10, return_least_infeasible=True)
    again = minimize(Nowhere(), kept, ("n_eval", 300), seed=1)
    np.testing.assert_array_equal(again.F, result.pop.get("F"))


def test_a_feasible_run_says_how_much_it_found(earlier):
    result = minimize(get_problem("dtlz2"), MOELA(), ("n_eval", 100), seed=1)
    assert result.status == f"{len(result.F)} non-dominated designs after 100 evaluations"
