"""Files that cannot be written are refused before the work of a command begins."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest

from moela.cli import main

FILES = [
    ("--out", "example function.py --out {}"),
    ("--out", "measure --out {}"),
    ("NPZ", "trace convert trace.npz {}.npz"),
    ("--html", "compare front.csv --html {}"),
    ("--out", "show design.json --out {}.png"),
]
FOLDERS = [
    ("--out", "run function.py:simulate --evals 9 --out {}"),
    ("--out", "export design.json --to csv --out {}"),
    ("--out", "moe advise --out {}"),
    ("--pictures", "compare front.csv --pictures {}"),
]
NO_WORK = (
    "moela.comparison.compare", "moe_costmodel.advice.advise.advise",
    "moe_costmodel.measure.kernels.measure_kernels",
    "moe_costmodel.offloading.headroom.headroom", "moe_costmodel.RoutingTrace.record",
    "moe_costmodel.RoutingTrace.describe", "moela.functions.minimize.drive",
)  # fmt: skip


@pytest.fixture
def inputs(folder, monkeypatch):
    """Return a folder with inputs of commands, whose work is an error."""

    def work(*_, **__):
        raise AssertionError("the work has begun")

    for name in ("design.json", "trace.npz"):
        assert main(["example", name]) == 0
    Path("front.csv").write_text("cost,time\n1,2\n2,1\n")
    Path("taken").write_text("a file")
    for name in NO_WORK:
        monkeypatch.setattr(name, work)
    return folder


@pytest.mark.parametrize(("option", "command"), FILES)
def test_a_file_that_cannot_be_written_is_refused_first(
    option, command, inputs, monkeypatch, capsys, assert_rejected
):
    capsys.readouterr()
    where = command.format("taken/file").split()
    assert_rejected(where, option, "a file that can be written", "(taken is a file)")
    folder = Path(command.format("folder").split()[-1])
    folder.mkdir()
    assert_rejected(command.format("folder").split(), option, f"Got the folder {folder} instead")
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    where = command.format("deep/file").split()
    assert_rejected(where, option, "No space left on device", "or free some space")


@pytest.mark.parametrize(("option", "command"), FOLDERS)
def test_a_folder_that_cannot_be_written_is_refused_first(
    option, command, inputs, monkeypatch, capsys, assert_rejected
):
    capsys.readouterr()
    words = option, "must be a folder. Got the file taken instead"
    assert_rejected(command.format("taken").split(), *words)
    where = command.format("taken/folder").split()
    assert_rejected(where, option, "a folder that can be written", "Name another folder.")
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert_rejected(command.format("deep/folder").split(), option, "or free some space")


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_names_of_files_end_as_their_type_does(inputs, capsys, assert_rejected):
    capsys.readouterr()
    for name in ("picture", "picture.txt"):
        assert_rejected(["show", "design.json", "--out", name], "--out must end in", ".png", name)
        assert_rejected(["moe", "headroom", "--plot", name], "--plot must end in", ".png", name)
    assert_rejected(["trace", "record", "example", "run"], "NPZ must be a file that ends in .npz")


def test_folders_of_files_are_made(inputs, capsys):
    assert main(["show", "design.json", "--out", "new/deep/picture.png"]) == 0
    assert Path("new/deep/picture.png").stat().st_size
    assert main(["example", "prices.json", "--out", "other/prices.json"]) == 0
    assert Path("other/prices.json").is_file()
