"""Runs of plain functions in the tables of a store: the function's own name, and its outputs'."""

import functools

import pytest

import moela
from moela.evaluation.storage.reader import EvaluationStore
from moela.watch.follow import Follower


def simulate(d):
    return {"mass": d["x"], "rise": 1 - d["x"]}


class Simulator:
    def __call__(self, d):
        return simulate(d)

    def solve(self, d):
        return simulate(d)


def with_setting(k, d):
    return simulate(d)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (simulate, "simulate"),
        (functools.partial(with_setting, 2), "with_setting"),
        (Simulator(), "Simulator"),
        (Simulator().solve, "solve"),
        (lambda d: simulate(d), "the function"),
    ],
)
def test_tables_name_the_function(tmp_path, function, name):
    path = tmp_path / "run.db"
    moela.minimize(
        function,
        variables={"x": (0.0, 1.0)},
        objectives=["mass", "rise"],
        n_eval=20,
        store=path,
        verbose=False,
        progress=False,
    )
    with EvaluationStore(path) as store:
        assert f"MOELA on {name}, seed 1" in repr(store.runs()[0])
        assert name in repr(store.runs())
    assert f" {name} " in moela.describe_runs(path)[1]
    follower = Follower(path)
    assert follower.refresh().problem == name
    follower.close()
