"""A front of serving plans: rows of tables and files, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela.notebook.style import COLORS, TEXT
from moela.plots.style import Picture
from moela.quality.explain import Role
from moela.quality.table import Row, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from moe_costmodel import Predicted, ServingPlan, ServingPool

LONGEST = 12
# Objectives by the heading of their column, and the factor of its unit.
COLUMNS = {
    "tokens_per_s_per_user": ("tokens/s/user", 1.0), "tokens_per_s_per_gpu": ("tokens/s/GPU", 1.0),
    "ttft": ("TTFT ms", 1e3), "tpot_mean": ("TPOT ms", 1e3),
    "cost_per_million_tokens": ("cost/M tokens", 1.0), "quality_loss": ("quality loss", 1.0),
}  # fmt: skip


def layout_text(plan: ServingPlan) -> str:
    """Return the layouts of a plan's pools, in short."""
    return " + ".join(_pool_text(pool, len(plan.pools) > 1) for pool in plan.pools)


def _pool_text(pool: ServingPool, with_role: bool) -> str:
    layout = pool.layout
    words = [f"{pool.role[0].upper()}:"] if with_role else []
    words += [f"{pool.replicas}x", f"tp{layout.tp}"]
    degrees = {"dp": layout.dp, "ep": layout.moe_ep, "pp": layout.pp}
    words += [f"{name}{n}" for name, n in degrees.items() if n > 1]
    if pool.redundant_experts:
        words.append(f"+{pool.redundant_experts}")
    return " ".join(words)


def batch_text(plan: ServingPlan) -> str:
    """Return the requests in flight on an instance of each pool."""
    return " + ".join(str(pool.concurrency) for pool in plan.pools)


def plan_row(plan: ServingPlan) -> Row:
    """Return the cells of a plan: layout, batch, and its predicted values with their intervals."""
    row: Row = {"layout": layout_text(plan), "batch": batch_text(plan)}
    losses = any(rule is not None for rule in plan.gates)
    for name, (heading, factor) in COLUMNS.items():
        value = plan.objectives.get(name)
        if value is not None and (name != "quality_loss" or losses):
            row[heading] = _cell(value, factor, spread=name in ("ttft", "tpot_mean"))
    return row


def _cell(value: Predicted, factor: float, *, spread: bool) -> str:
    text = _number(value.value * factor)
    if spread and value.low < value.high:
        text += f" ({_number(value.low * factor)}-{_number(value.high * factor)})"
    return text


def _number(value: float) -> str:
    """Return a number with three significant digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def evenly_spread(n: int, *keep: int) -> list[int]:
    """Return the rows to show of n: at most a dozen, and those to keep."""
    step = max(1, n - 1) / (LONGEST - 1)
    shown = range(n) if n <= LONGEST else (round(i * step) for i in range(LONGEST))
    return sorted({*shown, *keep})


def table_of(rows: Sequence[Row]) -> Table:
    """Return a table; a cell that some rows lack is empty."""
    columns = dict.fromkeys(column for row in rows for column in row)
    return Table([{column: row.get(column, "") for column in columns} for row in rows])


def file_columns(plans: Sequence[ServingPlan]) -> dict[str, list[object]]:
    """Return the columns of a front's file: layout, batch, and values with their intervals."""
    columns: dict[str, list[object]] = {
        "layout": [layout_text(plan) for plan in plans],
        "concurrency": [batch_text(plan) for plan in plans],
        "max_num_batched_tokens": [
            " + ".join(str(pool.max_num_batched_tokens) for pool in plan.pools) for plan in plans
        ],
    }
    names = dict.fromkeys(name for plan in plans for name in plan.objectives)
    for name in names:
        values = [plan.objectives.get(name) for plan in plans]
        columns[name] = ["" if v is None else v.value for v in values]
        for end in ("low", "high"):
            columns[f"{name}_{end}"] = ["" if v is None else getattr(v, end) for v in values]
    return columns


def plot_plans(
    plans: Sequence[ServingPlan],
    marked: int,
    *,
    role: Role = Role.KNEE,
    title: str = "",
    path: str | Path | None = None,
) -> Figure:
    """Draw the tokens per second of a request against those of a GPU, with their intervals.

    Plans have a look by the GPUs of an instance; one is marked with its role. The figure is saved
    if there is a path.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

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
    axes.annotate(role, at, xytext=(10, 10), textcoords="offset points", fontsize=TEXT - 2)
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    picture.legend(axes)
    return picture.done()
