"""The pictures of a comparison, drawn by `moela.plots`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from moela import plots
from moela._arrays import Floats
from moela._checks import require
from moela.comparison.scale import LARGER_IS_BETTER, TITLES
from moela.heartbeat.working import long_work
from moela.plots.scales import LogAxes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from moela.comparison.comparison import Comparison

_MAX_DIFFERENCES = 3

Captioned = tuple[str, Callable[..., "Figure"]]
"""A caption, and the function that draws the picture, into the file ``path`` if given."""

Saved = str | Path | None


def plot_fronts(
    c: Comparison,
    problem: str | None = None,
    kind: str | None = None,
    path: Saved = None,
    *,
    log: LogAxes = False,
) -> Figure:
    """Draw the front of each algorithm, all of its runs together.

    Parameters
    ----------
    problem : str, optional
        Not needed if there is only one.
    kind : {"2d", "3d", "matrix", "parallel"}, optional
        Default: by the number of objectives; the matrix of all pairs for more than three.
    path : str or Path, optional
        File to save the picture in.
    log : bool or sequence of str
        Objectives with a logarithmic axis, of two: all, or those named. Their values must be
        positive.
    """
    name = c.only_problem(problem)
    scale = c.scales[name]
    n_obj = len(scale.names)
    chosen = kind or {2: "2d", 3: "3d"}.get(n_obj, "matrix")
    allowed = ["matrix", "parallel", *{2: ["2d"], 3: ["3d"]}.get(n_obj, [])]
    one_of = f"one of {', '.join(allowed)} for {n_obj} objectives"
    require("plot_fronts", "kind", kind, chosen in allowed, one_of)
    draw: Callable[..., Figure] = getattr(plots, f"plot_{chosen}")
    if chosen == "parallel":
        draw = partial(draw, ideal=scale.ideal, nadir=scale.nadir)
    if chosen == "2d":
        titles = dict(zip(scale.names, scale.titles, strict=True))
        named = [log] if isinstance(log, str) else log
        on_log = named if isinstance(named, bool) else [titles.get(each, each) for each in named]
        draw = partial(draw, log=on_log)
    else:
        require("plot_fronts", "log", log, log is False, "left out unless the kind is '2d'")
    fronts = {a: F for a in c.algorithms_on(name) if len(F := c.front(name, a).F)}
    return draw(fronts, scale.titles, styles=c.styles, title=name, path=path)


def plot_attainment(c: Comparison, problem: str | None = None, path: Saved = None) -> Figure:
    """Draw the region that the runs of each algorithm attain, for two or three objectives."""
    name = c.only_problem(problem)
    fronts = {a: runs for a, runs in _fronts(c, name).items() if any(len(F) for F in runs)}
    names = c.scales[name].titles
    return plots.plot_attainment(fronts, names, styles=c.styles, title=name, path=path)


def plot_attainment_difference(
    c: Comparison, algorithm: str, rival: str, problem: str | None = None, path: Saved = None
) -> Figure:
    """Draw where runs of one algorithm attain more often than another's, for two objectives."""
    name = c.only_problem(problem)
    fronts = _fronts(c, name)
    for parameter, given in (("algorithm", algorithm), ("rival", rival)):
        one_of = f"one of {', '.join(fronts)}"
        require("plot_attainment_difference", parameter, given, given in fronts, one_of)
    return plots.plot_attainment_difference(
        fronts[algorithm], fronts[rival], c.scales[name].titles, labels=(algorithm, rival),
        styles=c.styles, title=name, path=path,
    )  # fmt: skip


def plot_convergence(c: Comparison, problem: str | None = None, path: Saved = None) -> Figure:
    """Draw the hypervolume over evaluations: medians, and bands between the quartiles."""
    name = c.only_problem(problem)
    table = c.convergence().where(problem=name)
    return plots.plot_convergence(table, styles=c.styles, title=name, path=path)


def plot_values(
    c: Comparison, problem: str | None = None, indicator: str | None = None, path: Saved = None
) -> Figure:
    """Draw an indicator of each run, algorithms side by side."""
    name = c.only_problem(problem)
    values = {a: sample.values for a, sample in c.samples(indicator)[name].items()}
    ylabel = axis_title(c.only_indicator(indicator))
    return plots.plot_values(values, ylabel=ylabel, styles=c.styles, title=name, path=path)


def plot_ranks(c: Comparison, indicator: str | None = None, path: Saved = None) -> Figure:
    """Draw the critical difference diagram of mean ranks.

    Raises
    ------
    ValueError
        There are no blocks to rank within: only one problem, and runs that can't be paired.
    """
    overall, name = c.ranks(indicator), c.only_indicator(indicator)
    if overall.ranking is None:
        raise ValueError(
            "Mean ranks need two algorithms, and several problems or runs of equal seeds. Got "
            f"{len(overall.algorithms)} algorithms, {len(c.problems)} problems and runs that "
            "cannot be paired; add problems, or give all algorithms the same seeds."
        )
    blocks = f"{overall.ranking.n_blocks} {overall.blocks}"
    title = f"mean ranks by {TITLES[name]} over {blocks}"
    return plots.plot_ranks(
        overall.algorithms, overall.ranking, styles=c.styles, title=title, path=path
    )


def plot_profile(c: Comparison, indicator: str | None = None, path: Saved = None) -> Figure:
    """Draw the share of instances on which each algorithm is within a factor of the best.

    `ratios` defines the instances.
    """
    ratios, name = c.ratios(indicator), c.only_indicator(indicator)
    label = f"{TITLES[name]}: {'best over own' if LARGER_IS_BETTER[name] else 'times the best'}"
    return plots.plot_profile(ratios, xlabel=label, styles=c.styles, path=path)


def pictures_of_problem(c: Comparison, problem: str) -> dict[str, Captioned]:
    """Return the available pictures of a problem by name."""
    n_obj = len(c.scales[problem].names)
    out: dict[str, Captioned] = {
        "fronts": (
            "The front of each algorithm, all of its runs together.",
            partial(plot_fronts, c, problem),
        )
    }
    if n_obj > 2:
        out["parallel"] = (
            "The same fronts across all objectives, one line per design.",
            partial(plot_fronts, c, problem, "parallel"),
        )
    if n_obj <= 3:
        out["attainment"] = (
            "Median attainment surface; the band runs from the region any run attains to the "
            "region all runs attain."
            if n_obj == 2
            else "The third objective that half of the runs attain, given the first two.",
            partial(plot_attainment, c, problem),
        )
    if n_obj == 2:
        for k, (a, b) in enumerate(_pairs_to_differ(c, problem), 1):
            out[f"difference-{k}"] = (
                f"Regions that runs of {a} or of {b} attain more often.",
                partial(plot_attainment_difference, c, a, b, problem),
            )
    title = axis_title(c.indicators[0])
    out["values"] = (
        f"{title[:1].upper()}{title[1:]}: each run, with median and quartiles.",
        partial(plot_values, c, problem),
    )
    if c.has_history:
        out["convergence"] = (
            "Hypervolume over evaluations: medians, and bands between the quartiles.",
            partial(plot_convergence, c, problem),
        )
    return out


def pictures_of_all(c: Comparison) -> dict[str, Captioned]:
    """Return the available pictures of all problems together by name."""
    out: dict[str, Captioned] = {}
    first = c.indicators[0]
    if len(c.algorithms) < 2:
        return out
    if c.ranks().ranking is not None:
        out["ranks"] = (
            "Mean ranks, 1 is best; bars join algorithms without significant differences.",
            partial(plot_ranks, c),
        )
    if any(len(group) == len(c.algorithms) for group in c.samples(first).values()):
        out["profile"] = (
            "Share of the instances on which an algorithm is within a factor of the best one.",
            partial(plot_profile, c),
        )
    return out


@long_work("drawing pictures")
def save_pictures(c: Comparison, folder: str | Path) -> list[Path]:
    """Write every available picture into a folder as PNG files, and return their paths."""
    out = Path(folder).expanduser()
    out.mkdir(parents=True, exist_ok=True)
    named = {
        f"{number}-{file_name(problem)}-{name}": picture
        for number, problem in enumerate(c.problems, 1)
        for name, picture in pictures_of_problem(c, problem).items()
    } | pictures_of_all(c)
    paths = []
    for name, (_, draw) in named.items():
        paths.append(out / f"{name}.png")
        draw(path=paths[-1])
    return paths


def axis_title(indicator: str) -> str:
    """Return the title of an indicator's axis, with the direction that is better."""
    if indicator == "hypervolume":
        return "hypervolume (share), up is better"
    return f"{TITLES[indicator]}, down is better"


def file_name(name: str) -> str:
    """Return a name as part of a file name: letters, digits and a few signs, no path."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name).strip(".")[:60] or "problem"


def _pairs_to_differ(c: Comparison, problem: str) -> list[tuple[str, str]]:
    """Return pairs to draw differences of: the baseline, or the best, with a few others."""
    rows = c.summary().where(problem=problem).rows
    present = {run.algorithm for run in c.runs_of(problem) if len(run.F)}
    rows = [row for row in rows if row["algorithm"] in present]
    names = [row["algorithm"] for row in rows]
    best = [row["algorithm"] for row in rows if row["best"]]
    first = c.baseline if c.baseline in names else next(iter(best), None)
    if first is None:
        return []
    return [(first, name) for name in names if name != first][:_MAX_DIFFERENCES]


def _fronts(c: Comparison, problem: str) -> dict[str, list[Floats]]:
    """Return the front of each run on a problem, by algorithm."""
    return {a: [run.F for run in c.runs_of(problem, a)] for a in c.algorithms_on(problem)}
