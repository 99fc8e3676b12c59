"""Picture of a front of deployments, by batch size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel import OBJECTIVES
from problems.moe.base import checked_front

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

    from problems.moe.deployment.problem import MoEDeployment

__all__ = ["plot_deployments"]

_UNITS = {"s": (1e3, "ms"), "bytes": (1 / 2**20, "MiB")}
_MARKED = "#d45500"


def plot_deployments(
    problem: MoEDeployment, X: ArrayLike, F: ArrayLike, marked: int, path: str | Path | None = None
) -> Figure:
    """Draw each objective of a front against the first, colored by batch size.

    The row `marked` of designs X [n, n_var] and of objectives F [n, n_obj], at least two, is marked
    with its interval; rings are around designs whose times are extrapolated. The figure is saved if
    there is a path. A ValueError is raised if F has another shape.
    """
    from matplotlib import colormaps
    from matplotlib.ticker import LogLocator, NullFormatter

    from moela.notebook.style import DPI, SMALL, TEXT, dress, new_figure

    names = problem.objective_names
    F = checked_front(F, len(names), "plot_deployments")
    batch_sizes = np.array([problem.decided(x)[0] for x in np.asarray(X)])
    sizes = np.unique(batch_sizes)
    shades = colormaps["viridis"](np.linspace(0.0, 0.9, len(sizes)))
    outside = np.array([bool(problem.outside(x)) for x in np.asarray(X)])
    columns = [_column(name, problem.quality_kind) for name in names]
    interval = problem.intervals(np.asarray(X)[marked])[0]
    today, n = problem.today(), len(names) - 1
    figure = new_figure(5.6 * n + 2.4)
    handles: dict[str, Artist] = {}  # by name, of all panels
    for axes, j in zip(figure.subplots(1, n, squeeze=False)[0], range(1, n + 1), strict=True):
        (x_scale, x_label), (y_scale, y_label) = columns[0], columns[j]
        dress(axes, x_label, y_label)
        for shade, batch_size in zip(shades, sizes, strict=True):
            some = batch_sizes == batch_size
            axes.plot(
                F[some, 0] * x_scale, F[some, j] * y_scale, "o", markersize=6, alpha=0.8,
                color=shade, mew=0, label=str(batch_size),
            )  # fmt: skip
        if outside.any():
            axes.plot(
                F[outside, 0] * x_scale, F[outside, j] * y_scale, "o", markersize=11,
                markerfacecolor="none", color="0.5", zorder=0, label="extrapolated",
            )  # fmt: skip
        at = F[marked, 0] * x_scale, F[marked, j] * y_scale
        spans = [
            np.abs(ends * scale - middle)[:, None]
            for ends, scale, middle in (
                (interval[0], x_scale, at[0]), (interval[j], y_scale, at[1])
            )
        ]  # fmt: skip
        axes.errorbar(
            *at,
            xerr=spans[0],
            yerr=spans[1],
            fmt="D",
            color=_MARKED,
            capsize=5,
            ms=9,
            lw=2,
            label="largest box",
        )
        if today is not None:
            axes.plot(today[0] * x_scale, today[j] * y_scale, "k*", markersize=16, label="today")
        limit = problem.limits.get(names[j], np.inf)
        # A distant limit would squeeze the front into a corner.
        if limit < 1.5 * F[:, j].max():
            axes.axhline(limit * y_scale, color="0.4", linestyle="--", label="limit")
        if F[:, 0].min() > 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True)) | handles
    figure.legend(
        list(handles.values()), list(handles), title="batch size", title_fontsize=SMALL,
        loc="outside right upper", fontsize=SMALL, frameon=False,
    )  # fmt: skip
    title = f"{len(F)} non-dominated deployments; all axes: less is better"
    figure.suptitle(title, fontsize=TEXT)
    if path is not None:
        figure.savefig(path, dpi=DPI)
    return figure


def _column(name: str, quality_kind: str) -> tuple[float, str]:
    """Return the factor and the label of an objective's axis."""
    if name == "seconds_per_token":
        return 1e3, f"{name} (ms)"
    if name == "quality_loss":
        return 1.0, f"{name} ({quality_kind})"
    scale, unit = _UNITS.get(OBJECTIVES[name].unit, (1.0, ""))
    return scale, f"{name} ({unit})" if unit else name
