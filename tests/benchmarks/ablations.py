"""Ablations: variants of MOELA against its default, on a tuning set.

    python -m tests.benchmarks.ablations --budget 5000 --seeds 5 --out docs/benchmarks/ablations.md

Rows are added to the page, which may hold runs of several versions, budgets, and stores. The shared
instances are used if MOELA_DATA is set, else generated ones only. `--algorithms` picks variants,
`--problems` picks problems. An interrupted run resumes.
"""

from __future__ import annotations

import inspect
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from moela import MOELA
from moela.core.scaling import SCALARIZATIONS
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from tests.benchmarks import ablations_page, tables


class RandomStarts(MOELA):
    """MOELA whose searches start from random members of the archive."""

    def _pick_starts(self, W: Any) -> Any:
        n = len(W)
        return self.random_state.integers(len(self.region.archive), size=n), np.full(n, np.nan)


def moela(kind: type[MOELA] = MOELA, **settings: Any) -> Any:
    """Return a function that makes a variant; every setting must be one of MOELA's own.

    pymoo's base class takes any keyword without a word, so that a setting that has been renamed
    would make a variant that is the default.
    """
    unknown = set(settings) - set(inspect.signature(MOELA).parameters)
    if unknown:
        raise ValueError(f"MOELA has no setting {', '.join(sorted(unknown))}; mend the variant.")
    return partial(kind, **settings)


def variants() -> dict[str, Any]:
    """Return the default and its variants, by name."""
    found: dict[str, Any] = {
        tables.OURS: MOELA,
        "no move model": moela(move_model=None),
        "no Hamming-kernel model": moela(landscape=False),
        "no restarts": moela(restarts=False),
        "no start model": moela(start_model=None),
        "no model": moela(start_model=None, move_model=None),
        "random starts": moela(RandomStarts),
        "random starts, no model": moela(RandomStarts, start_model=None, move_model=None),
        "no perturbation": moela(kicks=False),
        "shares that stay": moela(shares={"evolution": 0.15, "search": 0.55, "pareto": 0.3}),
        "reference unknown": moela(reference=None),
        "evolution only": moela(shares={"evolution": 1.0}),
        "search only": moela(shares={"search": 1.0}),
        "no evolution": moela(shares={"search": 0.65, "pareto": 0.35}),
        "no search": moela(shares={"evolution": 0.35, "pareto": 0.65}),
        "no Pareto search": moela(shares={"evolution": 0.2, "search": 0.8}),
    }
    for search in (0.3, 0.5, 0.7, 0.9):
        shares = {"evolution": 1 - search, "search": search}
        found[f"evolution and {search} search"] = moela(shares=shares)
    for pareto in (0.1, 0.3, 0.5):
        shares = {"evolution": 0.1, "search": 0.9 - pareto, "pareto": pareto}
        found[f"{pareto} Pareto search"] = moela(shares=shares)
    for by in SCALARIZATIONS:
        found[f"descend {by}"] = moela(descend=by)
        found[f"replace {by}"] = moela(scalarization=by)
    for n in (10, 25, 50, 200):
        found[f"{n} candidates"] = moela(n_candidates=n)
    for size in (50, 100, 300, 1000):
        found[f"archive {size}"] = moela(archive_size=size)
    for patience in (5, 10, 40, 80):
        found[f"patience {patience}"] = moela(patience=patience)
    for n in (1, 2, 3, 10, 20):
        found[f"{n} searches"] = moela(n_searches=n)
    for size in (20, 50):
        found[f"batches of {size}"] = moela(batch_size=size)
    return found


def tuning_set() -> dict[str, Any]:
    """Return functions that make the problems, by name."""
    found: dict[str, Any] = {}
    folder = os.environ.get("MOELA_DATA")
    if folder:
        data = Path(folder)
        for m in (3, 5):
            for path in sorted((data / "noc").glob("*_traffic.csv")):
                name = f"noc-{path.stem.removesuffix('_traffic')}-{m}"
                found[name] = partial(NoC3D.from_traffic, path, objectives=m)
        for path in sorted((data / "mqap").glob("*.dat")):
            found[path.stem] = partial(MultiObjectiveQAP.from_file, path)
        for path in sorted((data / "knapsack").glob("random-?D-?00*.in")):
            found[f"knapsack-{path.stem}"] = partial(MultiObjectiveKnapsack.from_file, path)
    else:
        for m in (3, 5):
            found[f"noc-example-{m}"] = partial(NoC3D.example, "bfs", objectives=m)
        found["qap-20"] = partial(MultiObjectiveQAP.random, n_facilities=20, seed=1)
        found["knapsack-100"] = partial(MultiObjectiveKnapsack.random, n_items=100, seed=1)
    for n, k, m in ((18, 4, 2), (64, 4, 2), (64, 8, 3), (100, 2, 5)):
        found[f"mnk-{n}-{k}-{m}"] = partial(MNKLandscape.random, n=n, k=k, n_objectives=m, seed=1)
    return found


def main() -> None:
    """Make the runs, and add their rows to the page."""
    parser = tables.parser(__doc__, budget=5000, store="ablations")
    arguments = parser.parse_args()
    results = tables.run(tuning_set(), variants(), {}, arguments)
    out = Path(arguments.out) if arguments.out else None
    page = out.read_text(encoding="utf-8") if out and out.is_file() else ""
    tables.finish([ablations_page.update(page, results, arguments.budget)], arguments.out)


if __name__ == "__main__":
    main()
