"""Folders of `moela run`: front.csv, everything evaluated beside it, and their record."""

from __future__ import annotations

import json

import numpy as np
import pytest

import moela
from moela import compare
from moela.cli import main
from moela.comparison.read.dispatch import read


@pytest.fixture(scope="module")
def traded():
    """A result of 60 evaluations with a front of many designs, and failed ones."""

    def function(d):
        if d["x"] > 0.9:
            raise RuntimeError("too hot")
        return {"x": d["x"], "gain": d["x"] ** 0.5 - d["y"]}

    return moela.minimize(
        function, variables={"x": (0.0, 1.0), "y": (0.0, 1.0)},
        objectives={"x": "min", "gain": "max"}, n_eval=60, on_error="infeasible",
        verbose=False, progress=False,
    )  # fmt: skip


def put(folder, result, **record):
    """Write a result into a folder as `moela run` does; front.csv keeps the order of the result."""
    folder.mkdir()
    result.save(folder / "front.csv")
    result.save(folder / "evaluations.csv", all=True)
    about = {"name": "f", "objectives": ["x", "gain"], "senses": ["min", "max"]}
    content = {"problem": about, "n_eval": result.n_eval, "feasible": result.feasible} | record
    (folder / "run.json").write_text(json.dumps(content))
    return folder


def test_evaluations_of_a_folder_are_compared_at_a_number_of_them(tmp_path, traded, capsys):
    folder = put(tmp_path / "sink", traded)
    (run,) = compare(folder, at=30).runs
    (direct,) = compare(traded, at=30).runs
    assert sorted(run.F.tolist()) == sorted(direct.F.tolist())
    assert (run.n_eval, run.history.n_eval) == (30, 30)
    assert main(["compare", f"a={folder}", "--at", "30"]) == 0
    assert f"  {len(run.F)}  " in capsys.readouterr().out


def test_a_folder_is_read_in_the_order_of_its_front(tmp_path, traded):
    folder = put(tmp_path / "sink", traded)
    (run,), (front,), (direct,) = read(folder), read(folder / "front.csv"), read(traded)
    assert run.F.tolist() == front.F.tolist()
    np.testing.assert_array_equal(run.history.load(), direct.history.load())
    assert len(run.F) > 3
    assert run.left_out["failed"] == len(traded.failures) > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "evaluations.csv").unlink(), r"there is no .*evaluations\.csv"),
        (
            lambda folder: (folder / "evaluations.csv").write_text("x,gain\n1,two\n"),
            r"evaluations\.csv: field 'line 2, column \"gain\"' must be a number",
        ),
    ],
)
def test_evaluations_that_cannot_be_read_are_named_once_they_are_needed(
    tmp_path, traded, change, words
):
    folder = put(tmp_path / "sink", traded)
    change(folder)
    (run,) = compare(folder).runs
    assert len(run.F) == len(read(traded)[0].F)
    with pytest.raises(ValueError, match=rf"Got 9 instead, with .*front\.csv: .*{words}"):
        compare(folder, at=9)


def test_tables_with_known_results_do_not_count_as_evaluations(tmp_path, traded):
    folder = put(tmp_path / "sink", traded, n_eval=20)
    assert read(folder)[0].history is None
    with pytest.raises(ValueError, match=r"has 60 rows and run\.json counts 20 evaluations"):
        compare(folder, at=9)


@pytest.mark.parametrize("everything", [True, False])
def test_designs_of_least_violation_are_no_front(tmp_path, traded, everything):
    outside = moela.minimize(
        lambda d: {"x": d["x"], "gain": -d["x"], "limit": d["x"]},
        variables={"x": (0.0, 1.0)}, objectives={"x": "min", "gain": "max"},
        constraints={"limit": (None, -1)}, n_eval=10, verbose=False, progress=False,
    )  # fmt: skip
    folder = put(tmp_path / "outside", outside, settings={"algorithm": "nsga2"})
    if not everything:
        (folder / "evaluations.csv").unlink()
    (run,) = read(folder)
    assert len(run.F) == 0
    assert run.left_out["infeasible"] > 0
    comparison = compare({"f": {"a": traded, "b": folder}})
    assert any("of b on f found no feasible point" in caveat for caveat in comparison.caveats)
