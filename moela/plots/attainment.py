"""Pictures of empirical attainment: the regions that runs reach, and differences of algorithms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

import moocore
import numpy as np

from moela._arrays import Floats, Ints
from moela._checks import require
from moela.notebook.style import SMALL, TEXT, dress, fitted, short
from moela.plots.checks import runs_of
from moela.plots.style import Options, Picture, fit_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Runs = Mapping[str, Sequence[Floats]]
"""The fronts [n, M] of each run, by algorithm."""

_MAX_SETS = 1_000


def surfaces(runs: Sequence[Floats], percentiles: Sequence[float]) -> list[Floats]:
    """Return the points [k, M] that at least these percentages of the runs attain (0: any run).

    A run without a point attains nothing. By moocore: Fonseca, Guerreiro, Lopez-Ibanez and Paquete
    2011, "On the computation of the empirical attainment function".
    """
    full = [F for F in runs if len(F)]
    out: list[Floats] = []
    for percent in percentiles:
        # Empty runs count in the percentage, but moocore doesn't take them.
        needed = max(1, math.ceil(percent / 100 * len(runs) - 1e-9))
        if needed > len(full):
            out.append(np.empty((0, runs[0].shape[1])))
            continue
        points, sets = _sets(full)
        surface = moocore.eaf(points, sets, percentiles=[100.0 * needed / len(full)])
        out.append(np.asarray(surface[:, :-1]))
    return out


def _sets(runs: Sequence[Floats]) -> tuple[Floats, Ints]:
    sets = np.repeat(np.arange(1, len(runs) + 1), [len(F) for F in runs])
    return np.concatenate(list(runs)), sets


def plot_attainment(runs: Runs, names: Sequence[str], **options: Unpack[Options]) -> Figure:
    """Draw the regions that runs attain.

    For two objectives, the line is the median attainment surface of an algorithm; the band runs
    from the region any run attains to the region all runs attain. For three, one map per algorithm
    shows the smallest third objective that half of its runs attain together with the first two.

    Parameters
    ----------
    runs : dict of sequence of float array [n, M] by algorithm
    names : sequence of str
        Of the objectives, two or three.
    **options
        See `plot_2d`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The number of objectives is neither two nor three, no run has a point, or a front is not an
        array of finite numbers [n, number of names].

    Examples
    --------
    >>> import numpy as np
    >>> from moela.plots import plot_attainment
    >>> runs = {"ours": [np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.5, 0.5]])]}
    >>> figure = plot_attainment(runs, ["mass", "cost"])
    >>> figure.axes[0].get_xlabel()
    'mass'
    """
    require("plot_attainment", "names", list(names), len(names) in (2, 3), "two or three")
    runs = runs_of("plot_attainment", runs, names)
    draw = _draw_bands if len(names) == 2 else _draw_maps
    return draw(runs, names, **options).done()


def _draw_bands(runs: Runs, names: Sequence[str], **options: Unpack[Options]) -> Picture:
    picture = Picture(runs, **options)
    axes = picture.axes(names[0], names[1])
    low, high = _limits([F for fronts in runs.values() for F in fronts])
    for name, fronts in runs.items():
        look = picture.styles[name]
        best, median, worst = surfaces(fronts, (0, 50, 100))
        x = np.unique(np.concatenate([[low[0], high[0]], best[:, 0], worst[:, 0]]))
        lower, upper = _stair(best, x, high[1]), _stair(worst, x, high[1])
        axes.fill_between(x, lower, upper, step="post", color=look.color, alpha=0.2, lw=0)
        x = np.unique(np.concatenate([[low[0], high[0]], median[:, 0]]))
        # Left of the attained region the line is above the picture, so that it enters from above.
        y = _stair(median, x, high[1] + (high[1] - low[1]))
        axes.step(x, y, where="post", color=look.color, ls=look.line, lw=2.6)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    fit_numbers(axes, names[0], 6.6, 5)
    picture.legend(axes, marker=False)
    return picture


def _stair(points: Floats, x: Floats, outside: float) -> Floats:
    """Return the smallest second objective attained with at most x of the first."""
    if len(points) == 0:
        return np.full(len(x), outside)
    ordered = points[np.argsort(points[:, 0], kind="stable")]
    least = np.minimum.accumulate(ordered[:, 1])
    index = np.searchsorted(ordered[:, 0], x, "right") - 1
    return np.where(index >= 0, least[np.maximum(index, 0)], outside)


def _draw_maps(runs: Runs, names: Sequence[str], **options: Unpack[Options]) -> Picture:
    low, high = _limits([F for fronts in runs.values() for F in fronts])
    x, y = (np.linspace(low[j], high[j], 120) for j in range(2))
    heights = {}
    for name, fronts in runs.items():
        (median,) = surfaces(fronts, (50,))
        attained = np.full((len(y), len(x)), np.nan)
        for point in median[np.argsort(-median[:, 2], kind="stable")]:
            # Later points are better in the third objective, and overwrite earlier ones.
            attained[np.searchsorted(y, point[1]) :, np.searchsorted(x, point[0]) :] = point[2]
        heights[name] = attained
    columns = min(len(runs), 3)
    lines = -(-len(runs) // columns)
    picture = Picture(runs, 1.6 + 4.0 * columns, 0.6 + 3.9 * lines, **options)
    grid = picture.figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (name, attained) in zip(grid.ravel(), heights.items(), strict=False):
        image = axes.pcolormesh(
            x, y, attained, vmin=low[2], vmax=high[2], cmap="viridis", rasterized=True
        )
        dress(axes)
        color = picture.styles[name].color
        axes.set_title(fitted(name, 3.0), fontsize=TEXT, color=color, fontweight="bold")
    for axes in grid.ravel()[len(runs) :]:
        axes.set_axis_off()
    # The last map of each column; others share its numbers.
    for axes in grid.ravel()[max(0, len(runs) - columns) : len(runs)]:
        axes.set_xlabel(short(names[0], 30), fontsize=TEXT)
        axes.tick_params(labelbottom=True)
        axes.xaxis.get_offset_text().set_visible(True)
    for axes in grid[:, 0]:
        axes.set_ylabel(short(names[1], 30), fontsize=TEXT)
    bar = picture.figure.colorbar(image, ax=grid)
    bar.set_label(f"{short(names[2], 24)}, by half of the runs", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    picture.add_title()
    return picture


def plot_attainment_difference(
    a: Sequence[Floats],
    b: Sequence[Floats],
    names: Sequence[str],
    *,
    labels: Sequence[str],
    **options: Unpack[Options],
) -> Figure:
    """Draw the regions that one algorithm's runs attain more often than another's.

    The picture says so if there is no such region.

    Parameters
    ----------
    a, b : sequence of float arrays, [n, 2]
        One front per run.
    names : sequence of str
        Names of the two objectives.
    labels : sequence of str
        Names of the two algorithms.
    **options
        See `plot_2d`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The number of objectives is not two, an algorithm has no run with a point, or a front does
        not hold finite numbers, two a point.

    References
    ----------
    Lopez-Ibanez, Paquete and Stützle 2010, "Exploratory analysis of stochastic local search
    algorithms in biobjective optimization" (moocore).

    Examples
    --------
    >>> import numpy as np
    >>> from moela.plots import plot_attainment_difference
    >>> ours, theirs = [np.array([[0.0, 1.0], [1.0, 0.0]])], [np.array([[0.5, 0.5]])]
    >>> figure = plot_attainment_difference(
    ...     ours, theirs, ["mass", "cost"], labels=["ours", "theirs"]
    ... )
    """
    from matplotlib.patches import Rectangle

    expected = "of two objectives"
    require("plot_attainment_difference", "names", list(names), len(names) == 2, expected)
    fits = not isinstance(labels, str) and len(labels) == 2
    require("plot_attainment_difference", "labels", labels, fits, "the names of two algorithms")
    both = runs_of("plot_attainment_difference", {"a": a, "b": b}, names)
    a, b = both.values()
    picture = Picture(labels, **options)
    axes = picture.axes(names[0], names[1])
    low, high = _limits([*a, *b])
    drawn: dict[str, set[int]] = {name: set() for name in labels}  # shades
    # Five shades are easy to distinguish.
    for x0, y0, x1, y1, share in differences(a, b):
        step = math.ceil(abs(share) * 5 - 1e-9)
        corner, opposite = np.maximum((x0, y0), low), np.minimum((x1, y1), high)
        if step == 0 or (corner >= opposite).any():
            continue
        name = labels[0] if share > 0 else labels[1]
        drawn[name].add(step)
        color = picture.styles[name].color
        axes.add_patch(
            Rectangle(tuple(corner), *(opposite - corner), color=color, alpha=_strength(step), lw=0)
        )
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    fit_numbers(axes, names[0], 6.6, 9)
    if not any(drawn.values()):
        axes.text(
            0.5, 0.5, "no difference", transform=axes.transAxes, ha="center", va="center",
            fontsize=TEXT,
        )  # fmt: skip
    shades = {name: sorted(steps) for name, steps in drawn.items() if steps}
    _name_shades(picture, axes, names[1], shades)
    return picture.done()


def _name_shades(
    picture: Picture, axes: Axes, ylabel: str, drawn: Mapping[str, Sequence[int]]
) -> None:
    """Add the legend of the shades that occur, a column for each algorithm that has some."""
    from matplotlib.patches import Patch

    if not drawn:
        return
    longest = max(map(len, drawn.values()))
    handles, texts = [], []
    for name, steps in drawn.items():
        color = picture.styles[name].color
        for k, step in enumerate(steps):
            handles.append(Patch(color=color, alpha=_strength(step), lw=0))
            before = f"{short(name)}: " if k == 0 else ""
            texts.append(f"{before}{20 * step - 20}–{20 * step} %")
        for _ in range(longest - len(steps)):  # so that the other algorithm begins a column
            handles.append(Patch(alpha=0.0, lw=0))
            texts.append("")
    legend = picture.figure.legend(
        handles, texts, loc="outside lower center", ncols=len(drawn), fontsize=SMALL,
        frameon=False, title="attained by this many more of the runs of", title_fontsize=SMALL,
    )  # fmt: skip
    width, height = picture.figure.get_size_inches()
    box = legend.get_window_extent()
    picture.figure.set_size_inches(max(width, box.width / picture.figure.dpi + 0.1), height)
    # The axes are lower by the legend.
    axes.set_ylabel(fitted(ylabel, height - 1.4 - box.height / picture.figure.dpi))


def _strength(step: int) -> float:
    return 0.08 + 0.18 * step


def differences(a: Sequence[Floats], b: Sequence[Floats]) -> Floats:
    """Return rectangles [k, 5]: x0, y0, x1, y1, and share of a's runs minus share of b's.

    The shares are those of the runs that attain the rectangle.
    """
    for name, runs in (("a", a), ("b", b)):
        some = any(len(F) for F in runs)
        require("differences", name, "none", some, "runs of which one has a point")
    n = math.lcm(len(a), len(b))
    counts = f"{len(a)} and {len(b)}"
    require("differences", "runs", counts, n <= _MAX_SETS, f"with a common multiple to {_MAX_SETS}")
    # Repeating all runs equally often doesn't change the shares. A run without a point is placed
    # far away from all others.
    beyond = np.concatenate([F for F in (*a, *b) if len(F)]).max(axis=0)
    away = (beyond + np.maximum(np.abs(beyond), 1.0) * 1e6)[None]
    tables = []
    for runs in (a, b):
        repeated = [F if len(F) else away for F in runs for _ in range(n // len(runs))]
        points, sets = _sets(repeated)
        tables.append(np.column_stack([points, sets]))
    try:
        rectangles = np.asarray(moocore.eafdiff(*tables, rectangles=True), dtype=float)
    except ValueError:  # so moocore answers if there is no difference at all
        return np.empty((0, 5))
    if len(rectangles) == 0:
        return np.empty((0, 5))
    rectangles[:, 4] /= n
    return rectangles[rectangles[:, 4] != 0]


def _limits(fronts: Sequence[Floats]) -> tuple[Floats, Floats]:
    points = np.concatenate([F for F in fronts if len(F)])
    low, high = points.min(axis=0), points.max(axis=0)
    alone = np.where(high != 0, np.abs(high), 1.0)  # of an objective that is constant
    margin = 0.04 * np.where(high > low, high - low, alone)
    return low - margin, high + margin
