"""Tables in text files: CSV, and numbers separated by blanks."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from moela.files.guard import check_count, invalid_file, limit_of
from moela.files.text import lines_of, number_of, read_text

__all__ = ["TextTable"]

_SEPARATORS = (";", "\t", ",")
_SAMPLE = 100  # lines that decide on the separator
_LONG = 2**16  # characters of a line that is not split to count its cells


class TextTable:
    """The cells of a text file, line by line.

    The separator is decided once: the first of semicolon, tab and comma that cuts the first hundred
    lines into equally many cells, two or more; else the first of them in the first line; else
    blanks. With semicolons or tabs, the decimal sign of the file may be a comma. Cells may be
    quoted, as in CSV, and then go over several lines, up to 65,536 characters, unless blanks
    separate them. Lines that begin with ``#`` are skipped.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    path : str or Path
    separator : str or None
        None for blanks.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._text = read_text(path)
        self.separator = self._decide()
        self._decimal = ""

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of each line, from 1, and its cells; none for a blank line.

        Lines that a quoted cell joins are one, with the number of the first.
        """
        left, separator = limit_of("cells"), self.separator
        blank = " " if separator == "\t" else None  # tabs at the ends enclose empty cells
        for number, line in self._lines(separator):
            content = line.strip(blank)
            if not content or content.isspace():
                yield number, []
                continue
            if content[0] == "#":
                continue
            # Counted first: the cells of a long line take up to twenty times its size.
            if len(content) >= left:
                check_count(
                    self.path, limit_of("cells") - left + _count(content, separator), "cells"
                )
            cells = self._cells(number, content)
            left -= len(cells)
            yield number, cells

    def error(self, number: int, got: object, expected: str, column: object = None) -> ValueError:
        """Return the error about a line, or about a cell of it; columns count from 1."""
        place = f"line {number}" if column is None else f"line {number}, column {column}"
        return invalid_file(self.path, got, expected, place)

    def _decide(self) -> str | None:
        counts = {}
        for s in _SEPARATORS:
            lines = (line for _, line in self._lines(s))
            filled = (line for line in lines if line.strip() and not line.lstrip().startswith("#"))
            counts[s] = [_count(line, s) for line in islice(filled, _SAMPLE)]
        even = (s for s, n in counts.items() if n and n[0] > 1 and len(set(n)) == 1)
        first = (s for s, n in counts.items() if n and n[0] > 1)
        return next(even, None) or next(first, None)

    def _lines(self, separator: str | None) -> Iterator[tuple[int, str]]:
        """Yield the number and the content of each line, with those that a quoted cell joins."""
        lines = lines_of(self._text)
        for number, line in lines:
            if separator and line.count('"') % 2 and not line.lstrip().startswith("#"):
                yield number, _joined(line, lines, separator)
            else:
                yield number, line

    def _cells(self, number: int, line: str) -> list[str]:
        if self.separator == "," and '"' not in line:
            return [cell.strip() for cell in line.split(",")]
        try:
            cells = _split(line, self.separator)
        except csv.Error as error:
            raise self.error(number, str(error), "cells, with quotes in pairs") from None
        if self.separator in (";", "\t"):
            return [self._plain(number, cell) for cell in cells]
        return cells

    def _plain(self, number: int, cell: str) -> str:
        """Return a cell with a point for the decimal sign; the whole file must have the same."""
        comma = "," in cell
        if not comma and "." not in cell:
            return cell
        plain = cell.replace(",", ".") if comma else cell
        if number_of(plain) is None:
            return cell
        sign = "," if comma else "."
        self._decimal = self._decimal or sign
        if sign != self._decimal:
            expected = f"numbers with the decimal sign '{self._decimal}' of the lines before"
            raise self.error(number, cell, expected)
        return plain


def _joined(line: str, lines: Iterator[tuple[int, str]], separator: str) -> str:
    """Return a line with the following ones, as many as its quoted cells go over."""
    taken = [line]

    def following() -> Iterator[str]:
        left = _LONG
        yield line
        for _, more in lines:
            taken.append(more)
            left -= len(more) + 1
            if left < 0:
                return  # a quote without end, which is an error of this line
            yield more

    with suppress(csv.Error):
        next(_reader(following(), separator))
    return "\n".join(taken)


def _reader(lines: Iterable[str], separator: str | None) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=separator or " ", skipinitialspace=True, strict=True)


def _split(line: str, separator: str | None) -> list[str]:
    if '"' not in line:
        return line.split() if separator is None else [c.strip() for c in line.split(separator)]
    return [cell.strip() for cell in next(_reader([line], separator))]


def _count(line: str, separator: str | None) -> int:
    """Return the number of cells of a line; of a long or damaged one, at least as many."""
    if separator is None:
        # A piece at a time: a word on the border of two counts twice.
        return sum(len(line[i : i + _LONG].split()) for i in range(0, len(line), _LONG))
    if '"' not in line or len(line) > _LONG:
        return line.count(separator) + 1
    try:
        return len(_split(line, separator))
    except csv.Error:
        return line.count(separator) + 1
