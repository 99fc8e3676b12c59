"""Runs whose objectives differ in name, order or direction, and points in the user's signs."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import moela
from moela import Front, compare, front_of

BOTH = {"cost": "min", "delay": "min"}
MIXED = {"cost": "max", "delay": "min"}


def simulate(d):
    return {"cost": d["a"] + d["b"], "delay": 1 - d["a"]}


def problem(objectives):
    return moela.problem(
        simulate, variables={"a": (0.0, 1.0), "b": (0.0, 1.0)}, objectives=objectives
    )


def result(objectives, seed=1):
    settings = {"n_eval": 30, "algorithm": "nsga2", "verbose": False, "progress": False}
    return moela.minimize(problem(objectives), seed=seed, **settings)


def folder(path, table, senses, ref_point):
    path.mkdir()
    (path / "front.csv").write_text(table)
    about = {"name": "P", "objectives": list(senses), "senses": list(senses.values())}
    (path / "run.json").write_text(json.dumps({"problem": about, "ref_point": ref_point}))
    return path


def csv(path, text):
    path.write_text(text)
    return path


def pairs(tmp_path):
    """Yield by kind two inputs of the same points, their columns in another order."""
    yield (
        csv(tmp_path / "a.csv", "cost,delay\n1,4\n2,3\n"),
        csv(tmp_path / "b.csv", "delay,cost\n4,1\n3,2\n"),
    )
    frame = pd.DataFrame({"cost": [1.0, 2.0], "delay": [4.0, 3.0]})
    yield frame, frame[["delay", "cost"]]
    points = np.array([[1.0, 4.0], [2.0, 3.0]])
    yield (
        Front(points, names=["cost", "delay"]), Front(points[:, ::-1], names=["delay", "cost"])
    )  # fmt: skip
    yield (
        folder(tmp_path / "one", "cost,delay\n1,4\n2,3\n", BOTH, {"cost": 9, "delay": 8}),
        folder(
            tmp_path / "two", "delay,cost\n4,1\n3,2\n", {"delay": "min", "cost": "min"},
            {"delay": 8, "cost": 9},
        ),
    )  # fmt: skip


def test_columns_follow_the_names_of_the_first_run(tmp_path):
    for first, second in pairs(tmp_path):
        runs = compare({"a": first, "b": second}).runs
        assert [run.names for run in runs] == [("cost", "delay")] * 2
        assert runs[0].F.tolist() == runs[1].F.tolist() == [[1.0, 4.0], [2.0, 3.0]]
        assert front_of({"a": first, "b": second}).F.tolist() == runs[0].F.tolist()
    assert runs[1].ref_point.tolist() == [9.0, 8.0]


def test_results_are_in_one_order_with_their_histories():
    runs = compare({"a": result(["cost", "delay"]), "b": result(["delay", "cost"])}).runs
    assert runs[0].F.tolist() == runs[1].F.tolist()
    assert runs[0].history.load().tolist() == runs[1].history.load().tolist()


def test_points_without_names_are_taken_by_position(tmp_path):
    named = csv(tmp_path / "a.csv", "cost,delay\n1,4\n2,3\n")
    others = [[[1.0, 4.0]], pd.DataFrame({"f1": [1.0], "f2": [4.0]}), Front([[1.0, 4.0]])]
    for other in others:
        assert compare({"b": other, "a": named}).runs[0].F.tolist() == [[1.0, 4.0]]


@pytest.mark.parametrize("first", [["cost", "delay"], None])
def test_other_names_are_refused(tmp_path, first):
    one = csv(tmp_path / "a.csv", "cost,delay\n1,4\n2,3\n") if first is None else result(first)
    two = csv(tmp_path / "c.csv", "gain,loss\n4,1\n3,2\n")
    with pytest.raises(ValueError, match=r"has cost, delay, and b on .* has gain, loss instead"):
        compare({"a": one, "b": two})
    assert len(compare({"P": {"a": one}, "Q": {"b": two}}).problems) == 2


def test_other_directions_are_refused(tmp_path):
    table = "cost,delay\n1,4\n2,3\n"
    results = result(BOTH), result(MIXED)
    folders = [
        folder(tmp_path / name, table, senses, None)
        for name, senses in (("both", BOTH), ("mixed", MIXED))
    ]
    experiments = [
        moela.run_experiment({"P": problem(o)}, {"M": moela.MOELA}, 1, 30) for o in (BOTH, MIXED)
    ]
    for one, two in (results, folders, experiments):
        with pytest.raises(ValueError, match=r"cost=min, delay=min, and .* cost=max, delay=min"):
            compare({"a": one, "b": two})


def test_a_caveat_names_runs_that_do_not_say_what_is_maximized():
    caveats = compare({"a": result(MIXED), "b": [[-1.0, 0.5]]}).caveats
    assert any("cost is maximized" in c and "b did not say so" in c for c in caveats)
    assert not any("is maximized" in c for c in compare([result(MIXED)]).caveats)


def test_given_points_have_the_signs_of_the_objectives(tmp_path):
    run = result(MIXED)
    scale = compare(run, ref_point=[0.25, 2.0]).scales["simulate"]
    assert scale.ref_point.tolist() == [-0.25, 2.0]
    by_name = compare(run, ref_point={"delay": 2.0, "cost": 0.25}).scales["simulate"]
    by_both = compare(run, ref_point={"simulate": {"delay": 2.0, "cost": 0.25}})
    for other in (by_name, by_both.scales["simulate"]):
        assert other.ref_point.tolist() == scale.ref_point.tolist()
    known = compare(run, reference_front=[[3.0, 0.5]]).scales["simulate"]
    assert known.ideal[0] == -3.0
    with pytest.raises(ValueError, match="a number for each of cost, delay"):
        compare(run, ref_point={"delay": 2.0, "gain": 0.25})


def test_the_reference_point_of_a_record_is_read_by_name(tmp_path):
    table = "cost,delay\n1,4\n2,3\n"
    path = folder(tmp_path / "run", table, MIXED, {"delay": 8.0, "cost": 0.5})
    assert compare(path).runs[0].ref_point.tolist() == [-0.5, 8.0]
    other = folder(tmp_path / "other", table, MIXED, {"delay": 8.0, "gain": 0.5})
    with pytest.raises(ValueError, match="field 'ref_point' must be a number for each objective"):
        compare(other)


def test_an_objective_without_a_column_is_named(tmp_path):
    path = folder(tmp_path / "run", "a,delay\n1,4\n2,3\n", MIXED, None)
    with pytest.raises(ValueError, match="with a column 'cost'"):
        compare(path)
