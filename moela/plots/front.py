"""The picture of one front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from moela._arrays import Floats
from moela._checks import require
from moela.notebook.style import COLORS, SMALL, TEXT, dress, fitted, name_ticks, new_figure
from moela.plots.scales import PLAIN, LogAxes, log_axes, log_ticks, logarithmic
from moela.plots.style import fit_numbers, legend_above, saved
from moela.quality.front import largest_box
from moela.quality.indicators import extent
from moela.quality.runs import isolated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE = COLORS[:2]
_GRAY = "#999999"
_MAX_LINES = 300


def plot_front(
    F: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    ref_point: ArrayLike | None = None,
    ref_name: str = "reference",
    shared: ArrayLike | None = None,
    log: LogAxes = False,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw a front: two objectives against each other, and all of them as parallel coordinates.

    Two objectives without a reference point make the first panel only. An orange circle, and in
    the second panel an orange line, mark the design that dominates the largest box (hypervolume)
    up to the reference point, or without one up to the worst values of the front. It need not be
    the knee.

    Parameters
    ----------
    F : float array, [n, M]
        Objectives, minimized.
    names : sequence of str, optional
        Their names.
    ref_point : float array [M], optional
        Objectives of a design to compare with. The right panel then shows each objective in percent
        of the reference, else scaled to [0, 1] over the front. If a value of the reference is
        negative, it shows by how many percent of the absolute value designs are above it, so that
        down is better for each objective.
    ref_name : str
        Name of the reference in the legend.
    shared : float array [M], optional
        The part of each objective that all designs have alike, such as an ambient temperature. The
        percentages leave it out.
    log : bool or sequence of str
        Objectives with a logarithmic axis: all, or those named. Their values must be positive.
    title : str, optional
    path : str or Path, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If F has no rows, fewer than two objectives, or is not finite, or if there is not one name
        and one value of the reference point and of the shared parts for each objective, or if an
        objective on a logarithmic axis has a value of at most 0.

    Examples
    --------
    >>> from moela import plot_front
    >>> figure = plot_front(
    ...     [[0.0, 2.0], [1.0, 1.0], [3.0, 0.0]], names=["mass (kg)", "deflection (mm)"]
    ... )
    >>> figure.axes[0].get_xlabel()
    'mass (kg)'
    """
    F = np.atleast_2d(np.asarray(F, dtype=float))
    if F.size == 0 or F.shape[1] < 2 or not np.isfinite(F).all():
        raise ValueError(
            "The 'F' parameter of plot_front must hold finite objectives, shape [n >= 1, M >= 2]. "
            f"Got shape {F.shape}{'' if np.isfinite(F).all() else ' with values not finite'}."
        )
    m = F.shape[1]
    labels = [f"f{j + 1}" for j in range(m)] if names is None else list(names)
    holds = len(labels) == m and not isinstance(names, str)
    require("plot_front", "names", names, holds, f"{m} names, one for each objective")
    other = _vector("ref_point", ref_point, m)
    alike = _vector("shared", shared, m)
    every = F if other is None else np.vstack([F, other])
    on_log = logarithmic("plot_front", log, labels, every)
    best = largest_box(F, other)
    beside = m > 2 or other is not None  # else the second panel would tell nothing new
    figure = new_figure(14.0, 5.6) if beside else new_figure()
    left, *more = figure.subplots(1, 2 if beside else 1, squeeze=False)[0]
    colors: dict[str, Any] = {"color": _BLUE}
    if m > 2:
        colors = {"c": F[:, 2], "cmap": "viridis", "norm": "log" if on_log[2] else None}
    dress(left, *labels[:2], inches=(5.0, 4.4) if beside else (6.8, 4.8))
    points = left.scatter(F[:, 0], F[:, 1], s=30, **colors)
    if m > 2:
        bar = figure.colorbar(points, ax=left)
        if on_log[2]:
            bar.set_ticks(log_ticks(F[:, 2].min(), F[:, 2].max()), minor=False)
            bar.ax.yaxis.set_major_formatter(PLAIN)
            bar.minorticks_off()
        bar.set_label(fitted(labels[2], 4.4), fontsize=TEXT)
        bar.ax.tick_params(labelsize=SMALL)
    left.plot(*F[best, :2], "o", ms=14, mfc="none", mec=_ORANGE, mew=2.5, label="largest box")
    if other is not None:
        left.plot(*other[:2], "*", ms=18, color="black", label=ref_name)
    if not on_log[0]:
        fit_numbers(left, labels[0], 4.5 if m > 2 else 5.0 if beside else 6.8, 6)
    log_axes(left, x=bool(on_log[0]), y=bool(on_log[1]))
    shown = np.where(on_log, np.log10(np.where(on_log, F, 1.0)), F) if other is None else F
    for axes in more:
        _draw_lines(axes, shown, best, other, alike, labels, ref_name)
        if other is None and on_log.any():
            part = "" if on_log.all() else "partly "
            axes.set_ylabel(f"{axes.get_ylabel()}, {part}logarithmic")
    for axes in (left, *more):
        legend_above(axes)
    if title:
        figure.suptitle(fitted(title, figure.get_figwidth() - 0.6), fontsize=TEXT)
    return saved(figure, path)


def _vector(name: str, given: ArrayLike | None, m: int) -> Floats | None:
    """Return a number for each of m objectives, or None if none are given."""
    values = None if given is None else np.asarray(given, dtype=float)
    holds = values is None or (values.shape == (m,) and bool(np.isfinite(values).all()))
    require("plot_front", name, given, holds, f"{m} finite numbers, one for each objective")
    return values


def _draw_lines(
    axes: Axes,
    F: Floats,
    best: int,
    other: Floats | None,
    alike: Floats | None,
    labels: list[str],
    ref_name: str,
) -> None:
    """Draw each design as a line over the objectives, in percent of the reference or scaled."""
    if other is None:
        span = np.ptp(F, axis=0)
        Z = (F - F.min(axis=0)) / np.where(span > 0, span, 1.0)
        dress(axes, "", "share of the front's range")
    else:
        part = np.zeros(F.shape[1]) if alike is None else alike
        rest = other - part
        # More percent of a negative value would be better, so that directions would differ.
        negative = bool((rest < 0).any())
        zero = other if negative else part
        Z = np.full(F.shape, np.nan)  # where the reference has nothing else
        np.divide(100.0 * (F - zero), np.abs(rest), out=Z, where=rest != 0)
        level = 0.0 if negative else 100.0
        axes.axhline(level, color="black", lw=1.5, ls="--", label=ref_name)
        words = f"% above the {ref_name}, down is better" if negative else f"% of the {ref_name}"
        note = ", without what all designs share" if part.any() else ""
        dress(axes, "", f"{words}{note}", inches=(6.0, 4.2))
    at = np.arange(F.shape[1])
    # More lines would cover each other; the most isolated designs show what the front offers.
    lines = Z
    if len(F) > _MAX_LINES:
        lines = Z[isolated(F / extent(F), _MAX_LINES)]
        axes.set_xlabel(f"{_MAX_LINES} of {len(F):,} designs", fontsize=SMALL)
    axes.plot(at, lines.T, color=_GRAY, lw=0.8, alpha=max(0.08, min(0.6, 30 / len(lines))))
    axes.plot(at, Z[best], color=_ORANGE, lw=3, marker="o", ms=8, label="largest box")
    name_ticks(axes, labels, 6.0)
