"""What each part of MOELA is worth: variants of it on a tuning set.

    python -m tests.benchmarks.ablations --budget 5000 --seeds 5 --out docs/benchmarks/ablations.md

Uses the shared instances where MOELA_DATA is set, else generated ones only. `--algorithms` picks
variants, `--problems` picks problems. Interrupted, it goes on where it was.
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
from moela.experiments.run import ExperimentResults
from moela.quality.statistics import compare_pairs, holm
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from tests.benchmarks import tables


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
        "no landscape": moela(landscape=False),
        "no restarts": moela(restarts=False),
        "no start model": moela(start_model=None),
        "no model": moela(start_model=None, move_model=None),
        "random starts": moela(RandomStarts),
        "random starts, no model": moela(RandomStarts, start_model=None, move_model=None),
        "no kicks": moela(kicks=False),
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
        found[f"mnk-{n}-{k}-{m}"] = partial(MNKLandscape.random, n=n, k=k, n_obj=m, seed=1)
    return found


def main() -> None:
    """Make the runs and the tables."""
    parser = tables.parser(__doc__, budget=5000, store="ablations")
    arguments = parser.parse_args()
    results = tables.run(tuning_set(), variants(), {}, arguments)
    tables.finish(report(results, arguments.budget), arguments.out)


def report(results: ExperimentResults, budget: int) -> list[str]:
    """Return the parts of the report."""
    points = {name: _reference(results, name) for name in results.problems}
    scored = tables.Report(results, points)
    complete = [
        a for a in results.algorithms if all(scored.budget(p, a) for p in results.problems)
    ]  # fmt: skip
    return [
        tables.header(
            "What each part of MOELA is worth",
            "tests.benchmarks.ablations",
            f"Hypervolume of everything evaluated after {budget:,} evaluations, as a ratio to that "
            "of the default; medians over the seeds. The reference is the mesh for the NoC, else "
            "the nadir of the pooled front plus a tenth of its range.",
        ),
        tables.sources(results), unchanged(results),
        "## By family: geometric mean of the ratios\n", _by_family(scored, complete),
        "## By problem\n", _by_problem(scored, complete),
        "## Mean ranks\n", scored.overall(results.problems),
        "## What the parts contributed\n\nShare of the evaluations and of the (estimated) growth "
        "of hypervolume, and growth per thousand evaluations relative to evolution, of the "
        "default; means over the seeds. Screening is the share of search and pareto that the model "
        "chose.\n", _contributions(results),
    ]  # fmt: skip


def unchanged(results: ExperimentResults) -> str:
    """Name the variants that evaluated exactly what the default did, run by run.

    Their ratio of 1 says nothing about what the part is worth.
    """
    base = {(run.problem, run.seed): run for run in results.select(algorithm=tables.OURS).runs}
    same = []
    for name in results.algorithms:
        runs = results.select(algorithm=name).runs
        others = [base.get((run.problem, run.seed)) for run in runs]
        pairs = [(a, b) for a, b in zip(runs, others, strict=True) if b is not None]
        if name != tables.OURS and pairs and all(np.array_equal(a.F, b.F) for a, b in pairs):
            same.append(name)
    if not same:
        return ""
    return (
        f"**Not tested**: {', '.join(same)}. In every run these evaluated exactly what the default "
        "did: the default by another name, or something that the budget is too small for.\n"
    )


def _reference(results: ExperimentResults, name: str) -> Any:
    return results.ref_point(name, "problem" if name.startswith("noc-") else "pooled")


def _ratios(scored: tables.Report, problem: str, algorithm: str) -> float:
    base = float(np.median(scored.values(problem, tables.OURS)))
    return float(np.median(scored.values(problem, algorithm))) / base if base > 0 else float("nan")


def _by_family(scored: tables.Report, algorithms: list[str]) -> str:
    problems = scored.results.problems
    families = list(dict.fromkeys(_family(name) for name in problems))
    rows = [["variant", *families, "all", "better on", "p (signed rank, Holm)"]]
    p_values, ratios = [], {}
    for algorithm in algorithms:
        ratios[algorithm] = np.array([_ratios(scored, p, algorithm) for p in problems])
        if algorithm != tables.OURS:
            logs = np.log(np.maximum(ratios[algorithm], 1e-9))
            p_values.append(compare_pairs(logs, np.zeros(len(logs))))
    corrected = iter(holm(p_values))
    for algorithm in algorithms:
        cells = [algorithm]
        for family in [*families, None]:
            mine = np.array([family is None or _family(p) == family for p in problems])
            logs = np.log(np.maximum(ratios[algorithm][mine], 1e-9))
            cells.append(f"{np.exp(np.nanmean(logs)):.3f}")
        cells.append(f"{int((ratios[algorithm] > 1).sum())} of {len(problems)}")
        cells.append("" if algorithm == tables.OURS else f"{next(corrected):.4f}")
        rows.append(cells)
    return tables.markdown(rows)


def _family(problem: str) -> str:
    head, _, tail = problem.partition("-")
    return f"noc-{tail[-1]}" if head == "noc" else "qap" if head.startswith("KC") else head


def _by_problem(scored: tables.Report, algorithms: list[str]) -> str:
    problems = scored.results.problems
    rows = [["problem", *(a for a in algorithms if a != tables.OURS)]]
    for problem in problems:
        values = [_ratios(scored, problem, a) for a in algorithms if a != tables.OURS]
        rows.append([problem, *(f"{v:.3f}" for v in values)])
    return tables.markdown(rows)


def _contributions(results: ExperimentResults) -> str:
    rows = [["problem", "part", "evaluations, %", "hypervolume, %", "per evaluation"]]
    for problem in results.problems:
        logs = [run.log for run in results.select(problem=problem, algorithm=tables.OURS).runs]
        parts = [part for part in (logs[0] if logs else {}) if part != "initial"]
        sums = {
            part: np.array([[log[part]["n_eval"], log[part]["hypervolume"]] for log in logs])
            for part in parts
            if all({"n_eval", "hypervolume"} <= set(log.get(part, {})) for log in logs)
        }
        # What screening chose is contained in search and pareto.
        alone = [s.sum(axis=0) for part, s in sums.items() if part != "screening"]
        total = sum(alone, np.zeros(2))
        rate = {p: s[:, 1].sum() / max(s[:, 0].sum(), 1) for p, s in sums.items()}
        for part, s in sums.items():
            share = 100 * s.sum(axis=0) / np.maximum(total, 1e-300)
            base = rate.get("evolution", 0.0)
            relative = f"{rate[part] / base:.2f}" if base > 0 else ""
            rows.append([problem, part, f"{share[0]:.1f}", f"{share[1]:.1f}", relative])
    return tables.markdown(rows) if len(rows) > 1 else ""


if __name__ == "__main__":
    main()
