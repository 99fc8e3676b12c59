"""An Evaluator in several threads: refused at once or in turns, allowed one after the other."""

import copy
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from evaluation_cases import One, designs, evaluate, solve, stored, zdt
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


def test_ask_and_tell_may_use_a_pool_of_threads():
    with Evaluator() as evaluator:
        algorithm = set_up(evaluator)
        while algorithm.has_next():
            infills = algorithm.ask()
            in_thread(evaluator.eval, algorithm.problem, infills)
            algorithm.tell(infills=infills)
    assert evaluator.n_eval >= 100


class Searching(NSGA2):
    """Runs another algorithm with the same evaluator before each of its steps."""

    def _infill(self):
        inner = NSGA2(pop_size=4)
        inner.setup(self.problem, termination=("n_eval", 4), seed=5, evaluator=self.evaluator)
        inner.next()
        return super()._infill()


def test_a_local_search_inside_an_algorithm_may_run_in_any_of_its_threads():
    counts = []
    for step in (lambda function: function(), in_thread):
        with Evaluator() as evaluator:
            algorithm = Searching(pop_size=20)
            algorithm.setup(One(), termination=("n_gen", 4), seed=1, evaluator=evaluator)
            while algorithm.has_next():
                step(algorithm.next)
        counts.append((evaluator.n_eval, evaluator.n_fresh, algorithm.result().F.tobytes()))
    assert counts[0] == counts[1]


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


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_may_be_used_at_the_same_time(duplicate, tmp_path):
    original = Evaluator(store=tmp_path / "run.db")
    original.eval(One(), Population.new(X=designs(4)))
    problem = Gated()
    with ThreadPoolExecutor(1) as pool, original, duplicate(original) as twin:
        first = pool.submit(Evaluator().eval, problem, Population.new(X=designs(2)))
        problem.wait()
        busy = copy.deepcopy(original)
        problem.go_on()
        first.result(60)
        assert twin.eval(One(), Population.new(X=designs(4))).get("F").shape == (4, 2)
        assert busy.eval(One(), Population.new(X=designs(4))).get("F").shape == (4, 2)
    assert twin.n_fresh == 4  # nothing was computed again
    busy.close()


def test_a_copy_of_an_evaluator_that_is_evaluating_is_free():
    problem, evaluator = Gated(), Evaluator()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(evaluator.eval, problem, Population.new(X=designs(2)))
        problem.wait()
        twin = copy.deepcopy(evaluator)
        twin.eval(One(), Population.new(X=designs(3)))
        problem.go_on()
        first.result(60)
    assert (evaluator.n_eval, twin.n_eval) == (2, 3)


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


def test_an_evaluation_may_use_another_evaluator():
    class Nested(One):
        def _evaluate(self, x, out, *args, **kwargs):
            super()._evaluate(x, out)
            out["inner"] = evaluate(One(), designs(2)).get("F").sum()

    assert len(set(evaluate(Nested(), designs(3)).get("inner"))) == 1


def test_a_callback_may_evaluate():
    def more(pop):
        if len(pop) > 1:
            evaluator.eval(One(), Population.new(X=designs(1, seed=9)))

    evaluator = Evaluator(callback=more)
    evaluator.eval(One(), Population.new(X=designs(3)))
    assert evaluator.n_eval == 4


def test_a_forked_process_may_use_the_evaluator_that_it_inherited(script):
    out = script("""
        import os, threading, warnings
        from pymoo.core.population import Population
        from evaluation_cases import One, designs
        from moela.evaluation.evaluator import Evaluator

        begun, go = threading.Event(), threading.Event()

        class Gated(One):
            def _evaluate(self, x, out, *args, **kwargs):
                super()._evaluate(x, out)
                begun.set()
                go.wait()

        evaluator = Evaluator()
        pop = Population.new(X=designs(1))
        thread = threading.Thread(target=evaluator.eval, args=(Gated(), pop))
        thread.start()
        begun.wait()
        warnings.simplefilter("ignore")
        child = os.fork()
        if child == 0:
            evaluator.eval(One(), Population.new(X=designs(3)))
            evaluator.close()
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        go.set()
        thread.join()
    """)
    assert out.split() == ["7"]
