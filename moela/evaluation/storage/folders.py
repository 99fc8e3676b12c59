"""Stores in folders: which of the files is meant when a folder is named."""

from __future__ import annotations

from pathlib import Path

from moela.files.guard import open_file

MAGIC = b"SQLite format 3\0"


def is_store(path: Path) -> bool:
    """Return whether a file starts as a store does. The process must not have it open."""
    try:
        with open_file(path) as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):  # a folder, a pipe, or nothing
        return False


def stores_in(folder: Path) -> list[Path]:
    """Return the stores in a folder, by name."""
    return [path for path in sorted(folder.iterdir()) if path.is_file() and is_store(path)]


def only_store(folder: Path, names: str = "Name one of them.") -> Path:
    """Return the store in a folder that holds one; a ValueError lists several, or says it is none.

    `names` says how to name one of several.
    """
    found = stores_in(folder)
    if len(found) == 1:
        return found[0]
    if not found:
        raise ValueError(
            f"{folder} must be a store, or a folder with one. Got a folder without a store "
            "instead; check the path, or make a run with a store (--store, store=)."
        )
    listed = ", ".join(path.name for path in found)
    raise ValueError(f"{folder} must hold one store. Got {len(found)} instead ({listed}). {names}")
