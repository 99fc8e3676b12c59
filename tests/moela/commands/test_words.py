"""The words of the command line: suggestions, help, JSON, completion, examples, speed."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from moela.cli import COMMANDS, _parser, full_parser, main
from moela.commands.completion import SHELLS, script
from moela.commands.example import EXAMPLES
from problems.noc import Platform


def commands(parser):
    """Yield the parser of every command."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from commands(command)


@pytest.fixture(scope="module")
def parsers():
    own = [p for p in commands(_parser(("run",))) if p.prog == "moela run"]
    return [p for p in commands(full_parser()) if p.prog != "moela run"] + own


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        ("run noc --eval 5", "--evals"),
        ("run noc --algorithm moelaa", "moela"),
        ("run x.py:f --sore run.db", "--store"),
        ("runs --jsn", "--json"),
        ("completion bsh", "bash"),
    ],
)
def test_unknown_words_are_answered_with_the_nearest(words, suggestion, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Did you mean" in error
    assert re.search(rf"Did you mean '?{re.escape(suggestion)}'?\?", error), error


def test_each_command_has_examples_that_it_takes(parsers):
    shown = [line for p in parsers for line in (p.epilog or "").splitlines()[1:]]
    for parser in parsers:
        leaf = not any(isinstance(a, argparse._SubParsersAction) for a in parser._actions)
        assert not leaf or parser.epilog, parser.prog
    assert len(shown) > 25
    for line in shown:
        for part in line.partition("#")[0].split("&&"):
            words = shlex.split(part.partition(" > ")[0])
            assert words[0] == "moela"
            chosen = max((k for k in COMMANDS if tuple(words[1 : 1 + len(k)]) == k), key=len)
            if "--help" not in words:
                _parser(chosen).parse_args(words[1:])


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_is_a_valid_script(shell):
    text = script(shell)
    for word in ("noc", "moe", "verify", "--evals", "--store", "completion"):
        assert word in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_options_and_files(tmp_path):
    (tmp_path / "moela.bash").write_text(script("bash"))
    (tmp_path / "sink.db").touch()

    def completed(*words):
        line = " ".join(words)
        program = (
            f"source moela.bash; COMP_WORDS=({line}{' ' * 0}); COMP_CWORD={len(words) - 1}; "
            f"COMP_LINE='{line}'; COMP_POINT={len(line)}; _shtab_moela; echo \"${{COMPREPLY[@]}}\""
        )
        run = subprocess.run(
            ["bash", "-c", program], cwd=tmp_path, text=True, capture_output=True, check=True
        )
        return run.stdout.split()

    assert completed("moela", "comp") == ["compare", "completion"]
    assert completed("moela", "run", "n") == ["noc"]
    assert completed("moela", "run", "noc", "--ev") == ["--evals"]
    assert completed("moela", "run", "my.py:Sink", "--ev") == ["--evals"]
    assert completed("moela", "run", "noc", "--algorithm", "moo") == ["moos", "moo-stage"]
    assert completed("moela", "runs", "si") == ["sink.db"]
    assert completed("moela", "moe", "advise", "si") == ["sink.db"]
    assert completed("moela", "moe", "buy", "--model", "si") == ["sink.db"]


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell of POSIX")
def test_messages_for_a_closed_standard_error_are_not_printed_as_results(tmp_path):
    program = 'exec "$0" -m moela show missing <&- 2>&-'
    run = subprocess.run(
        ["sh", "-c", program, sys.executable], cwd=tmp_path, stdout=subprocess.PIPE, check=False
    )
    assert (run.returncode, run.stdout) == (2, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_streams_that_cannot_be_written_do_not_take_the_results(tmp_path, unbuffered):
    function = "def f(d):\n    return {'a': d['x'], 'b': 1 - d['x']}\n"
    (tmp_path / "f.py").write_text(
        f"variables = {{'x': (0.0, 1.0)}}\nobjectives = ['a', 'b']\n{function}"
    )
    program = f"exec {sys.executable} -m moela run f.py:f --evals 5 --out"

    def run(words):
        return subprocess.run(
            ["sh", "-c", f"{program} {words}"], cwd=tmp_path, capture_output=True, text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip

    silent = run("one 2>/dev/full")
    assert silent.returncode == 0
    assert silent.stdout.startswith("done after 5 evaluations")
    full = run("two --quiet >/dev/full")
    message = "standard output: No space left on device. The results are in two/."
    assert (full.returncode, full.stderr) == (2, f"moela: {message}\n")
    for folder in ("one", "two"):
        assert (tmp_path / folder / "run.json").exists()


def test_help_needs_no_heavy_library():
    program = (
        "import sys\nfrom moela.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'pymoo', 'sklearn', 'torch', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_written_once(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["example", name]) == 0
    use = capsys.readouterr().out.splitlines()[1]
    words = shlex.split(use)[1:]
    chosen = max((k for k in COMMANDS if tuple(words[: len(k)]) == k), key=len)
    _parser(chosen).parse_args(words)
    before = (tmp_path / name).read_bytes()
    assert main(["example", name]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["example", name, "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["out"] == name
    assert (tmp_path / name).read_bytes() == before


def test_the_example_platform_is_that_of_the_paper_with_every_field(tmp_path):
    path = tmp_path / "p.json"
    assert main(["example", "platform.json", "--out", str(path)]) == 0
    assert Platform.load(path) == Platform.paper_4x4x4()
    assert set(json.loads(path.read_text())) == set(Platform.__dataclass_fields__)


def test_the_example_traffic_fits_the_default_platform_and_scale(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("traffic.csv", "design.json"):
        assert main(["example", name]) == 0
    capsys.readouterr()
    assert main(["show", "design.json", "--traffic", "traffic.csv", "--json"]) == 0
    printed = capsys.readouterr()
    assert "warning" not in printed.err
    values = {row["metric"]: row["design"] for row in json.loads(printed.out)["metrics"]}
    assert 0.01 < values["peak_load"] < 10  # flits per cycle

    # Flits per cycle that are divided once more.
    text = np.loadtxt("traffic.csv", delimiter=",") / 2e8
    np.savetxt("rates.csv", text)
    assert main(["show", "design.json", "--traffic", "rates.csv"]) == 0
    assert "rates.csv: PE 21 sends 5.15e-10 flits per cycle" in (error := capsys.readouterr().err)
    assert "add --scale 1" in error
    words = ["show", "design.json", "--traffic", "rates.csv", "--scale", "1", "--json"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "warning" not in printed.err
    again = {row["metric"]: row["design"] for row in json.loads(printed.out)["metrics"]}
    assert again["peak_load"] == pytest.approx(values["peak_load"], rel=1e-6)


def test_export_takes_the_scale(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("traffic.csv", "design.json"):
        assert main(["example", name]) == 0
    words = ["export", "design.json", "--to", "booksim", "--traffic", "traffic.csv"]
    assert main([*words, "--out", "a", "--json"]) == 0
    assert "booksim.cfg" in capsys.readouterr().out
    main([*words, "--out", "b", "--scale", "2e14"])
    assert "the network is idle" in capsys.readouterr().err


def test_json_of_traces_runs_and_comparisons(tmp_path, capsys):
    def printed(*words):
        assert main([str(word) for word in words]) == 0
        return json.loads(capsys.readouterr().out)

    assert printed("trace", "describe", "--json")["drift"] is None
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("f0,f1\n0,1\n1,0\n")
    content = printed("compare", tmp_path / "a.csv", tmp_path / "b.csv", "--json")
    assert len(content["runs"]) == 2
    assert content["summary"]
    listing = printed("example", "--list", "--json")
    assert [row["name"] for row in listing] == list(EXAMPLES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grid": None}, ["'grid'"]),
        ({"gird": [4, 4, 4]}, ["'gird'", "Did you mean 'grid'?"]),
        ({"max_degree": "8"}, ["'max_degree'", "'8'"]),
    ],
)
def test_errors_of_a_platform_name_only_what_is_wrong(change, words, tmp_path, capsys):
    path = tmp_path / "p.json"
    assert main(["example", "platform.json", "--out", str(path)]) == 0
    data = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in data.items() if value != "" and not (
        key in change and value is None)}))  # fmt: skip
    assert main(["run", "noc", "--platform", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert len(error) < 300  # the fault, and not the whole platform


def test_the_page_lists_the_fields_of_a_platform():
    page = (Path(__file__).parents[3] / "docs" / "command_line.md").read_text()
    table = page.partition("<!-- platform fields -->")[2].partition("\n\n")[0]
    first = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert re.findall(r"`(\w+)`", " ".join(first)) == list(Platform.__dataclass_fields__)
