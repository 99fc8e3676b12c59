"""Time of comparisons: `python -m tests.benchmarks.compare_speed`.

Compares 200 fronts of 500 points in five objectives (ten algorithms, twenty seeds) on one core.
Then measures the time of one hypervolume by number of objectives, exact and approximate, for the
largest front whose hypervolume `compare` computes exactly.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from moela import compare
from moela.quality import indicators
from tests.benchmarks import harness


def sphere(n: int, n_obj: int, rng: np.random.Generator, radius: float = 1.0) -> np.ndarray:
    """Return points of a concave front, all non-dominated: the hardest case for the indicators."""
    Z = np.abs(rng.normal(size=(n, n_obj)))
    return radius * (2.0 - Z / np.linalg.norm(Z, axis=1, keepdims=True))


def clocked(call, *arguments):
    """Return the result of a call, its CPU seconds, and its wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call(*arguments)
    return result, time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--points", type=int, default=500)
    parser.add_argument("--objectives", type=int, default=5)
    parser.add_argument("--algorithms", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument(
        "--spread",
        type=float,
        default=0.0,
        help="difference between the radii of two algorithms",
    )
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    fronts = {
        f"algorithm {k}": {
            s: sphere(arguments.points, arguments.objectives, rng, 1 + arguments.spread * k)
            for s in range(arguments.seeds)
        }
        for k in range(arguments.algorithms)
    }
    print(harness.machine())
    comparison, cpu, wall = clocked(compare, fronts)
    scale = comparison.scales["problem"]
    print(
        f"{len(comparison.runs)} fronts of {arguments.points} points in "
        f"{arguments.objectives} objectives, pooled front {scale.pooled_size}, "
        f"{'exact' if scale.exact else 'approximate'}: {cpu:.1f} s CPU, {wall:.1f} s"
    )
    _, cpu, wall = clocked(str, comparison)
    print(f"summary with all tests: {cpu:.1f} s CPU, {wall:.1f} s")
    for n_obj, n in indicators.EXACT_UP_TO.items():
        n = min(n, 20_000)
        F = sphere(n, n_obj, rng)
        _, exact, _ = clocked(lambda F=F: indicators.hypervolume(F, np.full(F.shape[1], 2.1)))
        approximate = lambda F=F: indicators.hypervolume(  # noqa: E731
            F, np.full(F.shape[1], 2.1), exact=False
        )
        _, other, _ = clocked(approximate)
        print(f"{n_obj} objectives, {n} points: exact {exact:.3f} s CPU, approximate {other:.3f} s")


if __name__ == "__main__":
    main()
