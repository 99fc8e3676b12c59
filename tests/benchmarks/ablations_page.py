"""The page of ablations: tables that each run of `ablations` adds its rows to.

Variant, version of the code, evaluations and seeds identify a row. A run replaces the rows that
agree in all four, and keeps the others as they are on the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from moela.experiments.run import ExperimentResults
from moela.quality.statistics import compare_pairs, holm
from tests.benchmarks import harness, tables

MODULE = "tests.benchmarks.ablations"
Row = dict[str, str]
RUN = ["version", "evaluations", "seeds"]
KEY = ["variant", *RUN]
FAMILIES = ["noc-3", "noc-5", "qap", "knapsack", "mnk"]
VERDICT = ["all", "better on", "p"]
PARTS = ["evolution", "search", "pareto", "screening"]

HEAD = """# Ablations: what each part of MOELA contributes

Each row compares a variant of MOELA with the default of the same version and budget. The number is
the ratio of their median hypervolumes over the seeds, of everything evaluated. Below 1, the variant
is worse. The reference point is the mesh for the network-on-chip. For the other problems it is the
nadir of the pooled front plus a tenth of its range.

The version is the beginning of a hash of MOELA's sources.
"""
BY_FAMILY = "By family"
BY_PROBLEM = "By problem"
CONTRIBUTIONS = "Contribution of each part"
RUNS = "Runs"
ABOUT = {
    BY_FAMILY: "Geometric mean of the ratios over the problems of a family. `p` is the signed rank "
    "test over the problems, with Holm's correction over the variants of a run.",
    BY_PROBLEM: "The ratios that the means above are made of. A cell is empty if the variant was "
    "not run on the problem, or if the default's median run finds nothing better than the "
    "reference point.",
    CONTRIBUTIONS: "Of the default, means over the seeds: share of the evaluations / share of the "
    "estimated growth of hypervolume, both in %. Screening is the part of search and pareto whose "
    "designs the move model chose.",
    RUNS: "Commands name the variants as they are called today.",
}


def update(page: str, results: ExperimentResults, budget: int) -> str:
    """Return the page with the rows of these results.

    Parameters
    ----------
    page : str
        The page so far; may be empty.
    results : ExperimentResults
        Runs of the default and of variants, all with this budget.
    budget : int
        Evaluations of each run.
    """
    points = {name: _reference(results, name) for name in results.problems}
    scored = tables.Report(results, points)
    complete = [
        a for a in results.algorithms
        if a != tables.OURS and all(scored.budget(p, a) for p in results.problems)
    ]  # fmt: skip
    seeds = len({run.seed for run in results.select(algorithm=tables.OURS).runs})
    run = {
        "version": tables.version(results)[:8],
        "evaluations": f"{budget:,}",
        "seeds": f"{seeds}",
    }
    note = f"- {', '.join(f'{k} {v}' for k, v in run.items())}. {harness.made_with(MODULE).strip()}"
    return merge(
        page,
        _by_family(scored, complete, run),
        _by_problem(scored, complete, run),
        _contributions(results, run),
        [f"{note} {unchanged(results)}".strip()],
    )


def merge(
    page: str,
    by_family: Sequence[Row],
    by_problem: Sequence[Row],
    contributions: Sequence[Row],
    runs: Sequence[str],
) -> str:
    """Return the page with these rows, which replace rows with the same key."""
    sections = harness.sections_of(page)
    families = [*rows_of(sections.get(BY_FAMILY, "")), *by_family]
    ratios = _merged([*rows_of(sections.get(BY_PROBLEM, "")), *by_problem], KEY)
    problems = sorted({name for row in ratios for name in row} - set(KEY), key=_order)
    tables_by_title = {
        BY_FAMILY: _table(
            list({tuple(row[k] for k in KEY): row for row in families}.values()),
            [*KEY, *FAMILIES, *VERDICT],
        ),
        BY_PROBLEM: "\n".join(
            _table([row for row in ratios if any(row.get(p) for p in group)], [*KEY, *group])
            for group in _groups(problems)
        ),
        CONTRIBUTIONS: _table(
            _merged([*rows_of(sections.get(CONTRIBUTIONS, "")), *contributions], ["problem", *RUN]),
            ["problem", *RUN, *PARTS],
        ),
        RUNS: "\n".join(dict.fromkeys([*_bullets(sections.get(RUNS, "")), *runs])),
    }
    texts = {t: f"{ABOUT[t]}\n\n{text}".strip() for t, text in tables_by_title.items() if text}
    return harness.with_sections(page or HEAD, texts, list(ABOUT))


def unchanged(results: ExperimentResults) -> str:
    """Return a note that names the variants that evaluated exactly what the default did.

    A ratio of 1 of such a variant says nothing about the part.
    """
    base = {(run.problem, run.seed): run for run in results.select(algorithm=tables.OURS).runs}
    same = []
    for name in results.algorithms:
        runs = results.select(algorithm=name).runs
        defaults = [base.get((run.problem, run.seed)) for run in runs]
        pairs = [(a, b) for a, b in zip(runs, defaults, strict=True) if b is not None]
        if name != tables.OURS and pairs and all(np.array_equal(a.F, b.F) for a, b in pairs):
            same.append(name)
    if not same:
        return ""
    return (
        f"**Not tested**: {', '.join(same)}. In every run these evaluated exactly what the default "
        "did: the variant is the default by another name, or the budget is too small for it."
    )


# ------------------------------------------------------------------------------ rows from results


def _reference(results: ExperimentResults, name: str) -> Any:
    return results.ref_point(name, "problem" if name.startswith("noc-") else "pooled")


def _ratio(scored: tables.Report, problem: str, algorithm: str) -> float:
    base = float(np.median(scored.values(problem, tables.OURS)))
    return float(np.median(scored.values(problem, algorithm))) / base


def _comparable(scored: tables.Report) -> list[str]:
    """Return the problems on which the default's median run beats the reference point."""
    problems = scored.results.problems
    return [p for p in problems if np.median(scored.values(p, tables.OURS)) > 0]


def _by_family(scored: tables.Report, algorithms: Sequence[str], run: Row) -> list[Row]:
    problems = _comparable(scored)
    ratios = {a: np.array([_ratio(scored, p, a) for p in problems]) for a in algorithms}
    logs = {a: np.log(np.maximum(ratios[a], 1e-9)) for a in algorithms}
    p_values = holm([compare_pairs(logs[a], np.zeros(len(problems))) for a in algorithms])
    rows = []
    for algorithm, p_value in zip(algorithms, p_values, strict=True):
        row = {"variant": algorithm, **run}
        for family in dict.fromkeys(family_of(name) for name in problems):
            members = np.array([family_of(p) == family for p in problems])
            row[family] = f"{np.exp(logs[algorithm][members].mean()):.3f}"
        row["all"] = f"{np.exp(logs[algorithm].mean()):.3f}"
        row["better on"] = f"{int((ratios[algorithm] > 1).sum())} of {len(problems)}"
        rows.append(row | {"p": f"{p_value:.4f}"})
    return rows


def _by_problem(scored: tables.Report, algorithms: Sequence[str], run: Row) -> list[Row]:
    problems = _comparable(scored)
    return [
        {"variant": a, **run} | {p: f"{_ratio(scored, p, a):.3f}" for p in problems}
        for a in algorithms
    ]


def _contributions(results: ExperimentResults, run: Row) -> list[Row]:
    rows = []
    for problem in results.problems:
        logs = [r.log for r in results.select(problem=problem, algorithm=tables.OURS).runs]
        sums = {
            part: np.sum([[log[part]["n_eval"], log[part]["hypervolume"]] for log in logs], axis=0)
            for part in PARTS
            if logs and all({"n_eval", "hypervolume"} <= set(log.get(part, {})) for log in logs)
        }
        # Designs that screening chose are counted in search or pareto, too.
        total = sum((s for part, s in sums.items() if part != "screening"), np.zeros(2))
        shares = {part: 100 * s / np.maximum(total, 1e-300) for part, s in sums.items()}
        if shares:
            cells = {part: f"{share[0]:.1f} / {share[1]:.1f}" for part, share in shares.items()}
            rows.append({"problem": problem, **run, **cells})
    return rows


def family_of(problem: str) -> str:
    """Return the family of a problem of the tuning set."""
    head, _, tail = problem.partition("-")
    return f"noc-{tail[-1]}" if head == "noc" else "qap" if head.startswith("KC") else head


# ------------------------------------------------------------------------------ rows on the page


def rows_of(text: str) -> list[Row]:
    """Return the rows of all Markdown tables in a text, without empty cells."""
    rows: list[Row] = []
    heads: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            heads = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not heads:
            heads = cells
        elif not cells[0].startswith("---"):
            rows.append({k: v for k, v in zip(heads, cells, strict=True) if v})
    return rows


def _bullets(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("- ")]


def _merged(rows: Iterable[Row], key: Sequence[str]) -> list[Row]:
    """Return one row for each key, with the cells of all rows that have it."""
    merged: dict[tuple[str, ...], Row] = {}
    for row in rows:
        index = tuple(row[name] for name in key)
        merged[index] = merged.get(index, {}) | row
    return list(merged.values())


def _table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    if not rows:
        return ""
    used = [name for name in columns if any(name in row for row in rows)]
    return harness.markdown([used, *([row.get(name, "") for name in used] for row in rows)])


def _order(problem: str) -> tuple[int, str]:
    family = family_of(problem)
    return (FAMILIES.index(family) if family in FAMILIES else len(FAMILIES), problem)


def _groups(problems: Sequence[str]) -> list[list[str]]:
    """Return the problems by family, the network-on-chip as one."""
    groups: dict[str, list[str]] = {}
    for name in problems:
        groups.setdefault(family_of(name).partition("-")[0], []).append(name)
    return list(groups.values())
