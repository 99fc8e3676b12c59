"""Ablations: variants of MOELA against its default, on a tuning set.

The shared instances are used if MOELA_DATA is set, otherwise only generated instances.
`--algorithms` picks variants, `--problems` picks problems. An interrupted run resumes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from moela import MOELA, Models
from moela.experiments.run import ExperimentResults
from moela.quality.statistics import compare_pairs, holm
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from tests.benchmarks import harness, tables


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
    no_models = Models(starts=None, moves=None)
    return {
        tables.OURS: MOELA,
        "no move model": partial(MOELA, models=Models(moves=None)),
        "no Hamming-kernel model": partial(MOELA, models=Models(hamming=False)),
        "no restarts": partial(MOELA, restarts=False),
        "no start model": partial(MOELA, models=Models(starts=None)),
        "no model": partial(MOELA, models=no_models),
        "random starts": RandomStarts,
        "random starts, no model": partial(RandomStarts, models=no_models),
        "perturbation": tuned(perturbation=True),
        "no search": partial(MOELA, shares={"evolution": 0.35, "pareto": 0.65}),
        "no Pareto search": partial(MOELA, shares={"evolution": 0.2, "search": 0.8}),
        "single moves": tuned(most_moves=1),
        "wide searches": tuned(expected_improvements=0.6, most_at_a_time=6),
        **{f"{n} neighbors at a time": tuned(most_at_a_time=n) for n in (1, 6)},
        "10 around a front": tuned(n_around_front=10),
        **{f"{n} searches": partial(MOELA, n_searches=n) for n in (1, 2, 3, 5, 10)},
        **{f"batches of {n}": partial(MOELA, batch_size=n, n_searches=5) for n in (20, 50)},
    }


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


# ------------------------------------------------------------------------------------- the page

ABOUT = (
    "Each row compares a variant of MOELA with its default after {budget:,} evaluations, {seeds} "
    "seeds. The number is the ratio of their median hypervolumes over the seeds, of everything "
    "evaluated. Below 1, the variant is worse. The reference point is the mesh for the "
    "network-on-chip. For the other problems it is the nadir of the pooled front plus a tenth of "
    "its range."
)


def main(words: Sequence[str]) -> None:
    """Make the runs, and write the page."""
    parser = tables.parser(__doc__, budget=5000, store="ablations")
    arguments = tables.parsed(parser, words, list(tuning_set())[-3:-1])
    if arguments.quick:
        arguments.algorithms = ["no move model", "no model"]
    results = tables.run(tuning_set(), variants(), {}, arguments)
    about = ABOUT.format(budget=arguments.budget, seeds=arguments.seeds)
    header = harness.header(
        "Ablations: what each part of MOELA contributes", "tests.benchmarks.search", about
    )
    harness.finish([header, tables.sources(results), *report(results)], arguments.out)


def report(results: ExperimentResults) -> list[str]:
    """Return the tables of variants, by family and by problem."""
    points = {
        name: results.ref_point(name, "problem" if name.startswith("noc-") else "pooled")
        for name in results.problems
    }
    scored = tables.Report(results, points)
    medians = {
        (name, algorithm): float(np.median(scored.values(name, algorithm)))
        for name in results.problems
        for algorithm in results.algorithms
        if scored.budget(name, algorithm)
    }
    # Elsewhere, the default's median run finds nothing better than the reference point.
    problems = [name for name in results.problems if medians[name, tables.OURS] > 0.0]
    ratios = {
        a: np.array([medians[p, a] / medians[p, tables.OURS] for p in problems])
        for a in results.algorithms
        if a != tables.OURS and all((p, a) in medians for p in results.problems)
    }
    each = [["variant", *problems]]
    each += [[a, *(f"{ratio:.3f}" for ratio in found)] for a, found in ratios.items()]
    return [
        "## By family\n\nGeometric mean of the ratios over the problems of a family. `p` is the "
        "signed rank test over the problems, with Holm's correction over the variants.\n",
        by_family(ratios, problems),
        "## By problem\n",
        harness.markdown(each),
        unchanged(results),
    ]


def by_family(ratios: dict[str, Any], problems: Sequence[str]) -> str:
    """Return the table of geometric means over the problems of a family."""
    families: dict[str, list[int]] = {}
    for i, name in enumerate(problems):
        families.setdefault(family_of(name), []).append(i)
    logs = {a: np.log(np.maximum(found, 1e-9)) for a, found in ratios.items()}
    p_values = holm([compare_pairs(found, np.zeros(len(problems))) for found in logs.values()])
    rows = [["variant", *families, "all", "better on", "p"]]
    for (a, found), p in zip(logs.items(), p_values, strict=True):
        means = [np.exp(found[members].mean()) for members in (*families.values(), slice(None))]
        better = f"{int((ratios[a] > 1).sum())} of {len(problems)}"
        rows.append([a, *(f"{mean:.3f}" for mean in means), better, f"{p:.4f}"])
    return harness.markdown(rows)


def family_of(problem: str) -> str:
    """Return the family of a problem of the tuning set."""
    head, _, tail = problem.partition("-")
    return f"noc-{tail[-1]}" if head == "noc" else "qap" if head.startswith("KC") else head


def unchanged(results: ExperimentResults) -> str:
    """Return a note that names the variants that evaluated exactly what the default did.

    A ratio of 1 of such a variant says nothing about the part.
    """
    base = {(run.problem, run.seed): run for run in results.select(algorithm=tables.OURS).runs}
    same = []
    for name in results.algorithms:
        runs = results.select(algorithm=name).runs
        pairs = [(run, base[run.problem, run.seed]) for run in runs]
        if name != tables.OURS and all(np.array_equal(a.F, b.F) for a, b in pairs):
            same.append(name)
    if not same:
        return ""
    return (
        f"**Not tested**: {', '.join(same)}. In every run these evaluated exactly what the default "
        "did: the variant is the default by another name, or the budget is too small for it."
    )
