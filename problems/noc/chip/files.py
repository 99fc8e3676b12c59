"""JSON files and text files of numbers; every error names the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

from moela.files.guard import brief, invalid_file
from moela.files.tables import TextTable
from moela.files.text import number_of, read_json

__all__ = ["WITHOUT_TITLES", "JSONFile", "check_fields", "check_whole_list", "read_rows"]

WITHOUT_TITLES = (
    " The file must hold numbers only: put # before a row of titles, and leave out a column of "
    "names."
)
"""Advice after the error about a file of numbers that seems to have titles of rows or columns."""


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
        data = read_json(path)
        try:
            return cls.from_dict(data)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def check_fields(
    kind: str, data: object, required: set[str], known: set[str] | None = None
) -> dict[str, Any]:
    """Return the fields of a JSON object, or raise an error that names a field at fault."""
    if not isinstance(data, Mapping):
        raise ValueError(f"A {kind} must be a JSON object. Got {brief(data)} instead.")
    unknown = [name for name in data if known and name not in known]
    if known and unknown:
        close = get_close_matches(str(unknown[0]), sorted(known), n=1)
        advice = f"Did you mean {close[0]!r}?" if close else "Remove it."
        raise ValueError(f"A {kind} must have no field {brief(unknown[0])}. {advice}")
    missing = sorted(required - set(data))
    if missing:
        fields = f"field{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}"
        raise ValueError(f"A {kind} must have the {fields}. Got none.")
    return dict(data)


def check_whole_list(owner: str, name: str, values: object, depth: int = 1) -> None:
    """Check that a value of a JSON file is a list of integers, or a list of such lists.

    numpy would take ``true`` among integers for 1, and more lists for more axes.
    """
    if not isinstance(values, list):
        raise ValueError(f"The '{name}' of {owner} must be a list. Got {brief(values)} instead.")
    for i, value in enumerate(values):
        if depth > 1:
            check_whole_list(owner, f"{name}[{i}]", value, depth - 1)
            continue
        whole = type(value) is int or (type(value) is float and value.is_integer())
        if not whole or abs(value) > 2**53:
            raise ValueError(
                f"The '{name}[{i}]' of {owner} must be an integer of at most 2**53. "
                f"Got {brief(value)} instead."
            )


def read_rows(
    path: str | Path, holds: Callable[[float], bool], expected: str, most: int
) -> Iterator[tuple[str, list[float]]]:
    """Yield the place and the numbers of each line of a text file that is not blank.

    Commas, semicolons, tabs or blanks separate the numbers; a separator may end a line. A
    ValueError names file, row and column of an entry that is no number or does not hold, or the row
    after the first ``most``. If the first entry is no number, it mentions titles.
    """
    filled = ((number, cells) for number, cells in TextTable(path) if cells)
    for i, (number, cells) in enumerate(filled, start=1):
        place = f"row {i}" + (f" (line {number})" if number != i else "")
        if i > most:
            end = f"the end of the file after {most} rows"
            raise ValueError(f"{invalid_file(path, 'more', end, place)}{WITHOUT_TITLES}")
        if not cells[-1]:
            cells.pop()
        row = []
        for j, cell in enumerate(cells, start=1):
            value = number_of(cell)
            if value is None or not holds(value):
                title = value is None and i == j == 1
                error = invalid_file(path, brief(cell), expected, f"{place}, column {j}")
                raise ValueError(f"{error}{WITHOUT_TITLES}") if title else error
            row.append(value)
        yield place, row
