"""A table of results: rows of plain values that print, and convert to Markdown or pandas."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moela._checks import in_folder
from moela._spelling import printed, spelled
from moela.files.replacing import replacing
from moela.notebook import html
from moela.quality.words import harmless

if TYPE_CHECKING:
    from pandas import DataFrame

# Rows that the representation of a long table shows.
_SHOWN_ROWS = 20
# Variables that a text names if a design has more.
_FEW_VARIABLES = 8

# Characters that LaTeX would take for commands.
_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "\n": " "}
)

# Any: the columns of a table have different types, which only its documentation names.
Row = dict[str, Any]
"""The values of a row by column."""


class Table:
    """Rows with named columns.

    Parameters
    ----------
    rows : list of dict
        Each with the same keys, the columns.
    formats : dict of str by column, optional
        Format specifications of columns of numbers. Default: four significant digits for floats.
    """

    def __init__(self, rows: list[Row], formats: Mapping[str, str] | None = None) -> None:
        self.rows = rows
        self.formats = dict(formats or {})

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def columns(self) -> list[str]:
        """Names of the columns; none without rows."""
        return list(self.rows[0]) if self.rows else []

    @property
    def numeric_columns(self) -> set[str]:
        """Names of the columns of numbers only, or None for unknown numbers."""
        return {c for c in self.columns if all(_is_number(row[c]) for row in self.rows)}

    def where(self, **values: object) -> Table:
        """Return the rows that have these values, ``table.where(problem="zdt1")``."""
        rows = [r for r in self.rows if all(r[key] == value for key, value in values.items())]
        return Table(rows, self.formats)

    def to_frame(self) -> DataFrame:
        """Return a pandas DataFrame.

        Raises
        ------
        ImportError
            If pandas isn't installed (it comes with ``pip install 'moela[report]'``).
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "to_frame() needs pandas: pip install 'moela[report]'. "
                "Without it, use .rows of the table, such as front.table().rows."
            ) from error
        return pandas.DataFrame(self.rows)

    def to_markdown(self) -> str:
        """Return a Markdown table."""
        if not self.rows:
            return ""
        lines = [self.columns, ["---"] * len(self.columns), *self._cells()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def to_latex(self) -> str:
        """Return a LaTeX table of rows as they print, with rules of the package booktabs."""
        if not self.rows:
            return ""
        sides = "".join("r" if c in self.numeric_columns else "l" for c in self.columns)
        head, *rows = (
            " & ".join(cell.translate(_LATEX) for cell in line) + r" \\"
            for line in (self.columns, *self._cells())
        )
        begin = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", head, r"\midrule"]
        return "\n".join([*begin, *rows, r"\bottomrule", r"\end{tabular}"])

    def to_csv(self, path: str | Path) -> Path:
        """Write the rows with all digits as a CSV file, whole or not at all; return its path."""
        path = in_folder("to_csv", path)
        with (
            replacing(path) as scratch,
            scratch.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows({c: _cell(row[c]) for c in self.columns} for row in self.rows)
        return path

    def to_html(self, rest: str = ".to_frame()") -> str:
        """Return the first rows as an HTML table, and how to get the rest."""
        return html.table(self.columns, self._cells(), rest=rest)

    def _repr_html_(self) -> str:
        return self.to_html() if self.rows else html.paragraph("no rows")

    def __repr__(self) -> str:
        head = str(Table(self.rows[:_SHOWN_ROWS], self.formats))
        more = len(self) - _SHOWN_ROWS
        return head + (f"\n... and {more} more: .to_frame()" if more > 0 else "")

    def __str__(self) -> str:
        if not self.rows:
            return "no rows"
        cells = [[*map(harmless, line)] for line in (self.columns, *self._cells())]
        numeric = self.numeric_columns
        pads = [str.rjust if c in numeric else str.ljust for c in self.columns]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(
                pad(cell, width) for pad, cell, width in zip(pads, line, widths, strict=True)
            ).rstrip()
            for line in cells
        )

    def _cells(self) -> list[list[str]]:
        return [
            [text(row[c], self.formats.get(c, ".4g")) for c in self.columns] for row in self.rows
        ]


def text(value: object, form: str = ".4g") -> str:
    """Return a value as a table shows it; `form` is the format specification of floats."""
    if not isinstance(value, float):
        return printed(value)
    return "-" if math.isnan(value) else format(value, form)


def _cell(value: object) -> object:
    """Return a value as a CSV file takes it, objects as their texts."""
    if isinstance(value, np.ndarray):
        value = value.tolist()  # numpy's own text of a long array leaves out its middle
    return value if isinstance(value, str | int | float | None) else printed(value)


def telling(designs: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the variables to show of some designs: all, or a few if they are many.

    Of many, those are shown first that are not the same in all of the designs.

    >>> telling([{f"x{j}": j * i for j in range(40)} for i in range(2)])
    ['x1', 'x2', 'x3', 'x4', 'x5', 'x6', 'x7', 'x8']
    """
    names = list(dict.fromkeys(name for design in designs for name in design))
    if len(names) <= _FEW_VARIABLES + 2:  # words about the rest would take as much room
        return names
    alike = {n for n in names if len({spelled(design.get(n)) for design in designs}) < 2}
    chosen = set(sorted(names, key=alike.__contains__)[:_FEW_VARIABLES])
    return [name for name in names if name in chosen]


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
