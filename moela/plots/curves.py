"""Pictures of convergence over evaluations, and performance profiles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela._arrays import Floats
from moela.plots.style import Look, add_legend, done, dress, lines_for, looks, new_figure
from moela.quality.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_convergence(
    table: Table,
    *,
    ylabel: str = "hypervolume (share)",
    styles: Mapping[str, Look] | None = None,
    title: str = "",
    path: str | Path | None = None,
) -> Figure:
    """Draw the median over evaluations, and a band between the quartiles.

    Parameters
    ----------
    table : Table
        ``algorithm, evaluations, median, q1, q3``; see `Comparison.convergence`.
    ylabel : str
    styles, title, path
        See `plot_2d`.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from pymoo.algorithms.moo.nsga2 import NSGA2
    >>> from pymoo.problems import get_problem
    >>> import moela
    >>> from moela.plots import plot_convergence
    >>> results = moela.run_experiment(
    ...     {"ZDT1": get_problem("zdt1")},
    ...     {"NSGA-II": lambda problem: NSGA2(20)},
    ...     seeds=2,
    ...     budget=100,
    ...     progress=False,
    ... )
    >>> figure = plot_convergence(moela.compare(results).convergence())
    >>> figure.axes[0].get_ylabel()
    'hypervolume (share)'
    """
    names = list(dict.fromkeys(row["algorithm"] for row in table))
    styles = looks(names) if styles is None else styles
    figure = new_figure()
    axes = figure.subplots()
    for name in names:
        rows, look = table.where(algorithm=name).rows, styles[name]
        x, median, q1, q3 = (
            np.array([row[key] for row in rows]) for key in ("evaluations", "median", "q1", "q3")
        )
        axes.fill_between(x, q1, q3, color=look.color, alpha=0.2, lw=0)
        axes.plot(
            x, median, color=look.color, ls=look.line, lw=2.6, marker=look.marker, ms=8,
            markevery=max(1, len(x) // 7),
        )  # fmt: skip
    axes.set_xscale("log")
    dress(axes, "evaluations", ylabel, title)
    add_legend(figure, axes, lines_for(names, styles), names)
    return done(figure, path)


def plot_profile(
    ratios: Mapping[str, Floats],
    *,
    xlabel: str = "times the best",
    styles: Mapping[str, Look] | None = None,
    title: str = "",
    path: str | Path | None = None,
) -> Figure:
    """Draw the share of instances on which each algorithm is within a factor of the best.

    Parameters
    ----------
    ratios : dict of float array [n] by algorithm
        Ratio to the best algorithm on each instance, at least 1; infinity if the algorithm failed.
        See `Comparison.ratios`.
    xlabel : str
    styles, title, path
        See `plot_2d`.

    Returns
    -------
    matplotlib.figure.Figure

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
    names = list(ratios)
    styles = looks(names) if styles is None else styles
    finite = np.concatenate([r[np.isfinite(r)] for r in ratios.values()])
    furthest = max(float(finite.max()) if len(finite) else 1.0, 1.001)
    right = furthest**1.08
    figure = new_figure()
    axes = figure.subplots()
    for name in names:
        look = styles[name]
        ordered = np.sort(ratios[name][np.isfinite(ratios[name])])
        share = np.arange(1, len(ordered) + 1) / len(ratios[name])
        x = np.concatenate([[1.0], ordered, [right]])
        y = np.concatenate([[0.0], share, share[-1:] if len(share) else [0.0]])
        axes.step(x, y, where="post", color=look.color, ls=look.line, lw=2.8)
    if furthest > 10:
        axes.set_xscale("log")
    axes.set_xlim(1.0, right)
    axes.set_ylim(-0.02, 1.04)
    dress(axes, xlabel, "share of the instances", title)
    # The lines end at the top right, so there is room below.
    handles = lines_for(names, styles, marker=False)
    add_legend(figure, axes, handles, names, loc="lower right")
    return done(figure, path)
