"""Algorithms of pymoo whose tournaments draw without a seed repeat their runs."""

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.algorithms.moo.unsga3 import UNSGA3
from pymoo.core.problem import Problem
from pymoo.optimize import minimize
from pymoo.util.ref_dirs import get_reference_directions

from moela import EvaluationStore, Evaluator

DIRECTIONS = get_reference_directions("uniform", 2, n_partitions=15)


class Shelf(Problem):
    """Designs violate the constraint by whole numbers, so many of them equally."""

    def __init__(self, least=40):
        self.least = least
        super().__init__(n_var=10, n_obj=2, n_ieq_constr=1, xl=0.0, xu=6.0)

    def _evaluate(self, X, out, *args, **kwargs):
        out["F"] = np.column_stack([X.sum(axis=1), ((6 - X) ** 2).sum(axis=1)])
        out["G"] = self.least - np.floor(X.sum(axis=1))


def designs(kind, evaluator, n_eval=320):
    """Return everything that a run evaluates."""
    seen = []
    evaluator.callback = lambda pop: seen.append(pop.get("X"))
    minimize(Shelf(), kind(DIRECTIONS), ("n_eval", n_eval), seed=1, evaluator=evaluator)
    return np.concatenate(seen)


@pytest.mark.parametrize("kind", [NSGA3, UNSGA3])
def test_equal_violations_do_not_change_a_run(kind):
    runs = [designs(kind, Evaluator()) for _ in range(3)]
    assert np.array_equal(runs[0], runs[1])
    assert np.array_equal(runs[0], runs[2])


def test_a_stored_run_is_repeated(tmp_path, caplog):
    once = designs(NSGA3, Evaluator())
    for n_eval in (160, 320):
        with Evaluator(store=tmp_path / "run.db") as evaluator:
            found = designs(NSGA3, evaluator, n_eval)
    assert "does not repeat itself" not in caplog.text
    assert np.array_equal(once, found)
    with EvaluationStore(tmp_path / "run.db") as store:
        assert [run.n_eval for run in store.runs()] == [320]


def test_feasible_designs_are_drawn_as_pymoo_draws_them():
    problem = Shelf(least=0)
    plain, ours = (
        minimize(problem, NSGA3(DIRECTIONS), ("n_eval", 320), seed=1, **settings).pop.get("X")
        for settings in ({}, {"evaluator": Evaluator()})
    )
    assert np.array_equal(plain, ours)
