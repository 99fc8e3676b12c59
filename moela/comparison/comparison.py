"""The comparison of runs: its numbers as tables, its summary, and its pictures and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela._arrays import Floats
from moela._checks import require
from moela.comparison import pictures, significance
from moela.comparison.caveats import caveats_of
from moela.comparison.convergence import ConvergenceCurve, is_followed_exactly
from moela.comparison.scale import Scale
from moela.comparison.significance import Overall, Sample
from moela.comparison.speedup import convergence_table, speedup_table
from moela.comparison.summary import summary_text
from moela.quality.front import Front, pooled
from moela.quality.runs import ComparedRun
from moela.quality.table import Row, Table

if TYPE_CHECKING:
    from pandas import DataFrame

    from moela.comparison.settings import ComparisonSettings
    from moela.plots import Look


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
    settings : Settings
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
        return (
            f"{type(self).__name__}({len(self.runs)} runs, {len(self.algorithms)} algorithms, "
            f"{len(self.problems)} problems)"
        )

    def __str__(self) -> str:
        return summary_text(self)

    # ---------------------------------------------------------------------------------- indicators

    def values(self, problem: str, algorithm: str, indicator: str | None = None) -> Floats:
        """Return an indicator of each run [n_runs], in the order of the runs.

        Parameters
        ----------
        problem, algorithm : str
        indicator : str, optional
            Default: the first one.
        """
        name = self._indicator(indicator)
        return np.array([m[name] for _, m in self._of(problem, algorithm)])

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

    def summary(self, indicator: str | None = None) -> Table:
        """Return medians and quartiles over the runs of an algorithm on a problem.

        Columns: ``problem, algorithm, runs, median, q1, q3, best`` (whether no median is better).
        """
        name = self._indicator(indicator)
        return significance.summary_table(self.samples(name), name)

    def tests(self, indicator: str | None = None) -> Table:
        """Return a table with one row for each pair of algorithms on each problem.

        Columns: ``problem, algorithm, rival, n, n_rival, median, rival_median, test, p_value``
        (two-sided), ``a12`` (the probability that a run of the algorithm is better than one of the
        rival), ``effect`` (in a word), ``least_p`` (the smallest p-value that this number of runs
        can give), ``p_holm`` and ``verdict``. The test is Wilcoxon's: signed rank if runs are
        paired by seed, rank sum otherwise. Holm's correction is over the pairs on a problem.
        """
        name = self._indicator(indicator)
        return significance.test_table(
            self.samples(name), name, baseline=self.baseline, paired=self.paired, alpha=self.alpha
        )

    def wins(self, indicator: str | None = None) -> Table:
        """Return the share of comparisons of runs that the algorithm of a row wins.

        Each rival has a column; ``overall`` is the mean over rivals. Runs of equal seeds are
        compared if they are pairs, else every run with every run. Ties count half, and problems
        have equal weights.
        """
        name = self._indicator(indicator)
        return significance.win_table(self.samples(name), name, self.algorithms, self.paired)

    def ranks(self, indicator: str | None = None) -> Overall:
        """Return mean ranks and Friedman's test: over problems, or over seeds of one problem."""
        name = self._indicator(indicator)
        return significance.rank_all(self.samples(name), name, self.paired, self.alpha)

    def ratios(self, indicator: str | None = None) -> dict[str, Floats]:
        """Return how many times worse than the best algorithm each one is, by instance.

        An instance is a problem and a run: the runs of equal seeds if all algorithms have the same
        seeds, else the first run of each algorithm, the second, and so on. Problems on which an
        algorithm has no run are left out.

        Returns
        -------
        dict of float array [n_instances] by algorithm
            At least 1; infinity if a run has no feasible point and another has.
        """
        name = self._indicator(indicator)
        return significance.performance_ratios(self.samples(name), name, self.algorithms)

    def samples(self, indicator: str) -> dict[str, dict[str, Sample]]:
        """Return an indicator of all runs, by problem and algorithm."""
        out: dict[str, dict[str, Sample]] = {}
        for problem in self.problems:
            present = {run.algorithm for run in self.runs if run.problem == problem}
            out[problem] = {
                a: Sample(
                    self.values(problem, a, indicator),
                    tuple(run.seed for run, _ in self._of(problem, a)),
                )
                for a in self.algorithms
                if a in present
            }
        return out

    # --------------------------------------------------------------------------------- convergence

    @property
    def has_history(self) -> bool:
        """Whether all evaluations of every run are known, in order."""
        return all(run.history is not None and run.history.n_eval for run in self.runs)

    def convergence_is_exact(self, problem: str) -> bool:
        """Tell whether convergence and speed-ups are exact, or estimated along directions."""
        fronts = [run.F for run in self.runs if run.problem == problem]
        return is_followed_exactly(max(len(F) for F in fronts), fronts[0].shape[1])

    def convergence(self) -> Table:
        """Return medians and quartiles of the hypervolume's share after numbers of evaluations.

        Columns: ``problem, algorithm, evaluations, n, median, q1, q3``; 40 checkpoints, spread
        evenly on a logarithmic axis, up to the shortest run of the algorithm.

        Raises
        ------
        ValueError
            The evaluations of a run are unknown.
        """
        return self._convergence

    def speedup(self) -> Table:
        """Return how much sooner an algorithm reaches the final quality of a rival.

        The target is the (lower) median of the rival's final hypervolumes. Columns: ``problem,
        algorithm, rival, target, reached`` (number of runs that reached it) ``, n, evaluations, q1,
        q3`` (median and quartiles over all runs, infinity for a run that never did),
        ``rival_evaluations`` (median number after which the rival's own runs first reached it),
        ``speedup`` (their ratio; NaN if half of the runs never did), and the same in ``seconds``.
        Seconds are recorded with each evaluation in a store; otherwise a run's time is spread
        evenly.

        Raises
        ------
        ValueError
            The evaluations of a run are unknown.
        """
        return speedup_table(self._curves, self.scales, self.baseline)

    @cached_property
    def _curves(self) -> dict[str, dict[str, list[ConvergenceCurve]]]:
        out: dict[str, dict[str, list[ConvergenceCurve]]] = {}
        for run in self.runs:
            exact = self.convergence_is_exact(run.problem)
            curve = ConvergenceCurve(run, self.scales[run.problem], exact=exact)
            out.setdefault(run.problem, {}).setdefault(run.algorithm, []).append(curve)
        return out

    @cached_property
    def _convergence(self) -> Table:
        return convergence_table(self._curves)

    # -------------------------------------------------------------------------------------- fronts

    def front(
        self, problem: str | None = None, algorithm: str | None = None, seed: int | None = None
    ) -> Front:
        """Return the front of all runs together, or of the runs of an algorithm or a seed.

        Parameters
        ----------
        problem : str, optional
            Not needed if there is only one.
        algorithm : str, optional
        seed : int, optional
        """
        name = self.only_problem(problem)
        chosen = [run for run, _ in self._of(name, algorithm) if seed in (None, run.seed)]
        require("front", "seed", seed, bool(chosen), "the seed of a run")
        return pooled(chosen)

    def only_problem(self, problem: str | None) -> str:
        """Return the problem of this name; None stands for the only problem."""
        if problem is None and len(self.problems) == 1:
            return self.problems[0]
        one_of = f"one of {', '.join(self.problems)}"
        require("Comparison", "problem", problem, problem in self.scales, one_of)
        return str(problem)

    # ------------------------------------------------------------------------ pictures and report

    @cached_property
    def styles(self) -> dict[str, Look]:
        """Color, marker and line of each algorithm, the same in every picture."""
        from moela.plots import looks

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

    def report(self, path: str | Path, *, title: str = "Comparison") -> Path:
        """Write a page with all results: one HTML file that needs no network.

        Returns
        -------
        pathlib.Path

        Raises
        ------
        ImportError
            If jinja2 or plotly isn't installed (they come with ``pip install moela[report]``).
        """
        from moela.comparison.report.page import write_report

        return write_report(self, path, title=title)

    # ------------------------------------------------------------------------------------- private

    def _indicator(self, name: str | None) -> str:
        if name is None:
            return self.indicators[0]
        one_of = f"one of {', '.join(self.indicators)}"
        require("Comparison", "indicator", name, name in self.indicators, one_of)
        return name

    def _of(
        self, problem: str, algorithm: str | None
    ) -> list[tuple[ComparedRun, dict[str, float]]]:
        chosen = [
            (run, measured)
            for run, measured in zip(self.runs, self._measured, strict=True)
            if run.problem == problem and algorithm in (None, run.algorithm)
        ]
        if not chosen:
            raise ValueError(
                f"No run of {algorithm!r} on {problem!r}. There are the algorithms "
                f"{', '.join(self.algorithms)} on {', '.join(self.problems)}."
            )
        return chosen
