"""Pictures of algorithms: their looks, legends, and saving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from moela._arrays import Floats
from moela._checks import in_folder
from moela.notebook.style import (
    COLORS,
    DPI,
    LINES,
    MARKERS,
    SMALL,
    TEXT,
    LineStyle,
    dress,
    fitted,
    new_figure,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_DIGIT = 0.64  # width of a digit, in its size

Corner = Literal["best", "lower right"]


@dataclass(frozen=True)
class Look:
    """Color, marker and line of an algorithm.

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


def scatter_mixed(axes: Axes, parts: Sequence[tuple[Floats, Floats, Look]], **kinds: Any) -> None:
    """Draw points (x, y, look) in layers, so that no algorithm covers all the others."""
    layers = 8
    for layer in range(layers):
        for x, y, look in parts:
            axes.scatter(
                x[layer::layers], y[layer::layers], marker=look.marker, color=look.color, lw=0,
                **kinds,
            )  # fmt: skip


def legend_above(axes: Axes, columns: int = 2) -> None:
    """Put the legend above axes, since any place inside may hide a design."""
    # No wider than its entries need, since a legend beyond the axes takes their room.
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, fontsize=SMALL,
        frameon=False, columnspacing=0.9, handletextpad=0.3, handlelength=1.2, borderpad=0.2,
    )  # fmt: skip


def fit_numbers(axes: Axes, name: str, inches: float, most: int) -> None:
    """Put at most so many numbers on a linear horizontal axis, with its name, so that none touch.

    Call this once everything is drawn; `inches` are the width of the axes.
    """
    for bins in range(most, 1, -1):
        axes.locator_params(axis="x", nbins=bins)
        low, high = sorted(axes.xaxis.get_view_interval())
        ticks, texts = _numbers(axes.xaxis)
        widest = 0.1 + max(map(_wide, texts), default=0.0)
        if len(ticks) < 2 or widest * (high - low) <= inches * (ticks[1] - ticks[0]):
            break
    if offset := axes.xaxis.get_major_formatter().get_offset():
        # The power of ten stands at the right end of the label, which is centered.
        room = max(0.4 * inches, inches - 2 * _wide(offset) - 0.3)
        if 1.2 * _wide(name) > room:
            axes.set_xlabel(fitted(name, room), fontsize=TEXT)


def taken_power(axis: Axis) -> str:
    """Hide the power of ten, or what is to be added, of an axis, and return it for its label."""
    _numbers(axis)
    offset = axis.get_major_formatter().get_offset()
    axis.get_offset_text().set_visible(False)
    return f" ×{offset}" if offset[:1].isdigit() else f" {offset}".rstrip()


def _wide(number: str) -> float:
    """Return how many inches a number takes beside an axis."""
    return _DIGIT * SMALL / 72 * (len(number) - 0.5 * number.count("."))


def _numbers(axis: Axis) -> tuple[list[float], list[str]]:
    """Return where the visible numbers of an axis are, and their texts."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
    return ticks, axis.get_major_formatter().format_ticks(ticks)


def saved(figure: Figure, path: str | Path | None) -> Figure:
    """Save a figure if a path is given, and return it."""
    if path is not None:
        out = in_folder("the picture", path)
        kinds = figure.canvas.get_supported_filetypes()
        if out.suffix and out.suffix[1:].lower() not in kinds:
            raise ValueError(
                "The 'path' parameter of the picture must end in "
                f"{', '.join(f'.{kind}' for kind in sorted(kinds))}. Got {out} instead."
            )
        figure.savefig(out, dpi=DPI)
    return figure


class Options(TypedDict, total=False):
    """Options of every function that draws algorithms; `plot_2d` describes them."""

    styles: Mapping[str, Look] | None
    title: str
    path: str | Path | None


class Picture:
    """A figure, in inches, of these algorithms, with the options of `plot_2d`."""

    def __init__(
        self,
        names: Iterable[str],
        width: float = 8.0,
        height: float = 5.6,
        *,
        styles: Mapping[str, Look] | None = None,
        title: str = "",
        path: str | Path | None = None,
    ) -> None:
        self.names = list(names)
        self.styles = looks(self.names) if styles is None else styles
        self.title = title
        self.path = path
        self.figure = new_figure(width, height)

    def axes(self, xlabel: str, ylabel: str) -> Axes:
        """Return the only axes of the picture, with labels and title."""
        axes = self.figure.subplots()
        width, height = self.figure.get_size_inches()
        dress(axes, xlabel, ylabel, self.title, inches=(width - 0.8, height - 1.2))
        return axes

    def add_title(self, size: float = TEXT) -> None:
        """Write the title above all axes."""
        if self.title:
            text = fitted(self.title, self.figure.get_figwidth() - 0.6, size=size)
            self.figure.suptitle(text, fontsize=size)

    def handles(self, *, marker: bool = True, line: bool = True) -> list[Line2D]:
        """Return the legend entries of the algorithms."""
        from matplotlib.lines import Line2D

        return [
            Line2D(
                [], [], color=look.color, ls=look.line if line else "",
                marker=look.marker if marker else "", ms=8, lw=2.4,
            )
            for look in (self.styles[name] for name in self.names)
        ]  # fmt: skip

    def legend(self, axes: Axes, loc: Corner = "best", *, marker: bool = True) -> None:
        """Put a short legend inside the axes, and a long one beside them."""
        handles, names = self.handles(marker=marker), [short(name) for name in self.names]
        if len(names) <= 4 and max(map(len, names)) <= 22:
            axes.legend(handles, names, loc=loc, fontsize=SMALL, framealpha=0.85, edgecolor="none")
            return
        width, height = self.figure.get_size_inches()
        # As wide as its longest entry, so that the axes keep their room.
        self.figure.set_size_inches(width + 0.9 + 0.115 * max(map(len, names)), height)
        self.figure.legend(
            handles, names, loc="outside right upper", fontsize=SMALL, framealpha=0.85,
            edgecolor="none",
        )  # fmt: skip

    def legend_below(self, columns: int) -> None:
        """Put a legend below all axes, in at most these columns, and less if the names are long."""
        entries = self.handles(line=False), [short(name) for name in self.names]
        width, height = self.figure.get_size_inches()
        for n in range(min(columns, len(self.names)), 0, -1):
            legend = self.figure.legend(
                *entries, fontsize=SMALL, loc="outside lower center", ncols=n, frameon=False
            )
            if n == 1 or legend.get_window_extent().width < self.figure.bbox.width:
                break
            legend.remove()
        # The axes keep their room beside two lines.
        rows = -(-len(self.names) // n)
        self.figure.set_size_inches(width, height + 0.28 * max(0, rows - 2))

    def done(self) -> Figure:
        """Save the figure if a path is given, and return it."""
        return saved(self.figure, self.path)
