"""Speed of the classic problems: evaluations, neighbors, offspring, and exact fronts.

    python -m tests.benchmarks.classic_speed

Takes about a minute. If MOELA_DATA is set, its instances are timed, too. Times are CPU times of one
process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.core.population import Population

from problems.classic import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP
from tests.benchmarks import harness

BATCH = 200
NEIGHBORS = 10


def rate(work: Callable[[], Any], items: int, seconds: float = 0.4) -> float:
    """Return items per CPU second, without the first call, which compiles."""
    work()
    rounds, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        work()
        rounds += 1
    return rounds * items / (time.process_time() - start)


def instances() -> list[Any]:
    """Return the problems to time."""
    problems: list[Any] = [
        MultiObjectiveQAP.random(n_facilities=n, n_obj=m, seed=1)
        for n, m in ((10, 2), (30, 3), (100, 2))
    ]
    problems += [
        MultiObjectiveKnapsack.random(n_items=n, n_obj=m, seed=1)
        for n, m in ((100, 2), (100, 3), (500, 2))
    ]
    problems += [
        MNKLandscape.random(n=n, k=k, n_obj=m, seed=1)
        for n, k, m in ((18, 4, 2), (100, 4, 2), (100, 10, 5))
    ]
    return problems


def main() -> None:
    """Print the two tables."""
    harness.script_parser(__doc__).parse_args()
    print(harness.machine())
    print(f"\nper CPU second, in batches of {BATCH}; {NEIGHBORS} neighbors per design\n")
    print(f"{'problem':58} {'evaluations':>12} {'neighbors':>12} {'offspring':>12}")
    for problem in instances():
        rng = np.random.default_rng(1)
        operators = problem.operators()
        pop = operators["sampling"].do(problem, BATCH, random_state=rng)
        X = pop.get("X")
        parents = rng.integers(BATCH, size=(BATCH // 2, 2))

        def offspring(problem=problem, operators=operators, pop=pop, parents=parents, rng=rng):
            off = operators["crossover"].do(problem, pop, parents, random_state=rng)
            off = operators["mutation"].do(problem, off, random_state=rng)
            if "repair" in operators:
                operators["repair"].do(problem, off, random_state=rng)
            assert isinstance(off, Population)

        rates = (
            rate(lambda p=problem, X=X: p.evaluate(X), BATCH),
            rate(
                lambda p=problem, X=X, r=rng: p.neighbors_many(X, NEIGHBORS, r),
                BATCH * NEIGHBORS,
            ),
            rate(offspring, BATCH),
        )
        print(f"{problem.name():58} " + " ".join(f"{r:12,.0f}" for r in rates))

    print(f"\n{'exact front':58} {'points':>12} {'CPU seconds':>12}")
    small: list[Any] = [
        MultiObjectiveQAP.random(n_facilities=9, correlation=-0.5, seed=1),
        MultiObjectiveQAP.random(n_facilities=10, correlation=-0.5, seed=1),
        MultiObjectiveQAP.random(n_facilities=10, n_obj=3, correlation=-0.5, seed=1),
        MultiObjectiveKnapsack.random(n_items=100, correlation=-0.5, seed=1),
        MultiObjectiveKnapsack.random(n_items=200, seed=1),
        MultiObjectiveKnapsack.random(n_items=40, n_obj=3, seed=1),
        MNKLandscape.random(n=18, k=4, n_obj=2, seed=1),
        MNKLandscape.random(n=18, k=4, n_obj=3, rho=-0.4, seed=1),
    ]
    folder = os.environ.get("MOELA_DATA")
    if folder:
        small += [
            MultiObjectiveQAP.from_file(p) for p in sorted(Path(folder).glob("mqap/KC10*.dat"))
        ]
        small += [
            MultiObjectiveKnapsack.from_file(p)
            for p in sorted(Path(folder).glob("knapsack/random-2D*.in"))
        ]
    for tiny in (  # compile first
        MultiObjectiveQAP.random(n_facilities=3),
        MultiObjectiveKnapsack.random(n_items=5),
        MultiObjectiveKnapsack.random(n_items=5, n_obj=3),
    ):
        tiny.exact_front()
    for problem in small:
        start = time.process_time()
        front = problem.exact_front()
        points = "none" if front is None else len(front.F)
        print(f"{problem.name():58} {points:>12} {time.process_time() - start:12.2f}")


if __name__ == "__main__":
    main()
