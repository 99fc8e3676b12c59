"""`compare` and `front_of`: from whatever holds runs to a comparison or a front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from moela._checks import require
from moela.comparison.comparison import Comparison
from moela.comparison.read.dispatch import read
from moela.comparison.scale import make_scale
from moela.comparison.settings import INDICATORS, ComparisonSettings, RefPoint
from moela.functions.model.goals import ObjectiveSpec, read_objectives
from moela.functions.model.kinds import is_number
from moela.heartbeat.working import long_work
from moela.quality.alignment import aligned, in_order
from moela.quality.front import Front, pooled
from moela.quality.runs import ComparedRun, History, by_problem, check, clean, traits


@long_work("comparing runs")
def compare(
    results: object,
    ref_point: RefPoint = None,
    *,
    problems: object = None,
    indicators: Sequence[str] = INDICATORS,
    baseline: str | None = None,
    reference_front: ArrayLike | Mapping[str, ArrayLike] | None = None,
    at: int | str | None = None,
    archive_size: int | None = None,
    paired: bool | None = None,
    alpha: float = 0.05,
    objectives: ObjectiveSpec | None = None,
) -> Comparison:
    """Compare algorithms, settings or designs by the fronts that they found.

    Every front is first reduced to its finite, feasible, non-dominated points; if everything that
    a run evaluated is known, the front is that of everything evaluated. Objectives are then scaled
    so that the pooled front of all runs on a problem spans 0 to 1 in each.

    Parameters
    ----------
    results
        A dict of runs by name of the algorithm; or of such dicts by name of the problem; or a list
        of runs without names. A run is a pymoo Result, an array [n, M] of minimized objectives,
        a pymoo Population, a study of Optuna, or a file of points. An array [s, n, M] is s runs. An
        `ExperimentResults`, an `EvaluationStore`, or the path of one of these, or a folder that
        `moela run` wrote, holds runs with their names. Runs in a dict by seed have that seed.
        Objectives with names are compared by name, in the order of the first run, and those
        without by their position.
    ref_point : array [M], dict of float, "problem", "pooled", or a dict of these by problem
        Reference point of the hypervolume, in units of the objectives, or numbers by name of the
        objective. Objectives that the results declare as maximized have their own sign, as in
        `moela.minimize`. Default: the problem's own if every run names the same one, else the
        nadir of the pooled front plus a tenth of its extent.
    problems : Problem, or dict of Problem by name, optional
        For names of objectives and ``decode(x)``, if the results don't bring them.
    indicators : sequence of str
        Of ``hypervolume, igd_plus, epsilon, r2``. The first one is used in the summary.
    baseline : str, optional
        Algorithm to compare the others with. Default: all with all.
    reference_front : array [r, M], or dict of these by problem, optional
        Known optima, pooled with the fronts of the runs. Maximized objectives have their own sign,
        as in `ref_point`.
    at : int or "common", optional
        Number of evaluations after which runs are compared; "common" is the number that all runs
        on a problem have spent. Default: at their ends.
    archive_size : int, optional
        Maximum size of a front, the same for all runs; larger fronts keep points that are far from
        each other. Default: no limit.
    paired : bool, optional
        Whether runs of equal seeds are pairs. Default: yes if two algorithms have the same seeds,
        at least six, since with fewer the signed rank test can't reject at 0.05.
    alpha : float
        Significance level.
    objectives : list of str, or dict of "min" or "max" by name, optional
        Columns of tables, such as ``result.save("front.csv")``, that are objectives. Maximized ones
        are negated. Default: all columns but those of variables ``x0, x1, ...`` and of labels.
        Folders of `moela run`, stores and results name their objectives themselves; other ones are
        refused.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Results or parameters are out of their range, fronts of a problem differ in the number,
        names or directions of their objectives, or no run has a feasible point.

    Examples
    --------
    >>> import moela
    >>> comparison = moela.compare({"A": [[0.0, 1.0], [1.0, 0.0]], "B": [[0.5, 1.0], [1.0, 0.5]]})
    >>> [round(row["hypervolume"], 3) for row in comparison.table()]
    [0.174, 0.091]
    """
    known_front = None if reference_front is None else "given"
    settings = ComparisonSettings(
        ref_point, known_front, indicators, baseline, at, archive_size, paired, alpha
    )
    runs = aligned(read(results, senses_of(objectives)))
    check(runs)
    algorithms = list(dict.fromkeys(run.algorithm for run in runs))
    one_of = f"one of {', '.join(algorithms)}, or None"
    require("compare", "baseline", baseline, baseline is None or baseline in algorithms, one_of)
    names = list(dict.fromkeys(run.problem for run in runs))
    by_name = {"problems": problems, "ref_point": ref_point, "reference_front": reference_front}
    for parameter, given in by_name.items():
        unknown = _problems_of(given) - set(names)
        expected = f"by problem, of {', '.join(names)}"
        require("compare", parameter, sorted(map(str, unknown)), not unknown, expected)
    runs = [_with_model(run, _of_problem(problems, run.problem)) for run in runs]
    if at is not None:
        runs = _cut(runs, at)
    if archive_size is not None:
        runs = [run.thinned(archive_size) for run in runs]
    scales, caveats = {}, []
    for problem, group in by_problem(runs):
        point, known = (_of_problem(given, problem) for given in (ref_point, reference_front))
        scale, new = make_scale(problem, group, ref_point=point, reference_front=known)
        caveats += new
        if scale is not None:
            scales[problem] = scale
    if not scales:
        raise _nothing(runs)
    return Comparison([run for run in runs if run.problem in scales], scales, settings, caveats)


def _nothing(runs: list[ComparedRun]) -> ValueError:
    """Return the error about runs of which none has a point left."""
    if not any(run.left_out or run.n_eval for run in runs):
        sources = ", ".join(dict.fromkeys(run.source for run in runs))
        return ValueError(f"There must be points to compare. Got no row in {sources} instead.")
    return ValueError(
        "No run has a feasible point, so there is nothing to compare. Look at the constraints: "
        "each front is cleared of rows that are infeasible or not finite."
    )


def senses_of(objectives: ObjectiveSpec | None) -> dict[str, float] | None:
    """Return 1 for each minimized objective by name, -1 for each maximized one."""
    if objectives is None:
        return None
    return {objective.name: objective.sign for objective in read_objectives(objectives)}


def front_of(result: object) -> Front:
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
    runs = aligned(read(result))
    check(runs)
    problems = [problem for problem, _ in by_problem(runs)]
    require("front_of", "result", ", ".join(problems), len(problems) == 1, "of one problem")
    return pooled(runs)


def _problems_of(given: object) -> set[object]:
    """Return the problems that a parameter names; numbers are by name of the objective."""
    if not isinstance(given, Mapping) or all(map(is_number, given.values())):
        return set()
    return set(given)


def _of_problem(given: Any, problem: str) -> Any:
    """Return the parameter of a problem, which may be given by name or for all problems."""
    by_problem_name = isinstance(given, Mapping) and (not given or _problems_of(given))
    return given.get(problem) if by_problem_name else given


def _with_model(run: ComparedRun, model: Any) -> ComparedRun:
    """Return the run with the names, reference point and decoder of a problem."""
    if model is None:
        return run
    n_obj = run.F.shape[1]
    fits = getattr(model, "n_obj", n_obj if hasattr(model, "decode") else None) == n_obj
    expected = f"a problem with the {n_obj} objectives of {run.label}"
    require("compare", "problems", model, fits, expected)
    known = traits(model)
    return replace(in_order(run, known.get("names", ())), **known)


def _cut(runs: list[ComparedRun], at: int | str) -> list[ComparedRun]:
    """Return the runs as they were after `at` evaluations."""
    out = []
    for _, group in by_problem(runs):
        lacking = next((run for run in group if run.history is None), None)
        if lacking is not None:
            raise ValueError(
                "The 'at' parameter (--at) of compare must be None if the evaluations of a run are "
                f"unknown. Got {at!r} instead, with {lacking.label} from {lacking.source}"
                f"{lacking.no_history and ': '}{lacking.no_history}. Stores, experiments, results "
                "of moela.minimize, pymoo Results with save_history=True, and folders of "
                "`moela run` with their evaluations.csv hold the evaluations; compare these."
            )
        histories = [run.history for run in group if run.history is not None]
        n = min(h.n_eval for h in histories) if isinstance(at, str) else at
        for run, history in zip(group, histories, strict=True):
            if history.n_eval <= n:
                out.append(run)
                continue
            F = history.load()[:n]
            points, _, left_out = clean(run.label, F)
            if "not finite" in left_out:  # in a history, NaN also stands for infeasible
                left_out["failed or infeasible"] = left_out.pop("not finite")
            times = run.times()
            stamps = None if history.seconds is None else history.seconds[:n]
            history = History(n, partial(np.asarray, F), stamps)
            seconds = None if times is None or n == 0 else float(times[n - 1])
            out.append(
                replace(
                    run, F=points, X=None, evaluated=True, history=history, n_eval=n,
                    seconds=seconds, left_out=left_out,
                )
            )  # fmt: skip
    return out
