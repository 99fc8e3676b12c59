"""Digests of values: a hash of their exact bytes, in a fixed order."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

_SIZE = 16


def digest(value: Any) -> str:
    """Return the hex digest of numbers, arrays, texts, and lists and dictionaries of these.

    Integers and floats are hashed as 64-bit numbers, float32 as such. Arrays of objects, such as
    designs of mixed variables, are hashed as lists.

    Raises
    ------
    TypeError
        If a value is of another type, such as an object of the library.
    """
    state = hashlib.blake2b(digest_size=_SIZE)
    _feed(state, value)
    return state.hexdigest()


def _feed(state: Any, value: Any) -> None:
    if value is None or isinstance(value, str):
        state.update(b"text" + json.dumps(value).encode())
    elif isinstance(value, dict):
        state.update(f"dict {len(value)}".encode())
        for key in sorted(value):
            _feed(state, key)
            _feed(state, value[key])
    elif isinstance(value, list | tuple):
        state.update(f"list {len(value)}".encode())
        for item in value:
            _feed(state, item)
    else:
        array = np.asarray(value)
        if array.dtype == object:
            if array.ndim == 0:
                raise TypeError(f"A digest is of numbers and texts. Got {value!r} instead.")
            _feed(state, list(array))
        elif array.dtype.kind == "U":
            _feed(state, array.tolist())
        else:
            wide = {"b": "|b1", "i": "<i8", "u": "<u8", "f": "<f8"}[array.dtype.kind]
            if array.dtype == np.float32:
                wide = "<f4"
            state.update(f"{wide} {array.shape}".encode())
            state.update(np.ascontiguousarray(array, dtype=wide).tobytes())


def numbers_of(rows: Any, *, without: tuple[str, ...] = ()) -> list[list[Any]]:
    """Return the numbers of a table by row, except in columns whose name has one of the words."""
    return [
        [
            value
            for name, value in row.items()
            if not isinstance(value, str) and not any(word in name for word in without)
        ]
        for row in rows
    ]
