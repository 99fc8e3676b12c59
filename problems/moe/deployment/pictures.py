"""Pictures of fronts: thresholds beside a fixed k, and deployments by batch size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel import OBJECTIVES
from moe_costmodel._checks import invalid
from problems._arrays import Floats

if TYPE_CHECKING:
    from problems.moe.deployment.problem import MoEDeployment
    from problems.moe.gating.problem import GatingThresholds

__all__ = ["plot_deployments", "plot_gates"]

_UNITS = {"s": (1e3, "ms"), "bytes": (1 / 2**20, "MiB")}
_MARKED = "#d45500"


def plot_gates(problem: GatingThresholds, F: ArrayLike, path: str | Path | None = None) -> Any:
    """Draw a front of thresholds, with the curve of a fixed k in all layers beside it.

    Parameters
    ----------
    problem : GatingThresholds
    F : array [n, n_obj]
        Its objectives.
    path : path, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If "quality_loss" is no objective, or the only one, or F is of another shape.
    """
    from matplotlib.figure import Figure

    names = problem.objective_names
    F = _checked(F, len(names), "plot_gates")
    others = [name for name in names if name != "quality_loss"]
    if "quality_loss" not in names or not others:
        raise invalid(
            "plot_gates", "problem", list(names), "with quality_loss and another objective"
        )
    fixed, y = problem.fixed_k_front(), names.index("quality_loss")
    figure = Figure(figsize=(5.5 * len(others), 4.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(others), squeeze=False)[0], others, strict=True):
        x = names.index(name)
        scale, unit = (1.0, "experts a token") if name == "compute" else (1e3, "ms")
        order = F[:, x].argsort()
        axes.plot(F[order, x] * scale, F[order, y], "o", markersize=3, label="thresholds")
        axes.plot(fixed[:, x] * scale, fixed[:, y], "s--", color="0.4", label="fixed k")
        for k, point in enumerate(fixed, start=1):
            axes.annotate(
                f"k = {k}", (point[x] * scale, point[y]), (4, 4), textcoords="offset points"
            )
        axes.set(xlabel=f"{name} ({unit})", ylabel=f"quality_loss ({problem.quality_kind})")
        axes.grid(alpha=0.3)
        axes.legend()
    if path is not None:
        figure.savefig(path, dpi=130)
    return figure


def plot_deployments(
    problem: MoEDeployment, X: ArrayLike, F: ArrayLike, marked: int, path: str | Path | None = None
) -> Any:
    """Draw every objective of a front against the first, by batch size, with one point marked.

    Parameters
    ----------
    problem : MoEDeployment
    X, F : array [n, n_var], [n, n_obj]
        At least two objectives.
    marked : int
        The row to mark, with its interval.
    path : path, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If F is of another shape.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    names = problem.objective_names
    F = _checked(F, len(names), "plot_deployments")
    batches = np.array([problem.decided(x)[0] for x in np.asarray(X)])
    columns = [_column(name, problem.quality_kind) for name in names]
    interval = problem.intervals(np.asarray(X)[marked])[0]
    today, n = problem.today(), len(names) - 1
    figure = Figure(figsize=(4.6 * n, 4.2), layout="constrained")
    for axes, j in zip(figure.subplots(1, n, squeeze=False)[0], range(1, n + 1), strict=True):
        (x_scale, x_label), (y_scale, y_label) = columns[0], columns[j]
        for batch in np.unique(batches):
            some = batches == batch
            axes.plot(
                F[some, 0] * x_scale, F[some, j] * y_scale, "o", markersize=3, alpha=0.7,
                label=str(batch),
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
            capsize=3,
            label="largest box",
        )
        if today is not None:
            axes.plot(today[0] * x_scale, today[j] * y_scale, "k*", markersize=10, label="today")
        limit = problem.limits.get(names[j], np.inf)
        # One that is far off would squeeze the front into a corner.
        if limit < 1.5 * F[:, j].max():
            axes.axhline(limit * y_scale, color="0.4", linestyle="--")
        axes.set(xlabel=x_label, ylabel=y_label)
        if F[:, 0].min() > 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), title="batch", loc="outside right upper")
    figure.suptitle(f"{len(F)} non-dominated deployments; all axes: less is better")
    if path is not None:
        figure.savefig(path, dpi=130)
    return figure


def _column(name: str, quality_kind: str) -> tuple[float, str]:
    """Return what to multiply an objective by, and what to call it then."""
    if name == "seconds_per_token":
        return 1e3, f"{name} (ms)"
    if name == "quality_loss":
        return 1.0, f"{name} ({quality_kind})"
    scale, unit = _UNITS.get(OBJECTIVES[name].unit, (1.0, ""))
    return scale, f"{name} ({unit})" if unit else name


def _checked(F: ArrayLike, n_obj: int, owner: str) -> Floats:
    array = np.asarray(F, dtype=float)
    if array.ndim != 2 or array.shape[1] != n_obj or len(array) == 0:
        raise invalid(owner, "F", array.shape, f"of shape [n, {n_obj}]")
    return array
