"""Pictures of a design: its layers side by side, PEs by type, links by load."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle
from numpy.typing import ArrayLike

from .layout import link_lengths, positions

if TYPE_CHECKING:
    from .design import Design

__all__ = ["draw_layers"]

COLUMNS = 4
TILE = 0.62
TYPES = colormaps["Pastel1"]
LOADS = colormaps["viridis_r"]


def draw_layers(design: Design, loads: ArrayLike | None = None) -> Figure:
    """Draw the layers of a design, bottom first.

    Parameters
    ----------
    design : Design
    loads : float array-like [n_links], optional
        Load of each link of ``design.all_links()``, as ``problem.link_loads(problem.encode(
        design))`` gives them; planar links are coloured by it.

    Returns
    -------
    matplotlib Figure
        Belongs to no window: save it with ``savefig``, or let a notebook show it.

    Raises
    ------
    ValueError
        There is not one finite load per link.
    """
    platform = design.platform
    x, y, z = platform.grid
    columns = min(z, COLUMNS)
    rows = math.ceil(z / columns)
    side = 0.75
    figure = Figure(figsize=(columns * (x * side + 0.6), rows * (y * side + 0.7) + 0.6))
    figure.set_layout_engine("constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()

    place = positions(platform.grid)
    for tile, pe in enumerate(design.placement.tolist()):
        ax = axes[place[tile, 2]]
        left, top = (place[tile, :2] - TILE / 2).tolist()
        kind = platform.pe_type[pe]
        ax.add_patch(
            Rectangle((left, top), TILE, TILE, facecolor=TYPES(kind % 9), ec="0.3", zorder=2)
        )
        label = f"{platform.pe_types[kind].name}\n{pe}"
        ax.text(*place[tile, :2], label, ha="center", va="center", fontsize=7, zorder=4)

    colours, scale = _colours(design, loads)
    lengths = link_lengths(platform.grid, design.links)
    for (a, b), length, colour in zip(design.links.tolist(), lengths, colours, strict=True):
        # Long links bend around the tiles between their ends.
        line = FancyArrowPatch(
            tuple(place[a, :2]),
            tuple(place[b, :2]),
            arrowstyle="-",
            shrinkA=0 if length == 1 else 9,
            shrinkB=0 if length == 1 else 9,
            connectionstyle=f"arc3,rad={0.0 if length == 1 else 0.18}",
            color=colour,
            linewidth=1.6,
            zorder=1 if length == 1 else 3,
            alpha=0.85,
        )
        axes[place[a, 2]].add_patch(line)

    layer = place[design.links[:, 0], 2]
    for k, ax in enumerate(axes[:z]):
        ax.set_xlim(-0.7, x - 0.3)
        ax.set_ylim(y - 0.3, -0.7)
        ax.set_aspect("equal")
        ax.set_title(f"layer {k}: {int((layer == k).sum())} links", fontsize=9)
    handles = [
        Patch(facecolor=TYPES(i % 9), edgecolor="0.3", label=f"{kind.count} {kind.name}")
        for i, kind in enumerate(platform.pe_types)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    if scale is not None:
        mappable = ScalarMappable(norm=scale, cmap=LOADS)
        figure.colorbar(mappable, ax=axes.tolist(), label="link load", fraction=0.03)
    return figure


def _colours(design: Design, loads: ArrayLike | None) -> tuple[list[object], Normalize | None]:
    n_planar = len(design.links)
    if loads is None:
        return ["0.35"] * n_planar, None
    values = np.asarray(loads, dtype=np.float64)
    n_links = design.platform.n_links
    if values.shape != (n_links,) or not np.isfinite(values).all():
        raise ValueError(
            f"The 'loads' parameter of plot must be {n_links} finite numbers, one per link. "
            f"Got shape {values.shape} instead."
        )
    scale = Normalize(0.0, float(values.max()) or 1.0)
    return [LOADS(scale(v)) for v in values[:n_planar]], scale
