"""The folder of `moela run`: results of another run in it are not replaced."""

from __future__ import annotations

import errno
import json
import os
import signal
import tempfile
from pathlib import Path

import pytest

from moela.cli import main
from moela.files.replacing import FolderLock
from moela.functions.driving import RunSoFar
from moela.functions.results.result import MinimizeResult


def run(*words):
    return main(["run", *map(str, words)])


@pytest.fixture
def earlier(folder):
    """The words of a run whose results are in the folder `sink`, and what is in these."""
    words = ["function.py:simulate", "--evals", 20, "--quiet", "--out", "sink"]
    assert run(*words) == 0
    return words


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seed", 2, "--noisy"], "--seed 1 instead of 2, --noisy False instead of True"),
        (["--store", "run.db", "--evals", 40], "--evals 20 instead of 40"),
    ],
)
def test_the_results_of_another_run_are_not_replaced(earlier, folder, capsys, more, message):
    before = {file.name: file.read_bytes() for file in Path("sink").iterdir()}
    capsys.readouterr()
    assert run(*earlier, *more) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"Got sink instead, which holds another run ({message})" in error
    assert {file.name: file.read_bytes() for file in Path("sink").iterdir()} == before
    assert not Path("run.db").exists()


def test_the_results_of_another_command_are_not_replaced(earlier, folder, capsys):
    assert run("problem.py:Sink", *earlier[1:]) == 2
    assert "(problem function.py:simulate instead of problem.py:Sink)" in capsys.readouterr().err
    assert run("noc", "--evals", 20, "--out", "sink") == 2
    assert "which holds another run (of moela run)" in capsys.readouterr().err


def test_the_same_run_writes_its_folder_again(earlier, folder):
    store = ["--store", "run.db"]
    for more in (["--timeout", 60], store, [*store, "--evals", 30], [*store, "--evals", 10]):
        assert run(*earlier, *more) == 0
    # An interrupted run is continued like this.
    assert run(*earlier, "--evals", 12, "--start", "sink/front.csv") == 0
    Path("sink/run.json").write_text("{")
    assert run(*earlier) == 0


def test_two_runs_do_not_write_into_one_folder(folder, capsys, assert_rejected):
    words = ["run", "function.py:simulate", "--quiet", "--evals", "9", "--out", "sink"]
    Path("sink").mkdir()
    other = FolderLock(Path("sink"))
    assert_rejected(words, "no other run writes. Got sink instead", "wait for that run")
    assert not [*Path("sink").iterdir()]
    other.release()
    assert main(words) == 0
    FolderLock(Path("sink")).release()  # the command has given it back
    assert "lock" not in json.loads(Path("sink/run.json").read_text())["settings"]


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_that_cannot_be_written_is_refused_before_the_search(folder, capsys, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert run("function.py:simulate", "--evals", 20, "--store", "run.db", "--out", "sink") == 2
    error = capsys.readouterr().err
    assert error.startswith("moela: --out must be a folder that can be written. Got sink instead (")
    assert error.count("\n") == 1
    assert not Path("run.db").exists()


@pytest.mark.parametrize("store", [[], ["--store", "run.db"]])
def test_results_that_cannot_be_written_are_not_lost(
    earlier, folder, capsys, monkeypatch, tmp_path_factory, store
):
    before = {file.name: file.read_bytes() for file in Path("sink").iterdir()}
    capsys.readouterr()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    monkeypatch.setattr("csv.DictWriter.writerows", lambda *_: full())
    with monkeypatch.context() as patched:
        patched.setattr(MinimizeResult, "save", lambda self, path, *, all: full())
        assert run(*earlier, *store) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("moela: The results cannot be written into sink (sink/front.csv: No s")
    assert {file.name: file.read_bytes() for file in Path("sink").iterdir()} == before
    if store:
        assert "Everything evaluated is in run.db: free some space" in error
        assert not [*Path(tempfile.gettempdir()).glob("moela-results-*/*")]
    else:
        assert f"could not be saved in {tempfile.gettempdir()} either" in error


def test_results_of_a_run_without_a_store_are_rescued(earlier, folder, capsys, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(folder))
        patched.setattr("moela.commands.run.results.ResultFolder.write_table", full)
        assert run(*earlier) == 2
    (rescued,) = folder.glob("moela-results-*")
    error = capsys.readouterr().err
    assert f"Everything evaluated is in {rescued / 'evaluations.csv'}" in error
    assert len((rescued / "evaluations.csv").read_text().splitlines()) == 21
    assert run(*earlier, "--start", rescued / "front.csv", "--out", "again") == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--known", "nowhere.csv"], "nowhere.csv: No such file"),
        (["--algorithm", "nsga2", "--batch-size", 5], "--batch-size is one of MOELA"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_done(options, words, folder, capsys):
    command = ["run", "function.py:simulate", "--evals", 5, "--out", "sink", *options]
    try:
        status = main([str(word) for word in command])
    except SystemExit as error:
        status = error.code
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert words in printed.err
    assert printed.err.count("\n") == 1
    assert not (folder / "sink").exists()


def test_an_interrupt_while_a_store_is_read_back_keeps_the_results(folder, monkeypatch):
    def stopped_at(n):
        sent = []

        def keep_and_stop(run, batch):
            keep(run, batch)
            if run.n >= n and not sent:
                sent.append(os.kill(os.getpid(), signal.SIGINT))

        monkeypatch.setattr(RunSoFar, "keep", keep_and_stop)
        return run("function.py:simulate", "--evals", 250, "--store", "run.db", "--out", "sink")

    keep = RunSoFar.keep
    assert stopped_at(100) == 130
    tables = {name: Path("sink", name).read_text() for name in ("evaluations.csv", "front.csv")}
    assert stopped_at(20) == 130
    assert {name: Path("sink", name).read_text() for name in tables} == tables
