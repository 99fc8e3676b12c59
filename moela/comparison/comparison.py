"""The comparison of runs: its numbers as tables, its summary, and its pictures and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela._arrays import Floats
from moela._checks import require
from moela.comparison import pictures, significance, speedup
from moela.comparison.caveats import caveats_of
from moela.comparison.convergence import ConvergenceCurve, is_followed_exactly
from moela.comparison.scale import Scale
from moela.comparison.significance import Sample
from moela.comparison.summary import summary_text
from moela.heartbeat.working import long_work
from moela.notebook import html
from moela.plots import Look, looks
from moela.quality.front import Front, pooled
from moela.quality.runs import ComparedRun
from moela.quality.table import Row, Table
from moela.quality.words import amount

if TYPE_CHECKING:
    from pandas import DataFrame

    from moela.comparison.settings import ComparisonSettings


class Comparison:
    """The result of `compare`, which documents the rules.

    Printed, it is a summary. `table`, `summary`, `tests`, `wins`, `ranks`, `convergence` and
    `speedup` return the numbers, the `plot_...` methods draw pictures, and `report` writes a page
    with all of it.

    Attributes
    ----------
    runs : list of ComparedRun
        With their clean fronts.
    scales : dict of Scale by problem
        Ideal, nadir, and reference point with its origin.
    problems, algorithms, indicators : list of str
    settings : ComparisonSettings
        The parameters of `compare`.
    caveats : list of str
        Statements that a reader needs in order to judge the numbers.
    styles : dict of Look by algorithm
        Color, marker and line, the same in every picture.

    Examples
    --------
    >>> import moela
    >>> comparison = moela.compare({"ours": [[[0.0, 1.0], [1.0, 0.0]]], "theirs": [[[1.0, 1.0]]]})
    >>> comparison.algorithms
    ['ours', 'theirs']
    >>> comparison.problems
    ['problem']
    """

    def __init__(
        self,
        runs: list[ComparedRun],
        scales: Mapping[str, Scale],
        settings: ComparisonSettings,
        caveats: Sequence[str] = (),
    ) -> None:
        self.runs = runs
        self.scales = dict(scales)
        self.settings = settings
        self.problems = list(self.scales)
        self.algorithms = list(dict.fromkeys(run.algorithm for run in runs))
        self.indicators = list(settings.indicators)
        self.baseline = settings.baseline
        self.paired = settings.paired
        self.alpha = settings.alpha
        self._measured = [self.scales[run.problem].measure(run.F, self.indicators) for run in runs]
        self.caveats = [*caveats, *caveats_of(self)]

    def __repr__(self) -> str:
        runs = amount(len(self.runs), "run")
        algorithms = amount(len(self.algorithms), "algorithm")
        problems = amount(len(self.problems), "problem")
        return f"{type(self).__name__}({runs}, {algorithms}, {problems})"

    def __str__(self) -> str:
        return summary_text(self)

    def _repr_html_(self) -> str:
        return html.paragraph(repr(self)) + html.lines(str(self))

    def values(self, problem: str, algorithm: str, indicator: str | None = None) -> Floats:
        """Return an indicator of each run [n_runs], in the order of the runs.

        Parameters
        ----------
        problem, algorithm : str
        indicator : str, optional
            Default: the first one.
        """
        self.runs_of(problem, algorithm)
        return self.samples(indicator)[problem][algorithm].values

    def table(self) -> Table:
        """Return a table with one row per run.

        Columns: ``problem, algorithm, seed, points`` (of its front), ``evaluations, seconds``, the
        indicators on the common scale (``hypervolume`` as a share of the box between ideal and
        reference point), ``volume`` in units of the objectives, and ``left_out``.
        """
        rows = []
        for run, measured in zip(self.runs, self._measured, strict=True):
            row: Row = {
                "problem": run.problem,
                "algorithm": run.algorithm,
                "seed": run.seed,
                "points": len(run.F),
                "evaluations": run.n_eval,
                "seconds": run.seconds,
                **measured,
            }
            if "hypervolume" in measured:
                row["volume"] = measured["hypervolume"] * self.scales[run.problem].box
            row["left_out"] = ", ".join(f"{n} {why}" for why, n in run.left_out.items())
            rows.append(row)
        return Table(rows)

    def to_frame(self) -> DataFrame:
        """Return `table` as a pandas DataFrame, one row per run."""
        return self.table().to_frame()

    summary = significance.summary
    tests = significance.pairwise_tests
    wins = significance.wins
    ranks = significance.ranks
    ratios = significance.ratios

    def samples(self, indicator: str | None = None) -> dict[str, dict[str, Sample]]:
        """Return an indicator of all runs, by problem and algorithm."""
        name, table = self.only_indicator(indicator), self.table()
        out: dict[str, dict[str, Sample]] = {}
        for problem in self.problems:
            group = out[problem] = {}
            for algorithm in self.algorithms_on(problem):
                rows = table.where(problem=problem, algorithm=algorithm).rows
                values = np.array([row[name] for row in rows])
                group[algorithm] = Sample(values, tuple(row["seed"] for row in rows))
        return out

    def algorithms_on(self, problem: str) -> list[str]:
        """Return the algorithms that have a run on a problem."""
        present = {run.algorithm for run in self.runs if run.problem == problem}
        return [name for name in self.algorithms if name in present]

    def runs_of(self, problem: str, algorithm: str | None = None) -> list[ComparedRun]:
        """Return the runs on a problem, of one algorithm or of all; a ValueError if none is."""
        every = [run for run in self.runs if run.problem == problem]
        chosen = [run for run in every if algorithm in (None, run.algorithm)]
        if not chosen:
            raise ValueError(
                f"No run of {algorithm!r} on {problem!r}. There are the algorithms "
                f"{', '.join(self.algorithms)} on {', '.join(self.problems)}."
            )
        return chosen

    @property
    def has_history(self) -> bool:
        """Whether all evaluations of every run are known, in order."""
        return all(run.history is not None and run.history.n_eval for run in self.runs)

    def convergence_is_exact(self, problem: str) -> bool:
        """Tell whether convergence and speed-ups are exact, or estimated along directions."""
        fronts = [run.F for run in self.runs_of(problem)]
        return is_followed_exactly(max(len(F) for F in fronts), fronts[0].shape[1])

    convergence = speedup.convergence
    speedup = speedup.speedup

    @cached_property
    def curves(self) -> dict[str, dict[str, list[ConvergenceCurve]]]:
        """Convergence of each run by problem and algorithm, in which volumes are kept."""
        out: dict[str, dict[str, list[ConvergenceCurve]]] = {}
        for run in self.runs:
            exact = self.convergence_is_exact(run.problem)
            curve = ConvergenceCurve(run, self.scales[run.problem], exact=exact)
            out.setdefault(run.problem, {}).setdefault(run.algorithm, []).append(curve)
        return out

    def front(
        self, problem: str | None = None, algorithm: str | None = None, seed: int | None = None
    ) -> Front:
        """Return the front of all runs together, or of the runs of an algorithm or a seed.

        Its tables and texts have the objectives' own sign, its `F` is minimized.

        Parameters
        ----------
        problem : str, optional
            Not needed if there is only one.
        algorithm : str, optional
        seed : int, optional
        """
        name = self.only_problem(problem)
        chosen = [run for run in self.runs_of(name, algorithm) if seed in (None, run.seed)]
        require("front", "seed", seed, bool(chosen), "the seed of a run")
        return pooled(chosen, self.scales[name].signs)

    def only_problem(self, problem: str | None) -> str:
        """Return the problem of this name; None stands for the only problem."""
        if problem is None and len(self.problems) == 1:
            return self.problems[0]
        one_of = f"one of {', '.join(self.problems)}"
        require("Comparison", "problem", problem, problem in self.scales, one_of)
        return str(problem)

    def only_indicator(self, name: str | None) -> str:
        """Return the indicator of this name; None stands for the first."""
        if name is None:
            return self.indicators[0]
        one_of = f"one of {', '.join(self.indicators)}"
        require("Comparison", "indicator", name, name in self.indicators, one_of)
        return name

    @cached_property
    def styles(self) -> dict[str, Look]:
        """Color, marker and line of each algorithm, the same in every picture."""
        return looks(self.algorithms)

    @property
    def colors(self) -> dict[str, str]:
        """The color of each algorithm in every picture."""
        return {name: look.color for name, look in self.styles.items()}

    plot_fronts = pictures.plot_fronts
    plot_attainment = pictures.plot_attainment
    plot_attainment_difference = pictures.plot_attainment_difference
    plot_convergence = pictures.plot_convergence
    plot_values = pictures.plot_values
    plot_ranks = pictures.plot_ranks
    plot_profile = pictures.plot_profile
    save_pictures = pictures.save_pictures

    @long_work("writing a report")
    def report(self, path: str | Path, *, title: str = "Comparison") -> Path:
        """Write a page with all results: one HTML file that needs no network.

        Returns
        -------
        pathlib.Path

        Raises
        ------
        ImportError
            If jinja2 or plotly isn't installed (they come with ``pip install 'moela[report]'``).
        """
        from moela.comparison.report.page import write_report

        return write_report(self, path, title=title)
