"""Writing a file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]


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
        if error.filename is not None and os.fspath(error.filename) == str(scratch):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        scratch.unlink(missing_ok=True)
