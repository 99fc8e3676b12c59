"""Pictures of importances and slices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela._arrays import Floats
from moela.explanation.forest import trusted
from moela.notebook.style import COLORS, SMALL, TEXT, dress, new_figure, short
from moela.plots.style import saved
from moela.quality.words import amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from moela.explanation.importances import Importances

_BLUE, _ORANGE, _GREEN = COLORS[:3]
_GRAY = "#BBBBBB"
_MOST_BARS, _MOST_TICKS = 12, 10
_LONGEST = 16  # characters of a label


def plot_importances(found: Importances, *, title: str | None, path: str | Path | None) -> Figure:
    """Draw a panel of bars for each output; see `Importances.plot`."""
    shown = found.order()[:_MOST_BARS]
    left_out = len(found.variables) - len(shown)
    n = len(found.names)
    figure = new_figure(2.2 + 3.6 * n, 2.2 + 0.42 * len(shown))
    panels = figure.subplots(1, n, sharey=True, squeeze=False)[0]
    at = np.arange(len(shown))[::-1]
    for axes, name in zip(panels, found.names, strict=True):
        measured = found.measured[name]
        rows = [found.variables.index(v) for v in shown]
        known = trusted(measured.r2)
        axes.barh(
            at, np.maximum(measured.shares[rows], 0.0), xerr=measured.deviations[rows],
            color=_BLUE if known else "none", edgecolor=_BLUE if known else _GRAY,
            hatch=None if known else "///", ecolor="#595959", height=0.62,
            error_kw={"lw": 1.2},
        )  # fmt: skip
        dress(axes, "R2 lost if shuffled", "", name, inches=(3.3, 3.0))
        axes.set_xlim(left=0.0)
        axes.grid(visible=False, axis="y")
        axes.locator_params(axis="x", nbins=4)
        note = f"R2 = {measured.r2:.2f}" + ("" if known else ": means nothing")
        if found.moved[name]:
            note += f"\nwithout {amount(found.moved[name], 'penalty value')}"
        axes.text(
            0.97, 0.03, note, transform=axes.transAxes, ha="right", va="bottom", fontsize=SMALL,
            bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 2},
        )  # fmt: skip
    panels[0].set_yticks(at, [short(v, 22) for v in shown])
    if left_out:
        figure.supxlabel(f"and {left_out} variables that matter less", fontsize=SMALL)
    _add_title(figure, title)
    return saved(figure, path)


def plot_slices(
    found: Importances, variables: Sequence[str], *, title: str | None, path: str | Path | None
) -> Figure:
    """Draw a row of panels for each output, a column for each variable."""
    n, m = len(found.names), len(variables)
    figure = new_figure(1.2 + 3.4 * m, 0.8 + 2.9 * n)
    panels = figure.subplots(n, m, sharey="row", squeeze=False)
    for i, name in enumerate(found.names):
        for j, variable in enumerate(variables):
            axes = panels[i, j]
            labels = (variable if i == n - 1 else "", name if j == 0 else "")
            dress(axes, *labels, inches=(3.8, 2.1))
            _draw(axes, found, name, variable)
            axes.locator_params(axis="y", nbins=5)
            axes.set_ylim(*found.limits(name))
        notes = [] if trusted(found.r2[name]) else ["the forest cannot predict this"]
        if found.moved[name]:
            notes.append(f"without {amount(found.moved[name], 'penalty value')}")
        panels[i, 0].set_title("; ".join(notes), fontsize=SMALL, loc="left")
    # A panel may lack some: an order has no points, and a run without a feasible design no front.
    entries = {
        label: handle
        for axes in panels.ravel()
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        entries.values(), entries, loc="outside lower center", ncols=max(1, len(entries)),
        fontsize=SMALL, frameon=False,
    )  # fmt: skip
    _add_title(figure, title)
    return saved(figure, path)


def _draw(axes: Axes, found: Importances, name: str, variable: str) -> None:
    """Draw the designs and the forest's mean of one output over one variable."""
    column = found.columns[found.variables.index(variable)]
    if column.kind == "order":
        axes.text(
            0.5, 0.5, "no slice of an order", transform=axes.transAxes, ha="center", fontsize=SMALL
        )
        axes.set_xticks([])
        return
    x, y, front = found.points(name, variable)
    if column.kind == "label":  # side by side, in the order of evaluation
        x = column.rank[x.astype(np.intp)] + 0.5 * (_ramp(x) - 0.5)
    axes.plot(x[~front], y[~front], "o", ms=3, color=_GRAY, label="evaluated", zorder=1)
    if front.any():
        axes.plot(x[front], y[front], "o", ms=4, color=_BLUE, label="front", zorder=2)
    curve = found.slice(name, variable)
    if column.kind == "number":
        if column.log:
            axes.set_xscale("log")
            _name_logarithmic(axes, float(x.min()), float(x.max()))
        else:
            axes.locator_params(axis="x", nbins=3)  # more numbers would touch those beside them
    else:
        every = max(1, -(-len(column.titles) // _MOST_TICKS))
        labels = [short(text, _LONGEST) for text in column.titles]
        axes.set_xticks(np.arange(len(labels))[::every], labels[::every])
        axes.set_xlim(-0.6, max(0, len(labels) - 1) + 0.6)
        if sum(map(len, labels[::every])) > 24:
            for tick in axes.get_xticklabels():
                tick.set(rotation=25, ha="right", rotation_mode="anchor")
    if curve is None:
        return
    if column.kind == "number":
        axes.plot(curve.at, curve.mean, lw=2.6, color=_ORANGE, label="mean of the forest", zorder=3)
    else:
        at = column.rank[curve.at.astype(np.intp)]
        axes.hlines(
            curve.mean, at - 0.38, at + 0.38, lw=3, color=_ORANGE,
            label="mean of the forest", zorder=3,
        )  # fmt: skip


def _name_logarithmic(axes: Axes, low: float, high: float) -> None:
    """Write plain numbers at a few places of a logarithmic axis from `low` to `high`."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    decades = math.log10(high / low)
    if decades >= 2.5:
        return  # powers of ten are enough
    if decades >= 0.7:
        subs = (1.0, 3.0) if decades >= 1.2 else (1.0, 2.0, 5.0)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _ramp(x: Floats) -> Floats:
    """Return for each value its place among the equal ones, from 0 to 1."""
    out = np.full(len(x), 0.5)
    for value in np.unique(x):
        same = np.flatnonzero(x == value)
        if len(same) > 1:
            out[same] = np.linspace(0.0, 1.0, len(same))
    return out


def _add_title(figure: Figure, title: str | None) -> None:
    if title:
        figure.suptitle(short(title, 70), fontsize=TEXT)
