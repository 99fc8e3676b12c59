"""Budgets are met to the evaluation, and the number of workers changes no bit of a run."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moela import EvaluationError
from tests.laws import cases
from tests.laws.cases import ALGORITHMS, examples


class Counted:
    """A function that counts its calls, and fails for designs whose `x` is large.

    The count is private: results of a problem whose public attributes change are not used again.
    """

    def __init__(self, fails_above=5.0):
        self._n, self._n_failed, self._lock, self._above = 0, 0, threading.Lock(), fails_above

    def __call__(self, design):
        with self._lock:
            self._n += 1
            self._n_failed += design["x"] > self._above
        if design["x"] > self._above:
            raise ValueError("too large")
        return cases.goals(design)


def check_exact(result, n_eval):
    counts = (result.n_eval, len(result.population), result.algorithm.evaluator.n_eval)
    assert counts == (n_eval,) * 3
    # Every design counts once, so no two are equal.
    assert len({row[0].__repr__() for row in cases.rows(result)}) == n_eval


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
@examples(2)
@given(
    st.sampled_from(["reals", "mixed"]),
    cases.seeds,
    st.integers(1, 60),
    st.sampled_from([1.5, 5.0]),
)
def test_every_algorithm_evaluates_as_many_as_it_may(name, kind, seed, n_eval, fails_above):
    function = Counted(fails_above)
    settings = {"on_error": "infeasible", "constraints": cases.LIMIT}
    try:
        result = cases.minimized(function, kind, name, seed, n_eval, **settings)
    except EvaluationError:  # all of the first designs failed, which ends a run
        assert function._n == function._n_failed <= n_eval
        return
    check_exact(result, n_eval)
    assert function._n == n_eval
    assert len(result.failures) == sum(s == "error" for s in result.population.get("status"))


@examples(6)
@given(
    st.sampled_from(["MOELA", "BatchMOEAD", "VSRLS"]),
    cases.seeds,
    st.integers(1, 60),
    st.integers(1, 17),
    st.integers(2, 4),
)
def test_every_size_of_batches_and_number_of_threads(name, seed, n_eval, batch_size, n_jobs):
    runs = []
    for settings in ({}, {"n_jobs": n_jobs, "backend": "threads"}):
        function = Counted()
        result = cases.minimized(
            function, "mixed", name, seed, n_eval, batch_size=batch_size, **settings
        )
        check_exact(result, n_eval)
        assert function._n == n_eval
        runs.append(cases.rows(result))
    assert runs[0] == runs[1]


@examples(1)
@given(cases.algorithms, cases.seeds, st.integers(20, 50))
def test_processes(name, seed, n_eval):
    serial = cases.minimized(cases.goals, "mixed", name, seed, n_eval)
    parallel = cases.minimized(cases.goals, "mixed", name, seed, n_eval, n_jobs=2)
    check_exact(parallel, n_eval)
    assert cases.rows(serial) == cases.rows(parallel)


@examples(6)
@given(st.sampled_from(["MOELA", "NSGA2", "MOOS"]), cases.seeds, st.integers(1, 50))
def test_asynchronous_runs(name, seed, n_eval):
    function = Counted()
    settings = {"asynchronous": True, "n_jobs": 3, "backend": "threads"}
    result = cases.minimized(function, "mixed", name, seed, n_eval, **settings)
    check_exact(result, n_eval)
    assert function._n == n_eval


@examples(10)
@given(cases.algorithms, cases.seeds, st.integers(10, 60))
def test_a_small_space_is_evaluated_once(name, seed, n_eval):
    calls = []

    def function(design):
        calls.append(tuple(design.values()))
        return {"small": design["n"], "near": -((design["n"] - 7) ** 2)}

    result = cases.minimized(function, "few", name, seed, n_eval)
    assert len(calls) == len(set(calls)) == result.n_eval <= min(n_eval, 9)


cases.VARIABLES["few"] = {"n": (1, 9)}
