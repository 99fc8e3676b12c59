"""The door through which files are opened: regular files only, no larger than a stated limit."""

from __future__ import annotations

import os
import reprlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = [
    "FACTOR_VARIABLE",
    "brief",
    "check_count",
    "check_size",
    "invalid_file",
    "limit_of",
    "open_file",
    "printable",
    "read_bytes",
]

MIB = 2**20
FACTOR_VARIABLE = "MOELA_FILE_LIMIT_FACTOR"
# Text becomes Python objects of up to twenty times its size, arrays may be copied once: reading any
# file within these limits takes less than 1 GB.
_LIMITS = {"text": 32 * MIB, "json": 512 * MIB, "arrays": 256 * MIB, "cells": 4_000_000,
           "points": 200_000}  # fmt: skip
_HINT = f"(the environment variable {FACTOR_VARIABLE} multiplies this limit)"
_LONGEST = 200


def invalid_file(path: str | Path, got: object, expected: str, field: str = "") -> ValueError:
    """Return the error for a bad file, or for a bad field in it.

    `got` is the value found, or words about it; `field` the name or place of the field, such as
    ``a.b[3]`` or ``line 3, column 'cost'``.
    """
    what = f"field '{_visible(field)}' must be" if field else "must be"
    words = _visible(got) if isinstance(got, str) else brief(got)
    return ValueError(f"{printable(str(path))}: {what} {expected}. Got {words} instead.")


def limit_of(kind: str) -> int:
    """Return the most that a file of a kind may hold or take in memory.

    The kinds are ``"text"``, ``"arrays"`` and ``"json"`` (bytes; those of JSON are an estimate of
    its values in memory), ``"cells"`` (numbers or words in a text file), and ``"points"`` (of a
    front, where the time of its filter grows with their square). The environment variable
    `FACTOR_VARIABLE` multiplies all limits, for files that are known to be good.
    """
    given = os.environ.get(FACTOR_VARIABLE, "1")
    try:
        factor = float(given)
    except ValueError:
        factor = 0.0
    if not 0.0 < factor < 1e6:
        raise ValueError(
            f"The environment variable {FACTOR_VARIABLE} must be a positive number. Got {given!r} "
            "instead."
        )
    return int(factor * _LIMITS[kind])


def check_size(path: str | Path, size: int, kind: str, field: str = "") -> None:
    """Raise ValueError if a file, or a field of it, takes more bytes than the limit of its kind."""
    limit = limit_of(kind)
    if size > limit:
        expected = f"at most {limit / MIB:,.0f} MiB in memory {_HINT}"
        raise invalid_file(path, f"{size / MIB:,.0f} MiB", expected, field)


def check_count(path: str | Path, count: int, kind: str, field: str = "") -> None:
    """Raise ValueError if a file, or a field of it, holds more items than the limit of its kind."""
    limit = limit_of(kind)
    if count > limit:
        raise invalid_file(path, f"{count:,}", f"at most {limit:,} {kind} {_HINT}", field)


@contextmanager
def open_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading bytes.

    Pipes, devices, sockets and folders raise a ValueError: to read them could wait or never end.
    A file that is missing or that must not be read raises the OSError of the system, which names
    the file.
    """
    # Without O_NONBLOCK, to open a pipe would wait for its writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if Path(path).is_dir():
        raise invalid_file(path, "a folder", "a regular file")
    try:
        descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    except ValueError as error:  # a NUL or a lone surrogate
        raise invalid_file(path, error, "the name of a file") from None
    with open(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise invalid_file(path, _KINDS.get(stat.S_IFMT(mode), "a device"), "a regular file")
        try:
            yield file
        except OSError as error:
            if error.filename is not None or error.errno is None:
                raise
            raise OSError(error.errno, error.strerror, str(path)) from error


def read_bytes(path: str | Path, kind: str = "text") -> bytes:
    """Return the content of a regular file that is no larger than the limit of its kind."""
    with open_file(path) as file:
        check_size(path, os.fstat(file.fileno()).st_size, kind)
        # Some files have more content than their size says, and a few of /proc have none yet.
        data = file.read(limit_of(kind) + 1) or b""
        check_size(path, len(data), kind)
        return data


def brief(value: object) -> str:
    """Return a value as Python writes it, in at most about 200 visible characters."""
    try:
        text = _SHORT.repr(value)
    except ValueError:  # an integer of more digits than Python prints
        text = f"{type(value).__name__} of many digits"
    return _visible(text)


_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
# It looks at the first items of a list only, and so takes no memory for a long one.
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 4
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxfrozenset = _SHORT.maxdeque = 20
_SHORT.maxdict = _SHORT.maxarray = 10
_SHORT.maxstring = _SHORT.maxlong = 100
_SHORT.maxother = _LONGEST


def _visible(value: object) -> str:
    """Return the beginning of a text, with control characters escaped."""
    text = str(value)
    return printable(text) if len(text) <= _LONGEST else f"{printable(text[:_LONGEST])} ..."


def printable(text: str) -> str:
    """Return a text with control characters escaped, by which it could steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
