"""Picture of ways to serve a model: tokens per second of a request, and of a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela.plots.style import COLORS, TEXT, Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from moe_costmodel import ServingPlan


def plot_plans(
    plans: Sequence[ServingPlan], marked: int, *, title: str = "", path: str | Path | None = None
) -> Figure:
    """Draw the tokens per second of a request against those of a GPU, with their intervals.

    Plans have a look by the GPUs of an instance; one is marked. The figure is saved if there is a
    path.
    """
    sizes = [max(pool.layout.n_gpus for pool in plan.pools) for plan in plans]
    names = {n: f"{n} GPU{'s' * (n > 1)} an instance" for n in sorted(set(sizes))}
    picture = Picture(names.values(), 9.0, 6.0, title=title, path=path)
    axes = picture.axes("tokens per second of a request", "tokens per second and GPU")
    for n, name in names.items():
        look = picture.styles[name]
        some = [plan.objectives for plan, size in zip(plans, sizes, strict=True) if size == n]
        x, y = ([values[key] for values in some]
                for key in ("tokens_per_s_per_user", "tokens_per_s_per_gpu"))  # fmt: skip
        spans = [
            np.array([[v.value - v.low for v in side], [v.high - v.value for v in side]])
            for side in (x, y)
        ]
        axes.errorbar(
            [v.value for v in x], [v.value for v in y], xerr=spans[0], yerr=spans[1],
            fmt=look.marker, color=look.color, ms=7, elinewidth=0.6, alpha=0.8,
        )  # fmt: skip
    best = plans[marked].objectives
    at = best["tokens_per_s_per_user"].value, best["tokens_per_s_per_gpu"].value
    axes.plot(*at, "o", ms=17, mfc="none", mec=COLORS[6], mew=1.8)
    axes.annotate("knee", at, xytext=(10, 10), textcoords="offset points", fontsize=TEXT - 2)
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    picture.legend(axes)
    return picture.done()
