"""The picture of a result, in the objectives' own signs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela._arrays import Bools, Floats, Ints
from moela.notebook.style import COLORS, dress, fitted, name_ticks, new_figure
from moela.plots.scales import LogAxes, log_axes, logarithmic
from moela.plots.style import fit_numbers, legend_above, saved
from moela.quality.explain import Role

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
    chosen: Ints,
    marked: tuple[int, Role] | None,
    log: LogAxes,
    title: str | None,
    path: str | Path | None,
) -> Figure:
    """Draw the front among everything evaluated F [n, n_obj], of which `ok` [n] may be shown.

    Two objectives are drawn against each other, more as parallel coordinates beside the first two,
    and one over the evaluations. `chosen` are the rows of the front among all. `marked` is the
    design to ring, and its role; None for an empty front. `log` are the objectives on logarithmic
    axes, which must be positive for the front; of other designs, those that are not are left out.
    """
    on_log = logarithmic("plot", log, names, front)
    fits = ok & (F[:, on_log] > 0).all(axis=1)
    labels = [
        f"{name} ({'min' if sign > 0 else 'max'})" for name, sign in zip(names, signs, strict=True)
    ]
    feasible = marked is None or marked[1] != Role.LEAST_VIOLATING
    ring = None if marked is None or not feasible or len(front) < 2 else marked
    if len(names) == 1:
        figure = new_figure(7.2, 4.4)
        axes = figure.subplots()
        dress(axes, "evaluations", labels[0], inches=(6.0, 3.6))
        _draw_progress(axes, F[:, 0], fits, float(signs[0]), feasible, chosen, on_log)
        log_axes(axes, x=False, y=bool(on_log[0]))
    elif len(names) == 2:
        figure = new_figure(7.2, 5.0)
        axes = figure.subplots()
        dress(axes, *labels, inches=(6.0, 4.2))
        _draw_plane(axes, labels[0], 6.0, F[fits], front, signs, ring, feasible, on_log)
    else:
        figure = new_figure(12.0, 4.8)
        left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.25))
        dress(left, *labels[:2], inches=(4.4, 3.4))
        _draw_plane(left, labels[0], 3.8, F[fits], front, signs, ring, feasible, on_log)
        whose = "the front" if feasible else "these designs"
        dress(right, "", f"0 is the best of {whose}, 1 the worst", inches=(5.6, 3.4))
        _draw_parallel(right, _logs(front, on_log), signs, ring)
        name_ticks(right, labels, 5.6)
    if title:
        figure.suptitle(fitted(title, figure.get_figwidth() - 0.6, size=12))
    return saved(figure, path)


def _draw_progress(
    axes: Axes,
    values: Floats,
    ok: Bools,
    sign: float,
    feasible: bool,
    chosen: Ints,
    on_log: Bools,
) -> None:
    at = np.flatnonzero(ok)
    if len(at) == 0:
        return
    label, inside = ("evaluated", _GRAY) if feasible else ("infeasible", "none")
    axes.plot(at + 1, values[at], "o", ms=3, color=_GRAY, mfc=inside, label=label)
    if feasible:
        best = sign * np.minimum.accumulate(sign * values[at])
        axes.step(at + 1, best, where="post", lw=2, color=_BLUE, label="best so far")
    else:
        word = "least violating"
        axes.plot(chosen + 1, values[chosen], "o", ms=5, color=_BLUE, mfc="none", label=word)
    # Values far from the best would leave no room for it. If none is feasible, all may matter.
    places = _logs(values[at, None], on_log)[:, 0]
    low, high = np.quantile(sign * places, [0.0, 0.9 if feasible else 1.0])
    # A constant is drawn in the middle; on a logarithmic axis, one power of ten from the ends.
    margin = 0.05 * (high - low) or (0.0 if on_log[0] else abs(high)) or 1.0
    ends = np.array(sorted((sign * (low - margin), sign * (high + margin))))
    axes.set_ylim(*(10.0**ends if on_log[0] else ends))
    legend_above(axes, 3)


def _draw_plane(
    axes: Axes,
    label: str,
    inches: float,
    others: Floats,
    front: Floats,
    signs: Floats,
    ring: tuple[int, Role] | None,
    feasible: bool,
    on_log: Bools,
) -> None:
    """Draw the first two objectives of the front and of the other designs near it.

    `label` is that of the horizontal axis, and `inches` its width.
    """
    if len(front) == 0:
        return
    shown, places = _logs(front, on_log), _logs(others, on_log)
    low, high = shown.min(axis=0), shown.max(axis=0)
    # If the front has no range, most of the others tell what is near.
    away = np.quantile(np.maximum(low - places, places - high), 0.9, axis=0)
    margin = np.where(high > low, 0.5 * (high - low), away)
    near = ((places >= low - margin) & (places <= high + margin)).all(axis=1)
    inside = (_GRAY, _BLUE) if feasible else ("none", "none")
    words = ("evaluated", "front") if feasible else ("infeasible", "least violating")
    axes.plot(
        *others[near][:, :2].T, "o", ms=3, color=_GRAY, mfc=inside[0], label=words[0], zorder=1
    )
    if len(signs) == 2 and feasible:
        x, y = front[np.lexsort((signs * front).T[::-1])].T
        axes.step(x, y, where="post", lw=1.5, alpha=0.6, color=_BLUE, zorder=2)
    axes.plot(*front[:, :2].T, "o", ms=5, color=_BLUE, mfc=inside[1], label=words[1], zorder=3)
    if ring is not None:
        i, role = ring
        axes.plot(*front[i, :2], "o", ms=12, mfc="none", mec=_ORANGE, mew=2.2, label=role, zorder=4)
    if not on_log[0]:
        fit_numbers(axes, label, inches, 6)
    log_axes(axes, x=bool(on_log[0]), y=bool(on_log[1]))
    legend_above(axes, 3)


def _logs(F: Floats, on_log: Bools) -> Floats:
    """Return objectives [n, M] with the logarithms of those on logarithmic axes."""
    return np.where(on_log, np.log10(np.where(on_log, F, 1.0)), F)


def _draw_parallel(axes: Axes, front: Floats, signs: Floats, ring: tuple[int, Role] | None) -> None:
    if len(front) == 0:
        return
    minimized = front * signs
    span = np.ptp(minimized, axis=0)
    Z = (minimized - minimized.min(axis=0)) / np.where(span > 0, span, 1.0)
    at = np.arange(len(signs))
    drawn = Z[:: max(1, len(Z) // _MOST_LINES)]
    axes.plot(at, drawn.T, color=_BLUE, lw=0.7, alpha=max(0.1, min(0.6, 30 / len(drawn))))
    if ring is not None:
        i, role = ring
        axes.plot(at, Z[i], color=_ORANGE, lw=2.5, marker="o", label=role)
        legend_above(axes, 3)
