"""Writing a file whole or not at all, whether a folder can be written, and locks on folders."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["FolderLock", "check_writable", "replacing"]

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


class FolderLock:
    """A lock on a folder, held until this object or its process ends; nothing is written.

    A BlockingIOError says that another process holds it. Systems without such locks have none.
    """

    def __init__(self, folder: Path) -> None:
        self._file: int | None = None
        if fcntl is None:
            return
        self._file = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise
        except OSError:  # some network file systems lock no folders
            self.release()

    def release(self) -> None:
        """Give the folder back."""
        if self._file is not None:
            with suppress(OSError):  # also for processes that were forked meanwhile
                fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = None

    def __del__(self) -> None:
        self.release()


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
