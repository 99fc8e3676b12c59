"""Results of runs in which no design is feasible."""

from __future__ import annotations

import moocore
import numpy as np

import moela
from moela.functions.results.best import best_rows
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


def test_all_trade_offs_of_the_least_violation_are_kept():
    F = np.column_stack([np.arange(9.0)[::-1], np.arange(9.0)])
    CV = np.r_[np.full(7, 0.5), 0.6, 0.7]
    assert best_rows(F, CV).tolist() == [6, 5, 4, 3, 2, 1, 0]
    assert best_rows(F, np.arange(1.0, 10.0)).tolist() == [0, 1, 2, 3, 4]
    assert best_rows(F[:0], CV[:0]).tolist() == []


def test_with_one_objective_the_best_of_the_least_violation_comes_first():
    result = never(["a"])
    assert result.best.objectives["a"] == result.population.get("F").min()
    assert not result.best.feasible


def test_the_picture_of_one_objective_marks_the_least_violations():
    result = never(["a"], c=lambda d: 6.0 - d["x"])
    (axes,) = result.plot().axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "infeasible", "least violating"
    ]  # fmt: skip
    everything, chosen = axes.get_lines()
    assert sorted(chosen.get_ydata()) == sorted(result.front.F[:, 0])
    # None is cut off.
    low, high = axes.get_ylim()
    assert low < everything.get_ydata().min()
    assert everything.get_ydata().max() < high
