"""Designs as bytes: the key that identifies a design, and the form in which it is stored."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from pymoo.core.problem import Problem

from moela._arrays import Designs
from moela.provenance.signature import Json

_KINDS = {"f": "<f8", "i": "<i8", "u": "<i8", "b": "|b1"}


def encode(x: object) -> bytes:
    """Return a design as bytes that hold it exactly and can be read without running any code.

    Real, integer and boolean arrays [n_var] are written as they are (dtype, then the bytes, little
    endian), everything else as JSON with the type of each value. ``-0.0`` and ``0.0`` differ.
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


def keys_of(problem: Problem, X: Designs) -> list[bytes]:
    """Return the key of every row of X: two rows are one design if their keys are equal.

    If the problem has ``canonical``, rows that it maps to the same values are one design.
    """
    if hasattr(problem, "canonical"):
        X = problem.canonical(X)
    return [blake2b(encode(x), digest_size=16).digest() for x in X]


def checksum(values: Iterable[object]) -> int:
    """Return a checksum of the values of a stored row: numbers, strings, bytes and None."""
    total = 0
    for value in values:
        total = crc32(value if isinstance(value, bytes) else str(value).encode(), total)
    return total


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes | None:
    """Return named arrays as bytes: a JSON header (name, dtype, shape), a zero byte, the data."""
    if not arrays:
        return None
    header, body = [], []
    for name, value in arrays.items():
        array = np.asarray(value)
        if array.dtype.kind not in "fiubcUS":
            raise TypeError(
                f'out["{name}"] holds objects ({array.dtype}), which a store cannot keep. Use '
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
    start = 0
    for name, kind, shape in json.loads(head):
        dtype = np.dtype(kind)
        end = start + dtype.itemsize * math.prod(shape)
        arrays[name] = np.frombuffer(body[start:end], dtype=dtype).reshape(shape).copy()
        start = end
    return arrays


def _tagged(value: object) -> Json:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {"f": value.hex()}  # exact, and distinct from an integer of the same value
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


def _untagged(value: Any) -> object:
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
