"""`moela compare`: a summary, a page, pictures, and one line of error for bad input."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.problems import get_problem

from moela.cli import main
from moela.experiments.run import run_experiment


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    out = tmp_path_factory.mktemp("folders")
    for name, size in (("one", 10), ("two", 40)):
        problem = get_problem("zdt1", n_var=5)
        run_experiment(
            {"zdt1": problem}, {"NSGA-II": lambda s=size: NSGA2(s)}, 2, 160, store=out / name
        )
    return out


def test_summary_on_the_terminal(folders, capsys):
    assert main(["compare", str(folders / "one"), str(folders / "two")]) == 0
    text = capsys.readouterr().out
    assert "NSGA-II (one)" in text
    assert "NSGA-II (two)" in text
    assert "largest median hypervolume" in text
    assert "reference point" in text


def test_names_settings_page_and_pictures(folders, tmp_path, capsys):
    pytest.importorskip("plotly")
    page, pictures = tmp_path / "out" / "report.html", tmp_path / "pictures"
    arguments = [
        "compare", f"small={folders / 'one'}", f"large={folders / 'two'}", "--html", str(page),
        "--pictures", str(pictures), "--ref-point", "1.5,8", "--baseline", "small",
        "--indicator", "igd_plus", "--at", "100", "--archive-size", "30", "--unpaired",
        "--alpha", "0.1",
    ]  # fmt: skip
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "(1.5, 8), as given" in text
    assert "least median IGD+" in text
    assert page.stat().st_size > 1_000_000
    assert len(list(pictures.glob("*.png"))) >= 4
    assert "<td>at</td><td>100</td>" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["jinja2", "plotly"])
def test_a_report_without_its_packages_is_one_line_before_any_work(
    module, folders, tmp_path, monkeypatch, assert_rejected
):
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("moela.comparison.compare", lambda *given, **settings: pytest.fail("work"))
    command = ["compare", folders / "one", "--html", tmp_path / "report.html"]
    assert_rejected(command, f"this needs {module}", "pip install 'moela[report]'")


def test_common_number_of_evaluations(folders, capsys):
    assert main(["compare", str(folders / "one"), "--at", "common"]) == 0
    assert "zdt1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere"),
        (["--ref-point", "1;2"], "--ref-point"),
        (["--at", "soon"], "--at"),
        (["--indicator", "igd"], "--indicator"),
        (["--baseline", "GA"], "baseline"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, folders, assert_rejected):
    assert_rejected(["compare", folders / "one", *arguments], words)


def test_fronts_in_text_files(tmp_path, capsys):
    for name, shift in (("a", 0.0), ("b", 0.5)):
        np.savetxt(tmp_path / f"{name}.csv", np.array([[0, 1], [1, 0]]) + shift, delimiter=",")
    assert main(["compare", f"a={tmp_path / 'a.csv'}", f"b={tmp_path / 'b.csv'}"]) == 0
    assert "a has the largest median hypervolume" in capsys.readouterr().out


def test_objectives_of_tables(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("n,cost,gain\n5,1,2\n6,2,3\n")
    assert main(["compare", str(tmp_path / "a.csv"), "--objectives", "cost,gain=max"]) == 0
    text = capsys.readouterr().out
    assert "2 objectives (cost, gain (max))" in text
    assert "a             1  2 " in text
