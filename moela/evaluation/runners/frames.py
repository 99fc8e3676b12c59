"""Messages on the pipe between a supervisor and its worker: numbered, sealed, and refused if wrong.

An evaluation runs in the process that holds the worker's end. It may write to the pipe, close it,
or leave a child behind that does. So each message carries its number, its size, and digests of both
that only the holders of a secret token can make. Other bytes are refused and never read as content.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

_LAYOUT = struct.Struct("<QQ16s16s")  # number, size, digest of the content, seal of the others
_SEALED = struct.Struct("<QQ16s")
HEADER_SIZE = _LAYOUT.size
NO_TOKEN = b""  # seals the first message, which brings the token


class RefusedError(OSError):
    """The bytes on a pipe are not the next message of the other side."""


def header(token: bytes, number: int, content: bytes) -> bytes:
    """Return the bytes that go before the content of a message."""
    digest = _digest(token, content)
    seal = _digest(token, _SEALED.pack(number, len(content), digest))
    return _LAYOUT.pack(number, len(content), digest, seal)


def size(token: bytes, number: int, head: bytes) -> int:
    """Return the size of the content after a header; raises RefusedError for another number."""
    sent, size, digest, seal = _LAYOUT.unpack(head)
    if seal != _digest(token, _SEALED.pack(sent, size, digest)):
        raise RefusedError("something else was written to the pipe")
    if sent != number:
        raise RefusedError(f"message {sent} instead of {number}")
    return int(size)


def check(token: bytes, head: bytes, content: bytes | bytearray) -> None:
    """Raise RefusedError if the content is not the one that the header announces."""
    if _LAYOUT.unpack(head)[2] != _digest(token, content):
        raise RefusedError("something else was written into a message")


def _digest(token: bytes, data: bytes | bytearray) -> bytes:
    return blake2b(data, key=token, digest_size=16).digest()
