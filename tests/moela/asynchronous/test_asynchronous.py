"""Runs that ask for a design as soon as a worker is free."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
from arrival_cases import SETTINGS, uneven
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2

import moela
from moela.asynchronous.streams import make_stream
from moela.evaluation.runners.cluster import DaskRunner
from moela.evaluation.runners.outcome import OK, Outcome


def failing(d):
    if d["x1"] > 0.8:
        raise ValueError("too much")
    return uneven(d)


def designs(result):
    return result.population.get("X")


@pytest.mark.parametrize("algorithm", [None, "nsga2"])
def test_a_run_repeats_its_order_of_arrival(tmp_path, algorithm):
    settings = {**SETTINGS, "store": tmp_path / "run.db", "algorithm": algorithm}
    first = moela.minimize(uneven, n_eval=110, **settings)
    again = moela.minimize(uneven, n_eval=110, **settings)
    assert again.algorithm.evaluator.n_fresh == 0
    np.testing.assert_array_equal(designs(first), designs(again))
    np.testing.assert_array_equal(first.front.F, again.front.F)
    longer = moela.minimize(uneven, n_eval=140, **settings)
    assert longer.algorithm.evaluator.n_fresh == 30
    np.testing.assert_array_equal(designs(longer)[:80], designs(first)[:80])


def test_another_number_of_workers_evaluates_nothing_twice(tmp_path):
    settings = {**SETTINGS, "store": tmp_path / "run.db"}
    moela.minimize(uneven, n_eval=100, **settings)
    again = moela.minimize(uneven, n_eval=100, **{**settings, "n_jobs": 2})
    assert again.algorithm.evaluator.n_fresh == 0


SCRIPT = """
import sys, time, moela
sys.path.insert(0, {folder!r})
from arrival_cases import SETTINGS, uneven
print("begins", flush=True)
moela.minimize(uneven, n_eval=10_000, **{{**SETTINGS, "store": {store!r}}})
"""


def test_a_killed_run_continues_with_what_it_had(tmp_path):
    store = str(tmp_path / "run.db")
    script = SCRIPT.format(folder=os.path.dirname(__file__), store=store)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    process.stdout.readline()
    while not os.path.exists(store) or n_stored(store) < 120:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    process.stdout.close()
    n = n_stored(store)
    result = moela.minimize(uneven, n_eval=n + 20, **{**SETTINGS, "store": store})
    assert result.n_eval == n + 20
    assert result.algorithm.evaluator.n_fresh == 20


def n_stored(store):
    try:
        return len(list(moela.EvaluationStore(store).evaluations()))
    except moela.StoreError:
        return 0


def test_no_worker_waits():
    calls, lock = itertools.count(), threading.Lock()
    more, four = threading.Event(), threading.Barrier(4)

    def count(d):
        with lock:
            n = next(calls)
        if 20 <= n < 23:  # three workers are held up until the fourth has evaluated a batch alone
            assert more.wait(60)
        elif n == 42:
            more.set()
        elif n > 42:  # all four work at a time
            four.wait(60)
        return {"a": d["x0"], "b": 1 - d["x0"] + d["x1"]}

    result = moela.minimize(count, n_eval=63, algorithm=NSGA2(pop_size=20), **SETTINGS)
    assert result.n_eval == next(calls) == 63


@pytest.mark.parametrize("algorithm", [None, "nsga2"])
def test_slow_initial_designs_hold_nobody_up(algorithm):
    calls, lock = itertools.count(), threading.Lock()
    more = threading.Event()

    def count(d):
        with lock:
            n = next(calls)
        if n in (3, 4):  # initial designs, which end only after many others
            assert more.wait(60)
        elif n == 70:
            more.set()
        return {"a": d["x0"], "b": 1 - d["x0"] + d["x1"]}

    result = moela.minimize(count, n_eval=90, algorithm=algorithm, **SETTINGS)
    assert result.n_eval == next(calls) == 90


def test_ctrl_c_keeps_what_was_in_progress():
    calls = []

    def function(d):
        calls.append(d)
        if len(calls) == 70:
            os.kill(os.getpid(), signal.SIGINT)
        return uneven(d)

    result = moela.minimize(function, n_eval=500, **SETTINGS)
    assert result.interrupted
    # At most the designs of the four workers follow the one that sent the signal, which may be seen
    # half a second later.
    assert 70 <= result.n_eval == len(calls) < 500


def test_failures_are_left_out_or_raise(tmp_path):
    settings = {**SETTINGS, "store": tmp_path / "run.db"}
    result = moela.minimize(failing, n_eval=100, on_error="infeasible", **settings)
    assert result.n_eval == 100
    assert 0 < result.algorithm.evaluator.n_failed < 100
    again = moela.minimize(failing, n_eval=100, on_error="infeasible", **settings)
    np.testing.assert_array_equal(designs(again), designs(result))
    with pytest.raises(moela.EvaluationError, match="too much"):
        moela.minimize(failing, n_eval=100, **SETTINGS)


def test_a_timeout_ends_one_evaluation_only(tmp_path):
    def slow(d):
        if d["x1"] > 0.7 and len(os.listdir(tmp_path)) < 2:
            (tmp_path / str(d["x1"])).touch()
            time.sleep(1000)
        return {"a": d["x0"], "b": 1 - d["x0"] + d["x1"]}

    # Two seconds, since an evaluation on a busy machine may be slow, too.
    settings = {**SETTINGS, "backend": "processes", "n_jobs": 2, "timeout": 2.0}
    result = moela.minimize(slow, n_eval=30, on_error="infeasible", **settings)
    hung = {path.name for path in tmp_path.iterdir()}  # both workers may begin the second
    assert 2 <= len(hung) <= 3
    assert {f["status"] for f in result.failures} == {"timeout"}
    assert {str(f["design"]["x1"]) for f in result.failures} == hung
    assert not hung & {str(found.design["x1"]) for found in result.front}
    assert result.n_eval == 30


def test_time_limit_and_callback_end_a_run():
    result = moela.minimize(uneven, time_limit=0.3, **SETTINGS)
    assert result.ending.startswith("time is over")
    result = moela.minimize(uneven, n_eval=500, callback=lambda r: r.n_eval >= 60, **SETTINGS)
    assert result.ending.startswith("stopped by the callback")
    assert 60 <= result.n_eval < 70


def test_repeated_designs_are_answered_from_memory():
    calls = []

    def few(d):
        calls.append(d["n"])
        return {"a": d["n"], "b": 10 - d["n"]}

    settings = {**SETTINGS, "variables": {"n": (0, 9)}, "algorithm": "nsga2", "n_jobs": 1}
    result = moela.minimize(few, n_eval=40, **settings)
    assert len(calls) == len(set(calls)) <= 10
    assert result.n_eval <= 40


def test_algorithms_that_need_all_answers_are_refused():
    from pymoo.util.ref_dirs import get_reference_directions

    directions = get_reference_directions("das-dennis", 2, n_partitions=9)
    with pytest.raises(ValueError, match=r"any order.*Got MOEAD"):
        moela.minimize(uneven, n_eval=20, algorithm=MOEAD(directions), **SETTINGS)
    with pytest.raises(ValueError, match="whole batches"):
        moela.minimize(uneven, n_eval=20, **{**SETTINGS, "backend": "multiprocessing"})


def test_one_objective_needs_no_algorithm():
    result = moela.minimize(
        lambda d: (d["x"] - 0.5) ** 2,
        variables={"x": (0.0, 1.0)},
        objectives="f",
        n_eval=40,
        asynchronous=True,
        verbose=False,
        progress=False,
    )
    assert type(result.algorithm).__name__ == "GA"
    assert result.n_eval == 40


def test_a_genetic_algorithm_keeps_its_population_size():
    result = moela.minimize(uneven, n_eval=80, algorithm=NSGA2(pop_size=20), **SETTINGS)
    assert len(result.algorithm.pop) == 20


@pytest.mark.filterwarnings("default")  # neither package is free of its own
class OneWorker(DaskRunner):
    """A cluster of one worker with several threads, which dies as it ends a design below 0.

    All tasks of the worker end with it. `together` are the designs in hand at each of its deaths.
    """

    def __init__(self):
        self.together, self._running = [], {}

    def n_workers(self):
        return 3

    def submit(self, job, X, names):
        future = Future()
        self._running[future] = float(X[0, 0])
        return future

    def ended(self, futures, seconds):
        assert set(futures) == set(self._running)
        if not self._running:
            return set()
        first = next((f for f, x in self._running.items() if x < 0), next(iter(self._running)))
        if self._running[first] >= 0:
            first.set_result([Outcome(OK, {"F": np.array([self._running.pop(first)])})])
            return {first}
        died, self._running = self._running, {}
        self.together.append(sorted(died.values()))
        for future in died:
            future.set_result(1)
        return set(died)

    def outcomes(self, future):
        return future.result()


def test_a_design_is_tried_alone_before_it_counts_as_crashed():
    runner = OneWorker()
    stream, todo, arrived = make_stream(runner, None), [5.0, -1.0, 6.0, 7.0, -2.0, 8.0, 9.0], {}
    waiting = dict(enumerate(todo))
    for _ in range(100):
        while waiting and len(todo) - len(waiting) - len(arrived) < stream.n_workers:
            number = next(iter(waiting))
            stream.submit(number, np.array([[waiting.pop(number)]]), ["x"])
        arrived |= dict(stream.wait(0.0))
    assert [arrived[i].status for i in range(7)] == [
        "ok", "crashed", "ok", "ok", "crashed", "ok", "ok"
    ]  # fmt: skip
    assert runner.together.count([-1.0]) == runner.together.count([-2.0]) == 1
    assert len(runner.together) == 4


def test_loky_and_dask_evaluate_single_designs():
    distributed = pytest.importorskip("distributed")
    settings = {**SETTINGS, "algorithm": NSGA2(pop_size=10), "n_jobs": 2}
    result = moela.minimize(uneven, n_eval=20, **{**settings, "backend": "loky"})
    assert result.n_eval == 20
    options = {"processes": False, "dashboard_address": ":0", "n_workers": 1}
    with distributed.Client(threads_per_worker=2, **options):
        result = moela.minimize(uneven, n_eval=20, **{**settings, "backend": "dask"})
    assert result.n_eval == 20
