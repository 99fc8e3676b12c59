"""Comparing fronts and runs: indicators on a common scale, statistics over seeds, speed-ups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from moela import comparison_tests as tests
from moela.base import require
from moela.comparison_pictures import Pictures
from moela.comparison_scale import LARGER_IS_BETTER, Scale, make_scale
from moela.comparison_speed import Growth, curves, speedups
from moela.comparison_tests import Overall, Sample
from moela.experiment_results import quartiles
from moela.front import Front, pooled
from moela.outcomes import Floats, Outcome, by_problem, check, clean
from moela.reading import read
from moela.table import Table

INDICATORS = tuple(LARGER_IS_BETTER)


def compare(
    results: Any,
    ref_point: Any = None,
    *,
    problems: Any = None,
    indicators: Sequence[str] = INDICATORS,
    baseline: str | None = None,
    reference_front: Any = None,
    at: int | str | None = None,
    archive_size: int | None = None,
    paired: bool | None = None,
    alpha: float = 0.05,
) -> Comparison:
    """Compare algorithms, settings or designs by the fronts that they found.

    Every front is first reduced to its finite, feasible, non-dominated points; where everything
    that a run evaluated is known, to those of everything evaluated. Objectives are then scaled so
    that the pooled front of all runs on a problem spans 0 to 1 in each.

    Parameters
    ----------
    results
        A dict of runs by name of the algorithm; or of such dicts by name of the problem; or runs
        without names, in a list. A run is a pymoo Result, an array [n, M] of minimised objectives,
        a pymoo Population, or a file of points. An array [s, n, M] is s runs. An
        `ExperimentResults`, an `EvaluationStore`, or the path of one of these, or a folder that
        `moela run` wrote, holds runs with their names. Runs in a dict by seed have that seed.
    ref_point : array [M], "problem", "pooled", or a dict of these by problem, optional
        Reference point of the hypervolume, in units of the objectives. Default: the problem's own
        where every run names the same one, else the nadir of the pooled front plus a tenth of its
        extent.
    problems : Problem, or dict of Problem by name, optional
        For names of objectives and ``decode(x)``, where the results don't bring them.
    indicators : sequence of str
        Of ``hypervolume, igd_plus, epsilon, r2``. The first one is what summaries speak of.
    baseline : str, optional
        Algorithm to compare the others with. Default: all with all.
    reference_front : array [r, M], or dict of these by problem, optional
        Known optima, pooled with what the runs found.
    at : int or "common", optional
        Evaluations after which runs are compared; "common" is what all runs on a problem have
        spent. Default: at their ends.
    archive_size : int, optional
        Largest front that a run may have, the same for all; larger ones lose their most crowded
        points. Default: no bound.
    paired : bool, optional
        Whether runs of equal seeds are pairs. Default: where two algorithms have the same seeds.
    alpha : float
        Level of significance.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Results or parameters are out of their range, fronts of a problem differ in their number of
        objectives, or no run has a feasible point.

    Examples
    --------
    >>> import moela
    >>> comparison = moela.compare({"A": [[0.0, 1.0], [1.0, 0.0]], "B": [[0.5, 1.0], [1.0, 0.5]]})
    >>> [round(row["hypervolume"], 3) for row in comparison.table()]
    [0.174, 0.174]
    """
    _check_parameters(indicators, at, archive_size, paired, alpha)
    outcomes = [_with_model(o, problems) for o in read(results)]
    check(outcomes)
    names = list(dict.fromkeys(o.algorithm for o in outcomes))
    one_of = f"one of {', '.join(names)}, or None"
    require("compare", "baseline", baseline, baseline is None or baseline in names, one_of)
    for parameter, given in (("ref_point", ref_point), ("reference_front", reference_front)):
        unknown = set(given) - {o.problem for o in outcomes} if isinstance(given, Mapping) else ()
        known = ", ".join(dict.fromkeys(o.problem for o in outcomes))
        require("compare", parameter, sorted(unknown), not unknown, f"by problem, of {known}")
    if at is not None:
        outcomes = _cut(outcomes, at)
    if archive_size is not None:
        outcomes = [outcome.thinned(archive_size) for outcome in outcomes]
    scales, remarks = {}, []
    for problem, group in by_problem(outcomes):
        scale, said = make_scale(
            problem,
            group,
            ref_point=_of_problem(ref_point, problem),
            reference_front=_of_problem(reference_front, problem),
        )
        remarks += said
        if scale is not None:
            scales[problem] = scale
    if not scales:
        raise ValueError(
            "No run has a feasible point, so there is nothing to compare. Look at the constraints: "
            "each front is cleared of rows that are infeasible or not finite."
        )
    settings = {
        "indicators": list(indicators),
        "baseline": baseline,
        "at": at,
        "archive_size": archive_size,
        "paired": paired,
        "alpha": alpha,
    }
    return Comparison([o for o in outcomes if o.problem in scales], scales, settings, remarks)


class Comparison(Pictures):
    """What `compare` found out; see there for the rules.

    Printed, it is a summary. `table`, `summary`, `tests`, `wins`, `ranks`, `convergence` and
    `speedup` are the numbers, `plot_...` the pictures, `report` a page with all of it.

    Attributes
    ----------
    outcomes : list of Outcome
        The runs, with their clean fronts.
    scales : dict of Scale by problem
        Ideal, nadir, reference point and where it comes from.
    problems, algorithms, indicators : list of str
    settings : dict
        What `compare` was told.
    remarks : list of str
        What a reader has to know to judge the numbers.
    colours : dict of str by algorithm
        The same in every picture.
    """

    def __init__(
        self,
        outcomes: list[Outcome],
        scales: Mapping[str, Scale],
        settings: Mapping[str, Any],
        remarks: Sequence[str] = (),
    ) -> None:
        from moela.comparison_words import remarks_on

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
        self.remarks = [*remarks, *remarks_on(self)]

    def __repr__(self) -> str:
        return (
            f"Comparison({len(self.outcomes)} runs, {len(self.algorithms)} algorithms, "
            f"{len(self.problems)} problems)"
        )

    def __str__(self) -> str:
        from moela.comparison_words import summary_text

        return summary_text(self)

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
            block = [
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
            tests.test_pairs(
                self._samples(self._indicator(indicator)),
                self._indicator(indicator),
                baseline=self.baseline,
                paired=self.paired,
                alpha=self.alpha,
            )
        )

    def wins(self, indicator: str | None = None) -> Table:
        """Return the share of comparisons of runs that the algorithm of a row wins.

        A column a rival, and ``mean`` over them. Runs of equal seeds are compared where they are
        pairs, else every run with every run; ties count half, problems count the same.
        """
        name = self._indicator(indicator)
        shares = tests.win_shares(self._samples(name), name, self.algorithms, self.paired)
        rows = []
        for algorithm, row in zip(self.algorithms, shares, strict=True):
            known = row[~np.isnan(row)]
            mean = float(known.mean()) if len(known) else float("nan")
            cells = dict(zip(self.algorithms, row.tolist(), strict=True))
            rows.append({"algorithm": algorithm, **cells, "mean": mean})
        return Table(rows)

    def ranks(self, indicator: str | None = None) -> Overall:
        """Return mean ranks and Friedman's test: over problems, or over seeds of one problem."""
        name = self._indicator(indicator)
        return tests.rank_all(self._samples(name), name, self.paired, self.alpha)

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
            growth = Growth(o, self.scales[o.problem])
            out.setdefault(o.problem, {}).setdefault(o.algorithm, []).append(growth)
        return out

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

    # ------------------------------------------------------------------------------------ the fronts

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

    def report(self, path: Any, *, title: str = "Comparison") -> Any:
        """Write a page with all of it: one HTML file that needs no network; see `moela.report`.

        Returns
        -------
        pathlib.Path

        Raises
        ------
        ImportError
            If plotly isn't installed (it comes with ``pip install moela[report]``).
        """
        from moela.report import write_report

        return write_report(self, path, title=title)

    # ------------------------------------------------------------------------------------- private

    def _indicator(self, name: str | None) -> str:
        if name is None:
            return self.indicators[0]
        one_of = f"one of {', '.join(self.indicators)}"
        require("Comparison", "indicator", name, name in self.indicators, one_of)
        return name

    def _of(self, problem: str, algorithm: str | None) -> list[tuple[Outcome, dict[str, float]]]:
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


def _check_parameters(
    indicators: Any, at: Any, archive_size: Any, paired: Any, alpha: Any
) -> None:
    known = not isinstance(indicators, str) and len(indicators) and set(indicators) <= set(INDICATORS)
    some = f"some of {', '.join(INDICATORS)}"
    require("compare", "indicators", indicators, bool(known), some)
    whole = isinstance(at, int) and not isinstance(at, bool) and at >= 1
    require("compare", "at", at, at in (None, "common") or whole, 'None, "common", or at least 1')
    fits = archive_size is None or (isinstance(archive_size, int) and archive_size >= 2)
    require("compare", "archive_size", archive_size, fits, "None or an integer of at least 2")
    require("compare", "paired", paired, paired in (None, True, False), "None, True or False")
    number = isinstance(alpha, int | float) and 0 < alpha < 1
    require("compare", "alpha", alpha, number, "between 0 and 1")


def _of_problem(given: Any, problem: str) -> Any:
    return given.get(problem) if isinstance(given, Mapping) else given


def _with_model(outcome: Outcome, problems: Any) -> Outcome:
    model = _of_problem(problems, outcome.problem)
    if model is None:
        return outcome
    n_obj = getattr(model, "n_obj", outcome.F.shape[1])
    fits = n_obj == outcome.F.shape[1]
    expected = f"a problem with the {outcome.F.shape[1]} objectives of {outcome.label}"
    require("compare", "problems", model, fits, expected)
    names = getattr(model, "objective_names", None)
    own = getattr(model, "ref_point", None)
    return replace(
        outcome,
        model=model,
        names=outcome.names if names is None else tuple(str(n) for n in names),
        ref_point=outcome.ref_point if own is None else np.asarray(own, dtype=float),
    )


def _cut(outcomes: list[Outcome], at: int | str) -> list[Outcome]:
    """Return the runs as they were after so many evaluations."""
    out = []
    for _, group in by_problem(outcomes):
        lacking = next((o for o in group if o.history is None), None)
        if lacking is not None:
            raise ValueError(
                "The 'at' parameter of compare must be None where it isn't known what a run "
                f"evaluated. Got {at!r} instead, with {lacking.label} from {lacking.source}."
            )
        histories = [o.history for o in group if o.history is not None]
        n = min(h.n_eval for h in histories) if isinstance(at, str) else at
        for outcome, history in zip(group, histories, strict=True):
            if history.n_eval <= n:
                out.append(outcome)
                continue
            F = history.load()[:n]
            points, _, left_out = clean(outcome.label, F)
            if "not finite" in left_out:  # in a history, NaN also stands for infeasible
                left_out["failed or infeasible"] = left_out.pop("not finite")
            times = outcome.times()
            stamps = None if history.seconds is None else history.seconds[:n]
            out.append(
                replace(
                    outcome,
                    F=points,
                    X=None,
                    evaluated=True,
                    history=replace(history, n_eval=n, load=lambda F=F: F, seconds=stamps),
                    n_eval=n,
                    seconds=None if times is None or n == 0 else float(times[n - 1]),
                    left_out=left_out,
                )
            )
    return out
