"""Results of runs in which no design is feasible."""

from __future__ import annotations

import moocore
import numpy as np

import moela
from tests.moela.functions.function_cases import QUIET


def never(objectives=("a", "b"), c=lambda d: 5.0, **changes):
    """Minimize two numbers or one, whatever c is: at most 4 is out of reach."""
    return moela.minimize(
        lambda d: {"a": d["x"], "b": d["y"], "c": c(d)},
        variables={"x": (0.0, 1.0), "y": (0.0, 1.0)}, objectives=list(objectives),
        constraints={"c": (None, 4)}, n_eval=30, **(QUIET | changes),
    )  # fmt: skip


def test_of_equal_violations_the_best_designs_stand_for_the_front():
    result = never()
    F, front = result.population.get("F"), result.front
    best = np.unique(F[moocore.is_nondominated(F)], axis=0)
    assert front.F[: len(best)].tolist() == best.tolist()
    assert f"{len(best)} non-dominated design" in result.algorithm.status
    # Others fill the list up to five.
    assert len(front) == max(5, len(best))
    assert f"holds the {len(front)} designs of least violation" in result.status


def test_with_one_objective_the_best_of_the_least_violation_comes_first():
    result = never(["a"])
    assert result.best.objectives["a"] == result.population.get("F").min()
    assert not result.best.feasible
