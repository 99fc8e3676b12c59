"""Picture of a front of gating thresholds, with the fixed k of all layers for comparison."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from problems._checks import setting_error
from problems.moe.base import checked_front

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from problems.moe.gating.problem import GatingThresholds

__all__ = ["plot_gates"]


def plot_gates(problem: GatingThresholds, F: ArrayLike, path: str | Path | None = None) -> Figure:
    """Draw a front [n, n_obj] of thresholds and the curve of a fixed k in all layers.

    The figure is saved if there is a path. A ValueError is raised if "quality_loss" is no
    objective, or the only one, or F has another shape.
    """
    from moela.notebook.style import COLORS, DPI, SMALL, dress, new_figure

    names = problem.objective_names
    F = checked_front(F, len(names), "plot_gates")
    others = [name for name in names if name != "quality_loss"]
    if "quality_loss" not in names or not others:
        raise setting_error(
            "plot_gates", "problem", "with quality_loss and another objective", list(names)
        )
    fixed, y = problem.fixed_k_front(), names.index("quality_loss")
    figure = new_figure(8.0 * len(others))
    for axes, name in zip(figure.subplots(1, len(others), squeeze=False)[0], others, strict=True):
        x = names.index(name)
        scale, unit = (1.0, "experts per token") if name == "compute" else (1e3, "ms")
        order = F[:, x].argsort()
        axes.plot(F[order, x] * scale, F[order, y], "o", ms=6, color=COLORS[0], label="thresholds")
        axes.plot(fixed[:, x] * scale, fixed[:, y], "s--", color="0.4", lw=2, ms=7, label="fixed k")
        for k, point in enumerate(fixed, start=1):
            at = (point[x] * scale, point[y])
            axes.annotate(f"k = {k}", at, (6, 6), textcoords="offset points", fontsize=SMALL)
        dress(axes, f"{name} ({unit})", f"quality_loss ({problem.quality_kind})")
        axes.legend(fontsize=SMALL, framealpha=0.85, edgecolor="none")
    if path is not None:
        figure.savefig(path, dpi=DPI)
    return figure
