"""Results: printed tables, frames, and the columns of files."""

from __future__ import annotations

import csv

from function_cases import QUIET

import moela


def test_an_output_with_the_name_of_a_variable():
    result = moela.minimize(
        lambda d: (d["x"], -d["x"]),
        variables={"x": (0.0, 1.0)},
        objectives=["x", "y"],
        n_eval=20,
        **QUIET,
    )
    assert list(result.to_frame().columns) == ["x", "x (output)", "y"]


def test_outputs_and_variables_called_like_the_columns_about_the_run(tmp_path):
    settings = {
        "variables": {"status": (0.0, 1.0)},
        "objectives": ["error", "cost"],
        "constraints": {"feasible": (None, 0.9)},
        **QUIET,
    }

    def function(d):
        x = d["status"]
        return {"error": x, "cost": 1 - x, "feasible": x}

    result = moela.minimize(function, **settings, n_eval=20, store=tmp_path / "run.db")
    frame = result.to_frame(all=True)
    own = ["feasible (run)", "status (run)", "error (run)"]
    assert list(frame.columns) == ["status", "error", "cost", "feasible", *own]
    for name in ("error", "feasible"):
        assert frame[name].tolist() == frame["status"].tolist()
    assert set(frame["status (run)"]) == {"ok"}
    assert frame["feasible (run)"].tolist() == (frame["feasible"] <= 0.9).tolist()
    with result.save(tmp_path / "all.csv", all=True).open(newline="") as file:
        assert [row["error"] for row in csv.DictReader(file)] == frame["error"].map(str).tolist()
    again = moela.MinimizeResult.from_store(tmp_path / "run.db")
    assert again.to_frame(all=True).equals(frame)
    later = moela.minimize(function, **settings, n_eval=20, start=frame)
    assert later.to_frame(all=True)["status"].tolist() == frame["status"].tolist()


def test_variables_that_designs_lack_have_columns_before_the_outputs(tmp_path):
    variables = {
        "cooling": ["none", "fan"],
        "rpm": moela.integer(1, 5, when={"cooling": "fan"}),
        "spare": moela.boolean(when={"rpm": 5}),
        "x": (0.0, 1.0),
    }
    function = lambda d: {"a": d["x"], "note": "n"}  # noqa: E731
    problem = moela.problem(function, variables=variables, objectives="a")
    known = [
        {"cooling": "none", "x": 0.1, "a": 0.1},
        {"cooling": "fan", "rpm": 2, "x": 0.2, "a": 1},
    ]
    settings = {"variables": variables, "objectives": "a", "n_eval": 1, "verbose": False}
    result = moela.minimize(function, **settings, known=known, progress=False)
    columns = ["cooling", "rpm", "spare", "x", "a", "note"]
    assert result.table(all=True).columns[:6] == columns
    assert result.front.table().columns[:5] == columns[:5]
    path = result.save(tmp_path / "all.csv", all=True)
    assert path.read_text().startswith("cooling,rpm,spare,x,a,note,")
    again = moela.minimize(function, **settings, known=path, progress=False)
    assert again.n_known == len(result.population)
    assert problem.decode(again.population[1].X) == {"cooling": "fan", "rpm": 2, "x": 0.2}
