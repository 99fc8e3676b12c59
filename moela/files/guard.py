"""The door through which files are opened: regular files only, no larger than a stated limit."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["FACTOR_VARIABLE", "check_size", "invalid_file", "limit_of", "open_file", "read_bytes"]

MIB = 2**20
FACTOR_VARIABLE = "MOELA_FILE_LIMIT_FACTOR"
# Text becomes Python objects of up to twenty times its size, arrays may be copied once: reading any
# file within these limits takes less than 1 GB.
_LIMITS = {"text": 32 * MIB, "arrays": 256 * MIB}


def invalid_file(path: str | Path, got: object, expected: str, field: str = "") -> ValueError:
    """Return the error for a bad file, or for a bad field in it.

    `got` is the value found, or words about it; `field` the name or place of the field.
    """
    what = f"field '{field}' must be" if field else "must be"
    return ValueError(f"{path}: {what} {expected}. Got {_brief(got)} instead.")


def limit_of(kind: str) -> int:
    """Return the most bytes that a file of a kind, ``"text"`` or ``"arrays"``, may take in memory.

    The environment variable `FACTOR_VARIABLE` multiplies all limits, for files that are known to be
    good.
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
        raise invalid_file(
            path,
            f"{size / MIB:,.0f} MiB",
            f"at most {limit / MIB:,.0f} MiB in memory (the environment variable {FACTOR_VARIABLE} "
            "multiplies this limit)",
            field,
        )


@contextmanager
def open_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading bytes.

    Pipes, devices, sockets and folders raise a ValueError: to read them could wait or never end.
    A file that is missing or that must not be read raises the OSError of the system.
    """
    # Without O_NONBLOCK, to open a pipe would wait for its writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if Path(path).is_dir():
        raise invalid_file(path, "a folder", "a regular file")
    with open(os.open(path, flags | getattr(os, "O_CLOEXEC", 0)), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise invalid_file(path, _KINDS.get(stat.S_IFMT(mode), "a device"), "a regular file")
        yield file


def read_bytes(path: str | Path, kind: str = "text") -> bytes:
    """Return the content of a regular file that is no larger than the limit of its kind."""
    with open_file(path) as file:
        check_size(path, os.fstat(file.fileno()).st_size, kind)
        # Some files have more content than their size says.
        data = file.read(limit_of(kind) + 1)
        check_size(path, len(data), kind)
        return data


_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}


def _brief(got: object) -> str:
    text = str(got)
    return text if len(text) <= 200 else f"{text[:200]} ..."
