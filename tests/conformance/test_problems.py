"""Every problem passes the conformance checks; to add one, add a line to PROBLEMS."""

from __future__ import annotations

import pytest
from pymoo.problems import get_problem

import problems
from moela.testing import PROBLEM_CHECKS, ToyInfeasible, toy_problems

PROBLEMS = {type(problem).__name__: problem for problem in [*toy_problems(), ToyInfeasible()]} | {
    "ZDT1": get_problem("zdt1"),
    "ZDT5": get_problem("zdt5"),
    "DTLZ2": get_problem("dtlz2", n_var=7, n_obj=4),
    "MW7": get_problem("mw7"),
    "NoC3D, 5 objectives": problems.NoC3D.example(),
    "NoC3D, as released": problems.NoC3D.example(objectives=3, model="released"),
    "QAP": problems.MultiObjectiveQAP.random(n_facilities=9, n_obj=3, seed=1),
    "knapsack": problems.MultiObjectiveKnapsack.random(n_items=30, n_obj=3, seed=1),
    "MNK": problems.MNKLandscape.random(n=12, n_obj=2, k=3, seed=1),
    "gating": problems.GatingThresholds.example(rule="any"),
    "buffering": problems.ExpertBuffering.example(n_devices=2, budget_bytes=2_000_000),
    "placement": problems.ExpertPlacement.example(n_devices=8, n_nodes=2, replicas=8),
    "deployment": problems.MoEDeployment.example(n_devices=2, replicas=2),
    "deployment, two nodes": problems.MoEDeployment.example(
        n_devices=4, n_nodes=2, aggregate="worst", slo_s=0.1
    ),
}


@pytest.mark.parametrize("check", PROBLEM_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", PROBLEMS)
def test_problem(name, check):
    check(PROBLEMS[name])
