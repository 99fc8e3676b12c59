"""Pictures of the fronts of several algorithms, for two, three, and many objectives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np

from moela._arrays import Floats
from moela._checks import require
from moela.notebook.style import SMALL, TEXT, dress, fitted, short
from moela.plots.checks import fronts_of
from moela.plots.scales import LogAxes, log_axes, logarithmic
from moela.plots.style import Look, Options, Picture, fit_numbers, scatter_mixed, taken_power
from moela.quality.indicators import extent
from moela.quality.runs import isolated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# More points or lines per algorithm would not be visible.
_MAX_POINTS, _MAX_LINES = 1_000, 120

Fronts = Mapping[str, Floats]


def plot_2d(
    fronts: Fronts,
    names: Sequence[str],
    *,
    log: LogAxes = False,
    **options: Unpack[Options],
) -> Figure:
    """Draw fronts of two objectives, each with the boundary of its dominated region.

    Parameters
    ----------
    fronts : dict of float array [n, 2] by algorithm
    names : sequence of str
        Names of the objectives.
    log : bool or sequence of str
        Objectives with a logarithmic axis: all, or those named. Their values must be positive.
    **options
        ``styles`` are the looks by algorithm, by default in the order of the fronts; ``title`` is
        written above the picture; ``path`` is the file to save it in.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        There is no front, or one is not an array of finite numbers [n, number of names], or an
        objective on a logarithmic axis has a value of at most 0.

    Examples
    --------
    >>> import numpy as np
    >>> from moela.plots import plot_2d
    >>> fronts = {"ours": np.array([[0.0, 1.0], [1.0, 0.0]]), "theirs": np.array([[1.0, 1.0]])}
    >>> figure = plot_2d(fronts, ["mass", "cost"])
    >>> figure.axes[0].get_xlabel()
    'mass'
    """
    fronts = fronts_of("plot_2d", fronts, _exactly(2, "plot_2d", names))
    on_log = logarithmic("plot_2d", log, names, np.concatenate(list(fronts.values())))
    picture = Picture(fronts, **options)
    axes = picture.axes(names[0], names[1])
    for name, F in fronts.items():
        x, y = F[np.lexsort(F.T[::-1])].T
        look = picture.styles[name]
        axes.step(x, y, where="post", lw=1.8, ls=look.line, color=look.color, alpha=0.55)
    scatter_mixed(axes, [(*F.T, picture.styles[name]) for name, F in fronts.items()], s=38)
    if not on_log[0]:
        fit_numbers(axes, names[0], 6.6, 9)
    log_axes(axes, x=bool(on_log[0]), y=bool(on_log[1]))
    picture.legend(axes)
    return picture.done()


def plot_3d(fronts: Fronts, names: Sequence[str], **options: Unpack[Options]) -> Figure:
    """Draw fronts of three objectives in three dimensions.

    Parameters
    ----------
    fronts : dict of float array [n, 3] by algorithm
    names, **options
        See `plot_2d`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        There is no front, or one is not an array of finite numbers [n, number of names].

    Examples
    --------
    >>> import numpy as np
    >>> from moela.plots import plot_3d
    >>> figure = plot_3d({"ours": np.eye(3)}, ["mass", "cost", "heat"])
    >>> figure.axes[0].get_zlabel()
    'heat'
    """
    from matplotlib.ticker import MaxNLocator

    fronts = fronts_of("plot_3d", fronts, _exactly(3, "plot_3d", names))
    picture = Picture(fronts, 8.0, 7.0, **options)
    axes = picture.figure.add_subplot(projection="3d")
    for name, F in fronts.items():
        look = picture.styles[name]
        axes.scatter(
            *_fewer(F, _MAX_POINTS).T, s=34, marker=look.marker, color=look.color, alpha=0.75, lw=0,
            depthshade=False,
        )  # fmt: skip
    axes.tick_params(labelsize=SMALL - 1, pad=3)
    for axis, name in zip((axes.xaxis, axes.yaxis, axes.zaxis), names, strict=True):
        axis.set_major_locator(MaxNLocator(4))
        power = taken_power(axis)  # Beside the axis it would lie on a long name.
        axis.set_label_text(f"{short(name, 30 - len(power))}{power}", fontsize=TEXT)
        axis.labelpad = 16
    # The view from the ideal point, which fronts face.
    axes.view_init(elev=24, azim=38)
    axes.set_box_aspect(None, zoom=0.88)
    axes.set_title(fitted(picture.title, 7.0), fontsize=TEXT)
    picture.legend_below(3)
    return picture.done()


def plot_matrix(fronts: Fronts, names: Sequence[str], **options: Unpack[Options]) -> Figure:
    """Draw every pair of objectives, and on the diagonal the distribution of each one.

    For any number of objectives.

    Parameters
    ----------
    fronts : dict of float array [n, M] by algorithm
    names, **options
        See `plot_2d`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        There is no front, or one is not an array of finite numbers [n, number of names].

    Examples
    --------
    >>> import numpy as np
    >>> from moela.plots import plot_matrix
    >>> figure = plot_matrix({"ours": np.eye(3)}, ["mass", "cost", "heat"])
    >>> len(figure.axes)
    9
    """
    fronts = fronts_of("plot_matrix", fronts, names)
    n_obj = len(names)
    side = max(2.15 * n_obj, 6.5)
    picture = Picture(fronts, side, side, **options)
    styles = picture.styles
    grid = picture.figure.subplots(n_obj, n_obj, sharex="col", squeeze=False)
    size = max(10.0, 15.0 - 0.6 * n_obj)
    shown = {name: _fewer(F, _MAX_POINTS // 2) for name, F in fronts.items()}
    for i in range(n_obj):
        for j in range(n_obj):
            axes = grid[i, j]
            if j > i:
                axes.set_axis_off()
                continue
            if i == j:
                for name, F in fronts.items():
                    _ecdf(axes, F[:, j], styles[name])
            else:
                parts = [(F[:, j], F[:, i], styles[name]) for name, F in shown.items()]
                scatter_mixed(axes, parts, s=16, alpha=0.6)
            dress(axes)
            axes.tick_params(labelsize=size - 1)
            axes.locator_params(nbins=3)
            if i == n_obj - 1:
                axes.set_xlabel(short(names[j], 18), fontsize=size + 1)
            if i == j:
                axes.set_yticks([0, 0.5, 1], ["0", "½", "1"])
                axes.set_title(short(names[j], 18), fontsize=size + 1)
            elif j == 0:
                axes.set_ylabel(short(names[i], 18), fontsize=size + 1)
            else:
                axes.tick_params(labelleft=False)
    picture.add_title(size + 3)
    _name_free(picture, size + 2)
    return picture.done()


def _name_free(picture: Picture, size: float) -> None:
    """Add the legend in the free half of a matrix, or beside the matrix if it is too small."""
    figure = picture.figure
    entries = picture.handles(), [short(name) for name in picture.names]
    legend = figure.legend(
        *entries, loc="upper right", fontsize=size, frameon=False, bbox_to_anchor=(0.99, 0.93)
    )
    inside = legend.get_window_extent()
    n_obj = math.isqrt(len(figure.axes))
    rows = math.ceil(n_obj * (inside.height / figure.bbox.height + 0.1))
    if inside.width / figure.bbox.width < 0.96 - rows / n_obj:
        return  # A small one has room in any case, and a layout takes as long as the drawing.
    figure.draw_without_rendering()
    shown = [axes.get_tightbbox() for axes in figure.axes if axes.axison]
    if not any(box is not None and box.overlaps(inside) for box in shown):
        return
    legend.remove()
    width, height = figure.get_size_inches()
    lines = inside.height / figure.dpi + 0.6  # with the title
    figure.set_size_inches(width + inside.width / figure.dpi + 0.1, max(height, lines))
    figure.legend(*entries, loc="outside right upper", fontsize=size, frameon=False)


def _ecdf(axes: Axes, values: Floats, look: Look) -> None:
    ordered = np.sort(values)
    share = np.arange(1, len(ordered) + 1) / len(ordered)
    axes.step(ordered, share, where="post", color=look.color, ls=look.line, lw=2)


def plot_parallel(
    fronts: Fronts,
    names: Sequence[str],
    *,
    ideal: Floats | None = None,
    nadir: Floats | None = None,
    **options: Unpack[Options],
) -> Figure:
    """Draw parallel coordinates, one panel per algorithm and one line per point; down is better.

    For any number of objectives.

    Parameters
    ----------
    fronts : dict of float array [n, M] by algorithm
    names : sequence of str
        Names of the objectives.
    ideal, nadir : float arrays [M], optional
        Objectives drawn at 0 and at 1. Default: the smallest and largest of all fronts.
    **options
        See `plot_2d`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        There is no front, or one is not an array of finite numbers [n, number of names].

    Examples
    --------
    >>> import numpy as np
    >>> from moela.plots import plot_parallel
    >>> figure = plot_parallel(
    ...     {"ours": np.eye(3), "theirs": np.ones((1, 3))}, ["mass", "cost", "heat"]
    ... )
    >>> len(figure.axes)
    2
    """
    fronts = fronts_of("plot_parallel", fronts, names)
    pooled = np.concatenate(list(fronts.values()))
    require("plot_parallel", "fronts", fronts, len(pooled) > 0, "fronts of which one has a point")
    low = pooled.min(axis=0) if ideal is None else ideal
    high = pooled.max(axis=0) if nadir is None else nadir
    span = np.where(high > low, high - low, 1.0)
    columns = {1: 1, 2: 2, 4: 2}.get(len(fronts), 3)
    lines = -(-len(fronts) // columns)
    # Room for the names of the objectives, side by side.
    labels = [short(name, 12) for name in names]
    room = 8.0 if columns == 1 else max(4.6, min(8.0, 0.75 * len(names)))
    turned = 0.125 * len(names) * (1 + max(map(len, labels))) > room
    height = 1.2 + (3.7 if turned else 3.2) * lines
    picture = Picture(fronts, 0.6 + room * columns, height, **options)
    grid = picture.figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    at = np.arange(len(names))
    for axes, (name, F) in zip(grid, fronts.items(), strict=False):
        Z = (_fewer(F, _MAX_LINES) - low) / span
        alpha = max(0.15, min(0.7, 25 / max(len(Z), 1)))
        axes.plot(at, Z.T, color=picture.styles[name].color, lw=1.2, alpha=alpha)
        dress(axes, title=name, inches=(room - 0.6, 3.2))
        axes.set_xticks(at, labels)
    for axes in grid[len(fronts) :]:
        axes.set_axis_off()
    for axes in grid[max(0, len(fronts) - columns) : len(fronts)]:
        axes.tick_params(labelbottom=True)
        if turned:
            axes.tick_params(axis="x", labelrotation=40)
        else:  # inward, away from the panel beside it
            axes.get_xticklabels()[0].set_ha("left")
            axes.get_xticklabels()[-1].set_ha("right")
    for axes in grid[::columns]:
        axes.set_ylabel("0 best, 1 worst", fontsize=SMALL)
    picture.add_title()
    return picture.done()


def _exactly(n: int, owner: str, names: Sequence[str]) -> Sequence[str]:
    """Return the names of n objectives."""
    require(owner, "names", names, not isinstance(names, str) and len(names) == n, f"{n} names")
    return names


def _fewer(F: Floats, size: int) -> Floats:
    """Return the most isolated points of a front, if it has more than `size`."""
    if len(F) <= size:
        return F
    return F[isolated(F / extent(F), size)]
