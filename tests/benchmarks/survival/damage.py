"""Damage to files, of their bytes and of their structure: JSON, npz, npy and tables of text."""

from __future__ import annotations

import copy
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
MIB = 2**20


def mutate(source: Path, target: Path, rng: Rng) -> str:
    """Write a damaged copy of a file, and return a description of the damage."""
    data = source.read_bytes()
    by_suffix = {".json": json_damage, ".npz": npz_damage, ".npy": npy_damage}
    structure = by_suffix.get(source.suffix, text_damage)
    if rng.random() < 0.4:
        changed, what = byte_damage(data, rng)
    else:
        changed, what = structure(data, rng)
    target.write_bytes(changed)
    return what


def pick(rng: Rng, items: Any) -> Any:
    """Return one of some items; numpy would turn them into an array first."""
    return items[int(rng.integers(len(items)))]


# ------------------------------------------------------------------------------------------ bytes


def byte_damage(data: bytes, rng: Rng) -> tuple[bytes, str]:
    """Flip, cut, insert, repeat, swap or clear bytes, or encode a text in another way."""
    out = bytearray(data)
    n = len(out)

    def span(most: int = 64) -> tuple[int, int]:
        start = int(rng.integers(n + 1))
        return start, min(n, start + 1 + int(rng.integers(most)))

    kind = pick(rng, ("flip", "flip", "set", "cut", "drop", "insert", "repeat", "swap", "zeros",
                      "encode", "newlines", "empty", "double", "append"))  # fmt: skip
    a, b = span()
    if kind in ("flip", "set"):
        for place in rng.integers(n, size=int(rng.integers(1, 9))).tolist():
            out[place] = (
                out[place] ^ (1 << int(rng.integers(8)))
                if kind == "flip"
                else int(rng.integers(256))
            )
    elif kind == "cut":
        out = out[: int(rng.integers(n))]
    elif kind == "drop":
        del out[a:b]
    elif kind == "insert":
        out[a:a] = rng.bytes(int(rng.integers(1, 64)))
    elif kind == "repeat":
        out[a:a] = out[a:b] * int(rng.integers(1, 50))
    elif kind == "swap":
        c, d = span()
        if b <= c:
            out = out[:a] + out[c:d] + out[b:c] + out[a:b] + out[d:]
    elif kind == "zeros":
        out[a:b] = bytes(b - a)
    elif kind == "encode":
        name = pick(rng, ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7", "cp037"))
        return data.decode("latin-1").encode(name), f"encode as {name}"
    elif kind == "newlines":
        return data.replace(b"\n", pick(rng, (b"\r", b"\r\n", b"\n\n", b"\x0b", b""))), kind
    elif kind == "empty":
        out = out[:0]
    elif kind == "double":
        out = out + out
    else:
        out += rng.bytes(int(rng.integers(1, 64)))
    return bytes(out), kind


# ------------------------------------------------------------------------------------------- JSON

HOSTILE = (
    None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e308, -1e308, 1e-320, float("nan"), float("inf"),
    float("-inf"), 10**9, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30, 10**400, "", "x", "1",
    "nan", "1_000", "\0", "\x1b[31m", "../../x", "\ud800", "é" * 1000, [], {}, [[]], [None],
    [[], []], [1, [2]], {"a": 1}, {"": {}}, [0.5, "x", None], ["x"] * 1000, list(range(1000)),
    [1e999] * 3,
)  # fmt: skip


def json_damage(data: bytes, rng: Rng) -> tuple[bytes, str]:
    """Damage a JSON file in its structure."""
    text, what = json_text_damage(data.decode("utf-8"), rng)
    return text.encode("utf-8", errors="surrogatepass"), what


def json_text_damage(text: str, rng: Rng) -> tuple[str, str]:
    """Replace, remove, repeat, rename or nest a value of a JSON text."""
    value = json.loads(text)
    kind = pick(rng, ("replace", "replace", "replace", "replace", "key", "length", "deep",
                      "number", "twice", "huge"))  # fmt: skip
    if kind == "twice":
        keys = [k for _, k, parent in nodes(value) if isinstance(parent, dict)]
        key = json.dumps(pick(rng, keys or [""]))
        return text.replace(f"{key}:", f"{key}: 1, {key}:", 1), f"the key {key} twice"
    if kind == "number":
        places = [i for i, c in enumerate(text) if c.isdigit()]
        if places:
            place = pick(rng, places)
            word = pick(rng, ("9" * 400, "-", "e999", ".", "0x", "_", "NaN", "9" * 5000))
            return text[:place] + word + text[place + 1 :], f"number {word[:9]}"
    *_, (path, key, parent) = [((), None, None), *nodes(value)]
    found = list(nodes(value))
    if not found:
        return json.dumps(pick(rng, HOSTILE)), "whole"
    path, key, parent = pick(rng, found)
    what = f"{kind} at {'.'.join(map(str, path))}"[:120]
    if kind == "key" and isinstance(parent, dict):
        child = parent.pop(key)
        renamed = pick(rng, (None, f"{key}x", "", "__class__", "more"))
        if renamed is not None:
            parent[renamed] = child
    elif kind == "length" and isinstance(parent[key], list) and parent[key]:
        part = parent[key]
        choice = int(rng.integers(6))
        if choice == 0:
            part.pop(int(rng.integers(len(part))))
        elif choice == 1:
            part.append(copy.deepcopy(part[-1]))
        elif choice == 2:
            part.reverse()
        elif choice == 3:
            part[:] = part * 100
        elif choice == 4:
            parent[key] = [part]
        else:
            del part[int(rng.integers(len(part))) :]
    elif kind == "deep":
        depth = pick(rng, (3, 70, 900))
        for _ in range(depth):
            parent[key] = [parent[key]] if rng.random() < 0.7 else {"a": parent[key]}
        parent[key] = "DEEP"
        inside = json.dumps(1)
        nest = "[" * depth + inside + "]" * depth
        return dump(value).replace('"DEEP"', nest), f"{what}, {depth} levels"
    elif kind == "huge":
        parent[key] = [parent[key]] * int(pick(rng, (1_000, 100_000)))
    else:
        parent[key] = copy.deepcopy(pick(rng, HOSTILE))
        what += f" by {str(parent[key])[:20]!r}"
    return dump(value), what


def dump(value: Any) -> str:
    return json.dumps(value)


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """Yield path, key and parent of every value inside another."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    if isinstance(value, dict | list):
        for key, child in list(items):
            yield (*path, key), key, value
            if isinstance(child, dict | list):
                yield from nodes(child, (*path, key))


# ------------------------------------------------------------------------------------------ arrays


def array_damage(array: np.ndarray, rng: Rng) -> tuple[np.ndarray, str]:
    """Change type, shape or values of an array."""
    if array.dtype.kind == "U" and array.ndim == 0 and rng.random() < 0.8:
        text, what = json_text_damage(str(array), rng)
        # numpy drops NULs at the end, and stores surrogates as they are.
        return np.array(text), what
    kind = pick(rng, ("dtype", "dtype", "shape", "shape", "values", "values", "rows"))
    if kind == "dtype":
        name = pick(rng, ("f4", "f2", "i1", "u8", "c16", "?", "U5", "S5", "M8[s]", "O", ">f8",
                          "f8", "i8", "V8", "g"))  # fmt: skip
        try:
            return array.astype(name), f"dtype {name}"
        except (TypeError, ValueError):
            return np.zeros(array.shape, dtype=name), f"dtype {name}"
    if kind == "shape":
        choices: tuple[Callable[[], np.ndarray], ...] = (
            lambda: array.ravel(), lambda: array[None], lambda: array.T, lambda: array[..., None],
            lambda: array[:0] if array.ndim else array, lambda: np.array(0.0),
            lambda: np.empty((0,)), lambda: np.empty((0, 3)), lambda: np.zeros((1000, 1000)),
            lambda: np.asfortranarray(array), lambda: np.zeros((2,) * 20),
            lambda: np.zeros(1, dtype=[("a", "i4"), ("b", "f8")]), lambda: np.empty((5, 0)),
        )  # fmt: skip
        return pick(rng, choices)(), "shape"
    if kind == "rows" and array.ndim:
        size = len(array)
        index = rng.integers(size, size=int(rng.integers(2 * size + 2))) if size else []
        return array[np.asarray(index, dtype=int)], "rows"
    out = np.array(array)
    if out.size and out.dtype.kind in "fiu":
        values = (np.nan, np.inf, -np.inf, 1e308, -1e308, 1e-320, -1.0, 0.0, 2.0**63, 0.5)
        with np.errstate(all="ignore"):
            cells = rng.integers(out.size, size=int(rng.integers(1, 4)))
            word = pick(rng, values)
            out.flat[cells] = np.array(word).astype(out.dtype)
        return out, f"values {word}"
    if out.size and out.dtype.kind == "U":
        out = out.astype(object)
        out.flat[int(rng.integers(out.size))] = json.dumps(pick(rng, HOSTILE))
        return out.astype(str), "texts"
    return out, "values"


def npy_bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def header_damage(data: bytes, rng: Rng) -> tuple[bytes, str]:
    """Damage the header of an array, which numpy reads as Python."""
    end = data.find(b"\n")
    header = data[10:end]
    word = pick(rng, (
        b"'shape': (1000000000000,)", b"'shape': (10000000, 0)", b"'shape': (-1,)", b"'shape': 3",
        b"'shape': (1e3,)", b"'shape': (99999999999999999999999,)", b"'shape': (True,)",
        b"'descr': 'O'", b"'descr': '<f99'", b"'descr': [('a', 'O')]", b"'descr': '<U1000000000'",
        b"'descr': __import__('os')", b"'descr': ((((((1))))))", b"(" * 200, b"'fortran_order': 2",
        b"'\\d': 1",
    ))  # fmt: skip
    name = word.partition(b":")[0]
    start = header.find(name)
    stop = header.find(b", '", start) if start >= 0 else -1
    changed = header[:start] + word + header[stop:] if 0 <= start < stop else word + header
    changed = changed[: len(header)].ljust(len(header))
    return data[:10] + changed + data[end:], f"header {word[:40].decode()}"


def npy_damage(data: bytes, rng: Rng) -> tuple[bytes, str]:
    if rng.random() < 0.3:
        return header_damage(data, rng)
    array, what = array_damage(np.load(io.BytesIO(data)), rng)
    return npy_bytes(array), what


def npz_damage(data: bytes, rng: Rng) -> tuple[bytes, str]:
    """Damage the arrays of an npz file, their headers, or its list of them."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = pick(rng, list(members))
    kind = pick(rng, ("array", "array", "array", "array", "header", "missing", "extra", "twice",
                      "empty", "rename", "method", "swap", "bomb", "size"))  # fmt: skip
    method = pick(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    what = f"{kind} {name}"
    extra: list[tuple[str, bytes]] = []
    if kind == "array":
        array = np.lib.format.read_array(io.BytesIO(members[name]))
        changed, how = array_damage(array, rng)
        members[name] = npy_bytes(changed)
        what = f"{name}: {how}"
    elif kind == "header":
        members[name], how = header_damage(members[name], rng)
        what = f"{name}: {how}"
    elif kind == "missing":
        del members[name]
    elif kind == "extra":
        members[pick(rng, ("more.npy", "../../x.npy", "", "a/b.npy", "note.txt"))] = b"more"
    elif kind == "twice":
        extra = [(name, members[name])]
    elif kind == "empty":
        members[name] = b""
    elif kind == "rename":
        members[name + "x"] = members.pop(name)
    elif kind == "method":
        method = pick(rng, (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    elif kind == "swap":
        other = pick(rng, list(members))
        members[name], members[other] = members[other], members[name]
    elif kind == "bomb":
        head = io.BytesIO()
        count = 400 * MIB if rng.random() < 0.1 else 2 * MIB
        shape = pick(rng, ((count // 8,), (count // 16, 2), (2, count // 16)))
        form = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(head, form)
        members[name] = head.getvalue() + bytes(count)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name twice
        for key, content in [*members.items(), *extra]:
            archive.writestr(zipfile.ZipInfo(key), content, method, 1)
    out = bytearray(file.getvalue())
    if kind == "size":
        # A directory that says other sizes than the file has.
        place = out.rfind(b"PK\x01\x02")
        word = pick(rng, (0, 1, 2**31 - 1, 2**32 - 2, 1000))
        offset = pick(rng, (16, 20, 24, 28, 30, 42))
        size = 4 if offset in (16, 20, 24, 42) else 2
        out[place + offset : place + offset + size] = (word % 256**size).to_bytes(size, "little")
    return bytes(out), what


# ------------------------------------------------------------------------------------------- text

WORDS = (
    "", "x", "nan", "inf", "-inf", "1e999", "-1", "0", "0.5", "1e308", "-1e308", "1e-320", "1_000",
    "0x10", "٣", "1,5", "1.5", "9" * 400, "9" * 5000, "--1", "1e", "None", "True", '"', '"1"',
    "'1'", "#", "# 1", ";", "\t", " ", "\x0b", "\x85", "\u2028", "1 2", "1;2", "2147483648",
    str(2**53), str(2**63), "10000000", "999999999", "\N{NO-BREAK SPACE}", "−1", "1\0", "\ufeff1",
)  # fmt: skip


def text_damage(data: bytes, rng: Rng) -> tuple[bytes, str]:
    """Damage a cell, a row, a column, a separator or the heading of a text file."""
    lines = data.decode("utf-8").split("\n")
    filled = [i for i, line in enumerate(lines) if line.strip()]
    if not filled:
        return b"x", "whole"
    # The first lines are headings, which say sizes.
    at = filled[0] if rng.random() < 0.2 else pick(rng, filled)
    separator = next((s for s in (";", "\t", ",") if s in lines[at]), " ")
    cells = lines[at].split(separator)
    kind = pick(rng, ("cell", "cell", "cell", "cell", "delete row", "repeat row", "insert row",
                      "delete cell", "insert cell", "column", "separator", "all separators",
                      "swap", "long", "many", "comment", "quote", "decimal"))  # fmt: skip
    j = int(rng.integers(len(cells)))
    word = pick(rng, WORDS)
    what = f"{kind} at line {at + 1}, cell {j + 1}: {word[:12]!r}"
    if kind == "cell":
        cells[j] = word
    elif kind == "delete cell":
        del cells[j]
    elif kind == "insert cell":
        cells.insert(j, word)
    elif kind == "swap":
        k = int(rng.integers(len(cells)))
        cells[j], cells[k] = cells[k], cells[j]
    elif kind == "quote":
        cells[j] = pick(rng, (f'"{cells[j]}"', f'"{cells[j]}', f'"{cells[j]}"x', '""'))
    elif kind == "long":
        cells[j] = cells[j] * 100_000
    elif kind == "many":
        cells += cells * (100_000 // len(cells))
    lines[at] = separator.join(cells)
    if kind == "delete row":
        del lines[at]
    elif kind == "repeat row":
        lines[at:at] = [lines[at]] * int(pick(rng, (1, 2, 1000)))
    elif kind == "insert row":
        lines.insert(at, pick(rng, (word, "", " ", "1", "1 2", separator * 3)))
    elif kind == "column":
        parts = [line.split(separator) for line in lines]
        lines = [
            separator.join(p[:j] + p[j + 1 :]) if len(p) > 1 else separator.join(p) for p in parts
        ]
    elif kind == "separator":
        lines[at] = lines[at].replace(separator, pick(rng, (";", "\t", ",", " ", "|", "  ")))
    elif kind == "all separators":
        lines = [line.replace(separator, word or ";") for line in lines]
    elif kind == "comment":
        lines[at] = pick(rng, ("#", "c ", "//", "%")) + lines[at]
    elif kind == "decimal":
        some = slice(at, None) if rng.random() < 0.5 else slice(at, at + 1)
        lines[some] = [line.replace(".", ",") for line in lines[some]]
    return "\n".join(lines).encode("utf-8"), what
