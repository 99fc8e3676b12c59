"""Picture of a design beside regular networks: their links by load, and the changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.patches import Patch, PathPatch, Rectangle
from matplotlib.path import Path

from moela.notebook.figures import ShownFigure
from problems._arrays import Floats
from problems.noc.chip.layout import positions
from problems.noc.design.design import Design
from problems.noc.design.drawing import COLUMNS, LOADS, TILE, TYPES

if TYPE_CHECKING:
    from problems.noc.comparison import BaselineComparison

__all__ = ["draw_comparison"]

COLORS = {
    "mesh": "#595959",
    "placed mesh": "#0072B2",
    "folded torus": "#D55E00",
    "express mesh": "#009E73",
}
MARKERS = {"mesh": "o", "placed mesh": "s", "folded torus": "^", "express mesh": "D"}
TEXT, SMALL, LAYER = 13, 11.5, 9
BAR_WIDTH, CHART_WIDTH = 1.1, 6.4
TITLE = 0.4
"""Inches above a network."""

BEND = 0.15
"""Distance of the middle of a long link from the straight line, in parts of its length."""


def draw_comparison(found: BaselineComparison) -> Figure:
    """Draw the design and the networks, links by load on one scale, and the changes at the right.

    Parameters
    ----------
    found : BaselineComparison

    Returns
    -------
    matplotlib Figure
        Of no window: save it with ``savefig``, or show it in a notebook.
    """
    designs = {"design": found.design} | found.networks
    x, y, z = found.design.platform.grid
    columns = 1 if z > 1 else 2
    lines = math.ceil(len(designs) / columns)
    rows = math.ceil(z / COLUMNS)
    high = rows * (y + 0.6)  # tile pitches of a network, and of its width
    broad = min(z, COLUMNS) * (x + 0.6)
    chart = 0.2 * len(found.values) * (len(found.networks) + 1) + 1.4
    # Networks are as large as the chart beside them allows.
    title = TITLE + (0.15 * rows if z > 1 else 0.0)
    side = min(max((chart - 0.6) / lines - title, 0.0) / high, 5.5 / (columns * broad))
    side = max(side, 0.31 if max(x, y) <= 5 else 0.22)
    wide = columns * max(broad * side, 2.3) + 0.2
    height = max(lines * (high * side + title) + 0.6, chart)
    figure = ShownFigure(figsize=(wide + BAR_WIDTH + CHART_WIDTH, height), layout="constrained")
    parts = figure.subfigures(1, 3, width_ratios=(wide, BAR_WIDTH, CHART_WIDTH))
    left, middle, right = cast("Sequence[SubFigure]", parts)
    cells = np.ravel(np.asarray(left.subfigures(lines, columns, squeeze=False))).tolist()
    highest = max(max(loads, default=0.0) for loads in found.loads.values()) or 1.0
    scale = Normalize(0.0, highest)
    for cell, (name, design) in zip(cells, designs.items(), strict=False):
        words = f"{name}, {len(design.planar_links)}{' planar' * (z > 1)} links"
        cell.suptitle(words, fontsize=SMALL, fontweight="bold" if name == "design" else "normal")
        _draw_network(cell, design, np.array(found.loads[name]), scale)
    _legend(left, found.design)
    bar = middle.colorbar(
        ScalarMappable(norm=scale, cmap=LOADS), cax=middle.add_axes((0.1, 0.2, 0.14, 0.6))
    )
    bar.set_label("link load, flits per cycle", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    _draw_changes(right, found)
    return figure


def _draw_network(figure: FigureBase, design: Design, loads: Floats, scale: Normalize) -> None:
    """Draw the layers of a design, bottom first."""
    platform = design.platform
    x, y, z = platform.grid
    columns = min(z, COLUMNS)
    grid = figure.subplots(math.ceil(z / columns), columns, squeeze=False)
    axes: list[Axes] = np.ravel(grid).tolist()
    place = positions(platform.grid)
    layer = place[:, 2]
    planar = design.planar_links
    for k, ax in enumerate(axes):
        ax.set_axis_off()
        ax.set_xlim(-0.75, x - 0.25)
        ax.set_ylim(y - 0.25, -0.75)
        ax.set_aspect("equal")
        if k >= z:
            continue
        if z > 1:
            ax.set_title(f"layer {k}", fontsize=LAYER, pad=1, color="0.35")
        here = np.flatnonzero(layer[planar[:, 0]] == k)
        # The busiest links come last, on top.
        here = here[np.argsort(loads[here], kind="stable")]
        paths = [_path(*place[planar[i], :2]) for i in here]
        lines = [PathPatch(path, fill=False) for path in paths]
        colors = LOADS(scale(loads[here]))
        ax.add_collection(
            PatchCollection(lines, facecolor="none", edgecolor=colors, linewidth=1.7, zorder=1)
        )
        for tile in np.flatnonzero(layer == k).tolist():
            corner = (float(place[tile, 0]) - TILE / 4, float(place[tile, 1]) - TILE / 4)
            face = TYPES(int(platform.pe_type[design.placement[tile]]) % 9)
            ax.add_patch(
                Rectangle(corner, TILE / 2, TILE / 2, facecolor=face, ec="0.35", lw=0.5, zorder=2)
            )


def _path(a: Floats, b: Floats) -> Path:
    """Return a line between neighboring tiles, and a curve between others."""
    between = b - a
    if np.hypot(*between) <= 1.0:
        return Path(np.array([a, b]))
    middle = (a + b) / 2 + 2 * BEND * np.array([-between[1], between[0]])
    return Path(np.array([a, middle, b]), [Path.MOVETO, Path.CURVE3, Path.CURVE3])


def _legend(figure: FigureBase, design: Design) -> None:
    kinds = design.platform.pe_types
    handles = [
        Patch(facecolor=TYPES(i % 9), edgecolor="0.35", label=kind.name)
        for i, kind in enumerate(kinds)
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), 5), frameon=False,
        fontsize=SMALL,
    )  # fmt: skip


def _draw_changes(figure: FigureBase, found: BaselineComparison) -> None:
    """Draw the change of each metric against each network."""
    ax = figure.subplots()
    metrics, names = list(found.changes), list(found.networks)
    spread = np.linspace(-0.32, 0.32, len(names)) if len(names) > 1 else np.zeros(1)
    finite = [v for row in found.changes.values() for v in row.values() if math.isfinite(v)]
    reach = max(map(abs, finite), default=1.0) or 1.0
    for k, metric in enumerate(metrics):
        for name, shift in zip(names, spread.tolist(), strict=True):
            change, height = found.changes[metric][name], k + shift
            if not math.isfinite(change):
                ax.text(0.0, height, " all alike", va="center", fontsize=SMALL, color="0.35")
                continue
            color = COLORS[name]
            ax.plot((0.0, change), (height, height), color=color, linewidth=2.2, zorder=2)
            ax.plot(change, height, marker=MARKERS[name], color=color, markersize=7, zorder=3)
            ax.annotate(
                f"{change:+.1f} %", (change, height), xytext=(8 if change >= 0 else -8, 0),
                textcoords="offset points", va="center", ha="left" if change >= 0 else "right",
                fontsize=SMALL, color="0.15",
            )  # fmt: skip
    for k in range(len(metrics) - 1):
        ax.axhline(k + 0.5, color="0.88", linewidth=0.8, zorder=0)
    low, high = min(*finite, 0.0, 0.0), max(*finite, 0.0, 0.0)
    # Room for the numbers beside the marks.
    room = 0.36 * max(high - low, reach)
    right = room if max(finite, default=0.0) >= 0 else 0.0
    ax.set_xlim(low - room * (low < 0) - 0.03 * reach, high + right + 0.03 * reach)
    ax.axvline(0.0, color="0.3", linewidth=0.9, zorder=1)
    ax.set_ylim(len(metrics) - 0.4, -0.6)
    ax.set_yticks(range(len(metrics)), metrics)
    ax.set_xlabel("change of the design against each network, %", fontsize=TEXT)
    ax.set_title("left of zero, the design is better", fontsize=SMALL)
    ax.tick_params(axis="x", labelsize=SMALL)
    ax.tick_params(axis="y", labelsize=TEXT)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    handles = [
        ax.plot([], [], color=COLORS[n], marker=MARKERS[n], markersize=7, linewidth=2.2, label=n)[0]
        for n in names
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=SMALL
    )
