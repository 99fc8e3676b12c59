"""Runs of few evaluations on problems whose evaluation fails where they would be best.

    python -m tests.benchmarks.few_failures [--seeds 4]

Prints, for each problem, how many of 100 evaluations fail, and the mean hypervolume.
"""

from __future__ import annotations

import logging

import numpy as np
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize

from moela import MOELA, Evaluator
from moela.quality.indicators import hypervolume
from tests.benchmarks import tables


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
    parser = tables.script_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    seeds = range(1, parser.parse_args().seeds + 1)
    logging.getLogger("moela").setLevel(logging.ERROR)
    failures: list[int] = []
    for name, problem in PROBLEMS.items():
        volumes = []
        for seed in seeds:
            evaluator = Evaluator(on_error="infeasible", progress=False)
            res = minimize(problem, MOELA(), ("n_eval", 100), seed=seed, evaluator=evaluator)
            failures.append(evaluator.n_failed)
            volumes.append(hypervolume(res.F, problem.ref))
        print(f"{name}: failed {failures[-len(seeds) :]}, hypervolume {np.mean(volumes):.4g}")
    print(f"median of all: {np.median(failures):g} of 100")


if __name__ == "__main__":
    main()
