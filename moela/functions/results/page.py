"""A result as a notebook shows it: a table and a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moela.notebook import html

if TYPE_CHECKING:
    from moela.functions.results.result import MinimizeResult


def html_of(result: MinimizeResult, title: str) -> str:
    """Return the status, the first rows of the front, and its picture as HTML."""
    parts = [html.paragraph(result.status, title=title)]
    table, hidden = result.front.shown()
    if len(table):
        parts.append(table.to_html(rest=".to_frame()"))
        parts += [html.paragraph(f"and {hidden} more variables")] if hidden else []
        parts.append(html.picture(result.plot(), f"front of {title}"))
    return "\n".join(parts)
