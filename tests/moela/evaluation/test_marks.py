"""Failed designs as pymoo's algorithms see them, and results without them."""

import copy
import logging
import pickle

import numpy as np
import pymoo_algorithms as cases
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.optimize import minimize
from pymoo_algorithms import Flaky

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.marks import Marks
from moela.evaluation.runners.outcome import failed
from moela.rivals import MOMAD, MOOS, MOOSTAGE, VSRLS, BatchMOEAD, MemeticGBT
from moela.search.moela import MOELA

ALL = cases.names(1) + cases.names(2)
OURS = {
    "MOELA": lambda: MOELA(n_subproblems=10),
    "published": lambda: MOELA.published(n_subproblems=10),
    "MOOS": lambda: MOOS(n_init=10),
    "MOOSTAGE": lambda: MOOSTAGE(n_init=10),
    "MOMAD": lambda: MOMAD(n_subproblems=10),
    "VSRLS": lambda: VSRLS(n_init=10),
    "MemeticGBT": lambda: MemeticGBT(pop_size=10, n_trees=5, n_children=10, n_steps=1),
    "BatchMOEAD": lambda: BatchMOEAD(n_subproblems=10),
}


def marked(n_obj, *rows, n_failures=5, n_ieq_constr=0):
    """Return the marks of failures, [n_failures, n_obj], after real designs with objectives."""
    problem = Problem(n_var=1, n_obj=n_obj, n_ieq_constr=n_ieq_constr, xl=0.0, xu=1.0)
    marks = Marks(problem)
    failures = Population.new(X=np.arange(float(n_failures))[:, None])
    for individual in failures:
        marks.put_on(individual, "error")
    F = np.array(rows, dtype=float).reshape(-1, n_obj)
    marks.update(Population.new(X=np.zeros((len(F), 1)), F=F, evaluated=[{"F"}] * len(F)), None)
    return failures.get("F")


def test_every_algorithm_of_pymoo_is_in_the_matrix():
    parts = {name for name in cases.kinds() if name not in cases.NOT_ALONE}
    assert parts == set(ALL)
    # Were pymoo to rename its packages, the matrix could be empty.
    assert {"NSGA2", "RVEA", "GA", "CMAES", "DE", "PSO"} <= parts


@pytest.mark.parametrize("name", ALL)
def test_no_result_of_pymoo_holds_a_failure(name):
    cells = [*cases.violations(name)]
    assert [cell for cell in cells if cell[1]] == []
    assert len(cells) >= 4


@pytest.mark.parametrize(
    "F",
    [
        [[0.0, 1.0], [1.0, 0.0]],
        [[-5.0, -1.0], [-3.0, -2.0]],
        [[2.0, 2.0]],
        [[1e150, -1e200], [3e150, -2e200]],
        [[-1.7e308, 1.0], [1.7e308, 2.0]],
        [[5e-324, 0.0], [0.0, 5e-324]],
    ],
)
def test_marks_are_dominated_and_close(F):
    F = np.array(F)
    marks = marked(2, *F)
    worst, best = F.max(axis=0), F.min(axis=0)
    assert np.isfinite(marks).all()
    assert (marks > worst).all()
    # At most a thirty-second of the range, or of the value if there is no range; one at zero.
    span = np.where(worst > best, worst / 32 - best / 32, np.abs(worst) / 32)
    span = np.where((worst == best) & (worst == 0), 2.0, span)
    with np.errstate(over="ignore"):
        assert (marks <= np.nextafter(worst + span, np.inf)).all()
    with np.errstate(over="ignore", under="ignore"):
        back = F * 2.0**-3 * 8.0
    scaled = marked(2, *(F * 2.0**-3))
    if np.array_equal(back, F) and marks.max() < 1e308 and (F != 0.0).any(axis=0).all():
        np.testing.assert_array_equal(scaled, marks * 2.0**-3)


def test_marks_before_any_success_are_finite_with_their_squares():
    marks = marked(3)
    assert np.isfinite((marks**2).sum())
    assert (marks > 1e150).all()


def test_failures_do_not_dominate_each_other():
    marks = marked(3, [0.0, 0.0, 0.0], [1.0, 2.0, 3.0], n_failures=40)
    no_worse = (marks[:, None] <= marks).all(axis=2)
    assert no_worse.sum() == len(marks)


@pytest.mark.parametrize(("name", "share"), [("NSGA2", 0.9), ("UNSGA3", 0.5), ("DE", 0.5)])
def test_a_run_with_failures_resumes_bit_for_bit(name, share, store):
    n_obj = 1 if name in cases.names(1) else 2

    def run(n_eval, **settings):
        with Evaluator(on_error="infeasible", progress=False, **settings) as evaluator:
            result = cases.solve(name, Flaky(share, n_obj=n_obj), evaluator, n_eval=n_eval)
        return result.pop.get("X"), result.pop.get("F"), evaluator.n_fresh

    fresh = run(40, store=store)[2]
    resumed, whole = run(100, store=store), run(100)
    parallel = run(100, n_jobs=2, backend="threads")
    assert resumed[2] <= 100 - fresh
    for other in (resumed, parallel):
        np.testing.assert_array_equal(other[0], whole[0])
        np.testing.assert_array_equal(other[1], whole[1])


def test_copies_and_pickles_go_on_with_marks_of_their_own():
    def start(seed=1):
        return cases.make("NSGA2").setup(
            Flaky(0.5),
            termination=("n_eval", 100),
            seed=seed,
            evaluator=Evaluator(on_error="infeasible", progress=False),
        )

    whole = start()
    whole.run()
    for clone in (copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))):
        algorithm = start()
        while algorithm.has_next():
            algorithm = clone(algorithm)
            algorithm, infills = clone((algorithm, algorithm.ask()))
            algorithm.evaluator.eval(algorithm.problem, infills, algorithm=algorithm)
            twin = clone((algorithm, infills))
            twin[0].tell(infills=twin[1])
            twin[0].run()  # ahead, which must not change the original
            algorithm.tell(infills=infills)
        np.testing.assert_array_equal(algorithm.pop.get("F"), whole.pop.get("F"))
        np.testing.assert_array_equal(algorithm.result().F, whole.result().F)
        assert not failed(algorithm.result().opt).any()


def test_failures_of_another_run_are_dominated_in_this_one():
    earlier = cases.solve("NSGA2", Flaky(0.5), Evaluator(on_error="infeasible", progress=False))
    pop = Population.create(*[ind.copy() for ind in earlier.algorithm.off])
    assert failed(pop).any()
    problem = Flaky(0.3, shift=1000.0)
    with Evaluator(on_error="infeasible", progress=False) as evaluator:
        result = minimize(
            problem, NSGA2(12, sampling=pop[failed(pop)]), ("n_eval", 60), seed=1,
            evaluator=evaluator,
        )  # fmt: skip
    assert not failed(result.opt).any()
    assert (result.F >= 1000.0).all()


@pytest.mark.parametrize("G", [1.0, 1e-300, 1e308, np.inf])
def test_failures_violate_constraints_more_than_any_design(G):
    class Violated(Flaky):
        def _evaluate(self, x, out, *args, **kwargs):
            super()._evaluate(x, out)
            out["G"] = [G * (1 + x[0]), G]

    pop = Population.new(X=np.random.default_rng(0).random((20, 3)))
    Evaluator(on_error="infeasible", progress=False).eval(Violated(0.4, n_ieq_constr=2), pop)
    bad = failed(pop)
    assert bad.any()
    CV = pop.get("CV")[:, 0]
    assert np.isfinite(CV).all()
    assert CV[bad].min() > CV[~bad].max()


@pytest.mark.parametrize(("how", "n_ieq_constr"), [("raise", 1), ("inf", 0)])
@pytest.mark.parametrize("name", OURS)
def test_ours_never_read_the_objectives_of_a_failure(name, n_ieq_constr, how, monkeypatch):
    put_on = Marks.put_on

    def nothing(self, individual, status, error=None):
        put_on(self, individual, status, error)
        for value in ("F", "G", "H"):
            setattr(individual, value, np.full(len(getattr(individual, value)), np.nan))
        individual.CV = np.array([np.nan])

    # The trees of MemeticGBT are slow; 40 evaluations are three batches.
    n_eval = 40 if name == "MemeticGBT" else 60

    def run(share, first, evaluator):
        problem = Flaky(share, n_ieq_constr=n_ieq_constr, how=how, first=first)
        return minimize(
            problem, OURS[name](), ("n_eval", n_eval), seed=1, return_least_infeasible=True,
            **evaluator,
        )  # fmt: skip

    on_error = "infeasible" if how == "raise" else "raise"
    for share, first in ((0.9, 0), (1.0, 0), (0.3, 12)):
        runs = [run(share, first, {"evaluator": Evaluator(on_error=on_error, progress=False)})]
        with monkeypatch.context() as patch:
            patch.setattr(Marks, "put_on", nothing)
            evaluator = Evaluator(on_error=on_error, progress=False)
            runs.append(run(share, first, {"evaluator": evaluator}))
        if how != "raise":
            runs.append(run(share, first, {}))
        for result in runs:
            assert result.algorithm.n_eval == n_eval
            assert (result.F is None) == (share == 1.0)
            assert share == 1.0 or not failed(result.opt).any()
            assert share == 1.0 or np.array_equal(result.F, runs[0].F)


def test_ours_say_that_all_initial_designs_failed_and_go_on(caplog):
    with caplog.at_level(logging.WARNING, "moela"):
        result = minimize(Flaky(0.2, first=12, how="inf"), OURS["MOELA"](), ("n_eval", 60), seed=1)
    assert "all of the 10 initial designs failed" in caplog.text
    assert "Flaky gave F[0] = inf" in caplog.text
    assert caplog.text.count("inf: a design") == 1
    assert len(result.F)
