"""ElapsedTime counts the time spent running and nothing else."""

import copy
import math
import pickle
from datetime import timedelta

import numpy as np
import pytest
from evaluation_cases import One, Ticking
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.termination import TerminateIfAll, TerminateIfAny
from pymoo.optimize import minimize
from pymoo.termination import get_termination
from pymoo.termination.collection import TerminationCollection
from pymoo.termination.default import DefaultMultiObjectiveTermination

from moela import MOELA
from moela.evaluation.evaluator import Evaluator
from moela.evaluation.termination import ElapsedTime, evaluation_budget


def test_a_run_ends_after_its_time(clock):
    result = minimize(Ticking(seconds=0.01), NSGA2(pop_size=10), ElapsedTime(0.45), seed=1)
    assert clock.now == pytest.approx(0.5)
    assert result.algorithm.evaluator.n_eval == 50


@pytest.mark.parametrize("evaluator", [None, Evaluator()], ids=["pymoo", "moela"])
@pytest.mark.parametrize("twin", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_the_time_between_two_lives_does_not_count(twin, evaluator, clock):
    algorithm = NSGA2(pop_size=10)
    options = {} if evaluator is None else {"evaluator": evaluator}
    problem = Ticking(seconds=0.1)
    algorithm.setup(problem, termination=ElapsedTime(60.0), seed=1, **options)
    for _ in range(3):
        algorithm.has_next()
        algorithm.next()
    used = algorithm.termination.elapsed
    again = twin(algorithm)
    clock.now += 1000.0
    again.has_next()
    again.next()
    assert (used, again.termination.elapsed) == pytest.approx((3.0, 4.0))


def test_the_same_call_again_goes_on_with_the_time_that_is_left(store, clock):
    def run(max_time):
        with Evaluator(store=store) as evaluator:
            termination = TerminateIfAny(ElapsedTime(max_time), get_termination("n_gen", 10**6))
            minimize(
                Ticking(seconds=0.01),
                NSGA2(pop_size=10),
                termination,
                seed=1,
                evaluator=evaluator,
            )
        return evaluator

    run(0.55)
    clock.now += 1000.0
    evaluator = run(1.05)
    assert (evaluator.n_fresh, evaluator.n_eval) == (50, 110)
    assert evaluator.elapsed == pytest.approx(1.1)
    assert run(1.05).n_fresh == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("01:30:00", 5400), ("90", 90), (90, 90), (np.float32(0.5), 0.5),
        (timedelta(hours=1), 3600), (math.inf, math.inf),
    ],
)  # fmt: skip
def test_times_are_understood(given, expected):
    max_time = ElapsedTime(given).max_time
    assert (type(max_time), max_time) == (float, expected)


@pytest.mark.parametrize(
    "wrong", [0, -1.0, math.nan, True, None, "", "0s", "-1h", "soon", "1:30", "5 weeks", "1h:30m"]
)
def test_a_time_that_is_not_positive_is_named(wrong):
    with pytest.raises(ValueError, match="'max_time' parameter of ElapsedTime"):
        ElapsedTime(wrong)


@pytest.mark.parametrize(
    ("termination", "budget"),
    [
        (get_termination("n_eval", 100), 100),
        (get_termination("n_gen", 100), None),
        (ElapsedTime(1.0), None),
        (DefaultMultiObjectiveTermination(n_max_evals=500), 500),
        (TerminateIfAny(get_termination("n_eval", 70), get_termination("n_eval", 50)), 50),
        (TerminationCollection(get_termination("n_gen", 9), get_termination("n_eval", 70)), 70),
        (TerminateIfAny(TerminationCollection(get_termination("n_eval", 70)), ElapsedTime(9)), 70),
        (TerminateIfAll(get_termination("n_eval", 70), get_termination("n_gen", 50)), None),
        (None, None),
    ],
)
def test_the_budget_of_evaluations_is_found_in_a_termination(termination, budget):
    assert evaluation_budget(termination) == budget


def test_the_budget_inside_a_collection_of_pymoo_is_never_exceeded():
    termination = TerminationCollection(
        get_termination("n_gen", 1000), get_termination("n_eval", 43)
    )
    evaluator = Evaluator()
    minimize(One(), NSGA2(pop_size=10), termination, seed=1, evaluator=evaluator)
    assert evaluator.n_eval == 43


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (100, r'Got 100 instead; write \("n_eval", 100\)'),
        (("hv", 0.5), r"Got \('hv', 0.5\) instead"),
        (("time", "2 h"), r"Got \('time', '2 h'\) instead; write moela.ElapsedTime\('2 h'\)"),
        ("90 min", r"write moela.ElapsedTime\('90 min'\)"),
    ],
)
def test_what_is_no_termination_is_refused_with_what_is_one(given, words):
    expected = r"'termination' parameter of MOELA must be a pair such as \(\"n_eval\", 1000\)"
    with pytest.raises(ValueError, match=f"{expected}.*{words}"):
        minimize(One(), MOELA(), given)
    with pytest.raises(ValueError, match=expected):
        MOELA(termination=given).setup(One())


@pytest.mark.parametrize("given", [["n_eval", 20], ("n_evals", np.int64(20)), ("n_gen", 1), "moo"])
def test_terminations_that_pymoo_reads_are_taken(given):
    assert MOELA().setup(One(), termination=given).has_next()
