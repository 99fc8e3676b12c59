"""A small table of results: rows of plain values that print, and go to Markdown or pandas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any


class Table:
    """Rows with named columns.

    Parameters
    ----------
    rows : list of dict
        Each with the same keys, the columns.
    """

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def where(self, **values: Any) -> Table:
        """Return the rows that have these values, ``table.where(problem="zdt1")``."""
        return Table(
            [r for r in self.rows if all(r[key] == value for key, value in values.items())]
        )

    def to_frame(self) -> Any:
        """Return a pandas DataFrame.

        Raises
        ------
        ImportError
            If pandas isn't installed (it comes with ``pip install moela[report]``).
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "to_frame() needs pandas: pip install 'moela[report]'. Without it, use .rows."
            ) from error
        return pandas.DataFrame(self.rows)

    def to_markdown(self) -> str:
        """Return a Markdown table; numbers with four significant digits."""
        if not self.rows:
            return ""
        columns = list(self.rows[0])
        lines = [columns, ["---"] * len(columns)]
        lines += [[text(row[column]) for column in columns] for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def __str__(self) -> str:
        if not self.rows:
            return "no rows"
        columns = list(self.rows[0])
        cells = [columns, *([text(row[c]) for c in columns] for row in self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in cells
        )


def text(value: Any) -> str:
    """Return a value as a table shows it: floats with four significant digits."""
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    return f"{value:.4g}"
