"""Runs of few evaluations on problems whose evaluation fails where they would be best.

    python -m tests.benchmarks.few_failures [--seeds 4] [--limits -0.5 0 inf]

Prints, for each limit of the process that learns failures, and for each problem, how many of 100
evaluations fail, and the mean hypervolume. Without a limit (inf), nothing follows from failures.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize

from moela import MOELA, Evaluator
from moela.bayesian import infill
from moela.quality.indicators import hypervolume
from tests.benchmarks import harness


class HeatSink(ElementwiseProblem):
    """The heat sink of the tutorial on an expensive simulator: tall, thin fins fail."""

    ref = np.array([1.0, 60.0])

    def __init__(self):
        super().__init__(n_var=3, n_obj=2, xl=[0.01, 0.0005, 5], xu=[0.06, 0.003, 25])

    def _evaluate(self, x, out, *args, **kwargs):
        height, thickness, fins = x[0], x[1], round(x[2])
        if height > 45 * thickness:
            raise RuntimeError("solver diverged")
        gap = (0.08 - fins * thickness) / (fins - 1)
        film = 9.0 * min(1.0, gap / 0.004) ** 1.5
        m = np.sqrt(2 * film / (200 * thickness))
        area = 0.08 * (2 * fins * np.tanh(m * height) / m + (fins - 1) * gap)
        mass = 2700 * 0.08 * (0.08 * 0.004 + fins * height * thickness)
        out["F"] = [mass, 10 / (film * area)]


class Corner(ElementwiseProblem):
    """ZDT1 without the designs near its front: those in a ball, or below a plane, fail."""

    ref = np.array([1.1, 6.0])

    def __init__(self, n_var, fails):
        super().__init__(n_var=n_var, n_obj=2, xl=0.0, xu=1.0)
        self.fails = fails

    def _evaluate(self, x, out, *args, **kwargs):
        if self.fails(x):
            raise RuntimeError("solver diverged")
        g = 1.0 + 9.0 * x[1:].mean()
        out["F"] = [x[0], g * (1.0 - np.sqrt(x[0] / g))]


PROBLEMS = {
    "heat sink": HeatSink(),
    "ball": Corner(6, lambda x: x[1] ** 2 + x[2] ** 2 < 0.05),
    "plane": Corner(4, lambda x: x[1] + x[2] < 0.5),
}


def main() -> None:
    """Run, and print the counts."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--limits", type=float, nargs="+", default=[infill._FAILURE_LIMIT])
    arguments = parser.parse_args()
    logging.getLogger("moela").setLevel(logging.ERROR)
    for limit in arguments.limits:
        infill._FAILURE_LIMIT = limit
        failures: list[int] = []
        for name, problem in PROBLEMS.items():
            runs = [counted(problem, seed) for seed in range(1, arguments.seeds + 1)]
            failed = [n for n, _ in runs]
            failures += failed
            volume = np.mean([value for _, value in runs])
            print(f"limit {limit:g}, {name}: failed {failed}, hypervolume {volume:.4g}", flush=True)
        print(f"limit {limit:g}, median of all: {np.median(failures):g} of 100")


def counted(problem: Any, seed: int) -> tuple[int, float]:
    """Return how many evaluations of a run fail, and its hypervolume."""
    evaluator = Evaluator(on_error="infeasible", progress=False)
    res = minimize(problem, MOELA(), ("n_eval", 100), seed=seed, evaluator=evaluator)
    return evaluator.n_failed, hypervolume(res.F, problem.ref)


if __name__ == "__main__":
    main()
