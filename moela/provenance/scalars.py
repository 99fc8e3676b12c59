"""Tokens: bytes that stand for a value of a simple type; none of them begins another one."""

from __future__ import annotations

import array
import json
import math
import struct
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LONG = 64
_NAN = np.float64("nan")


Arrays = dict[int, tuple[object, str]]
"""By id: a plain array, so that its id stays its own, and the digest of its bytes."""


def integer(value: int) -> bytes:
    """Return the token of an integer."""
    return b"i%s;" % hex(value).encode()  # decimal digits of huge ones are refused by Python


def text(value: str) -> bytes:
    """Return the token of a string."""
    return _bytes(b"s", value.encode("utf-8", "surrogatepass"))


def _bytes(tag: bytes, data: bytes) -> bytes:
    if len(data) <= _LONG:
        return b"%s%d:%s" % (tag, len(data), data)
    return b"%s#%s" % (tag, blake2b(data, digest_size=16).digest())


def _float(value: float) -> bytes:
    # A NaN is a NaN, whatever its bits are.
    return b"f" + (b"nan     " if math.isnan(value) else struct.pack("<d", value))


ATOMS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: b"N;",
    bool: lambda value: b"T;" if value else b"F;",
    int: integer,
    float: _float,
    complex: lambda value: b"c" + _float(value.real) + _float(value.imag),
    str: text,
    bytes: lambda value: _bytes(b"y", value),
    type(Ellipsis): lambda value: b"E;",
    type(NotImplemented): lambda value: b"M;",
}
"""By type: functions that return the token of a value."""


def packed(values: Sequence[Any]) -> bytes | None:
    """Return a token of many simple values of one type, None if they are not such."""
    kinds = set(map(type, values))
    if len(values) < 16 or len(kinds) != 1:
        return None
    (kind,) = kinds
    data: Any = None
    if kind is float:
        numbers = np.array(values)
        numbers[np.isnan(numbers)] = _NAN
        data = numbers.astype("<f8", copy=False).tobytes()
    elif kind is int:
        try:
            data = np.array(array.array("q", values), "<i8").tobytes()
        except OverflowError:
            return None
    elif kind is bool:
        data = bytes(values)
    elif kind is str:
        data = json.dumps(values).encode()
    else:
        return None
    tag = kind.__name__[:1].encode()
    return b"p%s%d:%s" % (tag, len(values), blake2b(data, digest_size=16).digest())


def bytes_digest(value: NDArray[Any]) -> str:
    """Return a digest of the bytes of an array, in C order."""
    flat = np.ascontiguousarray(value).reshape(-1)
    try:
        data: Any = flat.view(np.uint8)
    except (TypeError, ValueError):  # items of no size
        data = flat.tobytes()
    return blake2b(data, digest_size=8).hexdigest()
