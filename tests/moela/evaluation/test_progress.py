"""The progress bar: its contents, and that it is silent without a terminal."""

import io
import sys

import numpy as np
import pytest
from evaluation_cases import Failing, One, solve

from moela.evaluation import progress


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


def test_known_answers_are_shown_too(monkeypatch, store):
    solve(One(), store=store)
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    solve(One(), store=store)
    assert "100/100" in screen.getvalue()


def test_the_hypervolume_takes_little_of_the_time(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", Terminal())
    calls = []

    def slow(front, ref):
        calls.append(2.0)
        clock.now += 2.0
        return 1.0

    monkeypatch.setattr("moocore.hypervolume", slow)
    bar = progress.Progress(None, 0, ref_point=[1.0, 1.0], every=3.0)
    while clock.now < 1000.0:
        bar.add(1, np.random.default_rng(0).random((1, 2)))
        clock.now += 0.1
    # One takes 2 s, and 20 times as long passes before the next: 1000 / 42 = 23 of them.
    assert 20 < len(calls) <= 25
    bar.close()


def test_a_front_too_large_for_the_exact_hypervolume_shows_none(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    bar = progress.Progress(None, 0, ref_point=np.full(10, 2.0))
    points = np.random.default_rng(0).random((500, 10))
    bar.add(500, points)  # would not come back within hours
    bar.close()
    assert "hv=" not in screen.getvalue()
