"""A result as a notebook shows it: a table and a picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from moela.quality.table import Table, text

if TYPE_CHECKING:
    from moela.functions.results.result import MinimizeResult


def html_of(result: MinimizeResult, title: str, n_rows: int) -> str:
    """Return the status, the first rows of the front, and its picture as HTML."""
    parts = [f"<p><b>{escape(title)}</b>: {escape(result.status)}</p>"]
    table = result.front.table()
    if len(table):
        parts.append(_table(Table(table.rows[:n_rows])))
        if len(table) > n_rows:
            rest = len(table) - n_rows
            parts.append(f"<p>... and {rest} more: <code>.to_frame()</code></p>")
        buffer = io.BytesIO()
        result.plot().savefig(buffer, format="png", dpi=80)
        picture = base64.b64encode(buffer.getvalue()).decode()
        parts.append(
            f'<img alt="front of {escape(title)}" style="max-width:100%" '
            f'src="data:image/png;base64,{picture}"/>'
        )
    return "\n".join(parts)


def _table(table: Table) -> str:
    head = _row("th", ["", *table.columns])
    rows = [
        _row("td", [str(i), *(text(row[column]) for column in table.columns)])
        for i, row in enumerate(table)
    ]
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _row(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
