"""JSON files and text files of numbers; every error names the file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

__all__ = ["JSONFile", "check_fields", "read_rows"]


class JSONFile:
    """Saves and loads objects that convert themselves to and from plain data."""

    def to_dict(self) -> dict[str, object]:
        """Return the object as plain JSON data."""
        raise NotImplementedError

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """Make an object from the result of ``to_dict``."""
        raise NotImplementedError

    def save(self, path: str | Path) -> None:
        """Write the object as JSON."""
        Path(path).write_text(json.dumps(self.to_dict()) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an object from JSON; a ValueError names the file and the fault."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: {error}") from error


def check_fields(
    kind: str, data: object, required: set[str], known: set[str] | None = None
) -> dict[str, Any]:
    """Return the fields of a JSON object, or raise if some are missing or not known."""
    if not isinstance(data, dict):
        raise ValueError(f"A {kind} must be a JSON object. Got {type(data).__name__} instead.")
    missing = sorted(required - set(data))
    unknown = sorted(set(data) - known) if known else []
    if missing or unknown:
        raise ValueError(
            f"A {kind} must have the fields {sorted(known or required)}. "
            f"Got unknown {unknown}, missing {missing} instead."
        )
    return data


def read_rows(
    path: str | Path, holds: Callable[[float], bool], expected: str
) -> Iterator[tuple[str, list[float]]]:
    """Yield the place and the numbers of each line of a text file that is not blank.

    Commas count as white space. A ValueError names file, row and column of an entry that is no
    number or does not hold.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be a text file of numbers. Got {error} instead.") from None
    lines = enumerate(text.replace(",", " ").splitlines(), start=1)
    filled = ((number, line.split()) for number, line in lines if line.strip())
    for i, (number, words) in enumerate(filled, start=1):
        place = f"{path}, row {i}" + (f" (line {number})" if number != i else "")
        row = []
        for j, word in enumerate(words, start=1):
            try:
                row.append(float(word))
            except ValueError:
                row.append(math.nan)
            if not holds(row[-1]):
                raise ValueError(f"{place}, column {j}: must be {expected}. Got {word!r} instead.")
        yield place, row
