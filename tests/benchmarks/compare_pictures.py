"""Pictures for the page on comparing: `python -m tests.benchmarks.compare_pictures docs/images`."""

from __future__ import annotations

from pathlib import Path

from pymoo.algorithms.moo.nsga2 import NSGA2

from moela import MOELA, compare, run_experiment
from problems import MultiObjectiveQAP
from tests.benchmarks import harness

ALGORITHMS = {
    "MOELA": MOELA,
    "NSGA-II": lambda problem: NSGA2(50, **problem.operators()),
    "NSGA-II, 200": lambda problem: NSGA2(200, **problem.operators()),
}


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder for the pictures")
    folder = parser.parse_args().folder
    problem = MultiObjectiveQAP.random(n_facilities=25)
    results = run_experiment({"mQAP": problem}, ALGORITHMS, 9, 4_000, store=".benchmarks/page")
    comparison = compare(results, problems={"mQAP": problem})
    print(comparison)
    comparison.plot_attainment(path=folder / "attainment.png")
    comparison.plot_convergence(path=folder / "convergence.png")


if __name__ == "__main__":
    main()
