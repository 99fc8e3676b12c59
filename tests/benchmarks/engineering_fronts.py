"""Reference points and hypervolumes of the engineering problems' best-known fronts.

    python -m tests.benchmarks.engineering_fronts

The front of a problem is the best of a run of MOELA and one of NSGA-II, that of `GearTrain` of all
designs. Results go to `problems/engineering/best_known.py`, after each problem; problems that are
listed there are left out, unless `--again` is given.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

import moocore
import numpy as np

import moela
import problems.engineering
from problems.engineering import best_known

TARGET = Path(best_known.__file__)
HEAD = '''"""Reference points and hypervolumes of the best-known fronts, by the name of the problem.

Written by ``python -m tests.benchmarks.engineering_fronts``.
"""

from __future__ import annotations

BEST_KNOWN: dict[str, tuple[tuple[float, ...], float]] = {
'''


def all_gears() -> np.ndarray:
    """Return the objectives of all gear trains, pairs in either order being the same."""
    teeth = np.arange(12, 61)
    first, second = np.triu_indices(len(teeth))
    a, b = teeth[first], teeth[second]
    product, largest = a * b, np.maximum(a, b)
    error = np.abs(6.931 - product[None] / product[:, None]).ravel()
    size = np.maximum(largest[None], largest[:, None]).ravel()
    kept = error <= 0.5 * 6.931
    return np.column_stack([error, size])[kept].astype(float)


def front(problem: Any, n_moela: int, n_nsga2: int) -> np.ndarray:
    """Return the objectives of the best designs of both runs."""
    if isinstance(problem, problems.engineering.GearTrain):
        found = all_gears()
    else:
        settings: dict[str, Any] = {"seed": 1, "verbose": False, "progress": False}
        runs = [
            moela.minimize(problem, n_eval=n_moela, **settings),
            moela.minimize(problem, n_eval=n_nsga2, algorithm="nsga2", **settings),
        ]
        good = [ind for run in runs for ind in run.population if ind.feas]
        found = np.array([ind.F for ind in good])
    return np.unique(found[moocore.is_nondominated(found)], axis=0)


def main() -> None:
    """Compute what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small budgets, nothing is written")
    parser.add_argument("--again", action="store_true", help="also what is listed")
    arguments = parser.parse_args()
    budgets = (300, 600) if arguments.quick else (5_000, 15_000)
    known = {} if arguments.again or arguments.quick else dict(best_known.BEST_KNOWN)
    for name in problems.engineering.__all__:
        if name in known:
            continue
        problem = getattr(importlib.import_module("problems.engineering"), name)()
        F = front(problem, *budgets)
        point = F.max(axis=0) + 0.1 * np.ptp(F, axis=0)
        point = np.array([float(f"{value:.6g}") for value in point])
        known[name] = tuple(point.tolist()), float(moocore.hypervolume(F, ref=point))
        print(name, len(F), known[name], flush=True)
        if not arguments.quick:
            lines = [f'    "{key}": ({k[0]}, {k[1]!r}),\n' for key, k in sorted(known.items())]
            TARGET.write_text(HEAD + "".join(lines) + "}\n")
    if not arguments.quick:
        n = sum(name in known for name in problems.engineering.__all__)
        total = len(problems.engineering.__all__)
        print(f"bar: problems with a best-known front, {n}, {total}")


if __name__ == "__main__":
    main()
