"""Evaluations that raise, hang, die or return invalid values: an error, or a status."""

import datetime
import time
import warnings

import evaluation_cases as cases
import numpy as np
import pytest
from evaluation_cases import One, alive, designs, evaluate, solve, stored, wait_for
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.core.population import Population
from pymoo.optimize import minimize
from pymoo.util.ref_dirs import get_reference_directions

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.runners.outcome import EvaluationError, failed
from moela.search.moela import MOELA

X = designs(12, seed=3)
BAD = X[:, 0] < 0.3

STATUS = {
    "raise": "error",
    "exit": "error",
    "cancel": "error",
    "nan": "invalid",
    "shape": "invalid",
    "unset": "invalid",
    "hang": "timeout",
    "die": "crashed",
}
MESSAGE = {
    "raise": "ZeroDivisionError: the simulator broke",
    "exit": "SystemExit: the simulator gave up",
    "cancel": "CancelledError: the simulation was canceled",
    "nan": r"gave F = \[nan  0.\]: objectives must be finite",
    "shape": r'must set out\["F"\] to 2 values for a design. Got shape \(1, 3\)',
    "unset": r'never set out\["F"\]',
    "hang": "took longer than 2.0 seconds",
    "die": "signal SIGKILL",
}
# Good designs must not take so long either, if a busy machine stops for a moment.
NEEDS = {
    "hang": {"timeout": 2.0, "n_jobs": 2},
    "die": {"n_jobs": 1, "backend": "processes"},
}
# Each of these costs one to three new workers, so that two designs fail and two do not.
FEW = np.concatenate([X[BAD][:2], X[~BAD][:2]])[[2, 0, 1, 3]]


def designs_for(how):
    return FEW if how in NEEDS else X


@pytest.mark.parametrize("how", STATUS)
def test_a_failure_raises_with_the_design_and_what_happened(how):
    assert BAD.any()
    with pytest.raises(EvaluationError, match=MESSAGE[how]) as caught:
        evaluate(cases.Failing(how), designs_for(how), **NEEDS.get(how, {}))
    assert caught.value.status == STATUS[how]
    assert caught.value.X[0] < 0.3
    assert np.array2string(caught.value.X[:1], precision=17)[1:-1] in str(caught.value)


@pytest.mark.parametrize("how", STATUS)
def test_a_failure_can_be_infeasible_instead(how):
    X = designs_for(how)
    bad = X[:, 0] < 0.3
    with Evaluator(on_error="infeasible", **NEEDS.get(how, {})) as evaluator:
        pop = evaluator.eval(cases.Failing(how), Population.new(X=X))
    np.testing.assert_array_equal(failed(pop), bad)
    np.testing.assert_array_equal(pop.get("status") == STATUS[how], bad)
    np.testing.assert_array_equal(pop.get("FEAS")[:, 0], ~bad)
    worst = pop.get("F")[~bad].max(axis=0)
    assert np.all(pop.get("F")[bad] > worst)
    assert np.all(np.isfinite(pop.get("F")))
    assert np.all(np.isfinite(pop.get("CV")))
    assert all(pop[bad].get("error"))
    assert evaluator.n_failed == bad.sum()
    assert evaluator.n_eval == len(X)


@pytest.mark.parametrize("n_ieq_constr", [0, 1])
@pytest.mark.parametrize("kind", [NSGA2, MOEAD, MOELA])
def test_a_failure_is_never_the_best(kind, n_ieq_constr):
    if kind is MOEAD and n_ieq_constr:
        pytest.skip("pymoo's MOEA/D takes no constraints")
    directions = get_reference_directions("uniform", 2, n_partitions=15)
    if kind is MOELA:
        algorithm = MOELA(n_subproblems=16, n_searches=5)
    else:
        algorithm = kind(directions) if kind in (MOEAD, NSGA3) else kind(pop_size=16)
    # Half of the space fails, the half with the best first objective.
    problem = cases.Failing("raise", below=0.5, n_ieq_constr=n_ieq_constr)
    ideals = []

    def watch(algorithm):
        feasible = algorithm.opt.get("F")[algorithm.opt.get("FEAS")[:, 0]]
        ideals.append(feasible.min(axis=0, initial=np.inf))

    result = solve(
        problem, 400, algorithm=algorithm, options={"callback": watch}, on_error="infeasible"
    )
    assert not failed(result.opt).any()
    assert np.all(result.F < 100)
    assert np.all(result.X[:, 0] >= 0.5)
    assert np.min(ideals) >= 0
    # With enough valid designs, no failed one remains in the population.
    assert not failed(result.pop).any()


@pytest.mark.parametrize("least", [False, True])
@pytest.mark.parametrize("kind", [NSGA2, MOELA])
def test_a_run_in_which_all_fail_has_no_result_and_says_so(kind, least, log, capsys):
    algorithm = kind(pop_size=12) if kind is NSGA2 else kind(n_subproblems=12)
    options = {"return_least_infeasible": least, "verbose": True, "save_history": True}
    result = solve(
        cases.Failing("raise", below=2.0), 30, algorithm=algorithm, options=options,
        on_error="infeasible",
    )  # fmt: skip
    assert (result.F, result.X, result.opt) == (None, None, None)
    assert failed(result.pop).all()
    assert result.evaluator.n_eval == 30
    assert f"{kind.__name__} found no" in log.text
    assert log.text.count("found no") == 1


@pytest.mark.parametrize("how", ["raise", "nan", "hang", "die"])
def test_a_failure_is_tried_again(how, tmp_path):
    X = designs_for(how)
    problem = cases.Failing(how, marker=str(tmp_path))
    pop = evaluate(problem, X, retries=1, **NEEDS.get(how, {}))
    assert not failed(pop).any()
    np.testing.assert_array_equal(pop.get("F"), evaluate(One(), X).get("F"))


def test_a_timeout_ends_what_the_evaluation_started(tmp_path):
    file = tmp_path / "pids"
    pop = evaluate(cases.Simulator(log=str(file)), X[:2], timeout=1.0, on_error="infeasible")
    assert failed(pop).all()
    pids = [int(pid) for pid in file.read_text().split()]
    assert len(pids) == 2
    wait_for(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.parametrize("settings", [{}, {"n_jobs": 2}, {"n_jobs": 2, "backend": "threads"}])
def test_one_bad_row_of_a_vectorized_problem_costs_only_itself(settings):
    pop = evaluate(cases.RowsFailing(), X, on_error="infeasible", **settings)
    np.testing.assert_array_equal(failed(pop), X[:, 0] < 0.1)
    good = ~failed(pop)
    np.testing.assert_allclose(pop.get("F")[good], evaluate(cases.Rows(), X).get("F")[good])
    # The error of a row is told without that of its batch.
    assert all(text.count("Traceback") == 1 for text in pop[~good].get("error"))


def test_imaginary_parts_are_not_dropped():
    class Complex(One):
        def _evaluate(self, x, out, *args, **kwargs):
            out["F"] = [np.sqrt(complex(x[0] - 0.3)), x[1]]
            out["wave"] = 2j

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pop = evaluate(Complex(), X, on_error="infeasible")
        with pytest.raises(EvaluationError, match=r"must be real numbers\. Take the real part"):
            minimize(Complex(), MOELA(), ("n_eval", 30), seed=1)
    np.testing.assert_array_equal(failed(pop), BAD)
    assert set(pop[BAD].get("status")) == {"invalid"}
    assert pop[~BAD].get("F").dtype == float
    assert pop[~BAD][0].get("wave") == 2j


@pytest.mark.parametrize("rows", [X, X[:1]])
def test_masked_objectives_and_constraints_are_failures(rows):
    class Masked(One):
        def __init__(self, name):
            super().__init__()
            self.name, self.n_ieq_constr = name, 2

        def _evaluate(self, x, out, *args, **kwargs):
            out["F"] = out["G"] = -x[:2]
            # Below a mask may be anything; a fresh one has whatever was in memory.
            out[self.name] = np.ma.masked_greater(out[self.name], -0.3)

    for name in ("F", "G"):
        pop = evaluate(Masked(name), rows, on_error="infeasible")
        np.testing.assert_array_equal(failed(pop), (rows[:, :2] < 0.3).any(axis=1))
    with pytest.raises(ValueError, match=r"Objectives must be finite. Got F\[[01]\] = nan"):
        minimize(Masked("F"), MOELA(), ("n_eval", 30), seed=1)


def test_a_crash_in_a_chunk_costs_only_the_row_that_did_it():
    settings = {"chunk_size": 4, "backend": "processes", "on_error": "infeasible"}
    pop = evaluate(cases.Failing("die"), FEW, **settings)
    np.testing.assert_array_equal(failed(pop), FEW[:, 0] < 0.3)


def test_a_transposed_f_is_not_reshaped_silently():
    with pytest.raises(EvaluationError, match=r'must set out\["F"\] to \[16, 2\].*shape \(2, 16\)'):
        evaluate(cases.Transposed(), designs(16))


def test_a_constraint_that_is_nan_is_a_failure_and_one_that_is_infinite_is_infeasible():
    class Constrained(One):
        def __init__(self):
            super().__init__(n_ieq_constr=1)

        def _evaluate(self, x, out, *args, **kwargs):
            super()._evaluate(x, out)
            out["G"] = [np.nan if x[0] < 0.3 else np.inf]

    pop = evaluate(Constrained(), X, on_error="infeasible")
    np.testing.assert_array_equal(failed(pop), BAD)
    assert not pop.get("FEAS").any()


@pytest.mark.parametrize(("how", "value"), [("inf", "-inf"), ("plus", "inf")])
@pytest.mark.parametrize("on_error", ["raise", "infeasible"])
def test_an_infinite_objective_is_a_failure_that_is_said_once(how, value, on_error, log, store):
    problem = cases.Failing(how)
    with Evaluator(on_error=on_error, store=store, retries=2) as evaluator:
        pop = evaluator.eval(problem, Population.new(X=X))
        evaluator.eval(problem, Population.new(X=designs(12, seed=4)))
    np.testing.assert_array_equal(failed(pop), BAD)
    assert list(pop[BAD].get("status")) == ["infinite"] * BAD.sum()
    n = int(BAD.sum())
    assert f"Failing gave F[0] = {value}: " in pop[BAD][0].get("error")
    assert f"Failing gave F[0] = {value}: " in log.text
    assert f"So far, {n} of 12 designs did." in log.text
    assert [record.levelname for record in log.records].count("WARNING") == 1
    assert [e.attempts for e in stored(store)] == [1] * 24, "the design is bad, not the evaluation"


def test_infinite_objectives_are_answered_from_the_store(store):
    first = solve(cases.Failing("inf"), 60, store=store)
    again = solve(cases.Failing("inf"), 120, store=store)
    whole = solve(cases.Failing("inf"), 120)
    assert again.evaluator.n_fresh == 120 - first.evaluator.n_fresh
    np.testing.assert_array_equal(again.pop.get("X"), whole.pop.get("X"))
    np.testing.assert_array_equal(again.pop.get("F"), whole.pop.get("F"))


def test_a_design_that_failed_is_not_tried_again_but_counts():
    problem, evaluator = cases.Failing("raise"), Evaluator(on_error="infeasible")
    for _ in range(2):
        evaluator.eval(problem, Population.new(X=X))
    assert (evaluator.n_eval, evaluator.n_fresh) == (24, 12)
    assert evaluator.n_failed == 2 * BAD.sum()


def test_a_failure_lets_those_in_hand_finish_and_records_them(store):
    class Slow(cases.Failing):
        def _evaluate(self, x, out, *args, **kwargs):
            time.sleep(0.0 if x[0] < 0.3 else 1.0)
            super()._evaluate(x, out)

    good = X[~BAD][:8]
    rows = np.vstack([good[:1], X[BAD][:1], good[1:]])
    with pytest.raises(EvaluationError):
        evaluate(Slow("raise"), rows, n_jobs=2, store=store)
    statuses = [e.status for e in stored(store)]
    assert statuses.count("error") == 1
    assert 1 <= statuses.count("ok") < len(good)  # the one in progress, but not all that wait


@pytest.mark.parametrize("value", ["low", 10**400, datetime.timedelta(1)])
def test_objectives_that_are_no_numbers_are_named(value):
    class Odd(One):
        def _evaluate(self, x, out, *args, **kwargs):
            out["F"] = [x[0], value if x[0] < 0.3 else x[1]]
            out["key"] = 10**400  # any other output is kept

    message = rf'Odd must set out\["F"\] to numbers .* Got .*\({type(value).__name__}\)'
    pop = evaluate(Odd(), X, on_error="infeasible")
    np.testing.assert_array_equal(failed(pop), BAD)
    with pytest.raises(EvaluationError, match=message):
        evaluate(Odd(), X)
    with pytest.raises(ValueError, match=message):
        minimize(Odd(), MOELA(), ("n_eval", 30), seed=1)
