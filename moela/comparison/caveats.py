"""Caveats: statements that a reader needs in order to judge the numbers of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moela.comparison.summary import listed
from moela.quality.runs import ComparedRun, by_problem
from moela.quality.words import amount

if TYPE_CHECKING:
    from moela.comparison.comparison import Comparison

# Numbers of evaluations that differ by this factor at most count as equal.
_ALIKE = 1.05
_REASONS = {"not finite": "not finite", "failed": "from a failed evaluation"}


def caveats_of(comparison: Comparison) -> list[str]:
    """Return the caveats of a comparison, problem by problem."""
    out = []
    for problem, group in by_problem(comparison.runs):
        out += _assumptions(problem, group)
        out += _unnamed(problem, group)
        out += _directions(problem, group)
        out += _archive_rules(problem, group)
        out += _budgets(problem, group, comparison.has_history)
        out += _losses(problem, group)
        present = comparison.algorithms_on(problem)
        if missing := [a for a in comparison.algorithms if a not in present]:
            out.append(f"There is no run of {listed(missing)} on {problem}.")
        if comparison.has_history and not comparison.convergence_is_exact(problem):
            out.append(
                f"On {problem}, convergence and speed-ups are estimated along 4,096 directions, "
                "the same for every run, to about 0.003 of the volume."
            )
    out += _versions(comparison.runs)
    return out


def _assumptions(problem: str, group: list[ComparedRun]) -> list[str]:
    """Say so if all columns of a table were taken for objectives."""
    assumed = {run.algorithm: run.names or () for run in group if run.assumed}
    if not assumed:
        return []
    names = next(iter(assumed.values()))
    return [
        f"On {problem} the tables of {listed(list(assumed))} don't say which columns are "
        f"objectives, so all of {', '.join(names)} are minimized. objectives= (--objectives) names "
        "them and their directions; other columns are then variables and outputs."
    ]


def _unnamed(problem: str, group: list[ComparedRun]) -> list[str]:
    """Say so if a store holds no names of objectives, so that maximized ones are not known."""
    if not any(run.about.get("unnamed") for run in group):
        return []
    return [
        f"On {problem} a store does not hold the names of the objectives. Here they are f1, f2, "
        "..., all as minimized. Make the calls of its runs again to add the names."
    ]


def _directions(problem: str, group: list[ComparedRun]) -> list[str]:
    """Say so if some runs declare an objective as maximized, and others are taken for negated."""
    known = next((run for run in group if run.signs and min(run.signs) < 0), None)
    others = dict.fromkeys(run.algorithm for run in group if run.signs is None)
    if known is None or not others:
        return []
    signs = zip(known.names or (), known.signs or (), strict=False)
    maximized = listed([name for name, sign in signs if sign < 0])
    return [
        f"On {problem} {maximized} is maximized. {listed(others)} did not say so, and must have "
        "negated its numbers already; objectives= (--objectives) tells the directions of tables."
    ]


def _archive_rules(problem: str, group: list[ComparedRun]) -> list[str]:
    """Say so if some fronts are of everything evaluated, and others may be of less."""
    full = {run.algorithm for run in group if run.evaluated}
    less = {run.algorithm for run in group if run.evaluated is False}
    plain = {run.algorithm for run in group if run.evaluated is None}
    if full and less:
        return [
            f"On {problem} the fronts of {listed(full)} are of everything evaluated, those of "
            f"{listed(less)} only of what the algorithm returned, which puts the latter at a "
            "disadvantage. Run those with save_history=True, or in run_experiment, to have the "
            "same rule for all; archive_size=100 would at least bound all fronts alike."
        ]
    if plain and (full or less):
        return [
            f"On {problem} the fronts of {listed(plain)} were given as points. They may hold less "
            "than everything that these runs evaluated, "
            f"{'unlike' if full else 'as may'} those of {listed(full or less)}."
        ]
    return []


def _budgets(problem: str, group: list[ComparedRun], has_curves: bool) -> list[str]:
    spent: dict[str, list[int]] = {}
    for run in group:
        if run.n_eval is not None:
            spent.setdefault(run.algorithm, []).append(run.n_eval)
    # Incomplete last generations make small differences, which need no caveat.
    uneven = {a: n for a, n in spent.items() if max(n) > _ALIKE * min(n)}
    every = [n for counts in spent.values() for n in counts]
    if not every or max(every) <= _ALIKE * min(every):
        return []
    each = listed([f"{a} {_between(n)}" for a, n in spent.items()])
    hint = 'at="common" compares them after the same number.'
    out = [f"The runs on {problem} had different numbers of evaluations: {each}; {hint}"]
    if uneven and has_curves:
        out.append(
            f"On {problem} the convergence curves of {listed(uneven)} end with the shortest run, "
            f"after {listed(f'{min(n):,}' for n in uneven.values())} evaluations."
        )
    return out


def _between(numbers: list[int]) -> str:
    """Return the least and the largest of some numbers, or the only one."""
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _losses(problem: str, group: list[ComparedRun]) -> list[str]:
    out = []
    for algorithm in dict.fromkeys(run.algorithm for run in group):
        runs = [run for run in group if run.algorithm == algorithm]
        for reason, why in _REASONS.items():
            if n := sum(run.left_out.get(reason, 0) for run in runs):
                were = "was" if n == 1 else "were"
                points = amount(n, "point")
                out.append(f"Of {algorithm} on {problem}, {points} {why} {were} left out.")
        if borrowed := sum(run.borrowed for run in runs):
            out.append(
                f"{borrowed:,} results that runs of {algorithm} on {problem} received were known "
                "before; those from other runs in the store are not in their fronts. "
                "Use a store for each run, or run_experiment, to compare algorithms."
            )
        if empty := sum(len(run.F) == 0 for run in runs):
            out.append(
                f"{empty} of {amount(len(runs), 'run')} of {algorithm} on {problem} found no "
                "feasible point: there the hypervolume is 0, and other indicators are infinite."
            )
    return out


def _versions(runs: list[ComparedRun]) -> list[str]:
    known: dict[str, set[str]] = {}
    for run in runs:
        versions = run.about.get("versions", {})
        for package, version in versions.items() if isinstance(versions, dict) else ():
            known.setdefault(str(package), set()).add(str(version))
    mixed = [f"{package} {', '.join(sorted(v))}" for package, v in known.items() if len(v) > 1]
    return [f"The runs were made with different versions: {'; '.join(mixed)}."] if mixed else []
