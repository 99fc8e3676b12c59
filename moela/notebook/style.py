"""The style of all pictures: colors, sizes of text, labels and axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def literal(text: str) -> str:
    """Return a text that matplotlib draws literally, even if it looks like a formula."""
    return str(text).replace("$", r"\$")


def short(text: str, size: int = 28) -> str:
    """Return a literal text for matplotlib, with the middle of a long one left out."""
    plain = " ".join(str(text).split())
    if len(plain) > size:
        plain = f"{plain[: size // 2]}…{plain[-(size // 2 - 1) :]}"
    return literal(plain)


def new_figure(width: float = 8.0, height: float = 5.6) -> Figure:
    """Return a new figure without pyplot, which would change the caller's backend and windows."""
    from moela.notebook.figures import ShownFigure

    return ShownFigure(figsize=(width, height), layout="constrained")


def dress(axes: Axes, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Set the labels, title, font sizes and grid of axes; labels are literal text."""
    axes.set_xlabel(short(xlabel, 60), fontsize=TEXT)
    axes.set_ylabel(short(ylabel, 60), fontsize=TEXT)
    axes.set_title(short(title, 70), fontsize=TEXT)
    axes.tick_params(labelsize=SMALL)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_offset_text().set_fontsize(SMALL)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        if side in axes.spines:
            axes.spines[side].set_visible(False)
