"""The door for files: kinds and sizes are refused before memory is taken, damage is named."""

from __future__ import annotations

import io
import os
import socket
import tempfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from moela.files.arrays import open_arrays, read_array
from moela.files.fields import number_in, object_in, text_in, whole_in
from moela.files.guard import FACTOR_VARIABLE, brief, invalid_file, limit_of, open_file, read_bytes
from moela.files.tables import TextTable
from moela.files.text import lines_of, number_of, parse_json, read_json, read_text


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


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc")
def test_files_of_the_system_end_or_are_refused():
    assert read_text("/proc/self/status").startswith("Name:")
    for name in ("/proc/self/mem", "/proc/self/pagemap"):
        with pytest.raises((ValueError, OSError), match=name):
            read_bytes(name)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_names_that_no_file_has_are_named(name):
    with pytest.raises(ValueError, match="must be the name of a file"):
        read_bytes(name)


def test_errors_are_short_and_on_one_line(tmp_path):
    for got in ("a\nb\x1b[31m", ["x" * 10**6] * 10**6, {1: {2: {3: {4: {5: 6}}}}}, 10**5000):
        text = str(invalid_file(tmp_path / "a\nb", got, "short", "f\ng"))
        assert len(text) < 500 + len(str(tmp_path))
        assert text.isprintable()
    assert brief([1, 2.5, "x", None]) == "[1, 2.5, 'x', None]"


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


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("a,b".encode("utf-16"), "Got UTF-16; save the file again as UTF-8"),
        ("a,b".encode("utf-32"), "Got UTF-32"),
        ("a,b".encode("utf-16-le"), "Got a NUL character at position 1"),
        (b"1,2\n3,\0004", "Got a NUL character at position 6"),
    ],
)
def test_other_encodings_are_named(tmp_path, data, words):
    (tmp_path / "text").write_bytes(data)
    with pytest.raises(ValueError, match=words):
        read_text(tmp_path / "text")


def test_lines_end_as_on_any_system_and_nowhere_else():
    text = "a\r\nb\rc\n\nd\x0be\x85f\u2028g\n"
    assert list(lines_of(text)) == [
        (1, "a"), (2, "b"), (3, "c"), (4, ""), (5, "d\x0be\x85f\u2028g"),
    ]  # fmt: skip
    assert list(lines_of("")) == []
    assert list(lines_of("a")) == [(1, "a")]


@pytest.mark.parametrize("word", ["1_000", "0x10", "\u0663", "1,5", "", "1e", "--1", "1d5"])
def test_words_that_are_no_numbers(word):
    assert number_of(word) is None


def test_words_that_are_numbers():
    assert [number_of(w) for w in ("1", "-2.5", "+.5e-3", "inf")] == [1.0, -2.5, 5e-4, float("inf")]


def test_json_that_cannot_be_written_again_is_refused():
    with pytest.raises(ValueError, match=r"file: must be JSON in UTF-8\. Got half of a surrogate"):
        parse_json(r'{"a": "\ud800"}', "file")
    assert parse_json(r'["\ud83d\ude00", "\\ud800"]', "file") == ["\U0001f600", r"\ud800"]


def test_json_that_would_take_much_memory_is_refused_first():
    text = "[" + '{"":0},' * 4_000_000 + "0]"
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"field 'header' must be at most 512 MiB in memory"):
        parse_json(text, "file", "header")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_key_is_found_twice_in_linear_time():
    keys = ", ".join(f'"{i}": 0' for i in range(200_000))
    with pytest.raises(ValueError, match="field '199999' must be a key only once"):
        parse_json(f'{{{keys}, "199999": 1}}', "file")


def test_fields_are_checked_by_type_and_range():
    assert number_in("f", "x", 2, 0, 3) == 2.0
    assert whole_in("f", "x", -(2**63)) == -(2**63)
    for check, bad, words in (
        (number_in, [True, "1", None, float("nan"), float("inf"), 10**400, [1]], "a finite number"),
        (whole_in, [True, 1.0, "1", None, 2**63, 10**400], "an integer of 64 bits"),
        (text_in, [1, None, ["a"]], "a text"),
        (object_in, [1, None, [], "{}"], "a JSON object"),
    ):
        for value in bad:
            with pytest.raises(ValueError, match=f"^f: field 'a.b' must be {words}. Got "):
                check("f", "a.b", value)
    with pytest.raises(ValueError, match="an integer from 1 to 3"):
        whole_in("f", "x", 0, 1, 3)
    with pytest.raises(ValueError, match="an integer from 1 to 2147483648"):
        whole_in("f", "x", 0, 1, 2**31)
    with pytest.raises(ValueError, match="a finite number of at least 0"):
        number_in("f", "x", -1, 0)


def table(tmp_path, text) -> list[tuple[int, list[str]]]:
    path = tmp_path / "table"
    path.write_bytes(text.encode())
    return list(TextTable(path))


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1.5,2\n", "a;b\n1,5;2\n", "a\tb\n1,5\t2\n", "a b\n1.5  2\n", '"a","b"\n"1.5","2"\n',
        "\ufeffa,b\r\n1.5,2\r\n", "a,b\r1.5,2\r", "a , b\n1.5, 2", ' "a" "b"\n 1.5 2\n',
    ],
)  # fmt: skip
def test_tables_of_any_form_have_the_same_cells(tmp_path, text):
    assert table(tmp_path, text) == [(1, ["a", "b"]), (2, ["1.5", "2"])]


def test_separators_are_decided_once_for_a_file(tmp_path):
    # Each line alone would be cut differently.
    assert table(tmp_path, "a,b\nx;y,z\n") == [(1, ["a", "b"]), (2, ["x;y", "z"])]
    assert table(tmp_path, "a;b\n1,2\n3;4\n")[1] == (2, ["1.2"])
    assert table(tmp_path, '"a;b","c"\n1,2\n') == [(1, ["a;b", "c"]), (2, ["1", "2"])]
    assert table(tmp_path, "# x;y\n\n1,2\n") == [(2, []), (3, ["1", "2"])]


def test_a_file_has_one_decimal_sign(tmp_path):
    with pytest.raises(ValueError, match=r"field 'line 2' must be numbers with .* sign ','"):
        table(tmp_path, "1,5;2,5\n1.5;2\n")
    assert table(tmp_path, "a.b;1,5\n") == [(1, ["a.b", "1.5"])]


def test_a_quoted_cell_goes_on_in_the_next_lines(tmp_path):
    text = 'a,b\r\n1,"x;\r\n\r\n# ""y"", z"\r\n\r\n3,"4"\n5" pipe,6\n'
    assert table(tmp_path, text) == [
        (1, ["a", "b"]),
        (2, ["1", 'x;\n\n# "y", z']),
        (5, []),
        (6, ["3", "4"]),
        (7, ['5" pipe', "6"]),
    ]
    assert table(tmp_path, '"a\nb"\t"c"\n') == [(1, ["a\nb", "c"])]


@pytest.mark.parametrize("text", ['1,2\n3,"' + "4\n" * 10**6, '1,2\n3,"4\n' * 10**6])
def test_a_quote_without_end_is_found_in_little_time(tmp_path, text):
    begun = time.process_time()
    with pytest.raises(ValueError, match=r"field 'line 2' must be cells, with quotes in pairs"):
        table(tmp_path, text)
    assert time.process_time() - begun < 5


def test_quotes_must_be_in_pairs(tmp_path):
    for text in ('1,"2\n3,4\n', '1,"2"3\n'):
        with pytest.raises(ValueError, match=r"field 'line 1' must be cells, with quotes in pairs"):
            table(tmp_path, text)


@pytest.mark.parametrize("text", ["1," * 50_000, "12 " * 50_000, "1,2\n" * 25_000])
def test_tables_of_too_many_cells_are_refused(tmp_path, text, monkeypatch):
    monkeypatch.setenv(FACTOR_VARIABLE, "0.01")
    path = tmp_path / "table"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"must be at most 40,000 cells"):
        for _ in TextTable(path):
            pass


def test_a_directory_of_a_zip_file_is_limited(tmp_path):
    path = tmp_path / "many.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(20_000):
            archive.writestr(f"{i}.npy", b"")
    with (
        pytest.raises(ValueError, match="Got ValueError: a directory of more than 524,288 bytes"),
        open_arrays(path),
    ):
        pass


def test_an_array_without_numbers_has_no_endless_axis(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 0, 2)}
    )
    (tmp_path / "a.npy").write_bytes(header.getvalue())
    with pytest.raises(ValueError, match=r"Got 0 bytes for shape \(1000000000, 0, 2\)"):
        read_array(tmp_path / "a.npy")


def test_limits_are_stated_for_every_kind(monkeypatch):
    plain = {kind: limit_of(kind) for kind in ("text", "json", "arrays", "cells")}
    monkeypatch.setenv(FACTOR_VARIABLE, "0.5")
    assert {kind: 2 * limit_of(kind) for kind in plain} == plain


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


def test_a_zip_that_holds_a_name_twice_is_refused(tmp_path):
    path = tmp_path / "twice.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("F.npy", npy(np.zeros(2)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("F.npy", npy(np.ones(2)))
    with pytest.raises(ValueError, match="field 'F' must be an array only once"), open_arrays(path):
        pass
