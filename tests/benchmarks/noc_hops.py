"""Mean hops of MOELA's networks for chiplets against mesh, folded torus and express mesh.

    python -m tests.benchmarks.noc_hops [--quick] [--seconds 60] [--store FILE]

Routers of four links, no longer than that of a folded torus (two pitches) or than a knight's move,
under uniform traffic. Each case is one run of MOELA within a budget of process time on mean hops
and peak load. Finished cases are kept in the file. ``--quick`` gives each case 5 seconds.
"""

from __future__ import annotations

import math

import numpy as np
from pymoo.optimize import minimize

from moela import MOELA
from problems.noc import Design, NoC3D, chiplet_package
from problems.noc.baselines import express_mesh, folded_torus
from tests.benchmarks import harness
from tests.benchmarks.harness import Case, Cases, bar
from tests.benchmarks.search.timed import Enough, TimedEvaluator

GRIDS = {"20 routers": (5, 4), "30 routers": (6, 5), "48 routers": (8, 6), "64 chiplets": (8, 8)}
LENGTHS = {"two pitches": 2.0, "knight's move": math.sqrt(5.0)}


def hops(design: Design) -> float:
    """Return the mean hops between different routers."""
    n = design.platform.n_tiles
    problem = NoC3D(np.ones((n, n)), platform=design.platform, objectives=("mean_hops",))
    return float(problem.evaluate(problem.encode(design))[0])


def case(grid: tuple[int, int], length: float, seconds: float) -> Case:
    """Return the mean hops of the regular networks and of MOELA's best."""
    platform = chiplet_package(grid, max_length=length)
    n = platform.n_tiles
    mesh = chiplet_package(grid, max_length=1.0, n_planar_links=2 * n - sum(grid))
    problem = NoC3D(
        np.full((n, n), 0.1 / n), platform=platform, objectives=("mean_hops", "peak_load")
    )
    problem.evaluate(problem.mesh_row())  # compiled before the clock starts
    clock = TimedEvaluator()
    result = minimize(problem, MOELA(), Enough(clock, seconds), seed=1, evaluator=clock)
    return {
        "mesh": hops(Design.mesh(mesh)),
        "torus": hops(folded_torus(platform)),
        "express": hops(express_mesh(platform)),
        "moela": float(result.F[:, 0].min()),
        "evaluations": float(result.algorithm.evaluator.n_eval),
    }


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--store", default="tests/benchmarks/results/noc_hops.json")
    arguments = parser.parse_args()
    seconds = 5.0 if arguments.quick else arguments.seconds
    print(harness.machine())
    cases = Cases(arguments.store)
    changes = {}
    for name, grid in GRIDS.items():
        for reach, length in LENGTHS.items():
            key = f"{name}, {reach}, {seconds:g} s"
            values = cases.get(key, lambda g=grid, x=length: case(g, x, seconds))
            best = min(values[kind] for kind in ("mesh", "torus", "express"))
            changes[name, reach] = 100 * (values["moela"] / best - 1)
    for (name, reach), change in changes.items():
        what = f"mean hops over the best regular network, {name}, {reach}, %"
        bar(what, f"{change:+.1f}", "-8")


if __name__ == "__main__":
    main()
