"""Evaluations that fork, exec, close pipes or answer twice: the worst kinds, on a few designs.

``python -m tests.benchmarks.survival misbehaving`` tries all kinds on all backends.
"""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from evaluation_cases import Mixed, One, designs, evaluate, stored, wait_for, worker_pids, zdt
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.runners.outcome import failed
from tests.benchmarks.survival.misbehaving import check_case

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and process groups are of POSIX")

# With 10 designs, one misbehaves.
CASES = [
    ("child returns another result", "serial", False),
    ("child returns another result", "processes", True),
    ("child raises", "threads", False),
    ("child calls sys.exit", "loky", False),
    ("child holds the pipe and the worker dies", "processes", False),
    ("os.exec of a program that ends", "processes", False),
    ("file at the number of a closed pipe", "processes", False),
    ("text in the pipe", "processes", False),
    ("the right answer twice", "processes", False),
    ("threads that change the arrays later", "threads", False),
]


@pytest.mark.parametrize(("how", "backend", "vectorized"), CASES)
def test_a_misbehaving_evaluation_changes_no_other_row(how, backend, vectorized):
    wrong, text = check_case(how, backend, vectorized, 10, seed=1)
    assert wrong == 0, text


class Forking(One):
    """Forks; the child ends in one of three ways, and the parent returns its status."""

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        child = os.fork()
        if child == 0:
            if x[0] == 0.0:
                return
            if x[0] == 0.5:
                sys.exit(7)
            raise ZeroDivisionError("raised by the child")
        out["code"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_ends_with_the_status_that_its_parent_expects(capfd):
    X = designs(3)
    X[:, 0] = 0.0, 0.5, 1.0
    pop = evaluate(Forking(), X, n_jobs=1, backend="processes")
    assert list(pop.get("code")) == [0, 7, 1]
    np.testing.assert_array_equal(pop.get("F"), zdt(X))
    assert capfd.readouterr().err.count("ZeroDivisionError: raised by the child") == 1


def test_a_child_does_not_go_on_when_a_run_is_resumed_or_a_design_is_retried(script, store):
    text = """
        import os, sys
        from evaluation_cases import One, solve

        class Forking(One):
            def _evaluate(self, x, out, *args, **kwargs):
                first, self._first = getattr(self, "_first", True), False
                if os.fork() == 0:
                    os.write(1, b"a child\\n")  # at once, beside other processes
                    out["F"] = [0.0, 0.0]
                    return
                super()._evaluate(x, out)
                if first:
                    raise OSError("the first try fails")

        result = solve(Forking(), 20, store=sys.argv[1], retries=1)
        print("end", result.evaluator.n_fresh)
    """
    first = script(text, store).split("\n")
    again = script(text, store).split("\n")
    assert sorted(first) == ["", *["a child"] * 21, "end 20"]  # the first design is tried twice
    assert sorted(again) == ["", *["a child"] * 2, "end 0"]  # only the recheck, tried twice
    assert len(stored(store)) == 20
    assert all(np.all(e.F == zdt(e.X)) for e in stored(store))


class Sharing(One):
    """Sets the same array for every design."""

    def __init__(self):
        super().__init__()
        self._array = np.zeros(2)

    def _evaluate(self, x, out, *args, **kwargs):
        self._array[:] = zdt(x)
        out["F"] = self._array
        out["log"] = {"F": self._array}


@pytest.mark.parametrize("chunk_size", [1, 4])
def test_outputs_are_copied_before_the_next_evaluation(chunk_size):
    X = designs(12)
    pop = evaluate(Sharing(), X, chunk_size=chunk_size)
    np.testing.assert_array_equal(pop.get("F"), zdt(X))
    np.testing.assert_array_equal([log["F"] for log in pop.get("log")], zdt(X))


class SharingAll(Problem):
    """Overrides ``evaluate``, and returns the same array each time."""

    def __init__(self):
        super().__init__(n_var=6, n_obj=2, xl=0.0, xu=1.0)
        self._array = np.zeros((4, 2))

    def evaluate(self, X, *args, return_values_of=None, **kwargs):
        self._array[:] = zdt(X)
        return {"F": self._array}


def test_outputs_of_an_overridden_evaluate_are_copied_too():
    X = designs(12)
    pop = evaluate(SharingAll(), X, chunk_size=4)
    np.testing.assert_array_equal(pop.get("F"), zdt(X))


class Greedy(One):
    """Changes its design in place; raises at the first try."""

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        x[:] = 0.5
        tried, self._tried = getattr(self, "_tried", False), True
        if not tried:
            raise OSError("the first try fails")


@pytest.mark.parametrize("settings", [{}, {"n_jobs": 2}, {"n_jobs": 2, "backend": "threads"}])
def test_a_design_that_is_changed_in_place_stays_as_it_was(settings, store):
    X = designs(6)
    pop = evaluate(Greedy(), X, retries=1, store=store, **settings)
    np.testing.assert_array_equal(pop.get("X"), X)
    np.testing.assert_array_equal(pop.get("F"), zdt(X))
    assert {e.X.tobytes() for e in stored(store)} == {x.tobytes() for x in X}


def test_a_dictionary_that_is_changed_in_place_stays_as_it_was(store):
    class GreedyMixed(Mixed):
        def _evaluate(self, X, out, *args, **kwargs):
            super()._evaluate(X, out)
            X["real"] = 0.0

    X = np.array([{"real": 0.25, "whole": n, "flag": True, "kind": "mesh"} for n in range(3)])
    pop = evaluate(GreedyMixed(), X, store=store)
    assert [x["real"] for x in pop.get("X")] == [0.25] * 3
    assert [e.X["real"] for e in stored(store)] == [0.25] * 3


class Ending(One):
    """Raises what is no ordinary exception."""

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        if x[0] < 0.5:
            raise GeneratorExit


def test_a_generator_exit_is_an_error_of_the_design():
    X = designs(8)
    pop = evaluate(Ending(), X, on_error="infeasible")
    np.testing.assert_array_equal(failed(pop), X[:, 0] < 0.5)


class Lingering(One):
    """Leaves a thread behind that would keep its process alive."""

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        threading.Thread(target=time.sleep, args=(60,)).start()
        if x[0] < 0.3:
            os.closerange(3, 100)  # without its pipes, the worker ends


def test_a_thread_that_was_left_behind_does_not_delay_the_end_of_a_worker():
    X = designs(6, seed=3)
    assert np.any(X[:, 0] < 0.3)
    start = time.monotonic()
    pop = evaluate(Lingering(), X, n_jobs=2, on_error="infeasible")
    assert time.monotonic() - start < 30  # the threads sleep for 60 seconds
    assert set(pop[X[:, 0] < 0.3].get("status")) == {"crashed"}
    assert not failed(pop[X[:, 0] >= 0.3]).any()


class Sleeping(One):
    def _evaluate(self, x, out, *args, **kwargs):
        time.sleep(60)


@pytest.mark.parametrize("seconds", [0.0, 1.0])  # the second outlasts the wait for an answer
def test_closing_an_evaluator_in_a_signal_handler_ends_the_evaluation(seconds):
    evaluator = Evaluator(n_jobs=2)

    def close(*_):
        time.sleep(seconds)
        evaluator.close()

    def send():
        wait_for(lambda: len(worker_pids()) == 2)
        os.kill(os.getpid(), signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, close)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="was closed during an evaluation"):
            evaluator.eval(Sleeping(), Population.new(X=designs(2)))
    finally:
        thread.join()
        signal.signal(signal.SIGALRM, before)
    assert not worker_pids()
