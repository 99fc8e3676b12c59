"""The pieces of HTML that a report is made of; all text is escaped."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from moela.comparison.scale import TITLES
from moela.quality.table import Table, text

if TYPE_CHECKING:
    from moela.comparison import Comparison

HEADS = {"left_out": "left out"} | TITLES


def bullets(lines: Sequence[str]) -> str:
    """Return lines of text as a list."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def folded(summary: str, body: str) -> str:
    """Return HTML that is shown once its summary is clicked."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def pairs(values: Mapping[str, Any]) -> str:
    """Return names and values as a table of two columns; None is what nobody asked for."""
    body = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(_plain(value))}</td></tr>"
        for name, value in values.items()
    )
    return f'<div class="scroll"><table class="pairs"><tbody>{body}</tbody></table></div>'


def _plain(value: Any) -> str:
    if value is None:
        return "default"
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return ", ".join(_plain(v) for v in value)
    if isinstance(value, dict):
        return "; ".join(f"{k}: {_plain(v)}" for k, v in value.items())
    return str(value)


def preformatted(value: Any) -> str:
    """Return plain data as indented JSON."""
    return f'<pre class="scroll">{escape(json.dumps(value, indent=2, default=str))}</pre>'


def figure(draw: Callable[[], Any], caption: str) -> str:
    """Return the picture that a call draws, as part of the page."""
    buffer, figure = io.BytesIO(), draw()
    figure.savefig(buffer, dpi=100)
    # The usual width is half of the page.
    width = min(1120, round(67 * figure.get_size_inches()[0]))
    code = base64.b64encode(buffer.getvalue()).decode()
    words = escape(caption)
    return (
        f'<figure><img alt="{words}" src="data:image/png;base64,{code}" width="{width}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


def measured(table: Table) -> Table:
    """Take the texts of `medians` apart: median, quartiles, and whether it is the best."""
    plain = ("algorithm", "runs", "points")
    return Table([{k: v if k in plain else _Measured(v) for k, v in row.items()} for row in table])


class _Measured(str):
    """A median, with quartiles in brackets, and a star where it is the best."""

    def html(self) -> str:
        median, _, quartiles = escape(self.removesuffix(" *")).partition(" (")
        if self.endswith(" *"):
            median = f"<b>{median}</b>"
        below = f"<small>{quartiles.rstrip(')')}</small>" if quartiles else ""
        return f"<td class=measured>{median}{below}</td>"


def table_html(comparison: Comparison, table: Table) -> str:
    """Return a table, numbers to the right and algorithms with their colors."""
    if not len(table):
        return '<p class="note">none</p>'
    columns = list(table.rows[0])
    numeric = {c for c in columns if all(_is_number(row[c]) for row in table)}
    head = "".join(
        f"<th{' class=number' if c in numeric else ''}>{escape(HEADS.get(c, c))}</th>"
        for c in columns
    )
    body = "".join(
        f"<tr>{''.join(cell(comparison, c, row[c], c in numeric) for c in columns)}</tr>"
        for row in table
    )
    parts = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table>{parts}</table></div>'


def cell(comparison: Comparison, column: str, value: Any, numeric: bool = False) -> str:
    """Return one cell of such a table."""
    shown = "–" if value is None or value != value else text(value)
    if column in ("algorithm", "rival") and value in comparison.colors:
        color = comparison.colors[value]
        return f'<td class="algorithm" style="--swatch: {color}">{escape(shown)}</td>'
    if isinstance(value, _Measured):
        return value.html()
    return f"<td{' class=number' if numeric else ''}>{escape(shown)}</td>"


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
