"""The door for files: kinds and sizes are refused before memory is taken, damage is named."""

from __future__ import annotations

import io
import json
import os
import socket
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from moela.files.arrays import open_arrays, read_array
from moela.files.guard import FACTOR_VARIABLE, open_file, read_bytes
from moela.files.text import read_json, read_text


@pytest.mark.skipif(os.name != "posix", reason="needs pipes and devices")
def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe")
    for path, kind in ((pipe, "a pipe"), ("/dev/zero", "a device"), (tmp_path, "a folder")):
        with pytest.raises(ValueError, match=f"must be a regular file. Got {kind}"):
            read_bytes(path)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(name := f"{folder}/s")  # names of sockets must be short
        with pytest.raises((ValueError, OSError)):
            read_bytes(name)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "missing")


def test_a_link_to_a_regular_file_is_read(tmp_path):
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to("file")
    with open_file(tmp_path / "link") as file:
        assert file.read() == b"1"


def test_large_files_are_refused_unless_the_limit_is_raised(tmp_path, monkeypatch):
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(40 * 2**20)  # sparse: takes no room on the disk
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"at most 32 MiB in memory .*Got 40 MiB instead"):
        read_text(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    monkeypatch.setenv(FACTOR_VARIABLE, "2")
    assert len(read_bytes(path)) == 40 * 2**20
    monkeypatch.setenv(FACTOR_VARIABLE, "many")
    with pytest.raises(ValueError, match=f"{FACTOR_VARIABLE} must be a positive number"):
        read_bytes(path)


def test_text_may_begin_with_a_byte_order_mark_and_must_be_utf8(tmp_path):
    path = tmp_path / "text"
    path.write_text("Größe", encoding="utf-8-sig")
    assert read_text(path) == "Größe"
    path.write_bytes("Größe".encode("latin-1"))
    with pytest.raises(ValueError, match=r"text in UTF-8\. Got byte 0xf6 at position 2"):
        read_text(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "field 'b' must be a key only once"),
        ("1" * 5000, "must be JSON"),
        ("{", "must be JSON"),
        ("", "must be JSON"),
    ],
)
def test_damaged_json_names_the_file(tmp_path, text, message):
    path = tmp_path / "file.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ")


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def test_arrays_are_read_as_numpy_reads_them(tmp_path):
    arrays = {
        "F": np.asfortranarray(np.random.default_rng(0).random((3, 4))),
        "empty": np.empty((0, 3)),
        "text": np.array(["a", "bc"]),
        "scalar": np.array(7),
        "records": np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    }
    np.savez_compressed(path := tmp_path / "all.npz", **arrays)
    with open_arrays(path) as file:
        assert sorted(file) == sorted(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(file[name], array)
            assert file[name].dtype == array.dtype
            assert file[name].flags.writeable
    for name, array in arrays.items():
        np.save(path := tmp_path / f"{name}.npy", array)
        np.testing.assert_array_equal(read_array(path), array)


def test_a_header_that_promises_more_than_the_file_takes_no_memory(tmp_path):
    path = tmp_path / "promise.npy"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    )
    path.write_bytes(header.getvalue() + bytes(80))
    with pytest.raises(ValueError, match=r"Got 80 bytes for shape \(1000000000000,\)"):
        read_array(path)


def test_a_small_archive_of_a_large_array_takes_no_memory(tmp_path):
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("F.npy", "w") as file,
    ):
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (300 * 2**20,)}
        )
        for _ in range(300):
            file.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    with pytest.raises(ValueError, match="at most 256 MiB in memory"), open_arrays(path):
        pass
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_pickles_are_not_loaded(tmp_path):
    path = tmp_path / "pickle.npy"
    path.write_bytes(npy(np.array([{}], dtype=object)))
    with pytest.raises(ValueError, match=r"without Python objects\. Got dtype object"):
        read_array(path)


def test_damage_anywhere_names_file_and_array(tmp_path):
    """Change single bytes and lengths at random: errors are ValueErrors that name the file."""
    rng = np.random.default_rng(0)
    np.savez_compressed(tmp_path / "good.npz", F=rng.random((20, 3)), X=np.arange(9))
    np.save(tmp_path / "good.npy", rng.random((20, 3)))
    for suffix in (".npz", ".npy"):
        good = (tmp_path / f"good{suffix}").read_bytes()
        path = tmp_path / f"bad{suffix}"
        raised = unnamed = 0
        for _ in range(300):
            data = bytearray(good[: rng.integers(len(good) + 1)] if rng.random() < 0.2 else good)
            for _ in range(rng.integers(1, 4)):
                if data:
                    data[rng.integers(len(data))] = rng.integers(256)
            path.write_bytes(data)
            try:
                if suffix == ".npy":
                    read_array(path)
                else:
                    with open_arrays(path) as file:
                        dict(file)
            except ValueError as error:
                raised += str(path) in str(error)
                unnamed += str(path) not in str(error)
        assert unnamed == 0
        assert raised > 50  # most changes hit data that is not checked in a .npy file


def test_a_zip_that_holds_a_name_twice_is_refused(tmp_path):
    path = tmp_path / "twice.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("F.npy", npy(np.zeros(2)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("F.npy", npy(np.ones(2)))
    with pytest.raises(ValueError, match="field 'F' must be an array only once"), open_arrays(path):
        pass


def test_what_json_writes_is_read(tmp_path):
    value = {"a": [1, 2.5, None, True, "x"], "b": {"c": []}}
    path: Path = tmp_path / "good.json"
    path.write_text(json.dumps(value), encoding="utf-8-sig")
    assert read_json(path) == value
