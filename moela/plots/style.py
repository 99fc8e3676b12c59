"""How an algorithm looks in every picture, and what all pictures have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moela._arrays import Floats

# Okabe and Ito's colors, told apart by the color-blind; a gray for their yellow, which is too
# faint for lines on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#595959")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))

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
        matplotlib's name of it.
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
    line: Any


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Return a look for each name, by its place.

    Parameters
    ----------
    names : sequence of str
        Of algorithms.

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
    """Return a text that matplotlib draws as it is: a name in a file may look like a formula."""
    return str(text).replace("$", r"\$")


def short(text: str, size: int = 28) -> str:
    """Return a text as matplotlib draws it as it is, its middle left out where it is too long."""
    plain = " ".join(str(text).split())
    if len(plain) > size:
        plain = f"{plain[: size // 2]}…{plain[-(size // 2 - 1) :]}"
    return literal(plain)


def new_figure(width: float = 8.0, height: float = 5.6) -> Any:
    """Return a figure of its own: without pyplot, so that the caller's windows are left alone."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def dress(axes: Any, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Give axes their labels, sizes and grid; labels are plain text."""
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
    figure: Any, axes: Any, handles: Sequence[Any], labels: Sequence[str], loc: str = "best"
) -> None:
    """Put a legend inside a picture of a few entries, and beside one of many or of long names."""
    names = [short(label) for label in labels]
    style = {"fontsize": SMALL, "frameon": True, "framealpha": 0.85, "edgecolor": "none"}
    if len(names) <= 4 and max(map(len, names)) <= 22:
        axes.legend(handles, names, loc=loc, **style)
    else:
        width, height = figure.get_size_inches()
        # As wide as its longest entry, so that the axes keep their room.
        figure.set_size_inches(width + 0.9 + 0.115 * max(map(len, names)), height)
        figure.legend(handles, names, loc="outside right upper", **style)


def scatter_mixed(axes: Any, parts: Sequence[tuple[Floats, Floats, Look]], **kinds: Any) -> None:
    """Draw the points of several algorithms so that none lies on top of all the others.

    Parameters
    ----------
    axes : matplotlib Axes
    parts : sequence of (x [n], y [n], look)
    **kinds
        Of ``axes.scatter``.
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
) -> list[Any]:
    """Return what a legend shows for algorithms."""
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


def done(figure: Any, path: str | Path | None) -> Any:
    """Save a figure where it was asked for, and return it."""
    if path is not None:
        figure.savefig(path, dpi=DPI)
    return figure
