"""The page of accuracies follows from its record, and errors that grow are not written."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.benchmarks import accuracy
from tests.benchmarks.accuracy_sources import Points
from tests.docs.blocks import DOCS, text_of


def lines_of(text):
    """Return the lines of a page, without the one that names date and machine."""
    return [line for line in text.splitlines() if not line.startswith("Made on ")]


def test_the_page_is_that_of_the_record():
    page = accuracy.page(accuracy.recorded())
    assert lines_of(page) == lines_of(text_of(DOCS / "accuracy.md"))


def test_everything_measured_has_a_row():
    wanted = (
        "Networks on chip", "Layers of experts", "Whole models on this machine",
        "Whole models on GPUs", "BookSim", "HotSpot", "silicon_sample.csv", "a run of vLLM",
    )  # fmt: skip
    text = "\n".join(f"{row.section} {row.truth}" for row in accuracy.recorded())
    assert [name for name in wanted if name not in text] == []


def test_each_script_of_the_page_exists():
    folder = DOCS.parent / "tests" / "benchmarks"
    for row in accuracy.recorded():
        if row.script.startswith("pytest "):
            assert (DOCS.parent / row.script.removeprefix("pytest ")).exists()
        else:
            assert (folder / f"{row.script}.py").exists()


@pytest.mark.parametrize(
    ("now", "grown"),
    [
        ({"median": 0.0105}, False),
        ({"median": 0.012}, True),
        ({"worst": 0.056}, True),
        ({"rank": 0.97}, True),
        ({"held": 0.85}, False),
        ({"held": 0.7}, True),
    ],
)
def test_growth_by_more_than_a_tenth_is_named(now, grown):
    old = accuracy.Row("a", "b", "c", "d", 10, 0.01, 0.05, level=0.9, held=0.9, rank=0.98)
    assert bool(accuracy.grown(replace(old, **now), old)) is grown


@pytest.mark.parametrize("accept", [False, True])
def test_a_larger_error_stops_the_script(accept, tmp_path, monkeypatch, capsys):
    def source():
        yield Points("section", "times", "a clock", "script", np.array([1.2]), np.array([1.0]))

    record = tmp_path / "accuracy.json"
    old = accuracy.Row("section", "times", "a clock", "script", 1, 0.1, 0.1)
    record.write_text(json.dumps({"rows": [accuracy.rounded(vars(old))]}))
    before = record.read_text()
    monkeypatch.setattr(accuracy, "RECORD", record)
    monkeypatch.setattr(accuracy, "PAGE", tmp_path / "accuracy.md")
    monkeypatch.setattr(accuracy, "draw", lambda kept: None)
    monkeypatch.setattr(accuracy.sources, "SOURCES", (source,))
    monkeypatch.setattr(accuracy.sources, "SLOW", ())
    monkeypatch.setattr(sys, "argv", ["accuracy", "--accept"] if accept else ["accuracy"])
    if accept:
        accuracy.main()
    else:
        with pytest.raises(SystemExit, match="1"):
            accuracy.main()
    assert "grown: section: times: median error 20.00%, was 10.00%" in capsys.readouterr().out
    assert (record.read_text() == before) is not accept
    assert (tmp_path / "accuracy.md").exists() is accept
