"""`moela.minimize` and Ctrl-C: the first ends it after the batch in hand, the second at once."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from function_cases import objectives_of, run, sink

import moela
from moela import EvaluationStore


def interrupting(at, times=1):
    calls = []

    def interrupt(d):
        calls.append(1)
        if len(calls) in range(at, at + times):
            os.kill(os.getpid(), signal.SIGINT)
        return sink(d)

    return interrupt


def test_an_interrupt_ends_after_the_batch_in_hand(tmp_path, capsys):
    before = signal.getsignal(signal.SIGINT)
    store = tmp_path / "run.db"
    result = run(interrupting(60), n_eval=300, store=store)
    assert signal.getsignal(signal.SIGINT) is before
    assert 60 <= result.n_eval < 100
    assert result.status.startswith(f"stopped by Ctrl-C after {result.n_eval} of 300 evaluations")
    assert f"make the same call again: {store}" in result.status
    assert "press Ctrl-C again to stop at once" in capsys.readouterr().err
    assert len(result.front) > 5


def test_a_second_interrupt_ends_at_once(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    store = tmp_path / "run.db"
    with pytest.raises(KeyboardInterrupt, match="make the same call again"):
        run(interrupting(20, times=2), n_eval=300, store=store)
    assert signal.getsignal(signal.SIGINT) is before
    with EvaluationStore(store) as reader:
        assert len(list(reader.evaluations())) == 20


def test_an_interrupt_that_makes_the_function_fail():
    def fragile(d):
        if len(calls) == 55:
            os.kill(os.getpid(), signal.SIGINT)
            raise RuntimeError("the simulator was interrupted")
        calls.append(1)
        return sink(d)

    calls = []
    result = run(fragile, n_eval=300)
    assert result.status.startswith("stopped by Ctrl-C after 55 of 300")
    assert "known=result" in result.status


def test_other_threads_leave_signals_alone():
    results = []
    thread = threading.Thread(target=lambda: results.append(run(n_eval=20)))
    thread.start()
    thread.join()
    assert results[0].n_eval == 20


def test_failures_after_an_interrupt_are_not_recorded(tmp_path):
    def fragile(d):
        calls.append(1)
        if len(calls) == 57:
            os.kill(os.getpid(), signal.SIGINT)
            raise RuntimeError("the simulator was interrupted")
        return sink(d)

    calls = []
    store = tmp_path / "run.db"
    result = run(fragile, n_eval=100, store=store, on_error="infeasible")
    assert result.failures == []
    with EvaluationStore(store) as reader:
        assert {evaluation.status for evaluation in reader.evaluations()} == {"ok"}


def stopping(at, times=1):
    """Return a callback that stops a run by Ctrl-C once it has so many evaluations."""
    sent = []

    def stop(result):
        if result.n_eval >= at and not sent:
            sent.append(1)
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    return stop


def fragile(d):
    """A heat sink that fails if it is high."""
    if d["height"] > 0.05:
        raise RuntimeError("too high")
    return sink(d)


@pytest.mark.parametrize("settings", [{}, {"noisy": True}, {"asynchronous": True}], ids=str)
def test_an_interrupt_while_a_store_is_read_back_loses_nothing(tmp_path, settings):
    def call(**more):
        return run(fragile, n_eval=110, on_error="infeasible", **settings, **more)

    store = tmp_path / "run.db"
    first = call(store=store, callback=lambda result: result.n_eval >= 60)
    held = first.n_eval
    with EvaluationStore(store) as reader:
        before = list(reader.evaluations())
    # The call is interrupted while it gets back what the store holds.
    again = call(store=store, callback=stopping(at=20))
    assert again.status.startswith(f"stopped by Ctrl-C after {held} of 110 evaluations")
    assert again.to_frame(all=True).equals(first.to_frame(all=True))
    assert objectives_of(again) == objectives_of(first)
    with pytest.raises(KeyboardInterrupt, match="make the same call again"):
        call(store=store, callback=stopping(at=20, times=2))
    with EvaluationStore(store) as reader:
        assert [e.F.tolist() if e.F is not None else None for e in reader.evaluations()] == [
            e.F.tolist() if e.F is not None else None for e in before
        ]
    if "asynchronous" not in settings:  # an order of arrival cannot be asked for
        assert objectives_of(call(store=store)) == objectives_of(call())


def test_no_more_is_read_back_than_the_call_may_evaluate(tmp_path):
    store = tmp_path / "run.db"
    run(store=store, n_eval=90)
    result = run(store=store, n_eval=70, callback=stopping(at=20))
    assert result.status.startswith("stopped by Ctrl-C after 70 of 70 evaluations")
    assert result.n_eval == 70


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("objectives", [["a", "b"], ["a"]])
def test_a_time_limit_ends_a_run_within_a_batch(n_jobs, objectives, tmp_path):
    def slow(d):
        time.sleep(0.05)
        return {"a": d["x"], "b": 1 - d["x"]}

    settings = {"variables": {"x": (0.0, 1.0)}, "objectives": objectives, "n_jobs": n_jobs}
    settings |= {"store": tmp_path / "run.db", "verbose": False, "progress": False}
    result = moela.minimize(slow, **settings, time_limit=0.3)
    assert 1 <= result.n_eval <= 6 * n_jobs + n_jobs
    assert result.status.startswith("time is over after ")
    assert len(result.front) > 0
    stored = moela.MinimizeResult.from_store(tmp_path / "run.db")
    assert stored.population.get("X").tolist() == result.population.get("X").tolist()
    # On a busy machine, the last evaluation may have been stored with some time left.
    again = moela.minimize(slow, **settings, time_limit=0.3)
    assert (
        again.population.get("X").tolist()[: result.n_eval] == result.population.get("X").tolist()
    )
    assert again.n_eval <= result.n_eval + n_jobs
    more = moela.minimize(slow, **settings, n_eval=30)
    whole = moela.minimize(slow, **(settings | {"store": None}), n_eval=30)
    assert more.population.get("X").tolist() == whole.population.get("X").tolist()
    assert more.n_eval == 30
    assert [run.n_fresh for run in moela.EvaluationStore(tmp_path / "run.db").runs()] == [30]
