"""Writing a file whole or not at all, and whether a folder can be written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["check_writable", "replacing"]

# Bytes that must fit into a folder: the least that a file takes on most disks.
_BLOCK = 4096


def check_writable(folder: Path) -> None:
    """Write a file into a folder and remove it.

    An OSError names the folder and the reason if that cannot be done, such as on a full disk.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_BLOCK))
            file.flush()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a scratch file that replaces a file at the end, unless an error is raised.

    A file that was there before stays as it was if the disk is full. An OSError names the file, not
    the scratch file beside it.
    """
    out = Path(os.path.realpath(path))  # so that a link stays a link
    scratch = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        yield scratch
        scratch.replace(out)
    except OSError as error:
        # A disk that is full while a file is written gives no name at all.
        if error.errno and (error.filename is None or os.fspath(error.filename) == str(scratch)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):  # on a read-only disk even a file that is not there is an error
            scratch.unlink(missing_ok=True)
