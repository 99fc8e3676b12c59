"""Objectives that are given for runs which record theirs."""

from __future__ import annotations

import json
import re

import pytest

import moela
from moela import compare
from moela.comparison.read.dispatch import read


@pytest.fixture
def recorded(tmp_path, limited):
    """A store, a folder and a result of one problem, which record its objectives."""
    moela.minimize(
        limited.problem, n_eval=60, on_error="infeasible", store=tmp_path / "run.db",
        verbose=False, progress=False,
    )  # fmt: skip
    (tmp_path / "sink").mkdir()
    limited.save(tmp_path / "sink" / "front.csv")
    about = {"name": "f", "objectives": ["x", "gain"], "senses": ["min", "max"]}
    (tmp_path / "sink" / "run.json").write_text(json.dumps({"problem": about}))
    return {
        "store": tmp_path / "run.db", "folder": tmp_path / "sink",
        "table": tmp_path / "sink" / "front.csv", "result": limited,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["store", "folder", "table", "result"])
def test_given_objectives_may_only_repeat_those_that_are_recorded(recorded, kind):
    source = recorded[kind]
    agreeing = compare(source, objectives={"x": "min", "gain": "max"})
    assert [run.F.tolist() for run in agreeing.runs] == [run.F.tolist() for run in read(source)]
    for given in ({"x": "max", "gain": "max"}, {"x": "min", "none": "max"}, ["x"], ["gain", "x"]):
        with pytest.raises(ValueError, match="records, in their order: x=min, gain=max") as caught:
            compare(source, objectives=given)
        assert re.search(r"Got \w+=m.* instead; leave them out", str(caught.value))
