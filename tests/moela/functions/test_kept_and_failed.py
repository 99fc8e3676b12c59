"""`moela.minimize` with stores, failures, time limits of a call, retries and workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas
import pytest
from function_cases import LINE, QUIET, SINK, line, objectives_of, run, sink

import moela
from moela import EvaluationError, EvaluationStore, StoreMismatchError
from moela.cli import main
from moela.watch.follow import Follower

ROOT = Path(__file__).parents[3]


def test_a_store_resumes(tmp_path):
    log = tmp_path / "calls"

    def counted(d):
        with log.open("a") as file:
            file.write(".")
        return sink(d)

    whole = run(counted, n_eval=80)
    store = tmp_path / "run.db"
    run(counted, n_eval=40, store=store)
    log.unlink()
    assert objectives_of(run(counted, n_eval=80, store=store)) == objectives_of(whole)
    # Evaluations of the rest, and one to check that the function still gives the same.
    assert log.stat().st_size <= 41
    with EvaluationStore(store) as reader:
        first = next(reader.evaluations())
    assert set(first.extra) == {"out.noise", "out.area"}
    resumed = run(counted, n_eval=80, store=store)
    assert resumed.front[0].others.keys() == {"noise", "area"}


def test_a_store_of_another_run_says_what_differs(tmp_path):
    store = tmp_path / "run.db"
    run(store=store)
    with pytest.raises(StoreMismatchError) as caught:
        run(store=store, version="2", variables=SINK["variables"] | {"fins": (5, 20)})
    message = str(caught.value)
    assert "problem.version: None -> '2'" in message
    assert "fins" in message
    assert "store=" in message
    assert "Evaluator" not in message


def test_another_seed_uses_what_a_store_holds(tmp_path):
    log = tmp_path / "calls"

    def counted(d):
        with log.open("a") as file:
            file.write(".")
        return d["i"], -d["i"]

    settings = {"variables": {"i": (1, 30)}, "objectives": ["a", "b"], **QUIET}
    for seed, algorithm in ((1, None), (2, None), (2, "nsga2")):
        moela.minimize(
            counted,
            **settings,
            store=tmp_path / "run.db",
            n_eval=60,
            seed=seed,
            algorithm=algorithm,
        )
    assert log.stat().st_size <= 30 + 3
    with EvaluationStore(tmp_path / "run.db") as reader:
        assert [run.seed for run in reader.runs()] == [1, 2, 2]


@pytest.mark.few_evaluations
def test_a_run_of_a_small_budget_continues_with_a_larger_one(tmp_path, caplog):
    settings = {**LINE, **QUIET, "store": tmp_path / "run.db"}
    first = moela.minimize(line, **settings, n_eval=20)
    assert objectives_of(first) == objectives_of(moela.minimize(line, **LINE, **QUIET, n_eval=20))
    moela.minimize(line, **settings, n_eval=110)
    with EvaluationStore(tmp_path / "run.db") as reader:
        ((n_eval, n_fresh),) = [(run.n_eval, run.n_fresh) for run in reader.runs()]
    assert (n_eval, n_fresh) == (110, 110)
    assert "a new run begins" not in caplog.text


@pytest.mark.parametrize(
    "changes", [{"seed": 2}, {"algorithm": "de"}, {"algorithm": "ga"}, {"noisy": True}], ids=str
)
def test_a_new_run_in_a_store_of_the_function_says_what_differs(tmp_path, caplog, changes):
    settings = {"variables": {"x": (0.0, 1.0)}, "objectives": ["a"], **QUIET, "n_eval": 20}
    settings |= {"store": tmp_path / "run.db", "algorithm": "nsga2"}
    moela.minimize(line, **settings)
    assert "a new run begins" not in caplog.text
    moela.minimize(line, **(settings | changes))
    (told,) = [r.getMessage() for r in caplog.records if "a new run begins" in r.getMessage()]
    assert "run 1, differs (stored -> now): " in told
    expected = {"seed": "seed: '1' -> '2'", "algorithm": "algorithm.class: ", "noisy": "dedupe"}
    assert expected[next(iter(changes))] in told


@pytest.mark.parametrize("algorithm", ["moela", "nsga2"])
def test_other_designs_to_start_from_begin_a_new_run(tmp_path, caplog, algorithm):
    store, start = tmp_path / "run.db", {"height": 0.02, "fins": 9, "shape": "pin", "fan": True}
    settings = {"store": store, "algorithm": algorithm, "n_eval": 40}
    first = run(**settings, start=start)
    assert caplog.text == ""
    run(**settings, start=first)
    assert "algorithm.settings.start_designs: 'digest" in caplog.text
    run(**settings, start=start)
    with EvaluationStore(store) as reader:
        assert [found.n_eval for found in reader.runs()] == [40, 40]
        assert [n.n for n in reader.evaluations(1)] == list(range(40))


def test_functions_of_a_script_that_is_imported_are_told_apart(tmp_path):
    script = tmp_path / "script_that_runs.py"
    script.write_text(
        "import moela, sys\n"
        "def line(d):\n    return d['x'], 1 - d['x']\n"
        "def run():\n"
        "    moela.minimize(line, variables={'x': (0.0, 1.0)}, objectives=['a', 'b'],\n"
        "                   n_eval=20, store='run.db', verbose=False, progress=False)\n"
        "if __name__ == '__main__':\n    run()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path)))}

    def python(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert python(script.name).returncode == 0
    imported = python("-c", "import script_that_runs; script_that_runs.run()")
    assert "Begin and continue a run in the same way." in imported.stderr
    assert python(script.name).returncode == 0


def test_a_changed_function_is_noticed(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    state = tmp_path / "state"

    def changing(d):
        return line(d) | {"a": d["x"] + float(state.read_text())}

    state.write_text("0")
    settings = LINE | QUIET | {"store": tmp_path / "run.db"}
    moela.minimize(changing, **settings, n_eval=20)
    state.write_text("1")
    with pytest.raises(StoreMismatchError, match="begin another run") as caught:
        moela.minimize(changing, **settings, n_eval=40)
    assert "noisy=True" in str(caught.value)
    assert "recheck" not in str(caught.value)
    assert signal.getsignal(signal.SIGINT) == before


def failing(d):
    if d["x"] > 0.5:
        raise RuntimeError("too hot")
    if d["x"] > 0.4:
        return {"a": d["x"]}
    return line(d)


def test_failures_are_counted_and_reported(caplog):
    result = moela.minimize(failing, **LINE, n_eval=60, on_error="infeasible", **QUIET)
    counts = pandas.Series([failure["error"] for failure in result.failures]).value_counts()
    assert set(counts.index) == {"RuntimeError: too hot", counts.index[-1]} | set(counts.index)
    assert counts["RuntimeError: too hot"] > 0
    assert f"{counts.sum()} failed" in result.status
    assert f"{counts['RuntimeError: too hot']} x RuntimeError: too hot" in result.status
    assert max(design["x"] for design in result.designs) <= 0.4
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "an evaluation failed" in caplog.text
    assert "{'x': 0." in caplog.text
    frame = result.to_frame(all=True)
    assert (frame["status"] != "ok").sum() == counts.sum() == len(result.failures)
    assert not frame.loc[frame["status"] != "ok", "feasible"].any()


def diverging(d):
    if d["x"] > 0.5:
        error = RuntimeError("diverged at step 12\n  residual 1e9\n\nsee log.txt for details")
        error.add_note("a note")
        raise error
    return line(d)


def test_the_reason_of_a_failure_is_the_first_line_of_its_message(tmp_path, caplog, capsys):
    store = tmp_path / "run.db"
    result = moela.minimize(
        diverging, **LINE, n_eval=20, on_error="infeasible", store=store, **QUIET
    )
    stored = moela.MinimizeResult.from_store(store)
    reason = "RuntimeError: diverged at step 12"
    for each in (result, stored):
        assert {failure["error"] for failure in each.failures} == {reason}
        assert f" x {reason})" in each.status
    assert f"an evaluation failed ({reason}) for the design {{'x': 0." in caplog.text
    assert main(["runs", str(store), "--failures"]) == 0
    shown = capsys.readouterr().out
    assert "error: RuntimeError: diverged at step #\n" in shown
    follower = Follower(store)
    assert {text for _, _, text in follower.refresh().failures} == {
        "RuntimeError: diverged at step #"
    }
    follower.close()
    with EvaluationStore(store) as reader:
        errors = [e.error for e in reader.evaluations() if e.error]
    assert errors
    assert all("see log.txt for details\na note\n" in error for error in errors)


def test_a_failure_raises_with_the_design():
    with pytest.raises(EvaluationError) as caught:
        moela.minimize(failing, **LINE, n_eval=60, **QUIET)
    assert set(caught.value.X) == {"x"}
    assert caught.value.status == "error"


def test_timeouts():
    def sleepy(d):
        if d["x"] > 0.8:
            time.sleep(30)
        return line(d)

    result = moela.minimize(
        sleepy, **LINE, n_eval=12, timeout=0.3, n_jobs=2, on_error="infeasible", **QUIET
    )
    assert {failure["status"] for failure in result.failures} <= {"timeout"}
    assert result.n_eval == 12


def test_retries():
    tries = {}

    def flaky(d):
        tries[d["x"]] = tries.get(d["x"], 0) + 1
        if tries[d["x"]] == 1:
            raise OSError("licence server")
        return line(d)

    result = moela.minimize(flaky, **LINE, n_eval=20, retries=1, **QUIET)
    assert result.failures == []


def test_functions_of_all_kinds_in_workers():
    class Simulator:
        def __call__(self, d):
            return line(d)

        def run(self, d):
            return line(d)

    def shifted(shift, d):
        return {"a": d["x"] + shift, "b": 1 - d["x"]}

    offset = 0.0
    expected = objectives_of(moela.minimize(line, **LINE, n_eval=20, **QUIET))
    for function in (
        lambda d: line(d),
        lambda d: (d["x"] + offset, 1 - d["x"]),
        partial(shifted, 0.0),
        Simulator(),
        Simulator().run,
    ):
        result = moela.minimize(function, **LINE, n_eval=20, n_jobs=2, **QUIET)
        assert objectives_of(result) == expected


def test_a_run_without_any_success_says_where_the_reasons_are(tmp_path):
    def broken(d):
        raise RuntimeError("no license")

    with pytest.raises(EvaluationError, match="no license"):
        run(broken, n_eval=5, on_error="infeasible", store=tmp_path / "run.db")
    result = moela.MinimizeResult.from_store(tmp_path / "run.db")
    with pytest.raises(ValueError, match=r"no evaluation succeeded.*\.failures say why"):
        result.knee()
    assert "no license" in str(result.failures[0])
