"""Every loader refuses damaged files by name, and whatever is no regular file.

The long form, with 2,000 mutants of each file, is ``python -m tests.benchmarks.survival mutants``.
"""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from tests.benchmarks.survival import mutants
from tests.benchmarks.survival.loaders import LOADERS

N_MUTANTS = 30
SEED = 7


@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.name)
def test_mutants_load_as_valid_data_or_are_refused_by_file_and_field(loader, tmp_path):
    counts = dict.fromkeys(("loaded", "refused"), 0)
    for number, what, outcome, text in mutants.mutants(loader.name, SEED, 0, N_MUTANTS, tmp_path):
        if outcome:
            assert outcome in counts, f"mutant {number} ({what}): {outcome}: {text}"
            counts[outcome] += 1
    # Else the mutants are no test. Of many, at least 30 % are refused (measured on each loader;
    # the fewest of BookSim's output, of which two lines matter).
    assert counts["refused"] >= N_MUTANTS // 10


def test_the_judge_of_errors_sees_their_faults():
    path = Path("folder/a.csv")
    loader = LOADERS[0]
    for error, outcome in (
        (ValueError(f"{path}: field 'line 3' must be 2 values. Got 3 instead."), "refused"),
        (ValueError(f"{path}: must be text in UTF-8. Got byte 0xff instead."), "refused"),
        (OSError(2, "No such file: line 3", str(path)), "refused"),
        (ValueError(f"{path}: must be better."), "unnamed"),
        (ValueError("field 'line 3' must be 2 values"), "unnamed"),
        (ValueError("invalid literal for int(): 'x'"), "unnamed"),
        (TypeError(f"{path}: field 'line 3' must be 2 values"), "raw"),
        (RecursionError(), "raw"),
    ):
        assert mutants.verdict(error, path, loader) == outcome, error


# ------------------------------------------------------------------------- no regular files

ODD = ("pipe", "zeros", "folder", "missing", "socket", "circle", "unreadable")
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs pipes, devices and links")


def make_odd(kind: str, path: Path) -> None:
    """Put something that is no readable file at a path, where a good file may be."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zeros":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "circle":
        path.symlink_to(path.name)
    elif kind == "unreadable":
        if os.geteuid() == 0:
            pytest.skip("the superuser reads every file")
        path.write_bytes(b"1")
        path.chmod(0)
    elif kind == "socket":
        # Names of sockets must be short.
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
        finally:
            os.chdir(here)


def in_time(call, seconds: float = 50.0) -> BaseException | None:
    """Call a function in a thread, and return its error; fail if it waits for ever."""
    errors: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
            errors.append(None)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert errors, "The loader waits, or reads for ever."
    return errors[0]


@POSIX
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.name)
def test_what_is_no_regular_file_is_refused_by_its_name(loader, kind, tmp_path):
    path = loader.write(tmp_path)
    make_odd(kind, path)
    if loader.name in ("run.json", "front of a QAP") and kind in ("missing", "circle"):
        pytest.skip("the file beside a good one may be missing")
    error = in_time(lambda: loader.load(path))
    assert isinstance(error, ValueError | OSError), error
    assert str(path) in str(error) or str(path.parent) in str(error)


@POSIX
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize(
    "words",
    [
        ["show", "FILE"], ["export", "FILE", "--to", "csv", "--out", "OUT"], ["compare", "FILE"],
        ["compare", "FILE", "FILE"], ["compare", "name=FILE"], ["runs", "FILE"],
        ["run", "noc", "--traffic", "FILE", "--out", "OUT"],
        ["run", "noc", "--platform", "FILE", "--out", "OUT"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_command_line_says_it_in_one_line(words, kind, tmp_path, capsys):
    from moela.cli import main

    path = tmp_path / "file"
    make_odd(kind, path)
    replaced = {"FILE": str(path), "name=FILE": f"name={path}", "OUT": str(tmp_path / "out")}
    statuses = []
    error = in_time(lambda: statuses.append(main([replaced.get(w, w) for w in words])))
    assert error is None
    assert statuses == [2]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("moela: ")
    assert str(path) in lines[0]


# ------------------------------------------------------------------------------ folders to compare


@POSIX
@pytest.mark.parametrize("kind", ["pipe", "zeros", "folder", "circle", "foreign"])
@pytest.mark.parametrize("name", ["x.npz", "front.csv"])
def test_odd_entries_of_a_folder_to_compare_are_named(name, kind, tmp_path):
    from moela.comparison.read.dispatch import read

    if kind == "foreign":
        (tmp_path / name).write_bytes(bytes(range(256)))
    else:
        make_odd(kind, tmp_path / name)
    error = in_time(lambda: read(tmp_path))
    assert isinstance(error, ValueError | OSError), error
    # A circle of links is no front.csv.
    assert (str(tmp_path) if kind == "circle" else name) in str(error)


def test_other_files_in_a_folder_to_compare_do_not_matter(tmp_path):
    from moela.comparison.read.dispatch import read
    from tests.benchmarks.survival.loaders import write_run

    write_run(tmp_path)
    (tmp_path / "notes.txt").write_bytes(b"\xff\0")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "circle").symlink_to(tmp_path)
    assert len(read(tmp_path)) == 1
