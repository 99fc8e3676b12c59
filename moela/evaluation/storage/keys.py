"""Designs as bytes: the key that identifies a design, and the form in which it is stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any
from zlib import crc32

import numpy as np
from pymoo.core.problem import Problem

from moela._arrays import Designs
from moela.provenance.signature import Json

_KINDS = {"f": "<f8", "i": "<i8", "u": "<i8", "b": "|b1"}
_STORED_KINDS = {kind.encode() for kind in _KINDS.values()}
# A design of mixed variables with a million values; as Python objects it takes up to 1 GB.
MOST_TEXT = 32 * 2**20


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
    """Return the design that :func:`encode` wrote; a ValueError tells what is wrong with it."""
    if data[:1] in (b"<", b"|"):
        kind, _, rest = data.partition(b"\0")
        if kind not in _STORED_KINDS:
            raise ValueError(f"{kind[:20]!r} is no kind of design")
        return np.frombuffer(rest, dtype=kind.decode()).copy()
    if len(data) > MOST_TEXT:
        raise ValueError(f"a design as text must have at most {MOST_TEXT} bytes. Got {len(data)}")
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
    return crc32(b"".join([v if type(v) is bytes else str(v).encode() for v in values]))


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
    if not isinstance(value, dict):
        return value
    match [*value.items()]:
        case [("f", str(text))]:
            return float.fromhex(text)
        case [("d", dict(inner))]:
            return {k: _untagged(v) for k, v in inner.items()}
        case [("a", list(inner))]:
            return np.array([_untagged(v) for v in inner], dtype=object)
    raise ValueError(f"{str(value)[:200]} is no value of a design")
