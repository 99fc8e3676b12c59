"""Speed of NoC3D on one core: evaluation, operators, larger chips, and physical units.

    python -m tests.benchmarks.noc_speed [--quick]

Times are CPU times, the best of several rounds. ``--quick`` makes two rounds of fewer designs.
"""

from dataclasses import replace

import numpy as np

from problems.noc import NoC3D, Platform
from problems.noc.evaluation.metrics import UNITS
from problems.noc.evaluation.physical import PHYSICAL_UNITS
from tests.benchmarks import harness
from tests.benchmarks.harness import best_seconds

RELEASED_PER_SECOND = 2.5  # the released evaluator, on two cores
TILES = {"4x4x4": 400, "8x8x4": 60, "10x10x10": 8}


def designs(problem, n):
    """Return children of sampled designs in any order, [n, n_var]."""
    rng = np.random.default_rng(0)
    start = problem.operators()["sampling"]._do(problem, n, random_state=rng)
    parents = np.stack((start[: n // 2], start[n // 2 :]))
    children = problem.operators()["crossover"]._do(problem, parents, random_state=rng)
    return rng.permutation(children.reshape(-1, problem.n_var))


def report_variation(problem, X, rounds):
    """Print the times of the operators relative to an evaluation."""
    operators = problem.operators()
    rng = np.random.default_rng(1)
    half = len(X) // 2
    related = operators["mutation"]._do(problem, X, random_state=rng)
    some = X[: len(X) // 20]
    near = problem.neighbors_many(some, 20, rng)
    neighbors = near.reshape(-1, problem.n_var)
    mesh = np.tile(problem.mesh_row(), (len(X), 1))

    def cross(others):
        parents = np.stack((X[:half], others[half : 2 * half]))
        operators["crossover"]._do(problem, parents, random_state=rng)

    work = {
        "evaluation": lambda: problem.evaluate(X),
        "evaluation of the mesh": lambda: problem.evaluate(mesh),
        "sampling": lambda: operators["sampling"]._do(problem, len(X), random_state=rng),
        "mutation": lambda: operators["mutation"]._do(problem, X, random_state=rng),
        "crossover, unrelated parents": lambda: cross(X),
        "crossover, related parents": lambda: cross(np.roll(related, half, axis=0)),
        "neighbors, 20 at a time": lambda: problem.neighbors_many(some, 20, rng),
        "features, unrelated designs": lambda: problem.features(X),
        "features, 20 neighbors at a time": lambda: problem.features(neighbors),
        "the same, with their design": lambda: problem.neighbor_features(some, near),
        "canonical": lambda: problem.canonical(X),
    }
    seconds = {name: best_seconds(call, rounds) / len(X) for name, call in work.items()}
    print(f"\n{'per design':34}{'us':>8}{'of an evaluation':>20}")
    for name, each in seconds.items():
        print(f"{name:34}{each * 1e6:8.1f}{each / seconds['evaluation']:20.0%}")
    rate = 1 / seconds["evaluation"]
    times = f"{rate / RELEASED_PER_SECOND:,.0f} times the released evaluator's ~2.5/s"
    print(f"{rate:,.0f} designs/s, {times}")


def report_growth(rounds):
    """Print the time per design by number of tiles."""
    rows = [["chip", "tiles", "us, five objectives", "us, all metrics"]]
    for name, n in TILES.items():
        problem = NoC3D.example("bfs", platform=Platform.preset(name))
        every = NoC3D(problem.traffic, platform=problem.platform, objectives=tuple(UNITS))
        X = designs(problem, n)
        seconds, whole = (
            1e6 / n * best_seconds(lambda p=p, X=X: p.evaluate(X), rounds) for p in (problem, every)
        )
        rows.append([name, f"{problem.platform.n_tiles}", f"{seconds:,.1f}", f"{whole:,.1f}"])
    print(f"\n{harness.markdown(rows)}")


def report_physical(X, rounds):
    """Print what the physical metrics cost beside the five objectives of the paper."""
    platform = replace(Platform.paper_4x4x4(), technology="32nm")
    units = NoC3D.example("bfs", platform=platform, objectives=5)
    plain = best_seconds(lambda: units.evaluate(X), rounds)
    names = [*units.objectives, *PHYSICAL_UNITS]
    every = best_seconds(lambda: units.measure(X, names), rounds)
    what = "all nine physical metrics, share of the time of the five objectives"
    harness.bar(what, f"{(every - plain) / plain:.2f}", "at most 0.5")


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    rounds, n = (2, 400) if parser.parse_args().quick else (7, 2000)
    print(harness.machine())
    problem = NoC3D.example("bfs", objectives=5)
    X = designs(problem, n)
    report_variation(problem, X, rounds)
    report_physical(X, rounds)
    report_growth(rounds)


if __name__ == "__main__":
    main()
