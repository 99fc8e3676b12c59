"""Cases of experiments, comparisons, indicators, and choosing from a front: numbers only."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.problems import get_problem

from moela import MOELA, ExperimentResults, Front, compare, run_experiment
from moela.quality import indicators
from moela.rivals import MOOS
from problems import MNKLandscape

from ..tables import rank_sums
from .encoding import numbers_of

TIMES = ("second", "overhead", "left_out")
INDICATORS = ("hypervolume", "igd_plus", "epsilon", "r2")


@cache
def experiment() -> ExperimentResults:
    """Return an experiment of three algorithms, three problems and six seeds."""
    problems = {
        "mnk": MNKLandscape.random(n=20, k=3, seed=1),
        "dtlz2": get_problem("dtlz2", n_var=6, n_obj=3),
        "bnh": get_problem("bnh"),
    }
    algorithms = {
        "MOELA": lambda problem: MOELA(n_subproblems=20),
        "MOOS": lambda problem: MOOS(n_init=20),
        "NSGA-II": lambda problem: NSGA2(
            pop_size=20, **(problem.operators() if hasattr(problem, "operators") else {})
        ),
    }
    budget = {"mnk": 200, "dtlz2": 120, "bnh": 80}
    return run_experiment(problems, algorithms, 6, budget, progress=False)


def runs() -> dict[str, Any]:
    """Return the evaluations of every run of the experiment, and measures of them."""
    results = experiment()
    pooled = "pooled"
    middle = {p: np.median(results.values(p, "MOOS", None, pooled)) for p in results.problems}
    targets = {problem: float(value) for problem, value in middle.items()}
    return {
        "arrays": [[r.F, r.CV, r.G, r.front_F, r.front_X] for r in results.runs],
        "hypervolume": numbers_of(results.hypervolume([40, 80], pooled)),
        "evaluations to": numbers_of(results.evaluations_to(targets, pooled)),
        "compare": numbers_of(rank_sums(results, "MOELA", pooled)),
        "table": numbers_of(results.table(pooled), without=TIMES),
    }


def comparison(**settings: Any) -> dict[str, Any]:
    """Return the numbers of a comparison."""
    result = compare(experiment(), indicators=INDICATORS, **settings)
    parts: dict[str, Any] = {
        "table": numbers_of(result.table(), without=TIMES),
        "convergence": numbers_of(result.convergence()),
        "speedup": numbers_of(result.speedup(), without=TIMES),
        "fronts": [result.front(problem).F for problem in result.problems],
        "scales": [[s.ideal, s.nadir, s.ref_point, s.reference] for s in result.scales.values()],
    }
    for name in INDICATORS:
        overall = result.ranks(name)
        ranking = overall.ranking
        parts[name] = [
            numbers_of(result.summary(name)),
            numbers_of(result.tests(name)),
            numbers_of(result.wins(name)),
            overall.p_value,
            None if ranking is None else [ranking.ranks, ranking.statistic, ranking.p_value,
                                          ranking.critical_difference],
        ]  # fmt: skip
    return parts


def sphere(rng: Any, n: int, n_obj: int) -> Any:
    """Return points of a concave front with some noise."""
    Z = np.abs(rng.normal(size=(n, n_obj)))
    return (2.0 - Z / np.linalg.norm(Z, axis=1, keepdims=True)) * rng.uniform(1.0, 1.1, (n, 1))


def measures() -> dict[str, Any]:
    """Return exact and approximate indicators of fronts of two to nine objectives."""
    rng = np.random.default_rng(4)
    parts: dict[str, Any] = {}
    for n_obj in (2, 3, 5, 9):
        F, reference = sphere(rng, 60, n_obj), sphere(rng, 80, n_obj)
        point = np.full(n_obj, 2.3)
        parts[f"{n_obj} objectives"] = [
            indicators.hypervolume(F[:40], point, exact=n_obj < 9),
            indicators.hypervolume(F, point, exact=False),
            indicators.contributions(F[:20], point),
            indicators.contributions(F, point, exact=False),
            indicators.igd_plus(F, reference),
            indicators.epsilon(F, reference),
            indicators.r2(F, F.min(axis=0)),
        ]
    return parts


def choosing() -> dict[str, Any]:
    """Return the points chosen from fronts of two to five objectives."""
    rng = np.random.default_rng(5)
    parts: dict[str, Any] = {}
    for n_obj in (2, 3, 5):
        front = Front(sphere(rng, 50, n_obj))
        parts[f"{n_obj} objectives"] = [
            front.F,
            front.scaled(),
            front.knees(4),
            front.bulges(),
            front.pseudo_weights(),
            front.by_weights(np.arange(1, n_obj + 1)),
            front.by_reference(front.F.mean(axis=0), 5),
            front.contributions(),
            front.contributions(np.full(n_obj, 3.0)),
        ]
    return parts


CASES = {
    "experiment": runs,
    "compare": comparison,
    "compare with settings": partial(
        comparison, baseline="MOOS", at="common", archive_size=15, paired=False, alpha=0.1
    ),
    "indicators": measures,
    "front choosing": choosing,
}
