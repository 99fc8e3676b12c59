"""The style of all pictures: looks of algorithms, labels, legends, and saving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from moela._arrays import Floats

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Okabe and Ito's colors, which color-blind people can distinguish; gray instead of their yellow,
# which is too faint for lines on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#595959")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
Corner = Literal["best", "lower right"]
LineStyle = str | tuple[float, tuple[float, ...]]
LINES: tuple[LineStyle, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))

# Large for their figures, so that a picture can be read at half its size.
TEXT, SMALL = 15, 13.5
DPI = 130


@dataclass(frozen=True)
class Look:
    """Color, marker and line of an algorithm: two never share all three.

    Attributes
    ----------
    color : str
        As ``#rrggbb``.
    marker : str
        matplotlib's name of the marker.
    line : str or tuple
        matplotlib's line style.

    Examples
    --------
    >>> from moela.plots import looks
    >>> looks(["ours", "theirs"])["ours"].color
    '#0072B2'
    """

    color: str
    marker: str
    line: LineStyle


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Return a look for each name, by its position.

    Parameters
    ----------
    names : sequence of str
        Names of algorithms.

    Returns
    -------
    dict of Look by name

    Examples
    --------
    >>> from moela.plots import looks
    >>> list(looks(["ours", "theirs"]))
    ['ours', 'theirs']
    """
    n = len(COLORS)
    return {
        name: Look(COLORS[i % n], MARKERS[(i + i // n) % n], LINES[(i + i // n) % len(LINES)])
        for i, name in enumerate(names)
    }


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
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def dress(axes: Axes, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Set the labels, font sizes and grid of axes; labels are literal text."""
    axes.set_xlabel(short(xlabel, 60), fontsize=TEXT)
    axes.set_ylabel(short(ylabel, 60), fontsize=TEXT)
    if title:
        axes.set_title(short(title, 70), fontsize=TEXT)
    axes.tick_params(labelsize=SMALL)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_offset_text().set_fontsize(SMALL)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        if side in axes.spines:
            axes.spines[side].set_visible(False)


def add_legend(
    figure: Figure,
    axes: Axes,
    handles: Sequence[Artist],
    labels: Sequence[str],
    loc: Corner = "best",
) -> None:
    """Put a short legend inside the axes, and a long one beside them."""
    names = [short(label) for label in labels]
    if len(names) <= 4 and max(map(len, names)) <= 22:
        axes.legend(handles, names, loc=loc, fontsize=SMALL, framealpha=0.85, edgecolor="none")
    else:
        width, height = figure.get_size_inches()
        # As wide as its longest entry, so that the axes keep their room.
        figure.set_size_inches(width + 0.9 + 0.115 * max(map(len, names)), height)
        figure.legend(
            handles, names, loc="outside right upper", fontsize=SMALL, framealpha=0.85,
            edgecolor="none",
        )  # fmt: skip


def scatter_mixed(axes: Axes, parts: Sequence[tuple[Floats, Floats, Look]], **kinds: Any) -> None:
    """Draw the points of several algorithms in layers, so that none covers all the others.

    Parameters
    ----------
    axes : matplotlib Axes
    parts : sequence of (x [n], y [n], look)
    **kinds
        Passed to ``axes.scatter``.
    """
    layers = 8
    for layer in range(layers):
        for x, y, look in parts:
            axes.scatter(
                x[layer::layers], y[layer::layers], marker=look.marker, color=look.color, lw=0,
                **kinds,
            )  # fmt: skip


def lines_for(
    names: Sequence[str], styles: Mapping[str, Look], *, marker: bool = True
) -> list[Line2D]:
    """Return the legend entries of algorithms."""
    from matplotlib.lines import Line2D

    return [
        Line2D(
            [],
            [],
            color=styles[name].color,
            ls=styles[name].line,
            marker=styles[name].marker if marker else "",
            ms=8,
            lw=2.4,
        )
        for name in names
    ]


def done(figure: Figure, path: str | Path | None) -> Figure:
    """Save a figure if a path is given, and return it."""
    if path is not None:
        figure.savefig(path, dpi=DPI)
    return figure
