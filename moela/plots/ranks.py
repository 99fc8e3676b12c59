"""Pictures of indicator values of runs, and the critical difference diagram of mean ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np

from moela._arrays import Floats
from moela._checks import require
from moela.notebook.style import SMALL, TEXT, fitted, short
from moela.plots.checks import samples_of
from moela.plots.style import Options, Picture
from moela.quality.statistics import AverageRanks

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_values(
    values: Mapping[str, Floats], *, ylabel: str = "hypervolume (share)", **options: Unpack[Options]
) -> Figure:
    """Draw one point per run, and a box from quartile to quartile with the median in it.

    Parameters
    ----------
    values : dict of float array [n_runs] by algorithm
        Infinite values are left out, and their number is written above.
    ylabel : str
    **options
        See `plot_2d`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        There are no numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from moela.plots import plot_values
    >>> figure = plot_values({"ours": np.array([0.8, 0.9]), "theirs": np.array([0.6, 0.7])})
    >>> figure.axes[0].get_ylabel()
    'hypervolume (share)'
    """
    values = samples_of("plot_values", "values", values)
    picture = Picture(values, max(5.5, 2.0 + 1.3 * len(values)), **options)
    names = picture.names
    axes = picture.axes("", ylabel)
    for i, (name, own) in enumerate(values.items()):
        look, shown = picture.styles[name], own[np.isfinite(own)]
        # Side by side in the order of the runs, so that pictures are reproducible.
        offset = np.linspace(-0.16, 0.16, len(shown)) if len(shown) > 1 else np.zeros(len(shown))
        axes.scatter(
            i + offset, shown, s=46, marker=look.marker, color=look.color, lw=0, alpha=0.85,
            zorder=3,
        )  # fmt: skip
        if len(shown) > 1:
            q1, median, q3 = np.quantile(shown, [0.25, 0.5, 0.75])
            axes.bar(i, q3 - q1, 0.56, q1, color=look.color, alpha=0.22, zorder=1)
            axes.hlines(median, i - 0.28, i + 0.28, color=look.color, lw=3, zorder=2)
        if lost := len(own) - len(shown):
            axes.annotate(
                f"{lost} infinite", (i, 1.0), xycoords=("data", "axes fraction"), ha="center",
                va="bottom", fontsize=SMALL,
            )  # fmt: skip
    axes.grid(visible=False, axis="x")
    axes.set_xticks(range(len(names)), [short(name, 22) for name in names])
    axes.set_xlim(-0.6, len(names) - 0.4)
    if len(names) > 4 or max(len(name) for name in names) > 12:
        for label in axes.get_xticklabels():
            label.set(rotation=25, ha="right", rotation_mode="anchor")
    return picture.done()


def plot_ranks(names: Sequence[str], ranking: AverageRanks, **options: Unpack[Options]) -> Figure:
    """Draw mean ranks on a line, and bars over groups without significant differences.

    Parameters
    ----------
    names : sequence of str, [k]
    ranking : AverageRanks
        Mean ranks with Friedman's test: `Comparison.ranks` has one, as ``ranking``, and
        ``moela.quality.statistics.rank_blocks`` makes one.
    **options
        See `plot_2d`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        There is not one name for each rank.

    References
    ----------
    Demsar 2006, "Statistical comparisons of classifiers over multiple data sets".

    Examples
    --------
    >>> from moela.plots import plot_ranks
    >>> from moela.quality.statistics import rank_blocks
    >>> shares = [[0.9, 0.8, 0.5], [0.7, 0.6, 0.5], [0.9, 0.7, 0.8]]  # one row per problem
    >>> figure = plot_ranks(["ours", "theirs", "random"], rank_blocks(shares))
    >>> len(figure.axes)
    1
    """
    k = len(ranking.ranks)
    fits = not isinstance(names, str) and len(names) == k
    require("plot_ranks", "names", names, fits, f"{k} names, one for each rank")
    order = np.argsort(ranking.ranks, kind="stable")
    left, right = order[: (k + 1) // 2], order[(k + 1) // 2 :][::-1]
    groups = ranking.groups()
    depth = 0.45 * max(len(left), len(right)) + 0.3 * len(groups)
    texts = [
        f"{short(name, 26)} ({rank:.2f})" for name, rank in zip(names, ranking.ranks, strict=True)
    ]
    # Five inches for the ranks, and room for the longest name on either side.
    room = 0.6 + 0.125 * max(map(len, texts))
    picture = Picture(names, 5.0 + 2 * room, 2.1 + 1.05 * depth, **options)
    axes = picture.figure.subplots()
    axes.set_axis_off()
    inch = (k - 1) / 5.0
    margin = room * inch
    axes.set(xlim=(1 - margin, k + margin), ylim=(-depth - 0.35, 1.25))
    axes.hlines(0, 1, k, color="black", lw=1.8)
    for rank in range(1, k + 1):
        axes.vlines(rank, 0, 0.12, color="black", lw=1.8)
        axes.text(rank, 0.18, str(rank), ha="center", va="bottom", fontsize=SMALL)
    width = min(ranking.critical_difference, k - 1.0)
    axes.hlines(0.78, 1, 1 + width, color="black", lw=2.4)
    axes.vlines([1, 1 + width], 0.71, 0.85, color="black", lw=2.4)
    label = f"critical difference {ranking.critical_difference:.2f}"
    axes.text(1, 0.92, label, fontsize=SMALL, va="bottom")
    for row, members in enumerate(groups):
        y = -0.16 - 0.3 * row
        ends = ranking.ranks[list(members)]
        axes.hlines(y, ends.min() - 0.05 * inch, ends.max() + 0.05 * inch, color="#555555", lw=6)
    base = -0.3 * len(groups)
    for side, column, edge in ((-1, left, 1 - 0.4 * inch), (1, right, k + 0.4 * inch)):
        for row, i in enumerate(column):
            y, rank = base - 0.3 - 0.45 * row, ranking.ranks[i]
            look = picture.styles[names[i]]
            axes.plot([rank, rank, edge], [0, y, y], color=look.color, lw=2.2)
            axes.plot(rank, 0, look.marker, color=look.color, ms=10, clip_on=False)
            axes.text(
                edge + 0.06 * side * inch, y, texts[i], fontsize=TEXT, color=look.color,
                va="center", ha="right" if side < 0 else "left",
            )  # fmt: skip
    axes.set_title(fitted(picture.title, 4.4 + 2 * room), fontsize=TEXT)
    return picture.done()
