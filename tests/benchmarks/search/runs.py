"""What is measured of one run: its front, its hypervolume so far, and its process time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import moocore
import numpy as np
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.problems.many.dtlz import DTLZ1, DTLZ2, DTLZ3, DTLZ4
from pymoo.problems.many.wfg import WFG
from pymoo.problems.multi.zdt import ZDT

import moela
from moela._arrays import Floats
from moela.experiments.recording import record_run
from moela.experiments.tasks import make_algorithm
from moela.quality.indicators import hypervolume
from tests.benchmarks.harness import Case
from tests.benchmarks.search.adapters import start_designs

# A function that makes a problem, or an algorithm for it.
Make = Callable[..., Any]
N_RANDOM = 1000
# The front of DTLZ7 is no part of pymoo; the nadir of random designs lies beyond it.
_KNOWN_FRONTS = (ZDT, DTLZ1, DTLZ2, DTLZ3, DTLZ4)
# The hypervolume is kept after each of ten equal parts of the budget.
TENTHS = tuple(part / 10 for part in range(1, 11))
# Points of a front that are kept.
_MOST_KEPT = 60


class Run(NamedTuple):
    """The name of a run."""

    problem: str
    algorithm: str
    budget: int
    seed: int

    def __str__(self) -> str:
        return "; ".join(map(str, self))


def record(run: Run, problem: Any, make: Make) -> tuple[Floats, dict[str, float]]:
    """Make a run; return F [n, M] of all that it evaluates, and its seconds.

    Objectives of infeasible designs are infinite. `own` are the seconds outside the problem.
    """
    algorithm = make_algorithm(run.algorithm, make, problem)
    arrays, seconds = record_run(problem, algorithm, seed=run.seed, budget=run.budget)
    F = arrays["F"]
    if "CV" in arrays:
        F = np.where(arrays["CV"][:, None] > 0.0, np.inf, F)
    return F, seconds | {"own": seconds["cpu"] - seconds["evaluation_cpu"]}


def rounded(values: Any, digits: int = 6) -> list[float]:
    """Return numbers with so many digits."""
    return [float(f"{value:.{digits}g}") for value in values]


# ---------------------------------------------------------------------------------- hypervolumes


def reference(problem: Any) -> Floats:
    """Return the problem's reference point, else the nadir of the front of random designs."""
    point = getattr(problem, "ref_point", None)
    if point is not None:
        return np.asarray(point, dtype=float)
    return nadir_of_random(problem, np.array(start_designs(problem, N_RANDOM, 0)))


def nadir_of_random(problem: Any, X: Any) -> Floats:
    """Return the nadir of the feasible non-dominated among designs X, infinite if there is none."""
    drawn = Evaluator().eval(problem, Population.new("X", X))
    F = drawn.get("F")[drawn.get("feasible").ravel()]
    if len(F) == 0:
        return np.full(problem.n_obj, np.inf)
    return np.asarray(moocore.filter_dominated(F).max(axis=0))


def reference_beyond(problem: Any) -> Floats:
    """Return the reference point, moved beyond the front if that is known."""
    point = reference(problem)
    if isinstance(problem, WFG):  # pymoo samples these fronts at random
        return np.maximum(point, 1.1 * 2.0 * np.arange(1, problem.n_obj + 1))
    if not isinstance(problem, _KNOWN_FRONTS):
        return point
    front = problem.pareto_front()
    return np.maximum(point, front.max(axis=0) + 0.1 * np.ptp(front, axis=0))


def curve(
    run: Run,
    make_problem: Make,
    make: Make,
    *,
    point_of: Callable[[Any], Floats] = reference,
    fractions: Sequence[float] = TENTHS,
    seconds: str = "cpu",
) -> Case:
    """Return hypervolumes after fractions of the budget, the evaluations, and process seconds."""
    problem = make_problem()
    point = point_of(problem)
    F, times = record(run, problem, make)
    values = [volume(F[: round(part * run.budget)], point) for part in fractions]
    return {
        "hypervolume": rounded(values, 7), "n_eval": len(F), "seconds": round(times[seconds], 2)
    }  # fmt: skip


def volume(F: Floats, point: Floats) -> float:
    """Return the hypervolume of the feasible ones among F [n, M], 0 if there is none."""
    F = F[np.isfinite(F).all(axis=1)]
    return float(moocore.hypervolume(F, ref=point)) if len(F) else 0.0


def last_volumes(found: Mapping[str, Sequence[Case]]) -> dict[str, float]:
    """Return the median of the hypervolumes at the end, by algorithm."""
    return {
        name: float(np.median([run["hypervolume"][-1] for run in runs]))
        for name, runs in found.items()
    }


# ---------------------------------------------------------------------------------------- fronts


def front_of_function(run: Run, make_function: Make, make: Make) -> Case:
    """Return the feasible front of a run of `moela.minimize`, at most so many points of it."""
    result = moela.minimize(
        **make_function(), n_eval=run.budget, seed=run.seed, algorithm=make(),
        progress=False, verbose=False,
    )  # fmt: skip
    if not result.feasible:
        return {"front": []}
    F = result.front.F * result.signs
    F = F[F[:, 0].argsort()]
    some = np.unique(np.linspace(0, len(F) - 1, min(len(F), _MOST_KEPT)).astype(int))
    return {"front": [rounded(f) for f in F[some]]}


def front_of_problem(run: Run, make_problem: Make, make: Make) -> Case:
    """Return the feasible front of a run."""
    F, _ = record(run, make_problem(), make)
    F = F[np.isfinite(F).all(axis=1)]
    return {"front": [rounded(f) for f in F[moocore.is_nondominated(F)]]}


def volumes_of_fronts(found: Mapping[str, Sequence[Case]]) -> dict[str, list[float]]:
    """Return the hypervolumes of the runs in the box of all fronts, by algorithm."""
    fronts = [np.array(run["front"]) for runs in found.values() for run in runs if run["front"]]
    if not fronts:
        return {name: [0.0] * len(runs) for name, runs in found.items()}
    points = np.concatenate(fronts)
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    point = np.full(points.shape[1], 1.1)

    def value(run: Case) -> float:
        return hypervolume((np.array(run["front"]) - low) / span, point) if run["front"] else 0.0

    return {name: [value(run) for run in runs] for name, runs in found.items()}


def box_volumes(found: Mapping[str, Sequence[Case]]) -> dict[str, float]:
    """Return the median hypervolume of each algorithm, in the box of all fronts."""
    return {name: float(np.median(values)) for name, values in volumes_of_fronts(found).items()}
