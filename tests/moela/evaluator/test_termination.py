"""ElapsedTime counts the time spent running and nothing else."""

import copy
import pickle
import time

import pytest
from evaluation_cases import One
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.termination import TerminateIfAll, TerminateIfAny
from pymoo.optimize import minimize
from pymoo.termination import get_termination
from pymoo.termination.default import DefaultMultiObjectiveTermination

from moela.evaluator import Evaluator
from moela.termination import ElapsedTime, evaluation_budget


def start(max_time, evaluator=None, seconds=0.001):
    algorithm = NSGA2(pop_size=10)
    options = {} if evaluator is None else {"evaluator": evaluator}
    algorithm.setup(One(seconds=seconds), termination=ElapsedTime(max_time), seed=1, **options)
    return algorithm


def test_a_run_ends_after_its_time():
    began = time.monotonic()
    minimize(One(seconds=0.001), NSGA2(pop_size=10), ElapsedTime(0.5), seed=1)
    assert 0.5 <= time.monotonic() - began < 2


@pytest.mark.parametrize("evaluator", [None, Evaluator()], ids=["pymoo", "moela"])
@pytest.mark.parametrize("twin", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_the_time_between_two_lives_does_not_count(twin, evaluator):
    algorithm = start(60.0, evaluator)
    for _ in range(3):
        algorithm.has_next()
        algorithm.next()
    used = algorithm.termination.elapsed
    again = twin(algorithm)
    time.sleep(0.5)
    again.has_next()
    again.next()
    assert used < again.termination.elapsed < used + 0.4


def test_the_same_call_again_goes_on_with_the_time_that_is_left(store):
    def run(max_time):
        with Evaluator(store=store) as evaluator:
            termination = TerminateIfAny(ElapsedTime(max_time), get_termination("n_gen", 10**6))
            began = time.monotonic()
            minimize(
                One(seconds=0.002), NSGA2(pop_size=10), termination, seed=1, evaluator=evaluator
            )
            return time.monotonic() - began, evaluator

    run(0.6)
    time.sleep(0.3)
    took, evaluator = run(1.0)
    assert evaluator.elapsed >= 1.0
    assert took < 0.9
    assert evaluator.n_fresh < evaluator.n_eval
    took, evaluator = run(1.0)
    assert evaluator.n_fresh <= 20


def test_hours_and_minutes_are_understood():
    assert ElapsedTime("01:30:00").max_time == 5400.0


@pytest.mark.parametrize("wrong", [0, -1.0])
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
        (TerminateIfAll(get_termination("n_eval", 70), get_termination("n_gen", 50)), None),
        (None, None),
    ],
)
def test_the_budget_of_evaluations_is_found_in_a_termination(termination, budget):
    assert evaluation_budget(termination) == budget
