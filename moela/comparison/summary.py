"""What a comparison says, in sentences: the findings, the methods, the summary on a terminal."""

from __future__ import annotations

import math
from typing import Any

from moela.comparison.numbers import Numbers
from moela.comparison.scale import LARGER_IS_BETTER, TITLES
from moela.quality.statistics import least_p_value
from moela.quality.table import Table, text

_MAX_RIVALS = 2


def findings(comparison: Numbers, indicator: str | None = None) -> dict[str, list[str]]:
    """Return what the numbers say of an indicator, in sentences below headings.

    Which algorithm is better on each problem; whether they differ over all; and, of the
    hypervolume, how much sooner one gets to where another ends.
    """
    name = comparison.indicators[0] if indicator is None else indicator
    summary, tested = comparison.summary(name), comparison.tests(name)
    out = {"Which is better": [
        _standing(
            problem, name, summary.where(problem=problem).rows, tested.where(problem=problem),
            comparison.alpha,
        )
        for problem in comparison.problems
    ]}  # fmt: skip
    if len(comparison.algorithms) > 1:
        out["All together"] = _overall(comparison, name)
        if name == "hypervolume" and comparison.has_history:
            out["How much sooner"] = _sooner(comparison)
    return {heading: sentences for heading, sentences in out.items() if sentences}


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


def methods(comparison: Numbers) -> list[str]:
    """Return how the numbers came about, in the sentences that a paper would need."""
    tests = [row for name in comparison.indicators for row in comparison.tests(name)]
    kinds = {row["test"] for row in tests}
    out = [
        "Of each run counts the finite, feasible, non-dominated part of its points. Objectives are "
        "scaled so that the pooled front of all runs on a problem spans 0 to 1 in each.",
        *(_METHODS[name] for name in comparison.indicators),
    ]
    names = {
        "signed rank": "Wilcoxon's signed rank test where both have runs of the same seeds",
        "rank sum": "Wilcoxon's rank sum test (Mann and Whitney's) of independent runs",
    }
    if kinds:
        used = listed(names[kind] for kind in names if kind in kinds)
        over = "rivals of the baseline" if comparison.baseline else "pairs of algorithms"
        out.append(
            f"Two algorithms are compared by {used}, two-sided, at the level "
            f"{comparison.alpha:g} after Holm's correction over the {over} on a problem. A12 is "
            "Vargha and Delaney's effect size: how likely a run of the one is better than a run of "
            "the other; 0.5 is no difference, from 0.56 it is small, from 0.64 medium, from 0.71 "
            "large."
        )
    if len(comparison.algorithms) > 1 and comparison.ranks().ranking is not None:
        out.append(
            f"Mean ranks are over {comparison.ranks().blocks}, 1 is best; Friedman's test says "
            "whether any two algorithms differ, and Nemenyi's critical difference by how much "
            "ranks have to differ (Demsar 2006)."
        )
    if comparison.has_history:
        out.append(
            "How much sooner: after how many evaluations a run first has the median final "
            "hypervolume of its rival, medians over all runs, a run that never does counting as "
            "infinite."
        )
    return out


_METHODS = {
    "hypervolume": "Hypervolume: the share of the box between the ideal and the reference point "
    "that a front dominates; larger is better, 1 is all of it.",
    "igd_plus": "IGD+: the mean distance from the points of the pooled front to what a front "
    "dominates (Ishibuchi et al. 2015); less is better, 0 is the pooled front.",
    "epsilon": "Epsilon: by how much a front must be moved, in every objective, to dominate the "
    "pooled front (Zitzler et al. 2003); less is better, 0 is the pooled front.",
    "r2": "R2: the expected weighted Chebyshev distance of a front to the ideal, over weights "
    "uniform on the simplex (Hansen and Jaszkiewicz 1998); less is better.",
}


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
    for heading, sentences in findings(comparison).items():
        lines += [heading, *(f"- {sentence}" for sentence in sentences)]
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
    return ", ".join(counted(n, word) for n, word in counts)


def counted(n: int, word: str) -> str:
    """Return a number with its noun."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


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
