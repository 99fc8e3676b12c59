"""Every problem passes the conformance checks; to add one, add a line to PROBLEMS."""

from __future__ import annotations

from functools import cache, partial

import pytest
from pymoo.problems import get_problem

import moela
import problems
import problems.engineering
from moela.testing import PROBLEM_CHECKS, ToyInfeasible, toy_problems


def weigh(d):
    """Two numbers of any design."""
    weight = sum(
        k * (len(repr(value)) if isinstance(value, list | str) else float(value))
        + (value[0] if isinstance(value, list) else 0)
        for k, value in enumerate(d.values(), 1)
    )
    return {"up": weight, "down": len(d) - weight, "limit": weight % 5}


FUNCTIONS = {
    kind: moela.problem(
        weigh,
        variables=variables,
        objectives={"up": "min", "down": "max"},
        constraints={"limit": (None, 4)},
        ref_point={"up": 1e4, "down": -1e4},
        version="1",
    )
    for kind, variables in {
        "numbers": {"x": (0.0, 1.0), "n": (1, 99), "z": moela.real(1e-3, 1e3, log=True)},
        "booleans": dict.fromkeys("abcdef", bool),
        "a permutation": {"p": moela.permutation(7)},
        "everything": {
            "x": (0.0, 1.0),
            "n": moela.integer(1, 500, log=True),
            "s": ["a", "bb", "ccc"],
            "b": bool,
            "p": moela.permutation(4),
            "r": moela.real(1, 2, when={"b": True}),
            "q": moela.choice([1, 2, 4], when={"s": ["a", "bb"]}),
        },
    }.items()
}

# Each is made when its first test runs, since making a problem may compile its kernels.
PROBLEMS = (
    {type(problem).__name__: type(problem) for problem in [*toy_problems(), ToyInfeasible()]}
    | {f"a function of {kind}": partial(FUNCTIONS.get, kind) for kind in FUNCTIONS}
    | {
        "ZDT1": lambda: get_problem("zdt1"),
        "ZDT5": lambda: get_problem("zdt5"),
        "DTLZ2": lambda: get_problem("dtlz2", n_var=7, n_obj=4),
        "MW7": lambda: get_problem("mw7"),
        "NoC3D, 5 objectives": lambda: problems.NoC3D.example(),
        "NoC3D, as released": lambda: problems.NoC3D.example(objectives=3, model="released"),
        "QAP": lambda: problems.MultiObjectiveQAP.random(n_facilities=9, n_obj=3, seed=1),
        "knapsack": lambda: problems.MultiObjectiveKnapsack.random(n_items=30, n_obj=3, seed=1),
        "spring": lambda: problems.engineering.HelicalSpring(),
        "MNK": lambda: problems.MNKLandscape.random(n=12, n_obj=2, k=3, seed=1),
        "gating": lambda: problems.GatingThresholds.example(rule="any"),
        "buffering": lambda: problems.ExpertBuffering.example(n_devices=2, budget_bytes=2_000_000),
        "placement": lambda: problems.ExpertPlacement.example(n_devices=8, n_nodes=2, replicas=8),
        "deployment": lambda: problems.MoEDeployment.example(n_devices=2, replicas=2),
        "experts on a chip": lambda: problems.MoEOnChip.example(
            objectives=("p99_latency", "energy", "peak_load"),
            constraints={"port_load": 0.9},
            max_steps=8,
        ),
        "deployment, two nodes": lambda: problems.MoEDeployment.example(
            n_devices=4, n_nodes=2, aggregate="worst", slo_s=0.1
        ),
    }
)


@cache
def made(name):
    return PROBLEMS[name]()


@pytest.mark.parametrize("check", PROBLEM_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", PROBLEMS)
def test_problem(name, check):
    check(made(name))
