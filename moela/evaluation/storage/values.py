"""Further entries of ``out`` as bytes, from which the same values come back.

The bytes are a JSON header, a zero byte, and the contents of the arrays one after the other.
Nothing is pickled, and reading runs no code.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from moela.files.text import parse_json
from moela.provenance.signature import Json

Value = Any
"""A value that a problem put into ``out``, or a part of the header that stands for one."""
Array = NDArray[Any]
DType = np.dtype[Any]

# Kinds of numpy arrays whose bytes are their values.
_KINDS = "fiubcUSmMV"
_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[USV]\d{1,10})")
_TIME = re.compile(r"[<>|=]?[mM]8(\[\d{0,9}(as|fs|ps|ns|us|ms|[smhDWMY])\])?")
# A deeper value would meet the limit of Python's recursion where it is read.
_MOST_LEVELS = 100
_HIGHEST_CHARACTER = 0x10FFFF


class Packed(NamedTuple):
    """Values as bytes, the same values as they come back, and what was left out with its reason."""

    data: bytes | None
    values: dict[str, Value]
    left_out: dict[str, str]


def pack(values: Mapping[str, Value], room: float = math.inf) -> Packed:
    """Return named values as at most `room` bytes; those that cannot be kept are left out.

    Kept are numbers, strings, bytes, booleans, None, lists, tuples and dictionaries of such, numpy
    scalars, and arrays: of numbers, times, strings, records, masked, and of objects that are kept.
    A subclass of these types, such as a named tuple, becomes the type itself.
    """
    header: list[Json] = []
    body: list[bytes] = []
    stored: dict[str, Value] = {}
    left_out: dict[str, str] = {}
    for name, value in values.items():
        writer = _Writer(room)
        try:
            if not isinstance(name, str):
                raise _CannotKeepError(f"a key of type {type(name).__name__}")
            if not _is_whole(name):
                raise _CannotKeepError("a key with half of a character")
            entry = writer.entry(name, value)
            size = writer.size + len(json.dumps(entry)) + 2
            if size > room:
                raise _CannotKeepError(f"{size:,} bytes, more than a row of a store has room for")
        except _CannotKeepError as error:
            left_out[str(name)] = str(error)
            continue
        except Exception as error:  # of an object that only looks like a number or a dictionary
            left_out[str(name)] = f"a {_type_name(value)} that raises {type(error).__name__}"
            continue
        room -= size
        header.append(entry)
        body += writer.body
        same = type(value) is np.ndarray and value.dtype != object
        stored[name] = value if same or isinstance(value, np.generic) else _value(entry, writer)
    if not header:
        return Packed(None, stored, left_out)
    return Packed(json.dumps(header).encode() + b"\0" + b"".join(body), stored, left_out)


def unpack(data: bytes | None) -> dict[str, Value]:
    """Return the values that :func:`pack` wrote; a ValueError tells what is wrong."""
    if not data:
        return {}
    head, _, body = data.partition(b"\0")
    header = parse_json(head.decode(), "the header")
    if not isinstance(header, list):
        raise ValueError(f"the header must be a list. Got a {type(header).__name__} instead")
    values: dict[str, Value] = {}
    reader = _Reader(body)
    for entry in header:
        match entry:
            case [str(name), str(dtype), list(shape)]:
                values[name] = reader.array(dtype, shape)[()]
            case [str(name), tree]:
                values[name] = reader.value(tree)
            case _:
                raise ValueError(f"{str(entry)[:200]} is no entry of a header")
    if reader.start != len(body):
        raise ValueError(f"the entries take {reader.start} bytes. Got {len(body)} bytes instead")
    return values


class _CannotKeepError(Exception):
    """A value that a store cannot keep; the message says what it is."""


class _Writer:
    """Collects the contents of the arrays of one value."""

    def __init__(self, room: float):
        self.room = room
        self.size = 0
        self.body: list[bytes] = []

    def entry(self, name: str, value: Value) -> Json:
        """Return the entry of the header for a value."""
        array = np.asarray(value) if isinstance(value, np.generic) else value
        simple = type(array) is np.ndarray and (array.ndim > 0 or array is not value)
        if simple and array.dtype.kind in "fiubcUS":
            self._append(array)
            return [name, array.dtype.str, list(array.shape)]
        return [name, self._tree(value, 0)]

    def _append(self, array: Array) -> None:
        self._count(array.nbytes)
        self.body.append(np.ascontiguousarray(array).tobytes())

    def _count(self, size: int) -> None:
        self.size += size
        if self.size > self.room:
            raise _CannotKeepError(
                f"{self.size:,} bytes or more, beyond what a row of a store has room for"
            )

    def _tree(self, value: Value, level: int) -> Json:
        if level > _MOST_LEVELS:
            raise _CannotKeepError(f"values nested in more than {_MOST_LEVELS} levels")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, np.ndarray | np.generic):
            return self._array(value, level)
        if isinstance(value, int):
            return {"i": hex(value)} if abs(value) > 2**63 else int(value)
        if isinstance(value, str):
            self._count(len(value))
            if _is_whole(value):
                return str(value)
            return {"s": value.encode("utf-16-le", "surrogatepass").hex()}  # half of a character
        if isinstance(value, float):
            return {"f": value.hex()}
        if isinstance(value, complex):
            return {"c": [value.real.hex(), value.imag.hex()]}
        if isinstance(value, bytes | bytearray):
            self._count(2 * len(value))
            return {"b": value.hex()}
        if isinstance(value, Mapping):
            if all(isinstance(key, str) and _is_whole(key) for key in value):
                return {"d": {str(key): self._tree(v, level + 1) for key, v in value.items()}}
            pairs = [[self._key(key, level), self._tree(v, level + 1)] for key, v in value.items()]
            return {"m": [*pairs]}
        if isinstance(value, list | tuple):
            self._count(len(value))
            items = [self._tree(v, level + 1) for v in value]
            return {"t": items} if isinstance(value, tuple) else items
        raise _CannotKeepError(f"a value of type {_type_name(value)}")

    def _key(self, key: object, level: int) -> Json:
        if isinstance(key, np.ndarray):
            raise _CannotKeepError("an array as the key of a dictionary")
        return self._tree(key, level + 1)

    def _array(self, value: Value, level: int) -> Json:
        if isinstance(value, np.ma.MaskedArray):
            parts = (np.asarray(value.data), np.ma.getmaskarray(value), value.fill_value)
            return {"k": [self._tree(part, level + 1) for part in parts]}
        array = np.asarray(value)
        if array.dtype == object:
            self._count(array.size)
            items = [self._tree(item, level + 1) for item in array.ravel()]
            return {"o": [[*array.shape], items]}
        if array.dtype.kind not in _KINDS or array.dtype.hasobject:
            raise _CannotKeepError(f"an array of dtype {array.dtype}")
        kind = "g" if isinstance(value, np.generic) else "a"
        dtype = _described(array.dtype)
        self._append(array)
        return {kind: [dtype, [*array.shape]]}


def _value(entry: Json, writer: _Writer) -> Value:
    """Return a value as it will be read."""
    assert isinstance(entry, list)
    reader = _Reader(b"".join(writer.body))
    if len(entry) == 3:
        return reader.array(entry[1], entry[2])[()]
    return reader.value(entry[1])


def _described(dtype: DType) -> Json:
    """Return a dtype as JSON: its string, or for records a list of names, dtypes and shapes."""
    if dtype.subdtype is not None or dtype.names is None:
        return dtype.str
    described: Json = [[*_of_field(field)] for field in dtype.descr]
    if _dtype(described) != dtype:
        raise _CannotKeepError(f"an array of dtype {dtype}")
    return described


def _of_field(field: tuple[Value, ...]) -> list[Json]:
    name, kind, *shape = field
    inner: Json = kind if isinstance(kind, str) else [_of_field(f) for f in kind]
    return [list(name) if isinstance(name, tuple) else name, inner, *(list(s) for s in shape)]


def _dtype(described: Value) -> DType:
    """Return the dtype for its description; nothing but numbers, times, strings and records."""
    return np.lib.format.descr_to_dtype(_descr(described))  # takes unnamed fields for padding


def _descr(described: Value, level: int = 0) -> Value:
    """Return a description of a dtype as numpy writes it, after a check."""
    if isinstance(described, str):
        if not (_DTYPE.fullmatch(described) or _TIME.fullmatch(described)):
            raise ValueError(f"{described[:100]!r} is no dtype of stored arrays")
        return described
    if not isinstance(described, list) or not described or level > 8:
        raise ValueError(f"{str(described)[:100]} is no dtype of stored arrays")
    return [
        (
            tuple(name) if isinstance(name, list) else name,
            _descr(kind, level + 1),
            *(tuple(_sizes(s)) for s in shape),
        )
        for name, kind, *shape in described
    ]


def _sizes(shape: Value) -> list[int]:
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"{str(shape)[:100]} is no shape of an array")
    return shape


class _Reader:
    """Reads the values of a header, and the contents of their arrays one after the other."""

    def __init__(self, body: bytes):
        self.body = body
        self.start = 0

    def array(self, described: object, shape: Value) -> Array:
        """Return the next array; its size is looked at before memory is taken."""
        dtype = _dtype(described)
        size = math.prod(_sizes(shape)) * dtype.itemsize
        end = self.start + size
        if end > len(self.body):
            raise ValueError(
                f"an array of shape {str(shape)[:100]} and dtype {dtype} must have {size} bytes. "
                f"Got {len(self.body) - self.start} bytes instead"
            )
        part, self.start = self.body[self.start : end], end
        if not size:
            return np.empty(shape, dtype)
        if dtype.kind == "U":
            _check_characters(part, dtype)
        return np.frombuffer(part, dtype=dtype).reshape(shape).copy()

    def value(self, tree: Value) -> Value:
        """Return the value of a tree."""
        if isinstance(tree, list):
            return [self.value(inner) for inner in tree]
        if not isinstance(tree, dict):
            return tree
        ((tag, inner),) = tree.items()
        match tag, inner:
            case "f", str():
                return float.fromhex(inner)
            case "s", str():
                return bytes.fromhex(inner).decode("utf-16-le", "surrogatepass")
            case "i", str():
                return int(inner, 16)
            case "c", [str(real), str(imag)]:
                return complex(float.fromhex(real), float.fromhex(imag))
            case "b", str():
                return bytes.fromhex(inner)
            case "d", dict():
                return {key: self.value(v) for key, v in inner.items()}
            case "m", list():
                return {self.value(key): self.value(v) for key, v in inner}
            case "t", list():
                return tuple(self.value(v) for v in inner)
            case "a", [dtype, shape]:
                return self.array(dtype, shape)
            case "g", [dtype, []]:
                return self.array(dtype, [])[()]
            case "o", [shape, list(items)]:
                array = np.empty(_fitting(shape, len(items)), dtype=object)
                array.reshape(-1)[:] = _objects([self.value(item) for item in items])
                return array
            case "k", [data, mask, fill]:
                return self._masked(data, mask, fill)
        raise ValueError(f"{str(tree)[:200]} is no stored value")

    def _masked(self, data: Value, mask: Value, fill: Value) -> Value:
        values, masked, fill_value = (self.value(part) for part in (data, mask, fill))
        if not isinstance(values, np.ndarray) or np.shape(masked) != values.shape:
            raise ValueError("a masked array must have a mask of its own shape")
        array: Value = np.ma.MaskedArray(values, mask=masked)
        array.fill_value = fill_value
        return array


def _check_characters(part: bytes, dtype: DType) -> None:
    codes = np.frombuffer(part, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
    if codes.max() > _HIGHEST_CHARACTER:
        raise ValueError(f"{codes.max():#x} is no character")


def _fitting(shape: Value, n: int) -> tuple[int, ...]:
    if math.prod(_sizes(shape)) != n:
        raise ValueError(f"an array of shape {str(shape)[:100]} has another size than {n}")
    return tuple(shape)


def _objects(items: list[Value]) -> Array:
    array = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):  # an assignment of all at once would look into the items
        array[i] = item
    return array


def _is_whole(text: str) -> bool:
    """Return whether a text has no lone surrogate, which JSON in UTF-8 has no room for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
