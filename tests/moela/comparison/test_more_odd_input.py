"""Populations, tables without a heading or without rows, JSON, and very many objectives."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymoo.core.population import Population

import moela
from moela import Front, compare, front_of
from moela.comparison.read.dispatch import read

POINTS = [[1.0, 2.0], [2.0, 1.0]]


def written(tmp_path, text, name="points.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_a_population_is_a_run():
    population = Population.new("X", np.eye(2), "F", np.array(POINTS))
    assert len(front_of(population)) == 2
    assert [len(run.F) for run in compare([population, population]).runs] == [2, 2]
    assert compare(population).runs[0].F.tolist() == POINTS


@pytest.mark.parametrize("first", ["0.0,failed", "mine,3.5"])
def test_a_heading_with_a_number_is_refused(tmp_path, first):
    with pytest.raises(ValueError, match="'line 1' must be a heading of names, or a row"):
        compare(written(tmp_path, f"{first}\n1,2\n2,1\n"))


def test_empty_labels_of_a_frame_are_those_of_its_file(tmp_path):
    path = written(tmp_path, "algorithm,seed,cost,delay\nA,1,1,2\nA,,2,1\n,2,2,3\n")
    of_file, of_frame = (compare(given).runs for given in (path, pd.read_csv(path)))
    assert [run.seed for run in of_frame] == [run.seed for run in of_file] == [1, None, 2]
    assert [run.algorithm for run in of_frame] == ["A", "A", "front"]


def test_marked_variables_are_no_objectives(tmp_path):
    front = Front(POINTS, [{"cost": 1.0}, {"cost": 2.0}], names=["cost", "delay"])
    front.to_frame().to_csv(tmp_path / "front.csv")
    assert compare(tmp_path / "front.csv").runs[0].names == ("cost", "delay")


@pytest.mark.parametrize(
    ("text", "name"), [("[[1,2],[2,1]]", "points.csv"), ('[\n  {\n "a": 1}]', "front.json")]
)
def test_json_is_called_so(tmp_path, text, name):
    with pytest.raises(ValueError, match=r"Got JSON.* give the result itself"):
        compare(written(tmp_path, text, name))


def test_tables_without_rows_are_called_so(tmp_path):
    path = written(tmp_path, "cost,delay\n")
    with pytest.raises(ValueError, match=r"Got no row in .*points\.csv"):
        compare(path)
    assert len(compare({"A": path, "B": POINTS}).runs) == 2


def test_indicators_of_very_many_objectives_are_named():
    F = np.random.default_rng(0).random((5, 32))
    for call in (lambda: compare(F), lambda: Front(F).contributions()):
        with pytest.raises(ValueError, match=r"at most 31 objectives\. Got 32 .*igd_plus"):
            call()
    others = compare(F, indicators=["igd_plus", "epsilon", "r2"]).table().rows[0]
    assert np.isfinite(others["r2"])


def test_a_store_of_one_objective_says_what_to_compare(tmp_path):
    moela.minimize(
        lambda d: d["x"], variables={"x": (0.0, 1.0)}, objectives="f", n_eval=20,
        store=tmp_path / "run.db", verbose=False, progress=False,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"two or more objectives.*from_store\('.*', 1\)\.best"):
        compare(tmp_path / "run.db")


def test_files_of_another_kind_are_told_what_to_give_instead(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("function.py").write_text("variables = {'x': (0, 1)}\n")
    Path("front.png").write_bytes(b"\x89PNG\r\n")
    Path("front.yaml").write_text("a: 1\nb: 2\n")
    with zipfile.ZipFile("front.xlsx", "w") as file:
        file.writestr("sheet.xml", "<sheet/>")
    expected = r"expected a store .*, a folder of `moela run` .*, or a table of points"
    for given, name in (("function.py", "NAME"), ("function.py:simulate", "simulate")):
        command = rf"`moela run function\.py:{name} --evals 300 --out result/`"
        with pytest.raises(ValueError, match=rf"{expected}.*Got a Python program.*{command}"):
            read(given)
    for given, got in (("front.png", "file"), ("front.yaml", "file"), ("front.xlsx", "ZIP")):
        with pytest.raises(ValueError, match=rf"{expected}.*Got a {got} .* save points as CSV"):
            read(given)
    with pytest.raises(ValueError, match=r"no file or folder other\.py"):
        read("other.py")
