"""An Evaluator in several threads: refused at once or in turns, allowed one after the other."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from evaluation_cases import One, designs, solve, stored, zdt
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.optimize import minimize

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.runners.outcome import EvaluationError


def in_thread(function, *arguments):
    """Run a function in a new thread; return its result, or raise its error."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result(timeout=60)


def set_up(evaluator, n_eval=100, seed=1):
    algorithm = NSGA2(pop_size=20)
    algorithm.setup(One(), termination=("n_eval", n_eval), seed=seed, evaluator=evaluator)
    return algorithm


class Gated(One):
    """Begins an evaluation and waits until it may end."""

    def __init__(self):
        super().__init__()
        self._begun, self._go = threading.Event(), threading.Event()

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        self._begun.set()
        assert self._go.wait(60)

    def wait(self):
        assert self._begun.wait(60)

    def go_on(self):
        self._go.set()


@pytest.mark.parametrize("settings", [{}, {"n_jobs": 2, "backend": "threads"}], ids=str)
def test_a_second_thread_is_refused_and_the_first_goes_on(settings):
    problem, X = Gated(), designs(6)
    with Evaluator(**settings) as evaluator, ThreadPoolExecutor(1) as pool:
        first = pool.submit(evaluator.eval, problem, Population.new(X=X))
        problem.wait()
        try:
            with pytest.raises(RuntimeError, match="Make one Evaluator for each run; several may"):
                evaluator.eval(One(), Population.new(X=designs(3, seed=1)))
            with pytest.raises(RuntimeError, match="cannot be closed while it is evaluating"):
                evaluator.close()
        finally:
            problem.go_on()
        np.testing.assert_array_equal(first.result(60).get("F"), zdt(X))
        assert (evaluator.n_eval, evaluator.n_fresh) == (6, 6)
        # It works again once the first has ended.
        evaluator.eval(One(), Population.new(X=designs(3, seed=1)))


def test_two_runs_in_two_threads_in_turns_are_refused(store):
    with Evaluator(store=store) as evaluator:
        first, second = set_up(evaluator), set_up(evaluator, seed=2)
        first.next()
        for _ in range(2):  # the refusal changes nothing
            with pytest.raises(RuntimeError, match="serves a run that has not ended"):
                in_thread(second.next)
        while first.has_next():
            first.next()
    np.testing.assert_array_equal(first.result().F, solve(One()).F)
    assert evaluator.n_eval == 100
    assert len(stored(store)) == 100


def test_many_threads_at_once_never_mix_runs_or_exceed_the_budget(tmp_path):
    evaluator = Evaluator(store=tmp_path / "run.db")
    gate = threading.Barrier(4)

    def work(seed):
        gate.wait(60)
        try:
            result = minimize(
                One(seconds=0.001), NSGA2(20), ("n_eval", 60), seed=seed, evaluator=evaluator
            )
        except RuntimeError as error:
            assert "Make one Evaluator for each run" in str(error)  # noqa: PT017
            return None
        return seed, result.F

    with ThreadPoolExecutor(4) as pool:
        results = [r for r in pool.map(work, range(4), timeout=60) if r is not None]
    assert results
    for seed, F in results:
        np.testing.assert_array_equal(F, solve(One(), 60, seed=seed).F)
    assert len(stored(tmp_path / "run.db")) == 60 * len(results)


def test_one_algorithm_may_be_stepped_from_several_threads_in_turn():
    expected = solve(One()).F
    with Evaluator() as evaluator:
        algorithm = set_up(evaluator)
        while algorithm.has_next():
            in_thread(algorithm.next)
    np.testing.assert_array_equal(algorithm.result().F, expected)


def test_an_evaluator_may_serve_a_run_in_each_of_several_threads_one_after_the_other():
    with Evaluator() as evaluator:
        for seed in range(3):
            F = in_thread(
                lambda seed=seed: (
                    minimize(One(), NSGA2(20), ("n_eval", 60), seed=seed, evaluator=evaluator).F
                )
            )
            np.testing.assert_array_equal(F, solve(One(), 60, seed=seed).F)
            assert evaluator.n_eval == 60


def test_a_run_that_was_given_up_can_be_closed_for_another_thread():
    evaluator = Evaluator()
    first = set_up(evaluator)
    first.next()
    second = set_up(evaluator, seed=2)
    with pytest.raises(RuntimeError, match=r"call close\(\) first"):
        in_thread(second.next)
    evaluator.close()
    in_thread(second.next)
    assert evaluator.n_eval == 20


class Reentrant(One):
    """Evaluates with the evaluator that evaluates it."""

    evaluator = None

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        Reentrant.evaluator.eval(One(), Population.new(X=designs(1)))


@pytest.mark.parametrize("settings", [{}, {"n_jobs": 2, "backend": "threads"}], ids=str)
def test_an_evaluation_that_calls_its_own_evaluator_is_refused(settings):
    Reentrant.evaluator = evaluator = Evaluator(**settings)
    start = time.monotonic()
    with pytest.raises(EvaluationError, match=r"RuntimeError: (An evaluation|This Evaluator)"):
        evaluator.eval(Reentrant(), Population.new(X=designs(3)))
    assert time.monotonic() - start < 30  # it does not wait for itself
    Reentrant.evaluator = None
    # The refusal ended the run, and another one can begin.
    assert evaluator.eval(One(), Population.new(X=designs(3))).get("F").shape == (3, 2)
    evaluator.close()
