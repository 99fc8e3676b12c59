"""Runs of plain functions in the tables of a store: the function's own name, and its outputs'."""

import functools

import numpy as np
import pytest

import moela
from moela.evaluation.storage.reader import EvaluationStore
from moela.watch.follow import Follower
from moela.watch.page import _data
from moela.watch.terminal import lines_of


def simulate(d):
    return {"mass": d["x"], "rise": 1 - d["x"]}


def with_setting(k, d):
    return simulate(d)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (simulate, "simulate"),
        (functools.partial(with_setting, 2), "with_setting"),
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


def test_failures_are_counted_by_reason(tmp_path, capsys):
    def rising(d):
        if d["x"] > 4:
            raise ValueError(f"mesh failed at {d['x']}")
        if d["x"] < 1:
            raise RuntimeError("license server gone")
        if d["x"] < 2:
            return {"mass": d["x"]}
        return simulate(d)

    path = tmp_path / "run.db"
    result = moela.minimize(
        rising,
        variables={"x": (0.1, 5.0)},
        objectives=["mass", "rise"],
        n_eval=30,
        store=path,
        on_error="infeasible",
        algorithm="nsga2",
        verbose=False,
        progress=False,
    )
    follower = Follower(path)
    snapshot = follower.refresh()
    follower.close()
    reasons = {(status, text.partition(" Got")[0]) for _, status, text in snapshot.failures}
    missing = "rising must return a dictionary {'mass': ..., 'rise': ...}."
    assert reasons == {
        ("error", "ValueError: mesh failed at #"),
        ("error", "RuntimeError: license server gone"),
        ("error", missing),
    }
    assert sum(n for n, _, _ in snapshot.failures) == len(result.failures)


def test_values_have_the_signs_and_names_of_the_function(tmp_path):
    path = tmp_path / "run.db"
    result = moela.minimize(
        lambda d: {"yield": d["x"] * (1 + d["tool"].index("b")), "cost": d["x"]},
        variables={"x": (1.0, 2.0), "tool": ["ab", "b"], "order": moela.permutation(3)},
        objectives={"yield": "max", "cost": "min"},
        n_eval=60,
        store=path,
        verbose=False,
        progress=False,
    )
    follower = Follower(path)
    snapshot = follower.refresh()
    follower.close()
    assert snapshot.titles() == ["yield (max)", "cost"]
    assert snapshot.best == [result.front.F[:, 0].max(), result.front.F[:, 1].min()]
    assert sorted(map(tuple, snapshot.front)) == sorted(map(tuple, result.front.F.tolist()))
    assert set(snapshot.designs[0]) == {"x", "tool", "order"}
    data = _data(snapshot)
    scaled = (np.array(snapshot.front) - data["ideal"]) / data["span"]
    assert (scaled.min(), scaled.max()) == (0.0, 1.0)
    assert any("yield (max)" in line for line in lines_of(snapshot))
    assert "tool = " in data["points"][0]["x"]
