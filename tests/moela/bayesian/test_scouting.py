"""Tests of what the infill looks for beyond the front that it knows."""

import numpy as np
import pytest
from pymoo.optimize import minimize
from pymoo.problems import get_problem

from moela import MOELA
from moela.bayesian.scouting import Scouts
from moela.quality.indicators import hypervolume
from problems.engineering import DiscBrake

LOW, HIGH = np.zeros(2), np.ones(2)
FARTHER = np.array([0.0, 0.1])


@pytest.mark.few_evaluations
@pytest.mark.parametrize("stated", [True, False])
def test_an_end_of_the_front_behind_a_gap_is_found(stated):
    # Brakes of two surfaces are far lighter and slower than those of three. Without scouts, and
    # with a reference point near the front, this run ends with 36.4 of 41.0.
    problem = DiscBrake()
    ref_point = problem.ref_point
    if not stated:
        problem.ref_point = None
    found = minimize(problem, MOELA(), ("n_eval", 50), seed=3)
    assert found.F[:, 0].min() < 0.3
    assert hypervolume(found.F, ref_point) > 0.955 * DiscBrake().best_hypervolume


def test_scouts_become_fewer_while_they_find_nothing():
    scouts, sent = Scouts(), []
    for n in range(60):
        scouts.update(LOW, HIGH)
        if scouts.due(1, 0.9):
            scouts.sent(LOW, HIGH)
            sent.append(n + 1)
    assert sent == [4, 12, 28, 60]


@pytest.mark.parametrize(
    ("low", "high", "next_in"),
    [(LOW, HIGH, 8), (LOW - FARTHER, HIGH, 4), (LOW, HIGH + FARTHER, 4), (LOW, HIGH + 0.01, 8)],
)
def test_one_that_finds_a_part_is_followed_by_another(low, high, next_in):
    scouts = Scouts()
    assert scouts.due(4, 0.9)
    scouts.sent(LOW, HIGH)
    scouts.update(low, high)
    assert [scouts.due(1, 0.9) for _ in range(next_in)] == [False] * (next_in - 1) + [True]


def test_none_is_sent_where_the_model_predicts_badly():
    scouts = Scouts()
    assert not any(scouts.due(1, 0.5) for _ in range(20))
    assert scouts.due(1, 0.7)


@pytest.mark.few_evaluations
def test_no_other_is_sent_before_it_is_known_what_the_last_one_found(monkeypatch):
    sent = []
    monkeypatch.setattr(Scouts, "sent", lambda scouts, *box: sent.append(len(asked)))
    problem, asked = get_problem("zdt1", n_var=4), []
    algorithm = MOELA(batch_size=1)
    algorithm.setup(problem, termination=("n_eval", 60), seed=1)
    algorithm.tell(infills=algorithm.evaluator.eval(problem, algorithm.ask()))
    for _ in range(9):
        asked.append(algorithm.ask())
    assert sent == [3]
    for pop in asked:
        algorithm.tell(infills=algorithm.evaluator.eval(problem, pop))
    for _ in range(5):
        asked.append(algorithm.ask())
    assert len(sent) == 2
