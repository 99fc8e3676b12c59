"""Results: tables, pictures, choosing, explaining, files."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from function_cases import QUIET, SINK, sink

import moela


@pytest.fixture(scope="module")
def result():
    return moela.minimize(sink, **SINK, **QUIET, n_eval=120)


@pytest.fixture(scope="module")
def three():
    return moela.minimize(
        lambda d: {"a": d["x"], "b": d["y"], "c": 1 / (0.1 + d["x"] + d["y"])},
        variables={"x": (0.0, 1.0), "y": (0.0, 1.0)},
        objectives={"a": "min", "b": "min", "c": "min"},
        n_eval=100,
        **QUIET,
    )


def test_frames(result):
    frame = result.to_frame()
    assert list(frame.columns) == [
        "height",
        "fins",
        "shape",
        "fan",
        "mass",
        "rise",
        "noise",
        "area",
    ]
    assert len(frame) == len(result) == len(result.designs)
    everything = result.to_frame(all=True)
    assert len(everything) == 120
    assert list(everything.columns[-3:]) == ["feasible", "status", "error"]
    assert result.designs[0] == dict(frame.iloc[0, :4])


def test_without_pandas(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'moela\[report\]'"):
        result.to_frame()
    assert len(result.designs) == len(result.table())


def test_text_and_html(result):
    text = repr(result)
    assert text.startswith("sink: done after 120 evaluations")
    assert "height" in text
    html = result._repr_html_()
    for part in ("<table>", "<th>mass</th>", "data:image/png;base64,", "more: <code>.to_frame()"):
        assert part in html
    assert repr(result.front).startswith(f"DesignFront({len(result)} designs; mass (min)")
    assert repr(result.knee()).startswith("Candidate ")


def test_choices_return_the_same_kind(result):
    front = result.front
    for chosen in (
        result.knee(),
        result.by_weights([1, 1]),
        result.by_weights({"mass": 2, "rise": 1}),
        result.by_reference({"mass": 0.3, "rise": 3}),
        front[0],
    ):
        assert chosen == front[chosen.index]
        assert front.decode(chosen.index) == chosen.design
        assert sink(chosen.design)["mass"] == chosen.objectives["mass"]
    assert front[-1].index == len(front) - 1
    assert result.by_weights({"mass": 1}).index == 0


def test_explanations_agree_with_the_numbers(result):
    front, knee = result.front, result.knee()
    text = result.explain(0)
    assert text.startswith(f"Design 0 (of 0 to {len(front) - 1} on the front): ")
    assert repr(text) == str(text)
    assert "the best of" in text
    mass, rise = front.F[0]
    other_mass, other_rise = front.F[knee.index]
    share = 100 * (rise - other_rise) / other_rise
    assert f"{100 * (other_mass - mass) / other_mass:.3g} % less mass" in text
    assert f"{share:.3g} % more rise" in text
    assert f"Against the knee (design {knee.index})" in text
    assert "It satisfies noise at most 36: 30." in text
    assert "It differs from most of the front in: " in text
    own = result.explain(knee)
    assert "It is the knee" in own
    assert f"design {knee.index - 1}" in own
    assert f"design {knee.index + 1}" in own


def test_a_front_without_a_knee_has_a_balanced_design():
    arc = moela.minimize(
        lambda d: {"a": d["x"], "b": (1 - d["x"] ** 2) ** 0.5},
        variables={"x": (0.0, 1.0)}, objectives=["a", "b"], n_eval=40, **QUIET,
    )  # fmt: skip
    chosen = arc.knee()
    assert all(0.3 < value < 0.9 for value in chosen.objectives.values())
    text = arc.explain(chosen)
    assert "The front has no knee" in text
    assert "It is the knee" not in text
    assert f"a {chosen.objectives['a']:.6g}: {chosen.index} of {len(arc.front)} are better" in text


def test_a_candidate_is_explained_on_the_front_that_holds_it(result):
    few = moela.minimize(sink, **SINK, **QUIET, n_eval=30)
    stranger = next(c for c in result.front if c.design not in few.designs)
    with pytest.raises(ValueError, match="must be a design on this front"):
        few.explain(stranger)
    moved = dataclasses.replace(few.front[0], index=len(few.front) - 1)
    assert few.explain(moved) == few.explain(0)


def test_without_a_feasible_design_the_least_violating_one_is_chosen():
    never = moela.minimize(
        lambda d: {"a": d["x"], "b": 2 * d["x"], "c": 5.0 + d["x"]},
        variables={"x": (0.0, 1.0)}, objectives=["a", "b"], constraints={"c": (None, 1.0)},
        n_eval=20, **QUIET,
    )  # fmt: skip
    front = never.front
    violations = [c.others["c"] for c in front]
    assert violations[never.knee().index] == min(violations)
    # Only one of them is non-dominated, wherever it stands in the list.
    assert never.by_weights([1, 1]).objectives["a"] == front.F[:, 0].min()
    assert "This one violates the constraints least" in never.explain()
    assert "No design is feasible. Against" in never.explain(1)
    assert "knee" not in never.explain(1)


@pytest.fixture(scope="module")
def wide():
    """A result of 60 variables of which only the later half differs on its front."""
    return moela.minimize(
        lambda d: {"a": d["v59"], "b": 1 - d["v59"] + sum(d[f"v{j}"] for j in range(30))},
        variables={f"v{j}": (0.0, 1.0) for j in range(60)}, objectives=["a", "b"],
        start=[{f"v{j}": k / 9 * (j >= 30) for j in range(60)} for k in range(10)],
        n_eval=10, **QUIET,
    )  # fmt: skip


def test_texts_begin_with_the_objectives_and_show_few_of_many_variables(wide):
    head, *rows, last = str(wide).splitlines()[2:]
    assert head.split() == ["a", "b", *(f"v{j}" for j in range(30, 38))]
    assert len(rows) == 10
    assert last == "... and 52 more variables: .to_frame() or .designs"
    assert max(map(len, str(wide).splitlines())) < 130
    first, *_ = wide.explain(3).splitlines()
    assert "v30 = 0.333333, v31" in first
    assert first.endswith("v37 = 0.333333 and 52 more")
    assert "v7 0 and 52 more variables" in repr(wide.front[0])
    assert repr(wide.front[0]).startswith("Candidate 0: a 0, b 1, v0 ")
    assert "and 52 more variables" in wide._repr_html_()
    assert len(wide.front.table().columns) == 62


def test_explanations_of_many_objectives(three):
    text = three.explain(3)
    assert all(f"\n{name} " in text for name in "abc")
    assert text.count("Against its neighbor") >= 1


def test_pictures(result, three, tmp_path):
    axes = result.plot(path=tmp_path / "front.png", title="A sink").axes
    assert (axes[0].get_xlabel(), axes[0].get_ylabel()) == ("mass (min)", "rise (min)")
    assert (tmp_path / "front.png").stat().st_size > 1000
    assert len(three.plot().axes) == 2


def test_files(result, tmp_path):
    with result.save(tmp_path / "front.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result)
    np.testing.assert_array_equal([float(row["mass"]) for row in rows], result.front.F[:, 0])
    rows = json.loads(result.save(tmp_path / "all.json", all=True).read_text())
    assert len(rows) == 120
    assert rows[0]["shape"] in ("round", "pin")


def test_json_has_null_for_what_is_no_number(tmp_path):
    result = moela.minimize(
        lambda d: {"a": d["x"], "b": -d["x"], "c": float("nan"), "d": float("inf")},
        variables={"x": (0.0, 1.0)}, objectives=["a", "b"], n_eval=10, **QUIET,
    )  # fmt: skip
    path = result.save(tmp_path / "all.json", all=True)
    rows = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(word))
    assert (rows[0]["c"], rows[0]["d"]) == (None, None)


@pytest.mark.parametrize("name", ["front.csv", "front.json"])
def test_an_earlier_file_stays_if_the_disk_is_full(result, tmp_path, monkeypatch, name):
    path = result.save(tmp_path / name)
    before = path.read_bytes()

    def full(self, file):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left") as caught:
        result.save(path)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]


def test_what_is_no_file_to_write_is_refused(result, tmp_path):
    with pytest.raises(TypeError, match=r"'path' parameter of save must be a text.*bytes"):
        result.save(b"front.csv")
    with pytest.raises(ValueError, match="Got the folder"):
        result.save(tmp_path)
    with pytest.raises(ValueError, match=r"must end in .*\.png.*Got .*front\.foo"):
        result.plot(path=tmp_path / "front.foo")
    with pytest.raises(TypeError, match="'store' parameter of from_store"):
        moela.MinimizeResult.from_store(3)


def test_results_go_into_comparisons(result):
    rival = moela.minimize(sink, **SINK, **QUIET, n_eval=120, algorithm="nsga2")
    comparison = moela.compare([result, rival])
    assert comparison.algorithms == ["MOELA", "NSGA2"]
    assert list(comparison.scales) == ["sink"]
    assert comparison.scales["sink"].names == ("mass", "rise")
    assert len(comparison.front(algorithm="MOELA")) == len(result.front)
    assert comparison.front(algorithm="MOELA").decode(0) in result.designs
    assert len(result.population) == 120


@pytest.mark.parametrize(
    ("name", "here"),
    [("F", "result.front.F"), ("X", "result.front.designs"), ("best_params", "result.knee()")],
)
def test_names_of_other_libraries_lead_to_ours(result, name, here):
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'; take ") as error:
        getattr(result, name)
    assert here in str(error.value)


def test_results_pickle_whatever_the_callback():
    result = moela.minimize(sink, **SINK, **QUIET, n_eval=20, callback=lambda so_far: None)
    again = pickle.loads(pickle.dumps(result))
    assert (again.status, again.designs) == (result.status, result.designs)
