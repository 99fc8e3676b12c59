"""The style of all pictures: colors, sizes of text, labels and axes."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colors, which color-blind people can distinguish; gray instead of their yellow,
# which is too faint for lines on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#595959")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LineStyle = str | tuple[float, tuple[float, ...]]
LINES: tuple[LineStyle, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))

# Large for their figures, so that a picture can be read at half its size.
TEXT, SMALL = 15, 13.5
DPI = 130
_LETTER = 0.56  # mean width of a letter, in its size


def literal(text: str) -> str:
    """Return a text that matplotlib draws literally, even if it looks like a formula."""
    return str(text).replace("$", r"\$")


def short(text: str, size: int = 28) -> str:
    """Return a literal text for matplotlib, with the middle of a long one left out."""
    plain = " ".join(str(text).split())
    if len(plain) > size:
        plain = f"{plain[: size // 2]}…{plain[-(size // 2 - 1) :]}"
    return literal(plain)


def fitted(text: str, inches: float, *, lines: int = 2, size: float = TEXT) -> str:
    """Return a literal text that fits into a width of a picture, on a few lines.

    The middle of a longer text is left out. Letters of East Asian scripts count as two.
    """
    plain = " ".join(str(text).split())
    wide = sum(east_asian_width(c) in "WF" for c in plain) / max(len(plain), 1)
    per_line = max(6, int(72 * inches / (_LETTER * size * (1 + wide))))
    # Lines break between words, so that not all of them are full.
    most = per_line * lines - (per_line // 4) * (lines - 1)
    if len(plain) > most:
        plain = f"{plain[: most // 2].rstrip()}…{plain[-(most // 2 - 1) :].lstrip()}"
    return "\n".join(literal(line) for line in wrap(plain, per_line))


def new_figure(width: float = 8.0, height: float = 5.6) -> Figure:
    """Return a new figure without pyplot, which would change the caller's backend and windows."""
    from moela.notebook.figures import ShownFigure

    return ShownFigure(figsize=(width, height), layout="constrained")


def dress(
    axes: Axes,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    *,
    inches: tuple[float, float] = (7.2, 7.2),
) -> None:
    """Set the labels, title, font sizes and grid of axes; labels are literal text.

    `inches` are the width and height of the axes, into which the labels are fitted.
    """
    width, height = inches
    # A power of ten stands at the right end of the label.
    axes.set_xlabel(fitted(xlabel, max(0.7 * width, width - 1.2)), fontsize=TEXT)
    axes.set_ylabel(fitted(ylabel, height), fontsize=TEXT)
    axes.set_title(fitted(title, width), fontsize=TEXT)
    axes.tick_params(labelsize=SMALL)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_offset_text().set_fontsize(SMALL)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        if side in axes.spines:
            axes.spines[side].set_visible(False)


def name_ticks(axes: Axes, labels: Sequence[str], inches: float) -> None:
    """Label the positions 0, 1, ... on a horizontal axis of this width; long labels are turned."""
    room = 0.9 * inches / max(len(labels), 1)
    words = [short(label, 24) for label in labels]
    most = int(72 * room / (_LETTER * SMALL))
    axes.set_xticks(range(len(labels)), words)
    if max(map(len, words), default=0) > most:
        for tick in axes.get_xticklabels():
            tick.set(rotation=22, ha="right", rotation_mode="anchor")
