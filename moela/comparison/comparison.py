"""Comparing fronts and runs: indicators on a common scale, statistics over seeds, speed-ups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np

from moela._checks import require
from moela.comparison.caveats import remarks_on
from moela.comparison.pictures import Pictures
from moela.comparison.read.dispatch import read
from moela.comparison.scale import LARGER_IS_BETTER, Scale, make_scale
from moela.comparison.summary import summary_text
from moela.quality.front import Front, pooled
from moela.quality.outcome import History, Outcome, by_problem, check, clean

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
        without names, in a list. A run is a pymoo Result, an array [n, M] of minimized objectives,
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
        Largest front that a run may have, the same for all; larger ones keep points that are
        far from each other. Default: no bound.
    paired : bool, optional
        Whether runs of equal seeds are pairs. Default: where two algorithms have the same seeds, at
        least six, since with fewer the signed rank test can't reject at 0.05.
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
    [0.174, 0.091]
    """
    _check_parameters(indicators, at, archive_size, paired, alpha)
    outcomes = read(results)
    check(outcomes)
    names = list(dict.fromkeys(o.algorithm for o in outcomes))
    one_of = f"one of {', '.join(names)}, or None"
    require("compare", "baseline", baseline, baseline is None or baseline in names, one_of)
    by_name = {"problems": problems, "ref_point": ref_point, "reference_front": reference_front}
    for parameter, given in by_name.items():
        unknown = set(given) - {o.problem for o in outcomes} if isinstance(given, Mapping) else ()
        known = ", ".join(dict.fromkeys(o.problem for o in outcomes))
        require("compare", parameter, sorted(unknown), not unknown, f"by problem, of {known}")
    outcomes = [_with_model(o, _of_problem(problems, o.problem)) for o in outcomes]
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
        "ref_point": ref_point,
        "reference_front": "given" if reference_front is not None else None,
        "indicators": list(dict.fromkeys(indicators)),
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
    colors : dict of str by algorithm
        The same in every picture.

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
        outcomes: list[Outcome],
        scales: Mapping[str, Scale],
        settings: Mapping[str, Any],
        remarks: Sequence[str] = (),
    ) -> None:
        super().__init__(outcomes, scales, settings)
        self.remarks = [*remarks, *remarks_on(self)]

    def __str__(self) -> str:
        return summary_text(self)

    def report(self, path: Any, *, title: str = "Comparison") -> Any:
        """Write a page with all of it: one HTML file that needs no network.

        Returns
        -------
        pathlib.Path

        Raises
        ------
        ImportError
            If plotly isn't installed (it comes with ``pip install moela[report]``).
        """
        from moela.comparison.report.page import write_report

        return write_report(self, path, title=title)


def _check_parameters(indicators: Any, at: Any, archive_size: Any, paired: Any, alpha: Any) -> None:
    names = indicators if isinstance(indicators, list | tuple) else ()
    known = len(names) > 0 and all(name in INDICATORS for name in names)
    require("compare", "indicators", indicators, known, f"some of {', '.join(INDICATORS)}")
    fits = at is None or (isinstance(at, str) and at == "common") or _is_whole(at, 1)
    require("compare", "at", at, fits, 'None, "common", or at least 1')
    fits = archive_size is None or _is_whole(archive_size, 2)
    require("compare", "archive_size", archive_size, fits, "None or an integer of at least 2")
    fits = paired is None or isinstance(paired, bool | np.bool_)
    require("compare", "paired", paired, fits, "None, True or False")
    fits = isinstance(alpha, float) and 0 < alpha < 1
    require("compare", "alpha", alpha, fits, "between 0 and 1")


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _of_problem(given: Any, problem: str) -> Any:
    return given.get(problem) if isinstance(given, Mapping) else given


def _with_model(outcome: Outcome, model: Any) -> Outcome:
    if model is None:
        return outcome
    n_obj = outcome.F.shape[1] if hasattr(model, "decode") else None
    fits = getattr(model, "n_obj", n_obj) == outcome.F.shape[1]
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
                    history=History(n, partial(np.asarray, F), stamps),
                    n_eval=n,
                    seconds=None if times is None or n == 0 else float(times[n - 1]),
                    left_out=left_out,
                )
            )
    return out


def front_of(result: Any) -> Front:
    """Return the front of a pymoo Result, or of anything else that `moela.compare` takes.

    Runs of several seeds or algorithms are pooled, and their points are labeled by algorithm.

    Parameters
    ----------
    result
        Runs of one problem; see `moela.compare` for what is accepted.

    Returns
    -------
    Front

    Raises
    ------
    ValueError
        If `result` holds runs of several problems.

    Examples
    --------
    >>> from moela import front_of
    >>> len(front_of([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
    2
    """
    runs = read(result)
    check(runs)
    problems = [problem for problem, _ in by_problem(runs)]
    require("front_of", "result", ", ".join(problems), len(problems) == 1, "of one problem")
    return pooled(runs)
