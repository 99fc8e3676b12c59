"""Pictures of designs and traffic: layers side by side, links by load, tiles by temperature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.patches import Circle, FancyArrowPatch, Patch, Rectangle
from numpy.typing import ArrayLike

from moela.notebook.figures import ShownFigure
from moela.notebook.style import COLORS, SMALL, TEXT
from problems._arrays import Floats
from problems._checks import setting_error
from problems.noc.chip.layout import link_lengths, positions

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform
    from problems.noc.design.design import Design

__all__ = ["draw_beside", "draw_layers", "draw_traffic"]

COLUMNS = 5
TILE = 0.62
TITLE, BAR = 2.6, 2.2
"""Inches that the title above a layer, and the title beside a color bar, take at least."""
BETTER, WORSE = COLORS[2], COLORS[1]
# Colors of PE types, which differ in lightness or along blue and yellow, as color-blind people see.
TYPES = ListedColormap(
    [
        "#F4A582",
        "#92C5DE",
        "#F2F0E6",
        "#C3A5CF",
        "#F6E58D",
        "#B0B0B0",
        "#FFD0C0",
        "#66B2B2",
        "#FFFFFF",
    ],
    "types",
)
LOADS = colormaps["viridis_r"]
# Without the darkest colors, on which labels cannot be read.
HEAT = ListedColormap(colormaps["YlOrRd"](np.linspace(0.0, 0.85, 256)), "heat")


def draw_layers(
    design: Design, loads: ArrayLike | None = None, *, temperature: bool | ArrayLike = False
) -> Figure:
    """Draw the layers of a design, bottom first.

    PEs are colored by type, or by temperature. Lines are planar links; a dot in the corner of a
    tile is a vertical link to the layer above. The figure belongs to no window: save it with
    ``savefig``, or show it in a notebook.

    Parameters
    ----------
    design : Design
    loads : float array-like [n_links], optional
        Load of each link of ``design.all_links()``, such as ``design.link_loads(traffic)``; links
        are colored by it.
    temperature : bool or float array-like [n_tiles]
        True colors tiles by ``design.temperatures()``; an array holds other degrees Celsius, such
        as those of ``design.simulate_hotspot(folder)``.
    """
    values = None if loads is None else _numbers(loads, design.platform.n_links, "loads", "link")
    if isinstance(temperature, bool | np.bool_):
        degrees = design.temperatures() if temperature else None
    else:
        degrees = _numbers(temperature, design.platform.n_tiles, "temperature", "tile")
    figure = ShownFigure(figsize=_size(design.platform), layout="constrained")
    _panel(figure, design, values, degrees)
    if degrees is None:
        _legend(figure, design.platform)
    return figure


def draw_beside(
    design: Design,
    mesh: Design,
    loads: Floats,
    mesh_loads: Floats,
    changes: dict[str, tuple[float, float, float]],
) -> Figure:
    """Draw the mesh, a design below it, and the changes of the design at the right.

    Links of both are colored by their loads [n_links], on one scale. The changes are those of
    ``problem.beside_mesh``.
    """
    wide, high = _size(design.platform)
    figure = ShownFigure(figsize=(wide + 5.2, 2 * high), layout="constrained")
    halves = figure.subfigures(1, 2, width_ratios=(wide, 5.2))
    left, right = cast("Sequence[SubFigure]", halves)
    highest = float(max(loads.max(), mesh_loads.max()))
    upper, lower = cast("Sequence[SubFigure]", left.subfigures(2, 1))
    upper.suptitle("mesh", fontsize=TEXT, fontweight="bold")
    lower.suptitle("design", fontsize=TEXT, fontweight="bold")
    _panel(upper, mesh, mesh_loads, highest=highest)
    _panel(lower, design, loads, highest=highest)
    _legend(lower, design.platform)

    ax = right.subplots()
    names = list(changes)[::-1]
    percent = np.array([changes[name][2] for name in names])
    shown = np.where(np.isfinite(percent), percent, 0.0)
    ax.barh(names, shown, height=0.5, color=[WORSE if v > 0 else BETTER for v in shown])
    ax.axvline(0.0, color="0.3", linewidth=0.8)
    for k, name in enumerate(names):
        ours, base, change = changes[name]
        text = f"{base:.4g} to {ours:.4g}"
        text += f" ({change:+.1f} %)" if math.isfinite(change) else ""
        ax.annotate(
            text, (0.5, k + 0.28), xycoords=("axes fraction", "data"),
            ha="center", va="bottom", fontsize=SMALL - 2,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4},
        )  # fmt: skip
    reach = max(float(np.abs(shown).max(initial=0.0)), 1.0) * 1.1
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-0.6, len(names) - 0.2)
    ax.set_title("left of zero, the design is better", fontsize=SMALL)
    ax.set_xlabel("change against the mesh, %", fontsize=SMALL)
    ax.tick_params(labelsize=SMALL)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return figure


def draw_traffic(traffic: Floats, platform: Platform, titles: Sequence[str] = ()) -> Figure:
    """Draw the traffic from each PE to each other, on a logarithmic scale, PEs ordered by type.

    ``traffic`` is [n_apps, n_tiles, n_tiles]; its diagonal never enters the network and is not
    drawn. ``titles`` has one title per application.
    """
    n_apps, n = len(traffic), platform.n_tiles
    traffic = traffic * ~np.eye(n, dtype=bool)
    columns = min(n_apps, 3)
    rows = math.ceil(n_apps / columns)
    figure = ShownFigure(figsize=(4.2 * columns + 1.0, 4.0 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    high = float(traffic.max())
    low = float(traffic[traffic > 0].min())
    norm = LogNorm(max(low, high * 1e-6), high if high > low else 2 * high)
    edges = np.cumsum([0] + [kind.count for kind in platform.pe_types])
    middle = (edges[:-1] + edges[1:] - 1) / 2
    labels = [kind.name for kind in platform.pe_types]
    colors = LOADS.with_extremes(bad="white", under="white")
    for k, ax in enumerate(axes):
        if k >= n_apps:
            ax.set_axis_off()
            continue
        ax.imshow(np.ma.masked_less_equal(traffic[k], 0.0), norm=norm, cmap=colors)
        for edge in edges[1:-1]:
            ax.axhline(edge - 0.5, color="0.4", linewidth=0.6)
            ax.axvline(edge - 0.5, color="0.4", linewidth=0.6)
        ax.set_xticks(middle, labels)
        ax.set_yticks(middle, labels, rotation=90, va="center")
        ax.set_xlabel("to", fontsize=SMALL)
        ax.set_ylabel("from", fontsize=SMALL)
        share = 100.0 * np.count_nonzero(traffic[k]) / (n * (n - 1))
        title = titles[k] if k < len(titles) else f"application {k}"
        ax.set_title(f"{title}: {traffic[k].sum():.3g} in all, {share:.0f} % of pairs", fontsize=11)
    mappable = ScalarMappable(norm=norm, cmap=LOADS)
    figure.colorbar(mappable, ax=axes.tolist(), label="flits per cycle", shrink=0.8)
    return figure


def _size(platform: Platform) -> tuple[float, float]:
    x, y, z = platform.grid
    columns = min(z, COLUMNS)
    side = 0.75 if max(x, y) <= 5 else 0.5
    wide, high = max(x * side + 0.5, TITLE), y * side + 0.6
    return columns * wide + 0.9, max(math.ceil(z / columns) * high, BAR) + 0.6


def _panel(
    figure: FigureBase,
    design: Design,
    loads: Floats | None,
    degrees: Floats | None = None,
    highest: float | None = None,
) -> None:
    """Draw the layers and the color bars; ``highest`` is the top of the scale of the loads."""
    platform = design.platform
    x, y, z = platform.grid
    columns = min(z, COLUMNS)
    axes = figure.subplots(math.ceil(z / columns), columns, squeeze=False).ravel().tolist()
    for ax in axes:
        ax.set_axis_off()
    if loads is not None:
        scale = Normalize(0.0, (float(loads.max()) if highest is None else highest) or 1.0)
        _color_bar(figure, axes, scale, LOADS, "link load, flits per cycle")
    if degrees is not None:
        heat = Normalize(float(degrees.min()), float(degrees.max()))
        _color_bar(figure, axes, heat, HEAT, "degrees C")
    font = 9 if max(x, y) <= 5 else 6
    place = positions(platform.grid)
    for tile, pe in enumerate(design.placement.tolist()):
        ax = axes[place[tile, 2]]
        left, top = (place[tile, :2] - TILE / 2).tolist()
        kind = platform.pe_type[pe]
        face = TYPES(kind % 9) if degrees is None else HEAT(float(heat(degrees[tile])))
        ax.add_patch(Rectangle((left, top), TILE, TILE, facecolor=face, ec="0.3", zorder=2))
        label = f"{platform.pe_types[kind].name}\n{pe}"
        # The weights are those of luma in ITU-R BT.601.
        ink = "white" if np.dot(face[:3], (0.299, 0.587, 0.114)) < 0.5 else "black"
        style = {"ha": "center", "va": "center", "fontsize": font, "color": ink}
        ax.text(*place[tile, :2], label, zorder=4, **style)

    def color(k: int) -> str | tuple[float, ...]:
        return "0.35" if loads is None else LOADS(scale(loads[k]))

    planar = design.planar_links
    lengths = link_lengths(platform.grid, planar)
    for k, ((a, b), length) in enumerate(zip(planar.tolist(), lengths, strict=True)):
        # Long links bend around the tiles between their ends.
        shrink, bend, order = (0, 0.0, 1) if length == 1 else (9, 0.18, 3)
        line = FancyArrowPatch(
            *map(tuple, place[[a, b], :2]), arrowstyle="-", shrinkA=shrink, shrinkB=shrink,
            connectionstyle=f"arc3,rad={bend}", color=color(k), linewidth=1.6, zorder=order,
            alpha=0.85,
        )  # fmt: skip
        axes[place[a, 2]].add_patch(line)
    for k, (a, _) in enumerate(design.vertical_links.tolist(), start=len(planar)):
        corner = (place[a, 0] + TILE / 2, place[a, 1] - TILE / 2)
        dot = Circle(corner, 0.09, facecolor=color(k), edgecolor="0.2", linewidth=0.5, zorder=5)
        axes[place[a, 2]].add_patch(dot)
    layer = place[planar[:, 0], 2]
    for k, ax in enumerate(axes[:z]):
        ax.set_xlim(-0.7, x - 0.3)
        ax.set_ylim(y - 0.3, -0.7)
        ax.set_aspect("equal")
        count = int((layer == k).sum())
        title = f"layer {k}: {count} link{'s' * (count != 1)}"
        if z > 1 and k == (z - 1 if platform.sink == "top" else 0):
            title += " (heat sink)"
        ax.set_title(title, fontsize=SMALL)


def _legend(figure: FigureBase, platform: Platform) -> None:
    handles = [
        Patch(facecolor=TYPES(i % 9), edgecolor="0.3", label=f"{kind.count} {kind.name}")
        for i, kind in enumerate(platform.pe_types)
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False,
        fontsize=SMALL,
    )  # fmt: skip


def _color_bar(
    figure: FigureBase, axes: list[Axes], norm: Normalize, colors: Colormap, label: str
) -> None:
    mappable = ScalarMappable(norm=norm, cmap=colors)
    bar = figure.colorbar(mappable, ax=axes, fraction=0.03)
    bar.set_label(label, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL - 2)


def _numbers(values: ArrayLike, count: int, name: str, owner: str) -> Floats:
    expected = f"{count} finite numbers, one per {owner}"
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (count,):
        raise setting_error("plot", name, expected, f"shape {numbers.shape}")
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        raise setting_error("plot", name, expected, f"{numbers[wrong[0]]} at index {wrong[0]}")
    return numbers
