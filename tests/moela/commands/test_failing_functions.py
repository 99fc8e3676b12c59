"""Output of `moela run` for functions that raise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from moela.cli import main

FAILING = """
variables = {"x": (0.0, 1.0), "y": (0.0, 1.0)}
objectives = ["mass", "rise"]


def solver(d):
    raise RuntimeError("diverged")


def sometimes(d):
    if d["x"] > 0.5:
        solver(d)
    return {"mass": d["x"], "rise": 1 - d["y"]}


def always(d):
    solver(d)
"""


def run(*words):
    return main(["run", *map(str, words)])


def test_a_failed_evaluation_is_one_line(folder, capsys, caplog):
    Path("failing.py").write_text(FAILING)
    words = ("--evals", 20, "--on-error", "infeasible", "--quiet")
    assert run("failing.py:sometimes", *words) == 0
    printed = capsys.readouterr()
    n = int(re.search(r"(\d+) failed \(\d+ x RuntimeError: diverged\)", printed.out)[1])
    assert n > 1
    lines = [text for text in caplog.messages if "diverged" in text]
    assert len(lines) == n
    start = "an evaluation failed (RuntimeError: diverged) for the design {'x': 0."
    assert all(line.startswith(start) and "\n" not in line for line in lines)
    assert "Traceback" not in printed.err + caplog.text


@pytest.mark.parametrize("evals", [3, 20])
@pytest.mark.parametrize("on_error", ["raise", "infeasible"])
def test_a_function_that_always_fails_prints_its_traceback_once(
    folder, capsys, caplog, evals, on_error
):
    Path("failing.py").write_text(FAILING)
    words = ("--evals", evals, "--on-error", on_error, "--quiet")
    assert run("failing.py:always", *words) == 2
    error = capsys.readouterr().err
    assert (caplog.text + error).count("Traceback") == 1
    assert re.search(r"^moela: always raised an exception for the design {'x': 0\.", error, re.M)
    # From the function on, without the frames of the library that called it.
    frames = re.findall(r'  File "(.*)", line \d+, in (\w+)', error + caplog.text)
    assert [(Path(file).name, name) for file, name in frames] == [
        ("failing.py", "always"),
        ("failing.py", "solver"),
    ]
