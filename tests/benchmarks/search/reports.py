"""Reports of studies: hypervolumes relative to the best rival's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tests.benchmarks import harness
from tests.benchmarks.harness import Case
from tests.benchmarks.search.runs import box_volumes, front_of_function, last_volumes
from tests.benchmarks.search.study import OURS, Found, Report, Study

Medians = Callable[[Mapping[str, Sequence[Case]]], dict[str, float]]


def best_rival(medians: Mapping[str, float], no_rivals: Sequence[str] = ()) -> tuple[str, float]:
    """Return the rival with the highest median, and MOELA's median divided by it."""
    rivals = {k: v for k, v in medians.items() if k not in (OURS, *no_rivals)}
    best = max(rivals, key=lambda name: rivals[name])
    if rivals[best] > 0.0:
        return best, medians[OURS] / rivals[best]
    return best, math.inf if medians[OURS] > 0.0 else 1.0


def to_best_rival(
    found: Found, *, medians: Medians = last_volumes, first: str = "problem"
) -> Report:
    """Return a table of ratios to the best rival for each budget, and its bars."""
    parts, bars = [], []
    study = found.study
    for budget in found.budgets:
        listed = [name for name in found.problems if name not in study.checks]
        if len(study.budgets) > 1:
            parts.append(f"## After {budget:,} evaluations\n")
        rows, places = _ratios(found, listed, budget, medians, first)
        parts.append(harness.markdown(rows))
        for name, ratio, _ in places:
            bars.append(f"{name} at {budget}, of the best, {ratio:.3f}, {study.least:g}")
        if places:
            rank = np.mean([rank for *_, rank in places])
            bars.append(f"mean rank at {budget}, {rank:.2f}, 1.3")
        checked = [name for name in found.problems if name in study.checks]
        rows, _ = _ratios(found, checked, budget, medians, first)
        if len(rows) > 1:
            parts += ["## Problems on which nothing was chosen\n", harness.markdown(rows)]
    return parts, bars


def _ratios(
    found: Found, names: Sequence[str], budget: int, medians: Medians, first: str
) -> tuple[list[list[str]], list[tuple[str, float, int]]]:
    """Return the rows of a table, and (problem, ratio to the best rival, rank) for each."""
    no_rivals = found.study.no_rivals
    rows, places = [[first, *found.algorithms]], []
    for name in names:
        runs = found.runs(name, budget)
        if OURS not in runs or len(runs) < 2:
            continue
        of = medians(runs)
        best, ratio = best_rival(of, no_rivals)
        cells = [_cell(runs, of, kind, best) for kind in found.algorithms]
        if "seconds" in runs[OURS][0]:
            counts = sorted(map(len, runs.values()))
            span = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]}–{counts[-1]}"
            seconds = np.median([run["seconds"] for run in runs[OURS]])
            cells = [span, *cells, f"{seconds:.1f}"]
        rows.append([name, *cells])
        rank = 1 + sum(v > of[OURS] for kind, v in of.items() if kind not in no_rivals)
        places.append((name, ratio, rank))
    if len(rows) > 1 and len(rows[1]) > len(rows[0]):
        rows[0] = [first, "seeds", *rows[0][1:], "seconds"]
    return rows, places


def _cell(runs: Mapping[str, Sequence[Case]], of: Mapping[str, float], kind: str, best: str) -> str:
    """Return the ratio to the best rival, with the evaluations of runs that stopped early."""
    if kind not in runs:
        return ""
    ratio = of[kind] / of[best] if of[best] > 0.0 else float(of[kind] > 0.0)
    n = int(np.median([run.get("n_eval", 0) for run in runs[kind]]))
    early = n < max(run.get("n_eval", 0) for run in runs[OURS])
    return f"{ratio:.3f} @{n}" if early else f"{ratio:.3f}"


def study_of_functions(**settings: Any) -> Study:
    """Return a study of `moela.minimize`, by hypervolume in the box of all fronts."""
    report = partial(to_best_rival, medians=box_volumes, first="function")
    return Study(measure=front_of_function, report=report, **settings)
