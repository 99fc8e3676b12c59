"""The picture of a result, in the objectives' own signs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela._arrays import Bools, Floats
from moela.notebook.style import COLORS, SMALL, dress, new_figure, short
from moela.plots.style import saved

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE = COLORS[:2]
_GRAY = "#BBBBBB"
_MOST_LINES = 120


def plot_result(
    F: Floats,
    ok: Bools,
    front: Floats,
    signs: Floats,
    names: Sequence[str],
    *,
    knee: int | None,
    title: str | None,
    path: str | Path | None,
) -> Figure:
    """Draw everything evaluated F [n, n_obj], of which `ok` [n] is feasible, and the front.

    Two objectives are drawn against each other, more as parallel coordinates beside the first two,
    and one over the evaluations.
    """
    labels = [
        f"{name} ({'min' if sign > 0 else 'max'})" for name, sign in zip(names, signs, strict=True)
    ]
    if len(names) == 1:
        figure = new_figure(7.2, 4.4)
        _draw_progress(figure.subplots(), F[:, 0], ok, float(signs[0]), labels[0])
    elif len(names) == 2:
        figure = new_figure(7.2, 5.0)
        _draw_plane(figure.subplots(), F, ok, front, signs, labels, knee)
    else:
        figure = new_figure(12.0, 4.8)
        left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.25))
        _draw_plane(left, F, ok, front, signs, labels, knee)
        _draw_parallel(right, front, signs, labels, knee)
    if title:
        figure.suptitle(short(title, 70))
    return saved(figure, path)


def _draw_progress(axes: Axes, values: Floats, ok: Bools, sign: float, label: str) -> None:
    dress(axes, "evaluations", label)
    at = np.flatnonzero(ok)
    if len(at) == 0:
        return
    axes.plot(at + 1, values[at], "o", ms=3, color=_GRAY, label="evaluated")
    best = sign * np.minimum.accumulate(sign * values[at])
    axes.step(at + 1, best, where="post", lw=2, color=_BLUE, label="best so far")
    # Values far from the best would leave no room for it.
    low, high = np.quantile(sign * values[at], [0.0, 0.9])
    margin = 0.05 * (high - low) or 1.0
    axes.set_ylim(*sorted((sign * (low - margin), sign * (high + margin))))
    axes.legend(fontsize=SMALL, framealpha=0.85, edgecolor="none")


def _draw_plane(
    axes: Axes,
    F: Floats,
    ok: Bools,
    front: Floats,
    signs: Floats,
    labels: Sequence[str],
    knee: int | None,
) -> None:
    dress(axes, labels[0], labels[1])
    if len(front) == 0:
        return
    others = F[ok]
    low, high = front.min(axis=0), front.max(axis=0)
    margin = 0.5 * np.where(high > low, high - low, 1.0)
    near = ((others >= low - margin) & (others <= high + margin)).all(axis=1)
    axes.plot(*others[near][:, :2].T, "o", ms=3, color=_GRAY, label="evaluated", zorder=1)
    if len(signs) == 2:
        x, y = front[np.lexsort((signs * front).T[::-1])].T
        axes.step(x, y, where="post", lw=1.5, alpha=0.6, color=_BLUE, zorder=2)
    axes.plot(*front[:, :2].T, "o", ms=5, color=_BLUE, label="front", zorder=3)
    if knee is not None:
        axes.plot(
            *front[knee, :2], "o", ms=12, mfc="none", mec=_ORANGE, mew=2.2, label="knee", zorder=4
        )
    axes.locator_params(axis="x", nbins=6)
    axes.legend(fontsize=SMALL, framealpha=0.85, edgecolor="none")


def _draw_parallel(
    axes: Axes, front: Floats, signs: Floats, labels: Sequence[str], knee: int | None
) -> None:
    dress(axes, "", "0 is the best of the front, 1 the worst")
    if len(front) == 0:
        return
    minimized = front * signs
    span = np.ptp(minimized, axis=0)
    Z = (minimized - minimized.min(axis=0)) / np.where(span > 0, span, 1.0)
    at = np.arange(len(labels))
    drawn = Z[:: max(1, len(Z) // _MOST_LINES)]
    axes.plot(at, drawn.T, color=_BLUE, lw=0.7, alpha=max(0.1, min(0.6, 30 / len(drawn))))
    if knee is not None:
        axes.plot(at, Z[knee], color=_ORANGE, lw=2.5, marker="o", label="knee")
        axes.legend(fontsize=SMALL, framealpha=0.85, edgecolor="none")
    axes.set_xticks(at, [short(label, 18) for label in labels])
