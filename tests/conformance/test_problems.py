"""Every problem passes the conformance checks; to add one, add a line to PROBLEMS."""

from __future__ import annotations

import pytest
from pymoo.problems import get_problem

from moela.testing import PROBLEM_CHECKS, ToyInfeasible, toy_problems

PROBLEMS = {type(problem).__name__: problem for problem in [*toy_problems(), ToyInfeasible()]} | {
    "ZDT1": get_problem("zdt1"),
    "ZDT5": get_problem("zdt5"),
    "DTLZ2": get_problem("dtlz2", n_var=7, n_obj=4),
    "MW7": get_problem("mw7"),
}


@pytest.mark.parametrize("check", PROBLEM_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", PROBLEMS)
def test_problem(name, check):
    check(PROBLEMS[name])
