"""Designs that an algorithm asks for again are no evaluations, unless the function is noisy."""

from __future__ import annotations

import csv

import pytest
from function_cases import QUIET
from pymoo.core.problem import ElementwiseProblem

import moela
from moela import MinimizeResult
from moela.functions.model.reading import read_variables
from moela.functions.model.space import DesignSpace

SMALL = {"i": (1, 3), "j": (1, 3)}
MIXED = {"i": (1, 3), "x": (0.0, 1.0)}


def total(d):
    if d["i"] == 2:
        raise ValueError("two")
    return d["i"] + d["j"]


def mixed(d):
    return d["i"] + d["x"] ** 2


def two(d):
    return d["i"] + d["j"], -d["i"] * d["j"]


def check(result, store, tmp_path):
    """Check that all that tells of a run agrees on it."""
    stored = MinimizeResult.from_store(store)
    path = result.save(tmp_path / "all.csv", all=True)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    frame = result.table(all=True).rows
    assert result.n_eval == stored.n_eval == len(rows) == len(frame)
    assert len({str(result.population[i].X) for i in range(result.n_eval)}) == result.n_eval
    assert result.population.get("X").tolist() == stored.population.get("X").tolist()
    assert result.failures == stored.failures
    (run,) = moela.EvaluationStore(store).runs()
    assert run.n_eval == run.n_fresh == result.n_eval


@pytest.mark.parametrize("algorithm", [None, "ga"])
def test_a_run_ends_once_all_designs_are_known(algorithm, tmp_path):
    calls, store = [], tmp_path / "run.db"

    def counted(d):
        calls.append(d)
        return total(d)

    settings = {"variables": SMALL, "objectives": "c", "algorithm": algorithm, "store": store}
    settings |= {"on_error": "infeasible", "n_eval": 200} | QUIET
    result = moela.minimize(counted, **settings)
    assert len(calls) == result.n_eval == 9
    assert result.status.startswith("no new design was found after 9 evaluations: best: c 2. ")
    assert "3 failed (3 x ValueError: two)" in result.status
    assert result.algorithm.evaluator.n_failed == 3
    check(result, store, tmp_path)


def test_the_budget_counts_different_designs_across_resumes(tmp_path):
    settings = {"variables": MIXED, "objectives": "c", **QUIET}
    whole = moela.minimize(mixed, **settings, n_eval=150)
    store = tmp_path / "run.db"
    for n_eval in (60, 60, 97, 150, 150):
        result = moela.minimize(mixed, **settings, n_eval=n_eval, store=store)
        assert result.n_eval == n_eval
        assert result.status.startswith(f"done after {n_eval} evaluations")
        check(result, store, tmp_path)
    assert result.population.get("X").tolist() == whole.population.get("X").tolist()
    n_calls = whole.algorithm.evaluator._run.n_answered
    assert n_calls > 150  # else this run repeats nothing


def test_repeats_of_a_noisy_function_are_evaluations():
    calls = []

    def noisy(d):
        calls.append(d)
        return d["i"] + d["j"] + len(calls)

    settings = {"variables": SMALL, "objectives": "c", "n_eval": 60, "noisy": True}
    assert moela.minimize(noisy, **settings, **QUIET).n_eval == len(calls) == 60


def test_asynchronous_repeats_are_no_evaluations(tmp_path):
    settings = {"variables": SMALL, "objectives": "c", "n_eval": 200, "asynchronous": True}
    settings |= {"on_error": "infeasible", "store": tmp_path / "run.db"} | QUIET
    result = moela.minimize(total, **settings)
    assert result.n_eval == 9
    check(result, tmp_path / "run.db", tmp_path)


class Steps(ElementwiseProblem):
    """A problem of pymoo, whose designs cannot be counted."""

    def __init__(self):
        super().__init__(n_var=1, n_obj=1, xl=0.0, xu=1.0)

    def canonical(self, X):
        return (X > 0.5).astype(float)

    def _evaluate(self, x, out, *args, **kwargs):
        out["F"] = x[0] > 0.5


def test_a_run_ends_if_many_batches_bring_nothing_new():
    result = moela.minimize(Steps(), n_eval=100, **QUIET)
    assert result.n_eval == 2
    assert result.status.startswith("no new design was found after 2 evaluations")


def test_known_results_belong_to_the_designs_of_a_space():
    given = [{"i": i, "j": j, "c": i + j} for i in (1, 2, 3) for j in (1, 2)]
    settings = {"variables": SMALL, "objectives": "c", "n_eval": 200, "known": given}
    result = moela.minimize(lambda d: d["i"] + d["j"], **settings, **QUIET)
    designs = {(d["i"], d["j"]) for d in result.table(all=True).rows}
    assert len(designs) == 9
    assert result.n_eval <= 9


def test_designs_of_a_space_are_counted():
    def size(**variables):
        return DesignSpace(read_variables(variables)).size()

    fan = moela.integer(1, 5, when={"cooling": "fan"})
    assert size(i=(1, 3), b=bool, c=["a", "b"]) == 12
    assert size(i=(1, 3), x=(0.0, 1.0)) is None
    assert size(order=moela.permutation(4)) == 24
    assert size(cooling=["none", "fan", "water"], rpm=fan) == 7
    spare = moela.boolean(when={"rpm": [4, 5]})
    assert size(cooling=["none", "fan", "water"], rpm=fan, spare=spare, top=bool) == 18
    assert size(cooling=["none", "fan"], x=moela.real(0.0, 1.0, when={"cooling": "fan"})) is None
    assert size(i=(1, 2**40), j=(1, 2**40)) == 2**80
