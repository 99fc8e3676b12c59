"""Ctrl-C: the first ends a run of pymoo's minimize after the batch in hand, the second at once."""

import os
import signal
import threading

import numpy as np
import pytest
from evaluation_cases import One, solve, stored
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem

from moela.evaluation.evaluator import Evaluator
from moela.search.moela import MOELA

ALGORITHMS = {"NSGA2": lambda: NSGA2(20), "MOELA": lambda: MOELA(n_subproblems=20)}


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


class Interrupting(ElementwiseProblem):
    """Sends signals during some of its evaluations, and fails in others."""

    def __init__(self, at=(), fails=()):
        super().__init__(n_var=5, n_obj=2, xl=0.0, xu=1.0)
        self._calls, self._at, self._fails = 0, at, fails

    def _evaluate(self, x, out, *args, **kwargs):
        self._calls += 1
        if self._calls in self._at:
            interrupt()
        if self._calls in self._fails:
            raise RuntimeError("the simulator was interrupted")
        out["F"] = [x[0], 1.0 - x[0] + x[1:].sum()]


def finish(problem, n_eval=200, **settings):
    return solve(problem, n_eval, on_interrupt="finish", **settings)


@pytest.fixture(autouse=True)
def handler():
    before = signal.getsignal(signal.SIGINT)
    yield before
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_batch_in_hand_is_finished_and_the_same_call_goes_on(name, store, capsys):
    result = finish(Interrupting(at=[65]), algorithm=ALGORITHMS[name](), store=store)
    n = result.evaluator.n_eval
    assert result.evaluator.interrupted
    assert 65 <= n < 90
    assert len(stored(store)) == n
    assert len(result.F) > 1
    err = capsys.readouterr().err
    assert "press Ctrl-C again to stop at once" in err
    assert f"make the same call again: {store}" in err
    resumed = finish(Interrupting(), algorithm=ALGORITHMS[name](), store=store)
    whole = solve(Interrupting(), 200, algorithm=ALGORITHMS[name]())
    assert not resumed.evaluator.interrupted
    assert resumed.evaluator.n_fresh == 200 - n
    np.testing.assert_array_equal(resumed.F, whole.F)


@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_workers_finish_the_batch(backend, store):
    class Stops(NSGA2):
        def _infill(self):
            timer = threading.Timer(0.0, interrupt)
            if self.n_iter == 3:
                timer.start()
                timer.join()
            return super()._infill()

    result = finish(One(), algorithm=Stops(20), store=store, n_jobs=2, backend=backend)
    assert result.evaluator.n_eval == 40  # the third batch had not begun
    assert len(stored(store)) == 40
    assert len(result.pop) >= 20


def test_loky_workers_outlive_the_signal_that_a_terminal_sends_to_all(script, store):
    process = script(
        """
        import os, signal, sys, threading
        from evaluation_cases import One, solve
        from pymoo.algorithms.moo.nsga2 import NSGA2

        class Stops(NSGA2):
            def _advance(self, **kwargs):
                super()._advance(**kwargs)
                if self.n_iter == 2:
                    # In the middle of a batch, to this process and its workers.
                    threading.Timer(0.15, os.killpg, (0, signal.SIGINT)).start()

        class Slow(One):
            def _evaluate(self, x, out, *args, **kwargs):
                import time
                time.sleep(0.03)
                super()._evaluate(x, out)

        result = solve(Slow(), 400, algorithm=Stops(20), store=sys.argv[1], n_jobs=2,
                       backend="loky", on_interrupt="finish")
        print(result.evaluator.n_eval, len(result.F) > 0, result.evaluator.n_failed)
        """,
        store,
        wait=False,
        start_new_session=True,
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    n, found, failed = out.split()
    assert (int(n) % 20, int(n) < 200, found, failed) == (0, True, "True", "0")


def test_a_second_signal_interrupts_at_once(store):
    with pytest.raises(KeyboardInterrupt, match="make the same call again"):
        finish(Interrupting(at=[25, 30]), store=store)
    assert len(stored(store)) == 29


@pytest.mark.parametrize("on_error", ["raise", "infeasible"])
def test_failures_after_the_signal_are_not_kept(on_error, store):
    problem = Interrupting(at=[30], fails=[30])
    result = finish(problem, store=store, on_error=on_error)
    n = result.evaluator.n_eval
    # With "raise", the rest of the batch does not begin.
    assert n == (29 if on_error == "raise" else 39)
    assert result.evaluator.n_failed == 0
    assert {row.status for row in stored(store)} == {"ok"}
    resumed = solve(Interrupting(), 200, store=store, on_error=on_error)
    np.testing.assert_array_equal(resumed.F, solve(Interrupting(), 200).F)


def test_without_the_setting_the_signal_raises():
    with pytest.raises(KeyboardInterrupt):
        solve(Interrupting(at=[30]), 200)


def test_a_signal_while_nothing_runs_is_left_to_the_handler_before():
    evaluator = Evaluator(on_interrupt="finish")
    algorithm = NSGA2(20)
    algorithm.setup(One(), termination=("n_eval", 200), seed=1, evaluator=evaluator)
    algorithm.next()  # and no further
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert not evaluator.interrupted
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    algorithm.next()
    assert evaluator.n_eval == 40
    evaluator.close()


def test_ask_and_tell_ends_too():
    algorithm, problem = NSGA2(20), Interrupting(at=[50])
    evaluator = Evaluator(on_interrupt="finish")
    algorithm.setup(problem, termination=("n_eval", 200), seed=1, evaluator=evaluator)
    while algorithm.has_next():
        infills = algorithm.ask()
        evaluator.eval(problem, infills, algorithm=algorithm)
        algorithm.tell(infills=infills)
    assert evaluator.n_eval == 60


def test_a_run_in_another_thread_leaves_signals_alone():
    results = []
    thread = threading.Thread(target=lambda: results.append(finish(One(), 60)))
    thread.start()
    thread.join()
    assert results[0].evaluator.n_eval == 60
