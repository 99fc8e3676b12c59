from __future__ import annotations

import math
import re

import numpy as np
import pytest
from pymoo.optimize import minimize

from moela.quality.indicators import hypervolume
from moela.rivals import VSRLS, BatchMOEAD
from moela.testing import ToyBinary
from problems import MultiObjectiveQAP
from tests.benchmarks import equal_time, learning, long_runs
from tests.benchmarks.harness import Cases
from tests.benchmarks.start_variants import BestMoveAhead, NewestSearches, Optimistic
from tests.benchmarks.timed import TimedRun, best_rival


@pytest.fixture(scope="module")
def run():
    return TimedRun(ToyBinary(), BatchMOEAD(n_subproblems=10), 1, 0.2, 200)


def test_a_run_ends_when_time_and_evaluations_are_both_reached(run):
    assert run.clock.marks[-1][0] >= 200
    assert run.clock.marks[-1][1] >= 0.15
    short = TimedRun(ToyBinary(), BatchMOEAD(n_subproblems=10), 1, 0.0, 100)
    assert short.clock.marks[-1][0] == 100


def test_evaluations_and_times_belong_together(run):
    counts, times = np.array(run.clock.marks).T
    assert (np.diff(times) > 0).all()
    middle = len(counts) // 2
    assert run.clock.evaluations_at(times[middle]) == counts[middle]
    assert run.clock.evaluations_at(0.0) == 0
    assert run.clock.seconds_at(int(counts[middle])) == times[middle]
    assert run.clock.seconds_at(int(counts[-1]) + 1) == math.inf


def test_what_came_later_does_not_count(run):
    ref = np.array([0.0, 0.0])
    early = np.array(run.clock.evaluated.F[:50])
    assert run.hypervolume_after(50, ref) == pytest.approx(hypervolume(early, ref))
    assert run.hypervolume_after(200, ref) > run.hypervolume_after(10, ref)


def test_a_schedule_follows_the_process_time():
    algorithm = VSRLS(n_init=10)
    TimedRun(ToyBinary(), algorithm, 1, 0.2)
    assert algorithm.threshold == 1


def test_the_best_rival_is_the_one_with_the_highest_median():
    assert best_rival({"MOELA": 3.0, "a": 2.0, "b": 1.5}, "MOELA") == ("a", 1.5)
    assert best_rival({"MOELA": 3.0, "a": 0.0}, "MOELA") == ("a", math.inf)
    assert best_rival({"MOELA": 0.0, "a": 0.0}, "MOELA") == ("a", 1.0)


def bars(text):
    """Return the values of the printed bars, by what they say."""
    found = re.findall(r"^bar: (.*), (\S+(?: of \d+)?), (?:must|at least|aim) ", text, re.MULTILINE)
    return dict(found)


def test_bars_of_equal_time(tmp_path, capsys):
    cases = Cases(tmp_path / "cases.json")
    for problem, ours in (("p", 2.0), ("q", 0.5)):
        for name, value in (("MOELA", ours), ("a", 1.0), ("b", 0.1)):
            for seed in (1, 2):
                cases.results[equal_time.key(problem, name, seed)] = {
                    "1 s": value * seed,
                    "evaluations, 1 s": 10,
                }
    equal_time.report(cases, ["p", "q"], ["MOELA", "a", "b"], 2, ["1 s"], None)
    found = bars(capsys.readouterr().out)
    assert found["first at equal process time"] == "1 of 2"
    assert found["hypervolume over the best rival's in the median"] == "1.250"


def test_long_runs_compare_at_the_time_of_the_same_seed(tmp_path, capsys):
    cases = Cases(tmp_path / "cases.json")
    for seed, seconds in ((1, 1.1), (2, 3.9)):
        cases.results[long_runs.key("p", "MOELA", seed)] = {
            "20000": 10.0,
            "50000": 12.0,
            "seconds, 20000": seconds,
        }
        cases.results[long_runs.key("p", "NSGA-II", seed)] = {
            "20000": 5.0,
            "50000": 6.0,
            "seconds, 20000": 0.5,
            "1.19 s": 7.0,
            "evaluations, 1.19 s": 1,
            "4 s": 20.0,
            "evaluations, 4 s": 4,
        }
    chosen = {"p": lambda: MultiObjectiveQAP.random(n_facilities=5, seed=1)}
    long_runs.report(cases, chosen, ["NSGA-II"], 2, (20_000, 50_000), None)
    found = bars(capsys.readouterr().out)
    assert found["p at 20,000 evaluations, over the best rival's"] == "2.0000"
    assert found["p at 50,000 evaluations, over the best rival's"] == "2.0000"
    assert found["p at MOELA's time, over the best rival's"] == f"{10.0 / 13.5:.4f}"


def test_every_arm_of_learning_uses_what_its_name_says():
    def models_of(name):
        return learning.arms()[name]().models

    assert models_of("none").starts is None
    assert models_of("none").moves is None
    assert models_of("starts").moves is None
    assert models_of("starts").starts == "auto"
    assert models_of("moves").starts is None
    assert models_of("both").moves == "auto"
    assert not models_of("both, no kernel").hamming
    rng = np.random.default_rng(1)
    X = rng.random((60, 3))
    Y = np.column_stack([X[:, 0] > 0.5, X[:, 1]])
    fitted = models_of("boosted moves").moves.fit(X, Y)
    assert fitted.predict(X).shape == (60, 2)


@pytest.mark.parametrize("variant", [BestMoveAhead, Optimistic, NewestSearches])
def test_other_ways_to_pick_starts_run(variant):
    problem = MultiObjectiveQAP.random(n_facilities=8, seed=1)
    res = minimize(problem, variant(n_searches=2, patience=3), ("n_eval", 600), seed=1)
    assert res.algorithm.n_eval == 600
    assert res.algorithm.log["search"]["n_eval"] > 0
