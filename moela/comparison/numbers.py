"""The numbers of a comparison: indicators, summaries, tests, ranks, speed-ups, fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from moela._arrays import Floats
from moela._checks import require
from moela.comparison import significance
from moela.comparison.convergence import DirectionalGrowth, ExactGrowth, Growth, follows_exactly
from moela.comparison.scale import LARGER_IS_BETTER, Scale
from moela.comparison.significance import Overall, Sample
from moela.comparison.speedup import curves, speedups
from moela.quality.front import Front, pooled
from moela.quality.runs import ComparedRun
from moela.quality.statistics import quartiles
from moela.quality.table import Table


class Numbers:
    """The part of `Comparison` that computes; see there."""

    def __init__(
        self,
        outcomes: list[ComparedRun],
        scales: Mapping[str, Scale],
        settings: Mapping[str, Any],
        remarks: Sequence[str] = (),
    ) -> None:
        self.outcomes = outcomes
        self.scales = dict(scales)
        self.settings = dict(settings)
        self.problems = list(self.scales)
        self.algorithms = list(dict.fromkeys(o.algorithm for o in outcomes))
        self.indicators = list(settings["indicators"])
        self.baseline: str | None = settings["baseline"]
        self.paired: bool | None = settings["paired"]
        self.alpha = float(settings["alpha"])
        self._measured = [
            self.scales[o.problem].measure(o.F, self.indicators) for o in self.outcomes
        ]
        self.remarks = list(remarks)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.outcomes)} runs, {len(self.algorithms)} algorithms, "
            f"{len(self.problems)} problems)"
        )

    # -------------------------------------------------------------------------------- the numbers

    def values(self, problem: str, algorithm: str, indicator: str | None = None) -> Floats:
        """Return an indicator of each run [n_runs], in the order of the runs.

        Parameters
        ----------
        problem, algorithm : str
        indicator : str, optional
            Default: the first one.
        """
        name = self._indicator(indicator)
        return np.array([m[name] for o, m in self._of(problem, algorithm)])

    def table(self) -> Table:
        """Return a row a run.

        Columns: ``problem, algorithm, seed, points`` (of its front), ``evaluations, seconds``, the
        indicators on the common scale (``hypervolume`` as a share of the box between ideal and
        reference point), ``volume`` in units of the objectives, and ``left_out``.
        """
        rows = []
        for outcome, measured in zip(self.outcomes, self._measured, strict=True):
            row: dict[str, Any] = {
                "problem": outcome.problem,
                "algorithm": outcome.algorithm,
                "seed": outcome.seed,
                "points": len(outcome.F),
                "evaluations": outcome.n_eval,
                "seconds": outcome.seconds,
                **measured,
            }
            if "hypervolume" in measured:
                row["volume"] = measured["hypervolume"] * self.scales[outcome.problem].box
            row["left_out"] = ", ".join(f"{n} {why}" for why, n in outcome.left_out.items())
            rows.append(row)
        return Table(rows)

    def to_frame(self) -> Any:
        """Return `table` as a pandas DataFrame, a row a run."""
        return self.table().to_frame()

    def summary(self, indicator: str | None = None) -> Table:
        """Return medians and quartiles over the runs of an algorithm on a problem.

        Columns: ``problem, algorithm, runs, median, q1, q3, best`` (whether no median is better).
        """
        name = self._indicator(indicator)
        rows: list[dict[str, Any]] = []
        for problem, group in self._samples(name).items():
            block: list[dict[str, Any]] = [
                {"problem": problem, "algorithm": a, "runs": len(s.values), **quartiles(s.values)}
                for a, s in group.items()
            ]
            medians = [row["median"] for row in block]
            best = max(medians) if LARGER_IS_BETTER[name] else min(medians)
            rows += [row | {"best": row["median"] == best} for row in block]
        return Table(rows)

    def tests(self, indicator: str | None = None) -> Table:
        """Return a row for each pair of algorithms on each problem.

        Columns: ``problem, algorithm, rival, n, n_rival, median, rival_median, test, p_value``
        (two-sided), ``a12`` (how likely a run of the algorithm is better than one of the rival),
        ``effect`` (in a word), ``least_p`` (the smallest p-value that so many runs can give),
        ``p_holm`` and ``verdict``. The test is Wilcoxon's: signed rank where runs are paired by
        seed, rank sum otherwise. Holm's correction is over the pairs on a problem.
        """
        return Table(
            significance.test_pairs(
                self._samples(self._indicator(indicator)),
                self._indicator(indicator),
                baseline=self.baseline,
                paired=self.paired,
                alpha=self.alpha,
            )
        )

    def wins(self, indicator: str | None = None) -> Table:
        """Return the share of comparisons of runs that the algorithm of a row wins.

        A column a rival, and ``overall``, the mean over them. Runs of equal seeds are compared
        where they are pairs, else every run with every run; ties count half, problems count the
        same.
        """
        name = self._indicator(indicator)
        shares = significance.win_shares(self._samples(name), name, self.algorithms, self.paired)
        rows = []
        for algorithm, row in zip(self.algorithms, shares, strict=True):
            known = row[~np.isnan(row)]
            mean = float(known.mean()) if len(known) else float("nan")
            cells = dict(zip(self.algorithms, row.tolist(), strict=True))
            rows.append({"algorithm": algorithm, **cells, "overall": mean})
        return Table(rows)

    def ranks(self, indicator: str | None = None) -> Overall:
        """Return mean ranks and Friedman's test: over problems, or over seeds of one problem."""
        name = self._indicator(indicator)
        return significance.rank_all(self._samples(name), name, self.paired, self.alpha)

    # ------------------------------------------------------------------------------------ the way

    @property
    def has_history(self) -> bool:
        """Whether it is known what every run evaluated, in order."""
        return all(o.history is not None and o.history.n_eval for o in self.outcomes)

    @cached_property
    def _growths(self) -> dict[str, dict[str, list[Growth]]]:
        if not self.has_history:
            lacking = next(o for o in self.outcomes if o.history is None or not o.history.n_eval)
            raise ValueError(
                "This needs everything that the runs evaluated, which an experiment and a store "
                "keep, and a pymoo Result made with save_history=True. Not known for "
                f"{lacking.label}, from {lacking.source}."
            )
        out: dict[str, dict[str, list[Growth]]] = {}
        for o in self.outcomes:
            kind = ExactGrowth if self.way_is_exact(o.problem) else DirectionalGrowth
            growth = kind(o, self.scales[o.problem])
            out.setdefault(o.problem, {}).setdefault(o.algorithm, []).append(growth)
        return out

    def way_is_exact(self, problem: str) -> bool:
        """Tell whether convergence and speed-ups are exact, or estimated along directions."""
        fronts = [o.F for o in self.outcomes if o.problem == problem]
        return follows_exactly(max(len(F) for F in fronts), fronts[0].shape[1])

    @cached_property
    def _convergence(self) -> Table:
        return Table(
            [
                {"problem": problem, **row}
                for problem, group in self._growths.items()
                for row in curves(group)
            ]
        )

    def convergence(self) -> Table:
        """Return medians and quartiles of the hypervolume's share after so many evaluations.

        Columns: ``problem, algorithm, evaluations, n, median, q1, q3``; 40 checkpoints, evenly
        spread on a logarithmic axis, as far as every run of the algorithm went.

        Raises
        ------
        ValueError
            It isn't known what a run evaluated.
        """
        return self._convergence

    def speedup(self) -> Table:
        """Return how much sooner an algorithm gets to where a rival ends.

        The target is the (lower) median of the rival's final hypervolumes. Columns: ``problem,
        algorithm, rival, target, reached`` (runs that got there) ``, n, evaluations, q1, q3``
        (median and quartiles over all runs, infinity for a run that never did),
        ``rival_evaluations`` (when the rival's own runs first got there, median), ``speedup``
        (their ratio; NaN where half of the runs never did), and the same in ``seconds``. Seconds
        are those noted with each evaluation in a store; elsewhere a run's time is spread evenly.

        Raises
        ------
        ValueError
            It isn't known what a run evaluated.
        """
        rows = []
        for problem, group in self._growths.items():
            scale = self.scales[problem]
            finals = {a: np.array([g.shares([g.n_eval])[0] for g in gs]) for a, gs in group.items()}
            rows += [
                {"problem": problem, **row, "volume": row["target"] * scale.box}
                for row in speedups(group, finals, self.baseline)
            ]
        return Table(rows)

    # ------------------------------------------------------------------------------------- fronts

    def front(
        self, problem: str | None = None, algorithm: str | None = None, seed: int | None = None
    ) -> Front:
        """Return the front of all runs together, or of those of an algorithm or a seed.

        Parameters
        ----------
        problem : str, optional
            May be left out where there is one.
        """
        name = self.only_problem(problem)
        chosen = [o for o, _ in self._of(name, algorithm) if seed in (None, o.seed)]
        require("front", "seed", seed, bool(chosen), "the seed of a run")
        return pooled(chosen)

    def only_problem(self, problem: str | None) -> str:
        """Return the problem of this name; without a name the only one there is."""
        if problem is None and len(self.problems) == 1:
            return self.problems[0]
        one_of = f"one of {', '.join(self.problems)}"
        require("Comparison", "problem", problem, problem in self.scales, one_of)
        return str(problem)

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
        found = [
            (o, m)
            for o, m in zip(self.outcomes, self._measured, strict=True)
            if o.problem == problem and algorithm in (None, o.algorithm)
        ]
        if not found:
            raise ValueError(
                f"No run of {algorithm!r} on {problem!r}. There are the algorithms "
                f"{', '.join(self.algorithms)} on {', '.join(self.problems)}."
            )
        return found

    def _samples(self, indicator: str) -> dict[str, dict[str, Sample]]:
        out: dict[str, dict[str, Sample]] = {}
        for problem in self.problems:
            present = {o.algorithm for o in self.outcomes if o.problem == problem}
            out[problem] = {
                a: Sample(
                    self.values(problem, a, indicator),
                    tuple(o.seed for o, _ in self._of(problem, a)),
                )
                for a in self.algorithms
                if a in present
            }
        return out
