"""The picture of one front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from moela._checks import require
from moela.notebook.style import COLORS, new_figure
from moela.plots.style import saved
from moela.quality.front import largest_box

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLUE, _ORANGE = COLORS[:2]
_GRAY = "#999999"


def plot_front(
    F: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    ref_point: ArrayLike | None = None,
    ref_name: str = "reference",
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw a front: two objectives against each other, and all of them as parallel coordinates.

    Parameters
    ----------
    F : float array, [n, M]
        Objectives, minimized.
    names : sequence of str, optional
        Their names.
    ref_point : float array [M], optional
        Objectives of a design to compare with. The right panel then shows each objective in percent
        of the reference, else scaled to [0, 1] over the front.
    ref_name : str
        Name of the reference in the legend.
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
        and one value of the reference point for each objective.

    Examples
    --------
    >>> from moela import plot_front
    >>> figure = plot_front(
    ...     [[0.0, 2.0], [1.0, 1.0], [3.0, 0.0]], names=["mass (kg)", "deflection (mm)"]
    ... )
    >>> len(figure.axes)
    2
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
    other = None if ref_point is None else np.asarray(ref_point, dtype=float)
    holds = other is None or (other.shape == (m,) and bool(np.isfinite(other).all()))
    expected = f"{m} finite numbers, one for each objective"
    require("plot_front", "ref_point", ref_point, holds, expected)
    best = largest_box(F, other)
    figure = new_figure(11, 4.4)
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.25))
    colors: dict[str, Any] = {"color": _BLUE}
    if F.shape[1] > 2:
        colors = {"c": F[:, 2], "cmap": "viridis"}
    points = left.scatter(F[:, 0], F[:, 1], s=16, **colors)
    if F.shape[1] > 2:
        figure.colorbar(points, ax=left, label=labels[2])
    left.plot(*F[best, :2], "o", ms=11, mfc="none", mec=_ORANGE, mew=2, label="largest box")
    if other is not None:
        left.plot(*other[:2], "*", ms=14, color="black", label=ref_name)
    left.set(xlabel=labels[0], ylabel=labels[1])
    left.locator_params(axis="x", nbins=6)  # more numbers would touch
    if other is None:
        span = np.ptp(F, axis=0)
        Z = (F - F.min(axis=0)) / np.where(span > 0, span, 1.0)
        right.set_ylabel("share of the front's range")
    else:
        Z = 100.0 * F / other
        right.axhline(100.0, color="black", lw=1, ls="--", label=ref_name)
        right.set_ylabel(f"% of the {ref_name}")
    at = np.arange(F.shape[1])
    right.plot(at, Z.T, color=_GRAY, lw=0.6, alpha=max(0.08, min(0.6, 30 / len(F))))
    right.plot(at, Z[best], color=_ORANGE, lw=2.5, marker="o", label="largest box")
    right.set_xticks(at, labels)
    for axes in (left, right):
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
    if title:
        figure.suptitle(title)
    return saved(figure, path)
