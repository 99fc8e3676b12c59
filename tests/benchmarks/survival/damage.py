"""Damage to files: of their bytes, and of their structure as JSON, arrays, archives or tables."""

from __future__ import annotations

import copy
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
Mutate = Callable[[Path, Path, Rng], str]
MIB = 2**20
Changed = tuple[bytes, str]
"""The damaged content, and what was done to it."""


def mutate(source: Path, target: Path, rng: Rng) -> str:
    """Write a damaged copy of a file, and return a description of the damage."""
    data = source.read_bytes()
    change = STRUCTURES.get(source.suffix, text_damage) if rng.random() < 0.6 else byte_damage
    try:
        changed, what = change(data, rng)
    except (ValueError, RecursionError):  # structure that cannot be read or written
        changed, what = byte_damage(data, rng)
    target.write_bytes(changed)
    return what


def pick(rng: Rng, items: Any) -> Any:
    """Return one of some items; numpy would turn them into an array first."""
    return items[int(rng.integers(len(items)))]


# ------------------------------------------------------------------------------------------ bytes

ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7", "cp037")
NEWLINES = (b"\r", b"\r\n", b"\n\n", b"\x0b", b"")


def byte_damage(data: bytes, rng: Rng) -> Changed:
    """Flip, cut, insert, repeat or clear bytes, or encode a text in another way."""
    flipped = bytearray(data)
    for place in rng.integers(len(data), size=int(rng.integers(1, 9))).tolist() if data else []:
        flipped[place] ^= 1 << int(rng.integers(8))
    a = int(rng.integers(len(data) + 1))
    b = min(len(data), a + 1 + int(rng.integers(64)))
    noise = rng.bytes(int(rng.integers(1, 64)))
    changes: dict[str, Callable[[], bytes]] = {
        "flip": lambda: bytes(flipped),
        "cut": lambda: data[:a],
        "drop": lambda: data[:a] + data[b:],
        "insert": lambda: data[:a] + noise + data[a:],
        "overwrite": lambda: data[:a] + noise + data[a + len(noise) :],
        "zeros": lambda: data[:a] + bytes(b - a) + data[b:],
        "repeat": lambda: data[:a] + data[a:b] * int(rng.integers(2, 50)) + data[b:],
        "encode": lambda: data.decode("latin-1").encode(pick(rng, ENCODINGS)),
        "newlines": lambda: data.replace(b"\n", pick(rng, NEWLINES)),
        "empty": lambda: b"",
        "double": lambda: data + data,
    }
    kind = pick(rng, ["flip", "flip", *changes])
    return changes[kind](), kind


# ------------------------------------------------------------------------------------------- JSON

HOSTILE = (
    None, True, 0, 1, -1, 0.5, 1e308, 1e-320, float("nan"), float("inf"), 10**9, 2**31, 2**53,
    2**63, -(2**63), 10**400, "", "x", "1", "nan", "1_000", "\0", "\x1b[31m", "../../x", "\ud800",
    "é" * 1000, [], {}, [[]], [None], [1, [2]], {"a": 1}, ["x"] * 1000, list(range(1000)),
)  # fmt: skip
NUMBERS = ("9" * 400, "-", "e999", ".", "0x", "_", "NaN", "9" * 5000)


def json_damage(data: bytes, rng: Rng) -> Changed:
    """Replace, remove, rename, repeat or nest a value of a JSON text."""
    text = data.decode("utf-8")
    digits = [i for i, c in enumerate(text) if c.isdigit()]
    if digits and rng.random() < 0.1:
        place = pick(rng, digits)
        return (text[:place] + pick(rng, NUMBERS) + text[place + 1 :]).encode(), "number"
    path, key, parent = pick(rng, list(nodes(whole := [json.loads(text)])))
    old = parent[key]
    new = copy.deepcopy(pick(rng, HOSTILE))
    kind = pick(rng, ("replace", "replace", "replace", "remove", "rename", "repeat", "nest"))
    if kind == "nest":
        for _ in range(pick(rng, (1, 70, 900))):
            old = [old]
        new = old
    elif kind == "repeat" and isinstance(old, list) and old:
        new = pick(rng, (old[1:], [*old, old[-1]], old[::-1], old * 100))
    if kind in ("remove", "rename") and isinstance(parent, dict):
        del parent[key]
        parent |= {f"{key}x": old} if kind == "rename" else {}
    else:
        parent[key] = new
    what = f"{kind} at {'.'.join(map(str, path))} by {str(new)[:20]!r}"[:120]
    return json.dumps(whole[0]).encode("utf-8", errors="surrogatepass"), what


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """Yield path, key and parent of every value inside another."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    if isinstance(value, dict | list):
        for key, child in list(items):
            yield (*path, key), key, value
            if isinstance(child, dict | list):
                yield from nodes(child, (*path, key))


def weights_damage(data: bytes, rng: Rng) -> Changed:
    """Change the header of a safetensors file in its structure."""
    length = int.from_bytes(data[:8], "little")
    changed, what = json_damage(data[8 : 8 + length].rstrip(), rng)
    return len(changed).to_bytes(8, "little") + changed + data[8 + length :], what


# ------------------------------------------------------------------------------ arrays and archives

DTYPES = ("f4", "i1", "u8", "c16", "?", "U5", "S5", "M8[s]", "O", ">f8", "f8", "i8", "V8", "g")
VALUES = (np.nan, np.inf, -np.inf, 1e308, -1e308, 1e-320, -1.0, 0.0, 2.0**63, 0.5)
HEADERS = {
    "descr": ("'O'", "[('a', 'O')]", "'<U1000000000'", "__import__('os')", "'<f99'"),
    "fortran_order": ("2", "True"),
    "shape": ("(1000000000000,)", "(10000000, 0)", "(-1,)", "3", "(1e3,)", "(" * 200),
}


def array_damage(array: np.ndarray, rng: Rng) -> np.ndarray:
    """Return an array of another type or shape, or with other values."""
    if array.dtype.kind == "U":
        texts = [json_damage(text.encode(), rng)[0] for text in array.ravel().tolist()]
        return np.array([t.decode(errors="replace") for t in texts]).reshape(array.shape)
    kind = pick(rng, ("dtype", "shape", "values", "rows"))
    if kind == "dtype":
        name = pick(rng, DTYPES)
        try:
            return array.astype(name)
        except (TypeError, ValueError):
            return np.zeros(array.shape, dtype=name)
    if kind == "shape":
        shapes = ((0,), (0, 3), (1000, 1000), (2,) * 20, (5, 0), ())
        others = (array.ravel(), array[None], array.T, array[..., None], np.asfortranarray(array))
        return pick(rng, (*others, *map(np.zeros, shapes)))
    if kind == "rows" and array.ndim and len(array):
        return array[rng.integers(len(array), size=int(rng.integers(2 * len(array) + 2)))]
    out = np.array(array)
    if out.size and array.dtype.kind in "fiu":
        with np.errstate(all="ignore"):
            cells = rng.integers(out.size, size=int(rng.integers(1, 4)))
            out.flat[cells] = np.array(pick(rng, VALUES)).astype(out.dtype)
    return out


def npy_damage(data: bytes, rng: Rng) -> Changed:
    """Damage an array, or its header, which numpy reads as Python."""
    array = np.load(io.BytesIO(data))
    if rng.random() < 0.7:
        array = array_damage(array, rng)
        np.lib.format.write_array(file := io.BytesIO(), array, allow_pickle=True)
        return file.getvalue(), f"array {array.dtype} {array.shape}"
    fields = {"descr": repr(array.dtype.str), "fortran_order": "False", "shape": str(array.shape)}
    name = pick(rng, list(HEADERS))
    fields[name] = pick(rng, HEADERS[name])
    header = ("{" + ", ".join(f"'{k}': {v}" for k, v in fields.items()) + "}\n").encode()
    head = np.lib.format.magic(1, 0) + len(header).to_bytes(2, "little") + header
    return head + array.tobytes(), f"{name} = {fields[name][:40]}"


def archive_damage(data: bytes, rng: Rng) -> Changed:
    """Damage a member of a zip file, whose checksums are right again, or its list of members."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = pick(rng, list(members))
    kind = pick(rng, ("content", "content", "content", "missing", "twice", "rename", "method",
                      "bomb", "size"))  # fmt: skip
    method = zipfile.ZIP_BZIP2 if kind == "method" else zipfile.ZIP_DEFLATED
    what, content = f"{kind} of {name}", members[name]
    if kind == "content":
        inside = npy_damage if name.endswith(".npy") and rng.random() < 0.9 else byte_damage
        members[name], how = inside(content, rng)
        what += f": {how}"
    elif kind in ("missing", "rename"):
        del members[name]
        members |= {pick(rng, (f"{name}x", "../x.npy", "")): content} if kind == "rename" else {}
    elif kind == "bomb":
        count = (400 if rng.random() < 0.1 else 2) * MIB
        form = {"descr": "<f8", "fortran_order": False, "shape": (count // 8,)}
        np.lib.format.write_array_header_1_0(head := io.BytesIO(), form)
        members[name] = head.getvalue() + bytes(count)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name twice
        for key, value in [*members.items(), *([(name, content)] if kind == "twice" else [])]:
            archive.writestr(zipfile.ZipInfo(key), value, method, 1)
    out = bytearray(file.getvalue())
    if kind == "size":  # a directory that says other sizes than the file has
        place = out.rfind(b"PK\x01\x02") + pick(rng, (16, 20, 24, 42))
        out[place : place + 4] = pick(rng, (0, 1, 2**31 - 1, 2**32 - 2)).to_bytes(4, "little")
    return bytes(out), what


# ------------------------------------------------------------------------------------------- text

WORDS = (
    "", "x", "nan", "inf", "1e999", "-1", "0", "0.5", "1e308", "1e-320", "1_000", "0x10", "٣",
    "1,5", "9" * 400, "9" * 5000, "--1", "1e", "None", '"', '"1"', '"1"x', "#", ";", "\t", " ",
    "\x0b", "\x85", "\u2028", "1 2", "1;2", "2147483648", str(2**53), str(2**63), "10000000",
    "\N{NO-BREAK SPACE}", "−1", "1\0", "\ufeff1", "1" * 100_000, "1," * 50_000,
)  # fmt: skip


def text_damage(data: bytes, rng: Rng) -> Changed:
    """Damage a cell, a row, a column or the separators of a text file."""
    rows = data.decode("utf-8").split("\n")
    # The first rows are headings, which say sizes.
    at = 0 if rng.random() < 0.2 else int(rng.integers(len(rows)))
    separator = next((s for s in (";", "\t", ",") if s in rows[at]), " ")
    cells, word = rows[at].split(separator), pick(rng, WORDS)
    j = int(rng.integers(len(cells)))
    kind = pick(rng, ("cell", "cell", "cell", "more", "row", "column", "separators"))
    if kind in ("cell", "more"):
        cells[j : j + (kind == "cell")] = [word]
        rows[at] = separator.join(cells)
    elif kind == "row":
        rows[at : at + 1] = [rows[at]] * pick(rng, (0, 2, 1000))
    elif kind == "column":
        parts = [row.split(separator) for row in rows]
        rows = [separator.join(p[:j] + p[j + 1 :] if len(p) > 1 else p) for p in parts]
    else:
        rows[at:] = [row.replace(separator, word or ";") for row in rows[at:]]
    return "\n".join(rows).encode(), f"{kind} at line {at + 1}, cell {j + 1}: {word[:12]!r}"


STRUCTURES = {
    ".json": json_damage,
    ".safetensors": weights_damage,
    ".npy": npy_damage,
    ".npz": archive_damage,
    ".pt": archive_damage,
}
