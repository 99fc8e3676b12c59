"""Line-wise reading of instance files with errors that name the file and the line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from moela.files.guard import brief, check_count, invalid_file, limit_of
from moela.files.text import lines_of, number_of, read_text

__all__ = ["MAX_OBJECTIVES", "MAX_POINTS", "LineReader"]

MAX_OBJECTIVES = 255
"""Largest number of objectives of an instance file, and that of moocore."""
MAX_POINTS = 200_000
"""Largest number of points of a front in a file; the time of a filter grows with their square."""


class LineReader:
    """Reads the non-empty lines of a text file one at a time, with checks.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a regular file of UTF-8 text, too large, or empty.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        filled = lines_of(read_text(self.path))
        # Not as a list: many short lines take fifty times the size of their text.
        self._lines = ((number, line.strip()) for number, line in filled if line.strip())
        self._next = next(self._lines, None)
        self._number = 1  # of the line read last
        self._left = self._most = limit_of("cells")
        if self._next is None:
            raise invalid_file(self.path, "an empty file", "an instance")

    def error(self, expected: str, got: object, *, entry: int | None = None) -> ValueError:
        """Return an error about the line read last, or an entry of it, from 1."""
        place = f"line {self._number}" + ("" if entry is None else f", entry {entry}")
        return invalid_file(self.path, got, expected, place)

    @property
    def done(self) -> bool:
        """True if every line has been read."""
        return self._next is None

    def line(self, expected: str) -> str:
        """Return the next line, or raise with the text `expected` at the end of the file."""
        if self._next is None:
            raise self.error(f"followed by {expected}", "the end of the file")
        self._number, line = self._next
        self._next = next(self._lines, None)
        return line

    def words(self, expected: str, count: int) -> list[str]:
        """Return the `count` words of the next line."""
        line = self.line(expected)
        if count > self._left:
            check_count(self.path, self._most - self._left + min(count, len(line)), "cells")
        # At most one word too many, since a long line takes twenty times its size as words.
        words = line.split(None, count)
        self._left -= len(words)
        if len(words) != count:
            found = str(len(words)) if len(words) < count else f"more than {count}"
            raise self.error(f"{expected}: {count} numbers", f"{found}: {brief(line)}")
        return words

    def numbers(
        self,
        expected: str,
        count: int,
        *,
        whole: bool = True,
        low: float = 0.0,
        high: float = math.inf,
    ) -> list[float]:
        """Return the `count` numbers of the next line, each in [low, high]."""
        return self.parse(expected, self.words(expected, count), whole=whole, low=low, high=high)

    def parse(
        self,
        expected: str,
        tokens: Sequence[str],
        *,
        whole: bool = True,
        low: float = 0.0,
        high: float = math.inf,
        first: int = 1,
    ) -> list[float]:
        """Return `tokens` of the line read last as numbers, each in [low, high].

        The first of them is the entry `first` of the line.
        """
        values = []
        kind = "a whole number" if whole else "a number"
        for column, token in enumerate(tokens, start=first):
            value = number_of(token)
            if value is None or not math.isfinite(value):
                value = math.nan
            if value != value or (whole and (value != int(value) or value > 2**53)):
                raise self.error(f"{expected}: {kind}", brief(token), entry=column)
            if not low <= value <= high:
                span = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
                raise self.error(f"{expected}: {kind} {span}", brief(token), entry=column)
            values.append(value)
        return values

    def end(self) -> None:
        """Raise unless every line has been read."""
        if not self.done:
            raise self.error("the end of the file", brief(self.line("")))
