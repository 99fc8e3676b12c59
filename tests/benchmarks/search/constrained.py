"""Thin feasible sets: what a thousand evaluations find where few designs are feasible.

The value of a run is the hypervolume of its feasible designs, in the box of the feasible fronts of
all runs on the problem. The median evaluations until the first feasible design and the number of
runs without one are shown, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from pymoo.core.problem import Problem
from pymoo.operators.crossover.pntx import TwoPointCrossover
from pymoo.operators.mutation.bitflip import BitflipMutation
from pymoo.operators.sampling.rnd import BinaryRandomSampling
from pymoo.problems import get_problem

from moela import MOELA
from moela.rivals import BatchMOEAD
from problems.engineering import (
    CarSideImpact,
    DiscBrake,
    HelicalSpring,
    PressureVessel,
    SpeedReducer,
    WeldedBeam,
)
from tests.benchmarks import rivals
from tests.benchmarks.harness import Case
from tests.benchmarks.search.reports import with_medians
from tests.benchmarks.search.runs import box_volumes, front_of_problem
from tests.benchmarks.search.study import OURS, Study


class ThinKnapsack(Problem):
    """A knapsack with two profits whose weight must lie in a narrow band."""

    def __init__(self, n_items: int = 60, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.weights = rng.integers(10, 100, n_items)
        self.profits = rng.integers(10, 100, (2, n_items))
        self.low, self.high = 0.30 * self.weights.sum(), 0.31 * self.weights.sum()
        super().__init__(n_var=n_items, n_obj=2, n_ieq_constr=2, xl=0, xu=1, vtype=bool)

    def operators(self) -> dict[str, Any]:
        """Return pymoo's operators for bits."""
        return {
            "sampling": BinaryRandomSampling(),
            "crossover": TwoPointCrossover(),
            "mutation": BitflipMutation(),
        }

    def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        weight = X @ self.weights
        out["F"] = -(X @ self.profits.T).astype(float)
        limits = [weight - self.high, self.low - weight]
        out["G"] = np.column_stack(limits) / self.weights.sum()


def without_nan(name: str) -> Any:
    """Return a problem of pymoo whose constraints are violated if they are not numbers.

    Those of CTP are not where both variables are 0, since rounding leaves the root of a negative.
    """
    problem = get_problem(name)
    evaluate = problem._evaluate

    def mended(X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        evaluate(X, out, *args, **kwargs)
        out["G"] = np.where(np.isnan(out["G"]), 1.0, out["G"])

    problem._evaluate = mended
    return problem


def _cell(median: float, runs: Sequence[Case], budget: int) -> str:
    firsts = [run["first"] for run in runs]
    none = sum(first > budget for first in firsts)
    return f"{median:.3f} ({np.median(firsts):.0f}; {none})"


FEASIBLE = Study(
    title="Thin feasible sets",
    about="Hypervolume of the feasible designs after {budget} evaluations, as a share of the box "
    "of the feasible fronts of all runs on the problem, and a tenth of its size beyond the worst "
    "values: medians of {seeds} seeds. In brackets, the median evaluations until the first "
    "feasible design, and the number of runs without one.",
    problems={
        **{name: partial(get_problem, name) for name in ("bnh", "osy", "tnk", "srn")},
        **{f"ctp{i}": partial(without_nan, f"ctp{i}") for i in (1, 2, 4, 6, 8)},
        **{f"mw{i}": partial(get_problem, f"mw{i}") for i in (1, 2, 3, 4, 7, 9, 14)},
        "c1dtlz1": partial(get_problem, "c1dtlz1"),
        "c2dtlz2": partial(get_problem, "c2dtlz2"),
        "c3dtlz4": partial(get_problem, "c3dtlz4"),
        "welded beam": WeldedBeam,
        "disc brake": DiscBrake,
        "speed reducer": SpeedReducer,
        "pressure vessel": PressureVessel,
        "helical spring": HelicalSpring,
        "car side impact": CarSideImpact,
        "thin knapsack": ThinKnapsack,
    },
    algorithms={
        OURS: MOELA,
        "NSGA-II": partial(rivals.nsga2, pop=50),
        "NSGA-III": partial(rivals.nsga3, pop=50),
        "AGE-MOEA-II": partial(rivals.age2, pop=50),
        "MOEA/D batch": BatchMOEAD,
    },
    measure=front_of_problem,
    report=partial(with_medians, medians=box_volumes, cell=_cell, must="at least 0.95"),
    store="feasible",
    budgets=(1000,),
    quick={"problems": ["tnk"], "algorithms": [OURS, "NSGA-II"], "budgets": [300]},
)
