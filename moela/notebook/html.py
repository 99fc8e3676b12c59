"""Tables and pictures as HTML; everything that comes from data is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Rows of a table that a notebook shows.
SHOWN_ROWS = 10


def paragraph(text: str, *, title: str = "") -> str:
    """Return a text as a paragraph, after a title in bold.

    >>> paragraph("f < g", title="front")
    '<p><b>front</b>: f &lt; g</p>'
    """
    head = f"<b>{escape(title)}</b>: " if title else ""
    return f"<p>{head}{escape(text)}</p>"


def lines(text: str) -> str:
    """Return a text of several lines, its spaces kept."""
    return f"<pre>{escape(text)}</pre>"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, rest: str = "") -> str:
    """Return the first rows of a table, with their numbers.

    Parameters
    ----------
    columns : sequence of str
    rows : sequence of sequence of str
        The cells.
    rest : str
        How to get the rows that are not shown.
    """
    shown = [_row("td", [str(i), *cells]) for i, cells in enumerate(rows[:SHOWN_ROWS])]
    text = (
        f"<table><thead>{_row('th', ['', *columns])}</thead><tbody>{''.join(shown)}</tbody></table>"
    )
    if len(rows) > SHOWN_ROWS:
        more = f": <code>{escape(rest)}</code>" if rest else ""
        text += f"\n<p>... and {len(rows) - SHOWN_ROWS} more{more}</p>"
    return text


def picture(figure: Figure, alt: str) -> str:
    """Return a figure as a picture within the page."""
    from moela.notebook.figures import png

    data = base64.b64encode(png(figure)).decode()
    return f'<img alt="{escape(alt)}" style="max-width:100%" src="data:image/png;base64,{data}"/>'


def _row(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
