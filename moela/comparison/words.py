"""What a comparison says, in sentences: the remarks, the findings, the summary on a terminal."""

from __future__ import annotations

import math
from typing import Any

from moela.comparison.numbers import Numbers
from moela.comparison.outcomes import Outcome, by_problem
from moela.comparison.scale import LARGER_IS_BETTER, TITLES
from moela.statistics import least_p_value
from moela.table import Table, text

_MAX_RIVALS = 2


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


def _rule(problem: str, group: list[Outcome]) -> list[str]:
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


def _budgets(problem: str, group: list[Outcome]) -> list[str]:
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


def _losses(problem: str, group: list[Outcome]) -> list[str]:
    out = []
    for algorithm in dict.fromkeys(o.algorithm for o in group):
        runs = [o for o in group if o.algorithm == algorithm]
        lost: dict[str, int] = {}
        for o in runs:
            for why in ("not finite", "failed"):
                if why in o.left_out:
                    lost[why] = lost.get(why, 0) + o.left_out[why]
        if lost:
            what = listed([f"{n:,} points that are {why}" for why, n in lost.items()])
            what = what.replace("that are failed", "whose evaluation failed")
            out.append(f"Of {algorithm} on {problem}, {what} were left out.")
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
                f"{empty} of {len(runs)} runs of {algorithm} on {problem} have no feasible point: "
                "their hypervolume is 0 and their other indicators are infinite."
            )
    return out


def _versions(outcomes: list[Outcome]) -> list[str]:
    seen: dict[str, set[str]] = {}
    for o in outcomes:
        versions = o.about.get("versions", {})
        for package, version in versions.items() if isinstance(versions, dict) else ():
            seen.setdefault(str(package), set()).add(str(version))
    mixed = [f"{package} {', '.join(sorted(v))}" for package, v in seen.items() if len(v) > 1]
    return [f"The runs were made with different versions: {'; '.join(mixed)}."] if mixed else []


# ---------------------------------------------------------------------------------------- findings


def findings(comparison: Numbers, indicator: str | None = None) -> list[str]:
    """Return what the numbers say of an indicator, a sentence or two for each problem."""
    name = comparison.indicators[0] if indicator is None else indicator
    summary, tested = comparison.summary(name), comparison.tests(name)
    out = []
    for problem in comparison.problems:
        rows = summary.where(problem=problem).rows
        out.append(_standing(problem, name, rows, tested.where(problem=problem), comparison.alpha))
    if len(comparison.algorithms) > 1:
        out += _overall(comparison, name)
    if name == "hypervolume" and comparison.has_history and len(comparison.algorithms) > 1:
        out += _sooner(comparison)
    return out


def _standing(
    problem: str, name: str, rows: list[dict[str, Any]], tested: Table, alpha: float
) -> str:
    best = [row for row in rows if row["best"]]
    worth = _with_quartiles(best[0], _digits(rows))
    title = TITLES[name]
    if len(rows) == 1:
        return f"On {problem}, {rows[0]['algorithm']} has a median {title} of {worth}."
    if len(best) == len(rows):
        return f"On {problem}, all {len(rows)} have the same median {title}, {worth}."
    who = listed([row["algorithm"] for row in best])
    verb = "has" if len(best) == 1 else "have"
    better = "largest" if LARGER_IS_BETTER[name] else "least"
    sentence = f"On {problem}, {who} {verb} the {better} median {title}, {worth}."
    told: dict[str, list[tuple[str, str]]] = {"better": [], "worse": [], "not distinguished": []}
    first = best[0]["algorithm"]
    of_first = [r for r in tested if first in (r["algorithm"], r["rival"])]
    for row in of_first:
        verdict = row["verdict"]
        if verdict == "not tested":
            continue
        ours = row["algorithm"] == first
        if not ours and verdict in ("better", "worse"):
            verdict = "worse" if verdict == "better" else "better"
        other = row["rival"] if ours else row["algorithm"]
        a12 = row["a12"] if ours else 1.0 - row["a12"]
        told[verdict].append((other, f"{p_equals(row['p_holm'])}, A12 = {a12:.2f}"))
    if told["better"]:
        sentence += f" It is significantly better than {_with_notes(told['better'])}."
    if told["worse"]:
        sentence += f" It is significantly worse than {_with_notes(told['worse'])}."
    if told["not distinguished"]:
        sentence += f" It is not distinguished from {_with_notes(told['not distinguished'])}."
        sentence += _power(of_first, len(tested), alpha)
    if not any(told.values()):
        sentence += " One run each allows no test; make at least five, with different seeds."
    return sentence


def _with_notes(named: list[tuple[str, str]]) -> str:
    """Return names with what is to be said of each, once where it is the same of all."""
    notes = {note for _, note in named}
    if len(named) > 2 and len(notes) == 1:
        return f"{listed(name for name, _ in named)} (each {notes.pop()})"
    return listed(f"{name} ({note})" for name, note in named)


def _power(rows: list[dict[str, Any]], n_pairs: int, alpha: float) -> str:
    """Say so where there are too few runs for any difference to be significant."""
    least = max(row["least_p"] for row in rows)
    if least * n_pairs < alpha:
        return ""
    after = min(1.0, least * n_pairs)
    advice = "more runs would help" + (
        ", or a baseline, so that fewer pairs are tested" if n_pairs > 1 else ""
    )
    independent = max(least_p_value(r["n"], r["n_rival"], paired=False) for r in rows)
    if any(r["test"] == "signed rank" for r in rows) and independent * n_pairs < alpha:
        advice += ", or paired=False (--unpaired), to test them as independent samples"
    return (
        f" So few runs can't give p below {p_text(after)} after Holm's correction, so that says "
        f"little; {advice}."
    )


def _overall(comparison: Numbers, name: str) -> list[str]:
    overall = comparison.ranks(name)
    alpha = comparison.alpha
    if overall.ranking is None:
        if math.isnan(overall.p_value):
            return []
        differ = "differ" if overall.p_value < alpha else "are not shown to differ"
        p = p_equals(overall.p_value)
        return [
            f"All together, the algorithms {differ} (Kruskal-Wallis over the runs, {p}); "
            "mean ranks need several problems, or runs of equal seeds."
        ]
    ranking = overall.ranking
    order = sorted(range(len(overall.algorithms)), key=lambda i: ranking.ranks[i])
    each = listed([f"{overall.algorithms[i]} {ranking.ranks[i]:.2f}" for i in order])
    differ = "differ" if ranking.p_value < alpha else "are not shown to differ"
    sentence = (
        f"Over {ranking.n_blocks} {overall.blocks}, the mean ranks by {TITLES[name]} are {each}; "
        f"the algorithms {differ} (Friedman's chi-squared = {ranking.statistic:.2f}, "
        f"{p_equals(ranking.p_value)})."
    )
    groups = [listed([overall.algorithms[i] for i in group]) for group in ranking.groups()]
    if len(order) > 2 and groups:
        sentence += (
            f" Ranks closer than {ranking.critical_difference:.2f} aren't told apart "
            f"(Nemenyi, level {alpha:g}): {'; '.join(groups)}."
        )
    return [sentence]


def _sooner(comparison: Numbers) -> list[str]:
    """Say how much sooner the baseline, or the best, is: than every rival, or than the next two."""
    out = []
    rows = comparison.speedup()
    for problem in comparison.problems:
        summary = comparison.summary("hypervolume").where(problem=problem)
        first = comparison.baseline or next(r["algorithm"] for r in summary if r["best"])
        against = [r for r in rows if r["problem"] == problem and r["algorithm"] == first]
        against.sort(key=lambda row: -row["target"])
        chosen = against if comparison.baseline else against[:_MAX_RIVALS]
        out += [_when(row) for row in chosen]
    return out


def _when(row: dict[str, Any]) -> str:
    reached = f"{row['reached']} of {row['n']} runs"
    problem, first, rival = row["problem"], row["algorithm"], row["rival"]
    goal = f"On {problem}, {first} reaches the median final hypervolume of {rival}"
    if not math.isfinite(row["evaluations"]):
        return f"{goal} in {reached} only." if row["reached"] else f"{goal} in none of its runs."
    sentence = (
        f"{goal} after {row['evaluations']:,.0f} evaluations (median; {reached}), {rival} itself "
        f"after {row['rival_evaluations']:,.0f}"
    )
    if math.isfinite(row["speedup"]):
        sentence += f": {row['speedup']:.3g} times as soon"
    if math.isfinite(row["speedup_seconds"]):
        sentence += f"; in seconds {text(row['seconds'])} against {text(row['rival_seconds'])}"
    return f"{sentence}."


# ------------------------------------------------------------------------------------ a terminal


def summary_text(comparison: Numbers) -> str:
    """Return what printing a comparison shows."""
    lines = [counts_text(comparison), ""]
    for problem in comparison.problems:
        scale = comparison.scales[problem]
        lines.append(f"{problem}: {len(scale.names)} objectives ({', '.join(scale.names)})")
        lines.append(f"  {reference_text(comparison, problem)}")
        lines += ["  " + line for line in str(medians(comparison, problem)).splitlines()]
        lines.append("")
    lines += [f"- {sentence}" for sentence in findings(comparison)]
    if comparison.remarks:
        lines += ["", "Remarks"]
        lines += [f"- {remark}" for remark in comparison.remarks]
    return "\n".join(_harmless(line) for line in lines)


def _harmless(line: str) -> str:
    """Return a line without control characters, with which a name could steer a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in line)


def counts_text(comparison: Numbers) -> str:
    """Say how many algorithms, problems and runs there are."""
    counts = [
        (len(comparison.algorithms), "algorithm"),
        (len(comparison.problems), "problem"),
        (len(comparison.outcomes), "run"),
    ]
    return ", ".join(f"{n} {word}{'s' if n != 1 else ''}" for n, word in counts)


def reference_text(comparison: Numbers, problem: str) -> str:
    """Say what hypervolumes of a problem are measured to."""
    scale = comparison.scales[problem]
    point = ", ".join(text(float(v)) for v in scale.ref_point)
    how = "exact" if scale.exact else "approximate"
    return f"reference point ({point}), {scale.rule}; hypervolumes {how}, as shares of its box"


def medians(comparison: Numbers, problem: str) -> Table:
    """Return a row an algorithm: runs, points, and the median (quartiles) of each indicator."""
    summaries = {
        name: comparison.summary(name).where(problem=problem) for name in comparison.indicators
    }
    rows = []
    for algorithm in comparison.algorithms:
        sizes = [
            len(o.F) for o in comparison.outcomes
            if o.algorithm == algorithm and o.problem == problem
        ]  # fmt: skip
        if not sizes:
            continue
        row: dict[str, Any] = {
            "algorithm": algorithm,
            "runs": len(sizes),
            "points": f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)}–{max(sizes)}",
        }
        for name, summary in summaries.items():
            digits = _digits(summary.rows)
            (found,) = summary.where(algorithm=algorithm).rows
            star = " *" if found["best"] and len(summary) > 1 else ""
            row[TITLES[name]] = _with_quartiles(found, digits) + star
        rows.append(row)
    return Table(rows)


def _with_quartiles(row: dict[str, Any], digits: int) -> str:
    median, q1, q3 = (f"{row[key]:.{digits}g}" for key in ("median", "q1", "q3"))
    return median if row["runs"] < 2 else f"{median} ({q1}–{q3})"


def _digits(rows: list[dict[str, Any]]) -> int:
    """Return how many significant digits show by how much the medians differ, 4 to 8."""
    medians = [row["median"] for row in rows if math.isfinite(row["median"])]
    largest = max((abs(m) for m in medians), default=0.0)
    spread = max(medians) - min(medians) if medians else 0.0
    if spread <= 0 or largest <= 0:
        return 4
    return min(max(4, 2 - math.floor(math.log10(spread / largest))), 8)


def p_text(p: float) -> str:
    """Return a p-value as it is read: two significant digits, or that it is below 0.0001."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def p_equals(p: float) -> str:
    """Return what a p-value is, in a sentence."""
    return f"p {p_text(p)}" if p < 1e-4 else f"p = {p_text(p)}"


def listed(names: Any) -> str:
    """Return names as an enumeration in a sentence."""
    words = [str(name) for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def capital(sentence: str) -> str:
    """Return a sentence with a capital letter."""
    return sentence[:1].upper() + sentence[1:]
