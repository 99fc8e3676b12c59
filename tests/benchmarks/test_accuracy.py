"""The page of accuracies follows from its record, and errors that grow are not written."""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from problems.noc import NoC3D
from tests.benchmarks import accuracy, harness
from tests.benchmarks import accuracy_sources as sources
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


def test_no_measurement_is_kept_with_a_prediction():
    files = sorted((harness.RESULTS / "measured").glob("*.json.gz"))
    rows = [row for file in files for row in json.loads(gzip.decompress(file.read_bytes()))["rows"]]
    assert {path.name.partition("_")[0] for path in files} == {"prefill", "whole"}
    settings = {"batch", "gates", "buffers"}, {"tokens", "gate"}
    assert all(set(row) - {"measured"} in settings for row in rows)
    for row in sources.results("offload_kernel.json").values():
        assert set(row) == {"plans", "seconds", "spread", "fitted", "machine"}


def test_another_model_of_chips_changes_their_rows(monkeypatch):
    def first():
        try:
            return next(sources.best_designs())
        except sources.Missing as error:
            pytest.skip(str(error))

    before, evaluate = first(), NoC3D.evaluate
    monkeypatch.setattr(NoC3D, "evaluate", lambda *args: 1.5 * evaluate(*args))
    after = first()
    np.testing.assert_allclose(after.predicted, 1.5 * before.predicted)
    np.testing.assert_array_equal(after.measured, before.measured)


def test_another_cost_of_misses_changes_offloaded_steps(monkeypatch):
    pytest.importorskip("torch")
    from moe_costmodel import MissCost
    from tests.benchmarks import offload_kernel

    cases = list(offload_kernel.cases_of(["example"], quick=True))
    monkeypatch.setattr(offload_kernel, "MODELS", {"example": ""})
    monkeypatch.setattr(offload_kernel, "cases_of", lambda models: cases)
    (before,), seconds = sources.offloading(), MissCost.step_seconds
    monkeypatch.setattr(MissCost, "step_seconds", lambda *args: 1.5 * seconds(*args))
    (after,) = sources.offloading()
    np.testing.assert_allclose(after.predicted, 1.5 * before.predicted)


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
    monkeypatch.setattr(sources, "SOURCES", (source,))
    monkeypatch.setattr(sys, "argv", ["accuracy", "--accept"] if accept else ["accuracy"])
    if accept:
        accuracy.main()
    else:
        with pytest.raises(SystemExit, match="1"):
            accuracy.main()
    assert "grown: section: times: median error 20.00%, was 10.00%" in capsys.readouterr().out
    assert (record.read_text() == before) is not accept
    assert (tmp_path / "accuracy.md").exists() is accept
