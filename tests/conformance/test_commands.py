"""Every command keeps the manners of the command line; to add one, add a line to COMMANDS."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

import moela
from moela.cli import COMMANDS as KNOWN
from moela.cli import main


@dataclass(frozen=True)
class Command:
    """A command: an option that it has, words that it refuses, and words that print JSON."""

    option: str
    refused: str
    prints: str | None = None


# In a folder with the files of `folder`. Words that print JSON are None where the command
# offers none, or works on a trained model or for a long time; these have tests of their own.
COMMANDS = {
    "run": Command("--evals", "missing.py:f --evals 4", "function.py:simulate --evals 4"),
    "run noc": Command("--traffic", "--traffic missing.csv", "--evals 4 --baseline-evals 0"),
    "run moe": Command("--trace", "--trace missing.npz"),
    "run moe-on-chip": Command("--platform", "--trace missing.npz"),
    "show": Command("--traffic", "missing.json", "design.json"),
    "export": Command("--traffic", "missing.json --to csv --out x", "design.json --to csv --out x"),
    "runs": Command("--failures", "missing.db", "run.db"),
    "watch": Command("--every", "missing.db --once", "run.db --once"),
    "explain": Command("--design", "missing.db", "run.db"),
    "compare": Command("--pictures", "missing", "a.csv b.csv"),
    "measure": Command("--budget-s", "--hardware missing.json"),
    "moe verify": Command("--repeats", "missing.json --trace trace.npz"),
    "moe buy": Command("--prices", "--model missing.json --prices prices.json --gpus-max 8"),
    "moe simulate": Command("--model", "--model missing.json --gpu h200_sxm --rate 4"),
    "moe headroom": Command("--slots", "missing.npz", "trace.npz --slots 8"),
    "moe advise": Command("--gpus", "missing.npz", "trace.npz --gpus 2"),
    "trace describe": Command("--against", "missing.npz", "trace.npz"),
    "trace convert": Command("--experts", "missing.npz out.npz", "trace.npz out.npz"),
    "trace record": Command("--text", "missing out.npz --text missing.txt"),
    "example": Command("--force", "missing.py", "--list"),
    "completion": Command("--help", "fish"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a folder with a file of each kind, in which commands run."""
    here = tmp_path_factory.mktemp("commands")
    before = Path.cwd()
    os.chdir(here)
    try:
        for name in ("function.py", "trace.npz", "design.json", "prices.json", "config.json"):
            assert main(["example", name]) == 0
        result = moela.minimize(
            lambda d: (d["x"], 1 - d["x"] + d["y"]),
            variables={"x": (0.0, 1.0), "y": (0.0, 1.0)},
            objectives=["mass", "rise"],
            n_eval=40,
            store="run.db",
            verbose=False,
            progress=False,
        )
        for name in "ab":
            result.save(f"{name}.csv")
    finally:
        os.chdir(before)
    return here


def words_of(name, more=""):
    return [*name.split(), *more.split()]


def exits(words):
    """Return the exit status of a command, whether it returns or exits."""
    try:
        return main(words)
    except SystemExit as error:
        return error.code


def test_every_command_has_a_line():
    groups = {key[0] for key in KNOWN if len(key) == 2 and (key[0],) not in KNOWN}
    parts = {"trace describe", "trace convert", "trace record"}
    assert {" ".join(key) for key in KNOWN} - {"trace"} | parts == set(COMMANDS)
    assert groups == {"moe"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_printed(name, capsys):
    assert exits(words_of(name, "--help")) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"usage: moela {name}")
    assert COMMANDS[name].option in shown.out
    assert not shown.err


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_ends_with_2_and_the_nearest_one(name, capsys):
    option = COMMANDS[name].option
    assert exits(words_of(name, f"{option[:-1]}")) == 2
    shown = capsys.readouterr()
    assert f"there is no option {option[:-1]}. Did you mean {option}" in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out


@pytest.mark.parametrize("name", COMMANDS)
def test_bad_input_ends_with_2_and_one_line(name, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = sorted(Path().rglob("*.*"))
    assert exits(words_of(name, COMMANDS[name].refused)) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("moela")
    assert shown.err.count("\n") == 1
    assert any(word in shown.err for word in ("missing", "fish"))
    assert not shown.out
    assert sorted(Path().rglob("*.*")) == before, "no file is written"


@pytest.mark.parametrize("name", [n for n, command in COMMANDS.items() if command.prints])
def test_json_is_one_value(name, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(words_of(name, f"{COMMANDS[name].prints} --json")) == 0
    value = json.loads(capsys.readouterr().out)
    assert value, "it holds something"
