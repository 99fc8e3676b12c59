"""The limit on the files that a process may have open at once."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

_REACHED = (errno.EMFILE, errno.ENFILE)
_NEEDED = 8  # to open a store takes three, and a library may open some of its own

ADVICE = (
    "Raise the limit on open files (ulimit -n), use fewer jobs, or close in each evaluation the "
    "files that it opens."
)


def reached(error: BaseException) -> bool:
    """Return whether an error says that this process, or the system, can open no more files."""
    return isinstance(error, OSError) and error.errno in _REACHED


def at_limit() -> bool:
    """Return whether this process cannot open a few more files now."""
    opened: list[int] = []
    try:
        for _ in range(_NEEDED):
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return reached(error)
    finally:
        for descriptor in opened:
            with suppress(OSError):
                os.close(descriptor)
    return False
