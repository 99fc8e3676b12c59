"""The command line: files of results, and one line with exit code 2 for bad input."""

from __future__ import annotations

import csv
import errno
import sys

import numpy as np
import pytest

from moela.cli import COMMANDS, main
from problems import NoC3D
from problems.noc import Design

# Optimizing baselines and drawing them takes a second.
WITHOUT_BASELINES = ["--baseline-evals", "0"]


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    out = tmp_path_factory.mktemp("front")
    assert main(["run", "noc", "--evals", "300", "--objectives", "3", "--out", str(out)]) == 0
    return out


def test_front_holds_what_the_designs_are_worth(front):
    with (front / "front.csv").open() as file:
        header, *lines = list(csv.reader(file))
    values = np.array(lines, dtype=float)
    problem = NoC3D.example("bfs", objectives=3)
    assert header[:3] == ["mean", "deviation", "latency"]
    F = problem.evaluate(values[:, 3:].astype(int))
    np.testing.assert_array_equal(F, values[:, :3])


def test_best_design_loads_and_picture_is_there(front):
    assert Design.load(front / "best.json").links.shape == (96, 2)
    assert (front / "front.png").read_bytes().startswith(b"\x89PNG")


def test_same_seed_same_front(front, tmp_path):
    arguments = ["run", "noc", "--evals", "300", "--objectives", "3", "--out", str(tmp_path)]
    assert main([*arguments, *WITHOUT_BASELINES, "--jobs", "2"]) == 0
    assert (tmp_path / "front.csv").read_text() == (front / "front.csv").read_text()


@pytest.mark.parametrize("algorithm", ["moela-published", "moos", "nsga3"])
def test_every_algorithm_runs(algorithm, tmp_path):
    arguments = ["run", "noc", "--evals", "60", "--out", str(tmp_path), "--algorithm", algorithm]
    assert main([*arguments, *WITHOUT_BASELINES]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--traffic", "nowhere.csv"], ["nowhere.csv: No such file or directory."]),
        (["--application", "quake"], ["quake", "bfs"]),
        (["--objectives", "7"], ["objectives", "7"]),
        (["--model", "guess"], ["model", "guess", "released"]),
        (["--evals", "1"], ["--evals", "1"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, tmp_path, assert_rejected):
    assert_rejected(["run", "noc", "--out", tmp_path / "out", *arguments], *words)


@pytest.mark.parametrize("content", ["1 2 3 4\n", "word " * 64, "-1 " * 64])
def test_bad_traffic_names_the_file(content, tmp_path, capsys):
    path = tmp_path / "traffic.csv"
    path.write_text(content)
    assert main(["run", "noc", "--traffic", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "traffic.csv" in capsys.readouterr().err


def test_a_process_with_too_many_open_files_says_what_to_do(monkeypatch, capsys):
    def run(arguments):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("moela.commands.runs.run", run)
    assert main(["runs", "any.db"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("moela: Too many open files. Raise the limit on open files (ulimit -n)")


def test_version_and_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    with pytest.raises(SystemExit, match="0"):
        main(["run", "noc", "--help"])
    assert "--traffic" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--help"])
    assert "evaluate; needed without --time-limit" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", sorted({key[:n] for key in COMMANDS for n in (1, 2)}))
def test_the_help_of_each_command_says_what_it_does_and_ends_with_examples(
    command, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    usage, about, *_, examples = capsys.readouterr().out.split("\n\n")
    assert usage.startswith("usage: ")
    assert about.rstrip().endswith(".")
    assert max(map(len, about.splitlines())) <= 80
    assert examples.startswith("examples:\n  moela ")


def test_store_is_resumed_and_listed(tmp_path, capsys):
    arguments = ["run", "noc", "--evals", "100", "--objectives", "3", "--out", str(tmp_path)]
    arguments += WITHOUT_BASELINES
    store = str(tmp_path / "noc.db")
    assert main([*arguments, "--store", store]) == 0
    first = (tmp_path / "front.csv").read_text()
    assert main([*arguments, "--store", store]) == 0
    assert (tmp_path / "front.csv").read_text() == first
    capsys.readouterr()
    assert main(["runs", store]) == 0
    assert "NoC3D" in capsys.readouterr().out


def test_file_that_is_no_store_is_named(tmp_path, capsys):
    path = tmp_path / "notes.db"
    path.write_text("not a database")
    assert main(["runs", str(path)]) == 2
    assert "notes.db" in capsys.readouterr().err


def test_packaged_trace_is_described(capsys):
    assert main(["trace", "describe"]) == 0
    assert "experts" in capsys.readouterr().out


def test_missing_optional_package_is_named_with_its_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("moe_costmodel")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["measure", "--budget-s", "1", "--quiet"]) == 2
    assert "pip install 'moela[torch]'" in capsys.readouterr().err


def test_failures_of_linear_algebra_are_defects_not_input(monkeypatch):
    def fails(_):
        raise np.linalg.LinAlgError("not positive definite")

    monkeypatch.setattr("moela.commands.example.run", fails)
    with pytest.raises(np.linalg.LinAlgError):
        main(["example", "--list"])
