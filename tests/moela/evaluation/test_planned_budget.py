"""A run keeps the budget with which it began, also when it is resumed with a larger one."""

from __future__ import annotations

import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize
from pymoo.problems import get_problem

from moela import EvaluationStore, Evaluator, StoreMismatchError
from moela.evaluation.termination import planned_budget


class Planner(NSGA2):
    """NSGA-II that looks at the planned budget before its first designs."""

    def _initialize_infill(self):
        self.data["planned"] = planned_budget(self)
        return super()._initialize_infill()


def planned(n_eval, **settings):
    evaluator = Evaluator(**settings) if settings else None
    more = {} if evaluator is None else {"evaluator": evaluator}
    res = minimize(get_problem("zdt1"), Planner(10), ("n_eval", n_eval), seed=1, **more)
    return res.algorithm.data["planned"]


@pytest.mark.parametrize("began", [30, 50])
def test_a_resumed_run_keeps_the_first_one(tmp_path, began):
    store = tmp_path / "run.db"
    assert planned(began, store=store) == began
    assert planned(80, store=store) == began
    assert planned(120, store=store) == began
    with EvaluationStore(store) as stored:
        (run,) = stored.runs()
    assert run.n_eval == run.budget == 120
    assert run.settings == {"chunk_size": 16, "dedupe": True}


def stored_run(store):
    with EvaluationStore(store) as stored:
        (run,) = stored.runs()
    return run


def test_a_call_of_a_smaller_budget_takes_nothing_back(tmp_path):
    store = tmp_path / "run.db"
    planned(60, store=store)
    whole = stored_run(store)
    planned(30, store=store)
    again = stored_run(store)
    assert (again.n_eval, again.budget, again.state) == (60, 60, "done")
    assert again.elapsed >= whole.elapsed
    planned(70, store=store)
    assert (stored_run(store).n_eval, stored_run(store).budget) == (70, 70)


def test_a_stopped_run_keeps_its_budget_in_a_call_of_a_smaller_one(tmp_path):
    store, problem = tmp_path / "run.db", get_problem("zdt1")
    evaluator = Evaluator(store=store)
    algorithm = NSGA2(10)
    algorithm.setup(problem, termination=("n_eval", 60), seed=1, evaluator=evaluator)
    for _ in range(4):
        algorithm.next()
    evaluator.close()
    minimize(problem, NSGA2(10), ("n_eval", 30), seed=1, evaluator=Evaluator(store=store))
    run = stored_run(store)
    assert (run.n_eval, run.budget) == (40, 60)


class Changing(ElementwiseProblem):
    """A problem whose evaluation depends on more than its content."""

    shift = 0.0

    def __init__(self):
        super().__init__(n_var=2, n_obj=2, xl=0.0, xu=1.0)

    def _evaluate(self, x, out, *args, **kwargs):
        out["F"] = [x[0] + type(self).shift, 1 - x[0]]


def test_a_call_that_ends_in_a_mismatch_does_not_change_the_budget(tmp_path, monkeypatch):
    store = tmp_path / "run.db"
    minimize(Changing(), NSGA2(10), ("n_eval", 20), seed=1, evaluator=Evaluator(store=store))
    monkeypatch.setattr(Changing, "shift", 1.0)
    with pytest.raises(StoreMismatchError, match="evaluated again, has another result"):
        minimize(Changing(), NSGA2(10), ("n_eval", 90), seed=1, evaluator=Evaluator(store=store))
    assert (stored_run(store).n_eval, stored_run(store).budget) == (20, 20)
