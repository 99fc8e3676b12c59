"""Pictures of convergence over evaluations, and performance profiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Unpack

import numpy as np

from moela._arrays import Floats
from moela._checks import require
from moela.plots.checks import samples_of
from moela.plots.style import Options, Picture
from moela.quality.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_convergence(
    table: Table, *, ylabel: str = "hypervolume (share)", **options: Unpack[Options]
) -> Figure:
    """Draw the median over evaluations, and a band between the quartiles.

    Parameters
    ----------
    table : Table
        ``algorithm, evaluations, median, q1, q3``; see `Comparison.convergence`.
    ylabel : str
    **options
        See `plot_2d`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The table has no rows.

    Examples
    --------
    >>> from pymoo.algorithms.moo.nsga2 import NSGA2
    >>> from pymoo.problems import get_problem
    >>> import moela
    >>> from moela.plots import plot_convergence
    >>> problems, algorithms = {"ZDT1": get_problem("zdt1")}, {"NSGA-II": lambda _: NSGA2(20)}
    >>> results = moela.run_experiment(problems, algorithms, seeds=2, budget=100, progress=False)
    >>> figure = plot_convergence(moela.compare(results).convergence())
    >>> figure.axes[0].get_ylabel()
    'hypervolume (share)'
    """
    require("plot_convergence", "table", table, len(table) > 0, "a table with at least one row")
    picture = Picture(dict.fromkeys(row["algorithm"] for row in table), **options)
    axes = picture.axes("evaluations", ylabel)
    for name in picture.names:
        rows, look = table.where(algorithm=name).rows, picture.styles[name]
        x, median, q1, q3 = (
            np.array([row[key] for row in rows]) for key in ("evaluations", "median", "q1", "q3")
        )
        axes.fill_between(x, q1, q3, color=look.color, alpha=0.2, lw=0)
        axes.plot(
            x, median, color=look.color, ls=look.line, lw=2.6, marker=look.marker, ms=8,
            markevery=max(1, len(x) // 7),
        )  # fmt: skip
    axes.set_xscale("log")
    picture.legend(axes)
    return picture.done()


def plot_profile(
    ratios: Mapping[str, Floats], *, xlabel: str = "times the best", **options: Unpack[Options]
) -> Figure:
    """Draw the share of instances on which each algorithm is within a factor of the best.

    Parameters
    ----------
    ratios : dict of float array [n] by algorithm
        Ratio to the best algorithm on each instance, at least 1; infinity if the algorithm failed.
        See `Comparison.ratios`.
    xlabel : str
    **options
        See `plot_2d`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        There are no numbers.

    References
    ----------
    Dolan and Moré 2002, "Benchmarking optimization software with performance profiles".

    Examples
    --------
    >>> import numpy as np
    >>> from moela.plots import plot_profile
    >>> figure = plot_profile({"ours": np.array([1.0, 1.2]), "theirs": np.array([1.5, np.inf])})
    >>> figure.axes[0].get_xlabel()
    'times the best'
    """
    ratios = samples_of("plot_profile", "ratios", ratios)
    finite = np.concatenate([r[np.isfinite(r)] for r in ratios.values()])
    furthest = max(float(finite.max()) if len(finite) else 1.0, 1.001)
    right = furthest**1.08
    picture = Picture(ratios, **options)
    axes = picture.axes(xlabel, "share of the instances")
    for name, own in ratios.items():
        look = picture.styles[name]
        ordered = np.sort(own[np.isfinite(own)])
        share = np.arange(1, len(ordered) + 1) / len(own)
        x = np.concatenate([[1.0], ordered, [right]])
        y = np.concatenate([[0.0], share, share[-1:] if len(share) else [0.0]])
        axes.step(x, y, where="post", color=look.color, ls=look.line, lw=2.8)
    if furthest > 10:
        axes.set_xscale("log")
    axes.set(xlim=(1.0, right), ylim=(-0.02, 1.04))
    # The lines end at the top right, so there is room below.
    picture.legend(axes, "lower right", marker=False)
    return picture.done()
