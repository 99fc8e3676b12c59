"""Ablations: variants of MOELA against its default, on a tuning set.

    python -m tests.benchmarks.ablations --budget 5000 --seeds 5 --out docs/benchmarks/ablations.md

Rows are added to the page, which may hold runs of several versions, budgets, and stores. The shared
instances are used if MOELA_DATA is set, otherwise only generated instances. `--algorithms` picks
variants, `--problems` picks problems. An interrupted run resumes.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from moela import MOELA, Models
from moela.core.scaling import SCALARIZATIONS
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from tests.benchmarks import ablations_page, harness, tables


def random_starts(context: Any, encoder: Any, front: Any, W: Any, by: Any, model: Any) -> Any:
    """Pick random members of the archive, in place of `moela.search.starts.pick_starts`."""
    n = len(W)
    return context.random_state.integers(len(front), size=n), np.full(n, np.nan)


class RandomStarts(MOELA):
    """MOELA whose searches start from random members of the archive."""

    def _begin(self) -> None:
        super()._begin()
        self.guided.pick_starts = random_starts


def tuned(**settings: Any) -> Any:
    """Return a function that makes MOELA with other values of its constants."""
    return partial(MOELA._tuned, **settings)


def variants() -> dict[str, Any]:
    """Return the default and its variants, by name."""
    fixed = {"evolution": 0.15, "search": 0.55, "pareto": 0.3}
    no_models = Models(starts=None, moves=None)
    makers: dict[str, Any] = {
        tables.OURS: MOELA,
        "no move model": partial(MOELA, models=Models(moves=None)),
        "no Hamming-kernel model": partial(MOELA, models=Models(hamming=False)),
        "no restarts": partial(MOELA, restarts=False),
        "no start model": partial(MOELA, models=Models(starts=None)),
        "no model": partial(MOELA, models=no_models),
        "random starts": RandomStarts,
        "random starts, no model": partial(RandomStarts, models=no_models),
        "perturbation": tuned(perturbation=True),
        "fixed shares": partial(MOELA, shares=fixed),
        "reference unknown": partial(MOELA, ref_point=None),
        "evolution only": partial(MOELA, shares={"evolution": 1.0}),
        "search only": partial(MOELA, shares={"search": 1.0}),
        "no evolution": partial(MOELA, shares={"search": 0.65, "pareto": 0.35}),
        "no search": partial(MOELA, shares={"evolution": 0.35, "pareto": 0.65}),
        "no Pareto search": partial(MOELA, shares={"evolution": 0.2, "search": 0.8}),
    }
    for search in (0.3, 0.5, 0.7, 0.9):
        shares = {"evolution": 1 - search, "search": search}
        makers[f"evolution and {search} search"] = partial(MOELA, shares=shares)
    for pareto in (0.1, 0.3, 0.5):
        shares = {"evolution": 0.1, "search": 0.9 - pareto, "pareto": pareto}
        makers[f"{pareto} Pareto search"] = partial(MOELA, shares=shares)
    for by in SCALARIZATIONS:
        makers[f"descend {by}"] = tuned(descend=by)
        makers[f"replace {by}"] = tuned(scalarization=by)
    makers["single moves"] = tuned(most_moves=1)
    makers["wide searches"] = tuned(expected_improvements=0.6, most_at_a_time=6)
    for n in (1, 6):
        makers[f"{n} neighbors at a time"] = tuned(most_at_a_time=n)
    for n in (10, 40):
        makers[f"{n} around a front"] = tuned(n_around_front=n)
    for n in (10, 25, 50, 200):
        makers[f"{n} candidates"] = tuned(n_candidates=n)
    for size in (50, 100, 300, 1000):
        makers[f"archive {size}"] = partial(MOELA, archive_size=size)
    for patience in (5, 10, 40, 80):
        makers[f"patience {patience}"] = partial(MOELA, patience=patience)
    for n in (1, 2, 3, 5, 10, 20):
        makers[f"{n} searches"] = partial(MOELA, n_searches=n)
    for size in (20, 50):
        makers[f"batches of {size}"] = partial(MOELA, batch_size=size, n_searches=5)
    return makers


def tuning_set() -> dict[str, Any]:
    """Return functions that make the problems, by name."""
    makers: dict[str, Any] = {}
    folder = os.environ.get("MOELA_DATA")
    if folder:
        data = Path(folder)
        for m in (3, 5):
            for path in sorted((data / "noc").glob("*_traffic.csv")):
                name = f"noc-{path.stem.removesuffix('_traffic')}-{m}"
                makers[name] = partial(NoC3D.from_traffic, path, objectives=m)
        for path in sorted((data / "mqap").glob("*.dat")):
            makers[path.stem] = partial(MultiObjectiveQAP.from_file, path)
        for path in sorted((data / "knapsack").glob("random-?D-?00*.in")):
            makers[f"knapsack-{path.stem}"] = partial(MultiObjectiveKnapsack.from_file, path)
    else:
        for m in (3, 5):
            makers[f"noc-example-{m}"] = partial(NoC3D.example, "bfs", objectives=m)
        makers["qap-20"] = partial(MultiObjectiveQAP.random, n_facilities=20, seed=1)
        makers["knapsack-100"] = partial(MultiObjectiveKnapsack.random, n_items=100, seed=1)
    for n, k, m in ((18, 4, 2), (64, 4, 2), (64, 8, 3), (100, 2, 5)):
        makers[f"mnk-{n}-{k}-{m}"] = partial(MNKLandscape.random, n=n, k=k, n_obj=m, seed=1)
    return makers


def main() -> None:
    """Make the runs, and add their rows to the page."""
    parser = tables.parser(__doc__, budget=5000, store="ablations")
    arguments = parser.parse_args()
    results = tables.run(tuning_set(), variants(), {}, arguments)
    out = Path(arguments.out) if arguments.out else None
    page = out.read_text(encoding="utf-8") if out and out.is_file() else ""
    harness.finish([ablations_page.update(page, results, arguments.budget)], arguments.out)


if __name__ == "__main__":
    main()
