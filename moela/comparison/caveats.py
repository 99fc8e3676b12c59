"""What a reader has to know to judge the numbers of a comparison."""

from __future__ import annotations

from moela.comparison.numbers import Numbers
from moela.comparison.summary import counted, listed
from moela.quality.runs import ComparedRun, by_problem


def remarks_on(comparison: Numbers) -> list[str]:
    """Return what a reader has to know to judge the numbers."""
    out = []
    for problem, group in by_problem(comparison.outcomes):
        out += _rule(problem, group)
        out += _budgets(problem, group)
        out += _losses(problem, group)
        present = {o.algorithm for o in group}
        missing = [a for a in comparison.algorithms if a not in present]
        if missing:
            out.append(f"There is no run of {listed(missing)} on {problem}.")
        if comparison.has_history and not comparison.way_is_exact(problem):
            out.append(
                f"On {problem}, convergence and speed-ups are estimated along 4,096 directions, "
                "the same for every run, to about 0.003 of the volume."
            )
    out += _versions(comparison.outcomes)
    return out


def _rule(problem: str, group: list[ComparedRun]) -> list[str]:
    """Say where some fronts are of everything evaluated, and others may be of less."""
    full = {o.algorithm for o in group if o.evaluated}
    less = {o.algorithm for o in group if o.evaluated is False}
    plain = {o.algorithm for o in group if o.evaluated is None}
    if full and less:
        return [
            f"On {problem} the fronts of {listed(full)} are of everything evaluated, those of "
            f"{listed(less)} of what the algorithm returned, which puts the latter at a "
            "disadvantage. Run those with save_history=True, or in run_experiment, to have the "
            "same rule for all; archive_size=100 would at least bound all fronts alike."
        ]
    if plain and (full or less):
        return [
            f"On {problem} the fronts of {listed(plain)} were given as points; nobody can tell "
            "whether they hold all that these runs evaluated, as "
            f"{'those' if full else 'not even those'} of {listed(full or less)} do."
        ]
    return []


def _budgets(problem: str, group: list[ComparedRun]) -> list[str]:
    spent: dict[str, list[int]] = {}
    for o in group:
        if o.n_eval is not None:
            spent.setdefault(o.algorithm, []).append(o.n_eval)
    least = {a: min(n) for a, n in spent.items()}
    # A generation that isn't complete is no difference worth a remark.
    if not least or max(least.values()) <= 1.05 * min(least.values()):
        return []
    each = listed([f"{a} {n:,}" for a, n in least.items()])
    hint = 'at="common" compares them after the same number.'
    return [f"The runs on {problem} had different numbers of evaluations: {each}; {hint}"]


def _losses(problem: str, group: list[ComparedRun]) -> list[str]:
    out = []
    for algorithm in dict.fromkeys(o.algorithm for o in group):
        runs = [o for o in group if o.algorithm == algorithm]
        lost = {
            "not finite": sum(o.left_out.get("not finite", 0) for o in runs),
            "from a failed evaluation": sum(o.left_out.get("failed", 0) for o in runs),
        }
        for why, n in lost.items():
            if n:
                what = counted(n, "point")
                were = "was" if n == 1 else "were"
                out.append(f"Of {algorithm} on {problem}, {what} {why} {were} left out.")
        borrowed = sum(o.borrowed for o in runs)
        if borrowed:
            out.append(
                f"{borrowed:,} answers that runs of {algorithm} on {problem} got were known "
                "before; those that came from other runs in the store are not in their fronts. "
                "Use a store for each run, or run_experiment, to compare algorithms."
            )
        empty = sum(len(o.F) == 0 for o in runs)
        if empty:
            out.append(
                f"{empty} of {counted(len(runs), 'run')} of {algorithm} on {problem} found no "
                "feasible point: there the hypervolume is 0, and other indicators are infinite."
            )
    return out


def _versions(outcomes: list[ComparedRun]) -> list[str]:
    seen: dict[str, set[str]] = {}
    for o in outcomes:
        versions = o.about.get("versions", {})
        for package, version in versions.items() if isinstance(versions, dict) else ():
            seen.setdefault(str(package), set()).add(str(version))
    mixed = [f"{package} {', '.join(sorted(v))}" for package, v in seen.items() if len(v) > 1]
    return [f"The runs were made with different versions: {'; '.join(mixed)}."] if mixed else []
