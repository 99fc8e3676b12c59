"""ShownFigure: a figure that shows itself in a notebook."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

_DPI = 80


class ShownFigure(Figure):
    """A figure without pyplot, which a notebook shows if it is the value of a cell.

    pyplot shows its figures at the end of a cell, so that one which a cell also returns appears
    twice; it would change the caller's backend, too. Other figures appear as text only. This one
    appears once.
    """

    def _repr_png_(self) -> bytes:
        return png(self)


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file for a notebook."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()
