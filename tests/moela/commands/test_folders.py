"""Commands that read stores, designs and fronts, given folders and files of other kinds."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from pathlib import Path

import pytest

from moela.cli import main

READERS = ("explain", "watch", "runs")
RUN = ["run", "function.py:simulate", "--quiet", "--store", "run.db", "--evals"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder with a store of two runs, sink/ with the first one's results, and more."""
    folder = tmp_path_factory.mktemp("stores")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["example", "function.py"]) == 0
        assert main([*RUN, "25", "--out", "sink"]) == 0
        assert main([*RUN, "21", "--seed", "2", "--out", "other"]) == 0
        assert main([*RUN[:3], "--evals", "4", "--out", "without"]) == 0
        for name in ("one/x.db", "several/a.db", "several/b.db"):
            Path(name).parent.mkdir(exist_ok=True)
            shutil.copy("run.db", name)
        Path("empty").mkdir()
        Path("empty.db").touch()
        Path("empty.json").touch()
        Path("data.pkl").write_bytes(pickle.dumps({"a": 1}))
        yield folder
    finally:
        os.chdir(before)


@pytest.fixture(autouse=True)
def there(made, monkeypatch, capsys):
    monkeypatch.chdir(made)
    capsys.readouterr()


def printed(capsys, *words):
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_the_folder_of_a_run_stands_for_its_run_in_its_store(capsys):
    for name, run in (("sink", "run 1, done after 25"), ("other", "run 2, done after 21")):
        assert run in printed(capsys, "explain", name)
    assert "run 2, done after 21" in printed(capsys, "explain", "sink", "--run", "2")
    assert printed(capsys, "runs", "sink") == printed(capsys, "runs", "run.db")
    assert "run 2" in printed(capsys, "watch", "sink", "--once")


@pytest.mark.parametrize("command", READERS)
def test_a_folder_with_one_store_stands_for_it(command, capsys):
    more = ["--once"] if command == "watch" else []
    assert printed(capsys, command, "one", *more) == printed(capsys, command, "one/x.db", *more)


@pytest.mark.parametrize("command", READERS)
def test_other_folders_are_told_which_file_to_name(command, assert_rejected):
    assert_rejected([command, "several"], "several must hold one store", "(a.db, b.db)", "Name one")
    assert_rejected([command, "empty"], "empty must be a store", "without a store")
    assert_rejected([command, "without"], "without --store", "`moela compare without`")
    assert_rejected([command, "data.pkl"], "data.pkl is not a store")
    assert_rejected([command, "missing"], "There is no store", "missing")


def test_a_store_that_has_moved_is_named(made, tmp_path, monkeypatch, assert_rejected, capsys):
    shutil.copytree("sink", tmp_path / "sink")
    monkeypatch.chdir(tmp_path)
    assert_rejected(["explain", "sink"], "there is no run.db, the store of this run")
    shutil.copy(made / "run.db", "run.db")
    monkeypatch.chdir(tmp_path / "sink")
    assert "run 1, done after 25" in printed(capsys, "explain", str(tmp_path / "sink"))
    monkeypatch.chdir(tmp_path)
    record = Path("sink/run.json")
    record.write_text(record.read_text().replace('"seed": 1', '"seed": 7'))
    assert_rejected(["explain", "sink"], "its run, of seed 7, is not in run.db", "moela runs")


def test_compare_takes_a_folder_with_one_store(capsys, assert_rejected):
    assert "simulate" in printed(capsys, "compare", "one")
    command = "`moela compare a=several/a.db b=several/b.db`"
    assert_rejected(["compare", "several"], "(a.db, b.db)", command)
    assert_rejected(["compare", "empty"], "with a store", "none of these")


@pytest.mark.parametrize("words", [["show"], ["export", "--to", "csv", "--out", "files"]])
def test_designs_of_chips_are_no_stores_and_no_other_folders(words, assert_rejected):
    assert_rejected([*words, "run.db"], "Got a store instead", "`moela explain run.db`")
    assert_rejected([*words, "sink"], "run of your own function")
    for name in ("one", "empty"):
        assert_rejected([*words, name], name, "folder without best.json")
    assert_rejected([*words, "empty.json"], "must be JSON. Got nothing instead")
    assert not Path("files").exists()


def test_designs_of_a_chip_are_explained_by_their_pes_and_links(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["run", "noc", "--evals", "80", "--baseline-evals", "0", "--objectives", "5"]
    assert main([*words, "--quiet", "--store", "noc.db", "--out", "front"]) == 0
    capsys.readouterr()
    text = printed(capsys, "explain", "front")
    assert re.search("The designs differ in .*(PE|link)", text)
    assert "x0 =" not in text
    assert "are codes of PEs and links" in text
    assert "Name the folder of --out" not in text
    assert "Name the folder of --out" in printed(capsys, "explain", "noc.db")
    Path("front/best.json").write_text("{}")
    assert "Name the folder of --out" in printed(capsys, "explain", "front")
