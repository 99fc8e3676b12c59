"""Progress: bars, the pace behind them, lines in the log, and failures."""

import gc
import io
import logging
import re
import sys
import threading

import numpy as np
import pytest
import tqdm
from evaluation_cases import Failing, One, Ticking, designs, solve, wait_for
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.optimize import minimize

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.progress.heartbeat import Heartbeat
from moela.evaluation.progress.lines import describe
from moela.evaluation.progress.pace import Pace
from moela.search.moela import MOELA


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_it_is_silent_without_a_terminal(capsys):
    solve(One())
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_it_shows_evaluations_rate_and_end_on_a_terminal(monkeypatch, capsys):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    solve(One())
    assert "100/100" in screen.getvalue()
    assert "eval/s" in screen.getvalue()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("progress", [True, False])
def test_it_can_be_switched_on_and_off(monkeypatch, progress):
    screen = io.StringIO() if progress else Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    solve(One(), progress=progress)
    assert ("100/100" in screen.getvalue()) is progress


def test_it_shows_the_hypervolume_of_the_feasible_designs_so_far(monkeypatch):
    from moocore import hypervolume

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    problem = Failing("raise", n_ieq_constr=1)
    problem.ref_point = np.array([1.1, 11.0])
    feasible = []

    def collect(pop):
        good = (pop.get("status") == "ok") & pop.get("FEAS")[:, 0]
        feasible.extend(pop.get("F")[good])

    solve(problem, on_error="infeasible", callback=collect)
    value = hypervolume(np.array(feasible), ref=problem.ref_point)
    assert f"hv={value:.6g}" in screen.getvalue()


# ------------------------------------------------------------------------------------------ pace


@pytest.fixture
def pace(clock):
    made = Pace()
    made.begin()
    return made


def test_the_time_left_is_that_of_computed_evaluations(pace, clock):
    assert (pace.rate, pace.seconds_left(100)) == (None, None)
    for _ in range(50):
        clock.now += 2.0
        pace.computed(1)
    assert pace.rate == pytest.approx(0.5)
    assert pace.seconds_left(100) == pytest.approx(200.0)


def test_the_start_of_workers_is_forgotten(pace, clock):
    clock.now += 30.0  # of four workers that compile something
    pace.computed(4)
    for _ in range(31):
        clock.now += 1.0
        pace.computed(4)
    assert pace.rate == pytest.approx(4.0)


def test_the_rate_follows_the_newest_evaluations(pace, clock):
    for seconds in [0.1] * 1000 + [2.0] * 150:
        clock.now += seconds
        pace.computed(1)
    assert pace.rate == pytest.approx(0.5, rel=0.05)
    assert len(pace._samples) < 400  # so that a long run takes no more memory than a short one


def test_answers_from_the_store_do_not_count(monkeypatch, store, clock):
    solve(Ticking(seconds=0.5), n_eval=300, store=store)  # half a second each
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    shown = []
    monkeypatch.setattr(tqdm.tqdm, "monitor_interval", 0)
    monkeypatch.setattr("tqdm.std.time", lambda: clock.now)

    def look(pop):
        # The rest of the line that the bar shows last.
        shown.append((evaluator.n_eval, screen.getvalue().rpartition("\r")[2]))

    with Evaluator(store=store, callback=look, recheck=False) as evaluator:
        minimize(Ticking(seconds=0.5), NSGA2(20), ("n_eval", 600), seed=1, evaluator=evaluator)
    for n, line in shown:
        done = re.search(r"(\d+)/600 \[.*<([\d:?]+)", line)
        assert done is not None
        if n <= 300:
            assert done[2] == "?"
        elif int(done[1]) > 330:
            promised = sum(60**k * int(p) for k, p in enumerate(reversed(done[2].split(":"))))
            true = 0.5 * (600 - int(done[1]))
            assert promised == pytest.approx(true, rel=0.25, abs=1.0)


# ------------------------------------------------------------------------------- lines, heartbeat


@pytest.fixture
def lines(monkeypatch, caplog):
    """Have a line written every 20 ms, without a terminal."""
    caplog.set_level(logging.INFO, logger="moela.progress")
    monkeypatch.setattr("moela.evaluation.progress.progress._LINE_SECONDS", 0.02)
    return lambda: [r.getMessage() for r in caplog.records if r.name == "moela.progress"]


def heartbeats():
    return {thread for thread in threading.enumerate() if thread.name == "moela-progress"}


def test_without_a_terminal_lines_are_logged_also_during_a_long_evaluation(lines):
    expected = [
        r"0 of 4 evaluations",
        "1 of 4 .*",
        "2 of 4 .*",
        r"3 of 4 evaluations, \d\S* per .*",
    ]
    before = heartbeats()

    class Waiting(One):
        def _evaluate(self, x, out, *args, **kwargs):
            text = expected.pop(0)
            wait_for(lambda: any(re.fullmatch(text, line) for line in lines()), pause=0.01)
            super()._evaluate(x, out)

    solve(Waiting(), n_eval=4, algorithm=NSGA2(pop_size=4))
    assert expected == []
    wait_for(lambda: heartbeats() <= before)


def test_a_run_that_does_not_go_on_is_silent(lines, monkeypatch):
    ticks = []

    def tick(heartbeat, original=Heartbeat.tick):
        ticks.append(1)
        return original(heartbeat)

    monkeypatch.setattr(Heartbeat, "tick", tick)
    before = heartbeats()
    evaluator = Evaluator()
    evaluator.eval(One(), Population.new(X=designs(3)))
    n = len(ticks)
    wait_for(lambda: len(ticks) >= n + 2, pause=0.01)  # the first may have begun before
    logged = len(lines())
    wait_for(lambda: len(ticks) >= n + 7, pause=0.01)
    assert len(lines()) == logged
    del evaluator
    gc.collect()
    wait_for(lambda: heartbeats() <= before)


def test_progress_false_is_silent(lines):
    before = heartbeats()

    class Looking(One):
        def _evaluate(self, x, out, *args, **kwargs):
            super()._evaluate(x, out)
            assert heartbeats() <= before

    solve(Looking(), n_eval=4, algorithm=NSGA2(pop_size=4), progress=False)
    assert lines() == []


def test_lines_go_to_standard_error_on_request(script):
    process = script(
        """
        import logging
        import moela
        from moela.evaluation.progress import progress
        from evaluation_cases import One, solve
        moela.log_to_stderr()
        moela.log_to_stderr()
        progress._LINE_SECONDS = 0.001
        solve(One(), 3000)
        logging.getLogger("moela").warning("said once")
        """,
        wait=False,
    )
    _, err = process.communicate(timeout=240)
    assert re.search(r"^moela: [\d,]+ of 3,000 evaluations, ", err, re.MULTILINE), err
    assert err.count("said once") == 1


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ((0, None, "evaluations", None, None, 0, 3.0), "0 evaluations"),
        ((0, 9, "evaluations", None, None, 0, 90.0), "0 of 9 evaluations, no result yet"),
        ((5, 9, "runs", 0.02, 200.0, 1, 400.0),
         "5 of 9 runs, 1.2 per minute, 3:20 left, 1 failed, the newest result is 6:40 old"),
        ((5, 9, "runs", 0.002, None, 0, 1.0), "5 of 9 runs, 7.2 per hour"),
    ],
)  # fmt: skip
def test_a_line_says_only_what_is_known(state, expected):
    assert describe(*state) == expected


# --------------------------------------------------------------------------------------- failures


def test_the_first_failure_is_a_warning_with_reason_and_design(log):
    problem = Failing("raise")
    solve(problem, on_error="infeasible")
    records = [r for r in log.records if "an evaluation failed" in r.getMessage()]
    assert [r.levelname for r in records[:2]] == ["WARNING", "INFO"]
    assert {r.levelname for r in records[1:]} == {"INFO"}
    for record in records:
        assert re.search(r"\(\w+: .*\) for the design \[0\.\d+", record.getMessage())
        assert "\n" not in record.getMessage()
    assert "Traceback" not in log.text


def test_a_result_counts_failures_by_reason(log):
    result = solve(Failing("raise"), algorithm=MOELA(n_subproblems=20), on_error="infeasible")
    n = result.evaluator.n_failed
    assert n > 0
    assert f"{n} failed ({n} x " in result.status


def test_if_everything_failed_the_log_has_the_first_traceback(log):
    class Broken(One):
        def _evaluate(self, x, out, *args, **kwargs):
            raise RuntimeError("no licence")

    for algorithm in (MOELA(n_subproblems=20), NSGA2(20)):
        log.clear()
        solve(Broken(), 20, algorithm=algorithm, on_error="infeasible")
        text = "".join(r.getMessage() for r in log.records if r.levelname == "WARNING")
        assert "Traceback (most recent call last)" in text
        assert "RuntimeError: no licence" in text
