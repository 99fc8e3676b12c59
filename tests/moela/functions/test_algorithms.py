"""Algorithms of pymoo in `moela.minimize`: their operators suit the variables."""

from __future__ import annotations

import numpy as np
import pytest
from function_cases import LINE, QUIET, line
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM

import moela


@pytest.mark.parametrize("make", [lambda: "nsga2", lambda: NSGA2(pop_size=20), lambda: NSGA2])
def test_algorithms_of_pymoo_get_operators_for_the_variables(make):
    result = moela.minimize(
        lambda d: (d["order"].index(0) + d["n"], len(d["tool"]) - d["n"]),
        variables={"order": moela.permutation(5), "tool": ["a", "bb"], "n": (1, 9)},
        objectives=["a", "b"],
        n_eval=60,
        algorithm=make(),
        **QUIET,
    )
    assert type(result.algorithm.mating.crossover).__name__ == "DesignCrossover"
    X = result.population.get("X")
    np.testing.assert_array_equal(X, result.problem.canonical(X))


def test_operators_that_the_user_chose_stay():
    chosen = NSGA2(pop_size=10, crossover=UX(), mutation=PM(eta=5))
    result = moela.minimize(line, **LINE, n_eval=20, algorithm=chosen, **QUIET)
    mating = result.algorithm.mating
    assert isinstance(mating.crossover, UX)
    assert isinstance(mating.mutation, PM)
    assert type(mating.repair).__name__ == "DesignRepair"
    assert type(chosen.mating.repair).__name__ == "NoRepair"


@pytest.mark.parametrize("vtype", [int, bool])
def test_default_operators_of_pymoo_suit_a_problem_of_whole_numbers(vtype):
    class Whole(Problem):
        def __init__(self):
            super().__init__(n_var=6, n_obj=2, xl=0, xu=1 if vtype is bool else 9, vtype=vtype)

        def _evaluate(self, x, out, *args, **kwargs):
            assert np.array_equal(x, np.asarray(x, dtype=vtype))
            out["F"] = np.column_stack([x.sum(axis=1), -(x[:, :2] * 1.0).sum(axis=1)])

    result = moela.minimize(Whole(), n_eval=40, algorithm=NSGA2(pop_size=10), **QUIET)
    assert result.n_eval == 40
