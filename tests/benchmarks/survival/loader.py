"""The form in which a loader is described to the attacks on files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Loader:
    """A function of the library that reads a file, with a good file for it.

    A module of loaders holds a list ``LOADERS``. A file that is damaged must load as valid data, or
    raise one of `errors` with its path and the damaged place in the message.
    """

    name: str
    write: Callable[[Path], Path]
    """Writes a small good file into an empty folder, and returns its path.

    Files beside it, which `load` reads too, are not damaged.
    """
    load: Callable[[Path], object]
    """Reads the file, every array that is read at access included, and uses what was read.

    To use data means to evaluate it, or to save it: whatever a user does with it next.
    """
    errors: tuple[type[Exception], ...] = (ValueError, OSError)
