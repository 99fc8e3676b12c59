"""Designs as bytes: the key by which one is recognized, and the form in which it is stored."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

_KINDS = {"f": "<f8", "i": "<i8", "u": "<i8", "b": "|b1"}


def encode(x: Any) -> bytes:
    """Return a design as bytes that hold it exactly and that no code needs to run to read.

    Parameters
    ----------
    x : ndarray [n_var] or dict
        Real, integer and boolean arrays are written as they are (dtype, then the bytes, little
        endian), everything else as JSON with the type of each value. ``-0.0`` and ``0.0`` differ.

    Raises
    ------
    TypeError
        A value is neither a number, a boolean, a string, None nor a list of such.
    """
    if isinstance(x, np.ndarray) and x.dtype.kind in _KINDS:
        kind = _KINDS[x.dtype.kind]
        return kind.encode() + b"\0" + np.ascontiguousarray(x, dtype=kind).tobytes()
    return json.dumps(_tagged(x), separators=(",", ":"), sort_keys=True).encode()


def decode(data: bytes) -> Any:
    """Return the design that :func:`encode` wrote."""
    if data[:1] in b"<|":
        kind, _, rest = data.partition(b"\0")
        return np.frombuffer(rest, dtype=kind.decode()).copy()
    return _untagged(json.loads(data))


def keys_of(problem: Any, X: Any) -> list[bytes]:
    """Return the key of every row of X: two rows are one design if their keys are equal.

    Where the problem has ``canonical``, it says which X mean the same design.
    """
    if hasattr(problem, "canonical"):
        X = problem.canonical(X)
    return [blake2b(encode(x), digest_size=16).digest() for x in X]


def checksum(values: Iterable[Any]) -> int:
    """Return a checksum of the values of a stored row: numbers, strings, bytes and None."""
    total = 0
    for value in values:
        total = crc32(value if isinstance(value, bytes) else str(value).encode(), total)
    return total


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes | None:
    """Return named arrays as bytes: a JSON header (name, dtype, shape), a zero byte, the data.

    Raises
    ------
    TypeError
        An array is not one of numbers, booleans or strings; it would need a pickle.
    """
    if not arrays:
        return None
    header, body = [], []
    for name, value in arrays.items():
        array = np.asarray(value)
        if array.dtype.kind not in "fiubcUS":
            raise TypeError(
                f'out["{name}"] holds objects ({array.dtype}), which a store cannot keep. Give '
                "numbers, booleans or strings."
            )
        array = np.ascontiguousarray(array).reshape(array.shape)
        header.append([name, array.dtype.str, list(array.shape)])
        body.append(array.tobytes())
    return json.dumps(header).encode() + b"\0" + b"".join(body)


def unpack(data: bytes | None) -> dict[str, NDArray[Any]]:
    """Return the arrays that :func:`pack` wrote."""
    if not data:
        return {}
    head, _, body = data.partition(b"\0")
    arrays: dict[str, NDArray[Any]] = {}
    at = 0
    for name, kind, shape in json.loads(head):
        dtype = np.dtype(kind)
        size = dtype.itemsize * math.prod(shape)
        arrays[name] = np.frombuffer(body[at : at + size], dtype=dtype).reshape(shape).copy()
        at += size
    return arrays


def _tagged(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {"f": value.hex()}  # exact, and apart from an integer of the same value
    if isinstance(value, Mapping):
        return {"d": {str(k): _tagged(v) for k, v in value.items()}}
    if isinstance(value, np.ndarray):
        return {"a": [_tagged(v) for v in value.tolist()]}
    if isinstance(value, list | tuple):
        return [_tagged(v) for v in value]
    raise TypeError(
        "A design must consist of numbers, booleans, strings, None and lists of such, so that it "
        f"can be recognized and stored. Got a {type(value).__name__} instead."
    )


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(v) for v in value]
    if isinstance(value, dict):
        ((tag, inner),) = value.items()
        if tag == "f":
            return float.fromhex(inner)
        if tag == "d":
            return {k: _untagged(v) for k, v in inner.items()}
        return np.array([_untagged(v) for v in inner], dtype=object)
    return value
