"""JSON files, read so that every fault becomes an error that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["read_json", "write_json"]

T = TypeVar("T")


def write_json(path: str | Path, data: Any) -> None:
    """Write plain data as JSON."""
    Path(path).write_text(json.dumps(data) + "\n", encoding="utf-8")


def read_json(path: str | Path, make: Callable[[Any], T]) -> T:
    """Return what ``make`` makes of the content of a JSON file.

    Raises
    ------
    ValueError
        The file is no JSON, or ``make`` rejects it; the message names the file.
    FileNotFoundError
        There is no such file.
    """
    try:
        return make(json.loads(Path(path).read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error
