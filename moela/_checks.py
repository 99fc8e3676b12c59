"""Checks of parameters, with one form for every error message."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from moela._spelling import spelled


def require(owner: str, name: str, value: object, holds: bool, expected: str) -> None:
    """Raise the one form of parameter error unless `holds`."""
    if not holds:
        raise ValueError(
            f"The '{name}' parameter of {owner} must be {expected}. Got {spelled(value)} instead."
        )


def count(owner: str, name: str, value: Any, at_least: int = 1) -> int:
    """Return a parameter that must be an integer of at least `at_least`."""
    holds = (
        isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= at_least
    )
    require(owner, name, value, bool(holds), f"an integer of at least {at_least}")
    return int(value)


def one_of(owner: str, name: str, value: object, known: tuple[str, ...]) -> None:
    """Check a parameter that must be one of some names."""
    require(owner, name, value, value in known, f"one of {', '.join(known)}")


def instance(owner: str, name: str, value: object) -> None:
    """Check that a parameter is not a class, which is easily given instead of an object."""
    if isinstance(value, type):
        raise TypeError(
            f"The '{name}' parameter of {owner} must be an instance. Got the class "
            f"{value.__name__} instead; call it: {value.__name__}()."
        )


def file_path(owner: str, path: str | os.PathLike[str]) -> Path:
    """Return the path of a file to write; a TypeError or ValueError says if it can't be one."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"The 'path' parameter of {owner} must be a text or a Path. Got {path!r} "
            f"({type(path).__name__}) instead."
        )
    found = Path(path).expanduser()
    if found.is_dir():
        raise ValueError(
            f"The 'path' parameter of {owner} must be a file to write. Got the folder {found} "
            "instead; add the name of a file."
        )
    return found


def in_folder(owner: str, path: str | os.PathLike[str]) -> Path:
    """Return the path of a file to write, whose folder must exist."""
    found = file_path(owner, path)
    if not found.parent.is_dir():
        raise FileNotFoundError(
            f"The 'path' parameter of {owner} must lie in a folder that exists. Got {found} "
            f"instead; make the folder {found.parent} first."
        )
    return found
