"""Every reader of files passes these checks; to add one, add a line to its table `READERS`.

The long form, with 2,000 mutants of each file, is ``python -m tests.benchmarks.survival mutants``.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")

from moela.cli import main
from moela.comparison.read.dispatch import read
from tests.benchmarks.survival import mutants
from tests.conformance.readers import READERS, write_run

N_MUTANTS = 12
SEED = 7
EACH = pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs pipes, devices and links")


def content(path: Path) -> object:
    """Return what a file says, however it is laid out or compressed."""
    if path.suffix == ".json":
        return json.loads(path.read_bytes())
    if path.suffix == ".npz":
        with np.load(path) as file:
            return {name: (file[name].dtype, file[name].tolist()) for name in file}
    return path.read_text(encoding="utf-8")


@EACH
def test_a_good_file_is_read_and_written_again_as_it_was(reader, tmp_path):
    source = reader.write(tmp_path)
    value = reader.load(source)
    if reader.save:
        getattr(value, reader.save)(again := tmp_path / f"again{source.suffix}")
        assert content(again) == content(source)


@EACH
def test_damaged_files_are_read_as_valid_data_or_refused_by_file_and_field(reader, tmp_path):
    counts = dict.fromkeys(("loaded", "refused"), 0)
    for number, what, outcome, text in mutants.mutants(reader, SEED, 0, N_MUTANTS, tmp_path):
        if outcome:
            assert outcome in counts, f"mutant {number} ({what}): {outcome}: {text}"
            counts[outcome] += 1
    assert counts["refused"] > 0  # else the mutants are no test


NOT_JSON = ("trace", "loads")
JSON = [r for r in READERS if r.save == "save" and r.name not in NOT_JSON]


@pytest.mark.parametrize("reader", JSON, ids=lambda reader: reader.name)
def test_json_of_other_systems_is_read_and_hostile_json_is_not(reader, tmp_path):
    path = reader.write(tmp_path)
    text = path.read_text(encoding="utf-8")
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    reader.load(path)
    key = next(iter(json.loads(text)))
    for bad, words in (
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (text.replace(f'"{key}":', f'"{key}": 1, "{key}":', 1), f"field '{key}' must be a key"),
        ("1" * 5000, "must be JSON"),
        ("[]", "must be"),
    ):
        path.write_text(bad, encoding="utf-8")
        with pytest.raises(ValueError, match=re.escape(words)) as error:
            reader.load(path)
        assert str(error.value).startswith(f"{path}: ")


def test_the_judge_of_errors_sees_their_faults():
    path = Path("folder/a.csv")
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
        assert mutants.verdict(error, path, READERS[0]) == outcome, error


# ------------------------------------------------------------------------------------- code


class Bomb:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def plant(path: Path, bomb: Bomb) -> None:
    """Put a pickle into a file, where a reader of its format would load one."""
    array = np.array([bomb], dtype=object)
    if path.suffix == ".npy":
        np.save(path, array, allow_pickle=True)
    elif path.suffix == ".npz":
        with np.load(path) as file:
            names = list(file)
        np.savez(path, **dict.fromkeys(names, array))
    elif path.suffix == ".pt":
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                loaded = pickle.dumps({"logical_count": bomb, "records": [bomb]}, protocol=2)
                archive.writestr(name, loaded if name.endswith("data.pkl") else data)
    else:
        path.write_bytes(pickle.dumps(bomb, protocol=0))


@EACH
def test_no_reader_loads_a_pickle(reader, tmp_path):
    plant(path := reader.write(tmp_path), Bomb(tmp_path / "exploded"))
    with pytest.raises(reader.errors) as error:
        reader.load(path)
    assert str(path) in str(error.value)
    assert not (tmp_path / "exploded").exists()


def test_the_pickles_would_run_code(tmp_path):
    plant(tmp_path / "a.npy", Bomb(tmp_path / "first"))
    plant(tmp_path / "a.json", Bomb(tmp_path / "second"))
    np.load(tmp_path / "a.npy", allow_pickle=True)
    pickle.loads((tmp_path / "a.json").read_bytes())
    assert (tmp_path / "first").exists()
    assert (tmp_path / "second").exists()


# --------------------------------------------------------------------------- no regular files


def make_odd(kind: str, path: Path) -> None:
    """Put something that is no regular file at a path, where a good file may be."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "circle":
        path.symlink_to(path.name)


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
    assert errors, "The reader waits, or reads for ever."
    return errors[0]


@POSIX
@EACH
def test_what_is_no_regular_file_is_refused_by_its_name(reader, tmp_path):
    for kind in ("pipe", "device", "folder", "circle", "missing"):
        (folder := tmp_path / kind).mkdir()
        make_odd(kind, path := reader.write(folder))
        if kind in ("missing", "circle") and reader.name in MAY_BE_MISSING:
            continue
        error = in_time(lambda path=path: reader.load(path))
        assert isinstance(error, (*reader.errors, OSError, ValueError)), (kind, error)
        assert str(path) in str(error) or str(folder) in str(error), kind


# A file beside a good one; a store that is made then.
MAY_BE_MISSING = ("run.json", "front of a QAP", "store, resumed")

COMMANDS = [
    ("show", "FILE"), ("export", "FILE", "--to", "csv", "--out", "OUT"), ("compare", "FILE"),
    ("compare", "FILE", "FILE"), ("compare", "name=FILE"), ("runs", "FILE"),
    ("run", "noc", "--traffic", "FILE", "--out", "OUT"),
    ("run", "noc", "--platform", "FILE", "--out", "OUT"),
    ("trace", "describe", "FILE"), ("trace", "describe", "--against", "FILE"),
    ("trace", "convert", "FILE", "OUT"), ("trace", "record", "example", "OUT", "--text", "FILE"),
    ("moe", "verify", "FILE"), ("measure", "--hardware", "FILE"),
    ("run", "moe", "--trace", "FILE", "--out", "OUT"),
    ("run", "moe", "--hardware", "FILE", "--out", "OUT"),
    ("run", "moe", "--kernels", "FILE", "--out", "OUT"),
]  # fmt: skip


@POSIX
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_command_line_says_it_in_one_line(words, tmp_path, capsys):
    for kind in ("pipe", "device", "missing"):
        path = tmp_path / kind
        make_odd(kind, path)
        replaced = {"FILE": str(path), "name=FILE": f"name={path}", "OUT": str(tmp_path / "o.npz")}
        statuses = []
        arguments = [replaced.get(word, word) for word in words]
        error = in_time(lambda: statuses.append(main(arguments)))  # noqa: B023
        assert error is None
        assert statuses == [2]
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("moela: ")
        assert str(path) in lines[0]


@POSIX
@pytest.mark.parametrize("name", ["x.npz", "front.csv"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "circle", "foreign"])
def test_odd_entries_of_a_folder_to_compare_are_named(name, kind, tmp_path):
    make_odd(kind, tmp_path / name)
    if kind == "foreign":
        (tmp_path / name).write_bytes(bytes(range(256)))
    error = in_time(lambda: read(tmp_path))
    assert isinstance(error, ValueError | OSError), error
    # A circle of links is no front.csv.
    assert (str(tmp_path) if kind == "circle" else name) in str(error)


def test_other_files_in_a_folder_to_compare_do_not_matter(tmp_path):
    write_run(tmp_path)
    (tmp_path / "notes.txt").write_bytes(b"\xff\0")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "circle").symlink_to(tmp_path)
    assert len(read(tmp_path)) == 1
