"""Time of comparisons: `python -m tests.benchmarks.compare_speed [--quick]`.

Compares 200 fronts of 500 points in five objectives (ten algorithms, twenty seeds) on one core.
Then measures the time of one hypervolume by number of objectives, exact and approximate, for the
largest front whose hypervolume `compare` computes exactly. ``--quick`` compares 20 fronts.
"""

from __future__ import annotations

import numpy as np

from moela import compare
from moela.quality import indicators
from tests.benchmarks import harness
from tests.benchmarks.harness import best_seconds

N_POINTS, N_OBJ, N_ALGORITHMS = 500, 5, 10


def sphere(n: int, n_obj: int, rng: np.random.Generator) -> np.ndarray:
    """Return points of a concave front, all non-dominated: the hardest case for the indicators."""
    Z = np.abs(rng.normal(size=(n, n_obj)))
    return 2.0 - Z / np.linalg.norm(Z, axis=1, keepdims=True)


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    seeds = 2 if parser.parse_args().quick else 20
    rng = np.random.default_rng(1)
    fronts = {
        f"algorithm {k}": {s: sphere(N_POINTS, N_OBJ, rng) for s in range(seeds)}
        for k in range(N_ALGORITHMS)
    }
    print(harness.machine())
    seconds = best_seconds(lambda: str(compare(fronts)), 1)
    what = f"comparing {N_ALGORITHMS * seeds} fronts of {N_POINTS} points in {N_OBJ} objectives"
    print(f"{what}, with all tests: {seconds:.1f} s CPU")
    for n_obj, n in indicators.EXACT_UP_TO.items():
        F, point = sphere(min(n, 20_000), n_obj, rng), np.full(n_obj, 2.1)
        exact, other = (
            best_seconds(lambda e=e, F=F, p=point: indicators.hypervolume(F, p, exact=e), 1)
            for e in (True, False)
        )
        print(
            f"{n_obj} objectives, {len(F)} points: exact {exact:.3f} s, approximate {other:.3f} s"
        )


if __name__ == "__main__":
    main()
