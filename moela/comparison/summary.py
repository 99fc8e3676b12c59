"""The summary of a comparison in sentences: findings, methods, and the text on a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moela.comparison.scale import LARGER_IS_BETTER, TITLES
from moela.quality.statistics import least_p_value
from moela.quality.table import Row, Table, text
from moela.quality.words import amount, beside, harmless

if TYPE_CHECKING:
    from moela.comparison.comparison import Comparison

_MAX_RIVALS = 2
_VERDICTS = {
    "better": "significantly better than", "worse": "significantly worse than",
    "not distinguished": "not distinguished from",
}  # fmt: skip


def findings(comparison: Comparison, indicator: str | None = None) -> dict[str, list[str]]:
    """Return the findings on an indicator, as sentences by heading.

    They name the best algorithm on each problem, the differences over all problems, and, for the
    hypervolume, how much sooner one algorithm reaches the final quality of another.
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


def _standing(problem: str, name: str, rows: list[Row], tested: Table, alpha: float) -> str:
    best = [row for row in rows if row["best"]]
    worth = Spread.of(best[0], rows).text
    title = TITLES[name]
    if len(rows) == 1:
        return f"On {problem}, {rows[0]['algorithm']} has a median {title} of {worth}."
    if len(best) == len(rows):
        every = "both" if len(rows) == 2 else f"all {len(rows)}"
        return f"On {problem}, {every} have the same median {title}, {worth}."
    who = listed([row["algorithm"] for row in best])
    verb = "has" if len(best) == 1 else "have"
    better = "largest" if LARGER_IS_BETTER[name] else "least"
    sentence = f"On {problem}, {who} {verb} the {better} median {title}, {worth}."
    rivals: dict[str, list[tuple[str, str]]] = {verdict: [] for verdict in _VERDICTS}
    first = best[0]["algorithm"]
    of_first = [r for r in tested if first in (r["algorithm"], r["rival"])]
    for row in of_first:
        verdict, other, a12 = row["verdict"], row["rival"], row["a12"]
        if verdict == "not tested":
            continue
        if row["algorithm"] != first:
            verdict = {"better": "worse", "worse": "better"}.get(verdict, verdict)
            other, a12 = row["algorithm"], 1.0 - a12
        rivals[verdict].append((other, f"{p_equals(row['p_holm'])}, A12 = {a12:.2f}"))
    for verdict, phrase in _VERDICTS.items():
        if rivals[verdict]:
            sentence += f" It is {phrase} {_with_notes(rivals[verdict])}."
    if rivals["not distinguished"]:
        sentence += _power(of_first, len(tested), alpha)
    if not any(rivals.values()):
        sentence += _without_test(rows)
    return sentence


def _without_test(rows: list[Row]) -> str:
    """Return a sentence about algorithms with a single run, or an empty text without any."""
    single = [row["algorithm"] for row in rows if row["runs"] == 1]
    if not single:  # a baseline that has no run on the problem
        return ""
    if len(single) == len(rows):
        return " One run each allows no test; make at least six, with different seeds."
    return (
        f" One run of {listed(single)} allows no test; make at least six of each, with different "
        "seeds."
    )


def _with_notes(named: list[tuple[str, str]]) -> str:
    """Format names with their notes; a note shared by all names is written once."""
    notes = {note for _, note in named}
    if len(named) > 2 and len(notes) == 1:
        return f"{listed(name for name, _ in named)} (each {notes.pop()})"
    return listed(f"{name} ({note})" for name, note in named)


def _power(rows: list[Row], n_pairs: int, alpha: float) -> str:
    """Return a sentence if there are too few runs for any difference to be significant."""
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
        f" With so few runs, p can't be below {p_text(after)} after Holm's correction, so this "
        f"says little; {advice}."
    )


def _overall(comparison: Comparison, name: str) -> list[str]:
    overall, alpha = comparison.ranks(name), comparison.alpha
    if len(overall.algorithms) == 2 and len(comparison.problems) == 1:
        return []  # nothing beyond the test of this pair
    differ = "differ" if overall.p_value < alpha else "are not shown to differ"
    p = p_equals(overall.p_value)
    if overall.ranking is None:
        if math.isnan(overall.p_value):
            return []
        return [
            f"All together, the algorithms {differ} (Kruskal-Wallis over the runs, {p}); "
            "mean ranks need several problems, or runs of equal seeds."
        ]
    ranking = overall.ranking
    order = sorted(range(len(overall.algorithms)), key=lambda i: ranking.ranks[i])
    by = f"Friedman's chi-squared = {ranking.statistic:.2f}" if len(order) > 2 else "sign test"
    each = listed([f"{overall.algorithms[i]} {ranking.ranks[i]:.2f}" for i in order])
    sentence = (
        f"Over {ranking.n_blocks} {overall.blocks}, the mean ranks by {TITLES[name]} are {each}; "
        f"the algorithms {differ} ({by}, {p})."
    )
    groups = [listed([overall.algorithms[i] for i in group]) for group in ranking.groups()]
    if len(order) > 2 and groups:
        sentence += (
            f" Ranks closer than {ranking.critical_difference:.2f} aren't significantly different "
            f"(Nemenyi, level {alpha:g}): {'; '.join(groups)}."
        )
    return [sentence]


def _sooner(comparison: Comparison) -> list[str]:
    """Return how much sooner the baseline is than each rival, or the best than the next two."""
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


def _when(row: Row) -> str:
    reached = f"{row['reached']} of {row['n']} runs"
    problem, first, rival = row["problem"], row["algorithm"], row["rival"]
    goal = f"On {problem}, {first} reached the median final hypervolume of {rival}"
    if not math.isfinite(row["evaluations"]):
        return f"{goal} in {reached} only." if row["reached"] else f"{goal} in none of its runs."
    spent = amount(round(row["evaluations"]), "evaluation")
    needed = f"{rival} needed {row['rival_evaluations']:,.0f}"
    sentence = f"{goal} after {spent} (median; {reached}); {needed}"
    if math.isfinite(row["speedup"]):
        times = f"{row['speedup']:.3g}"
        sentence += ", as many" if times == "1" else f", {times} times as many"
    if math.isfinite(row["speedup_seconds"]):
        sentence += f" ({text(row['seconds'])} s against {text(row['rival_seconds'])} s)"
    return f"{sentence}."


def methods(comparison: Comparison) -> list[str]:
    """Return the methods behind the numbers, in sentences for a paper."""
    tests = [row for name in comparison.indicators for row in comparison.tests(name)]
    kinds = {row["test"] for row in tests}
    out = [
        "Of each run, the finite, feasible, non-dominated points count. Objectives are scaled so "
        "that the pooled front of all runs on a problem spans 0 to 1 in each.",
        *(_METHODS[name] for name in comparison.indicators),
    ]
    names = {
        "signed rank": "Wilcoxon's signed rank test if both have runs of the same seeds",
        "rank sum": "Wilcoxon's rank sum test (Mann and Whitney's) of independent runs",
    }
    if kinds:
        used = listed(names[kind] for kind in names if kind in kinds)
        family = "rivals of the baseline" if comparison.baseline else "pairs of algorithms"
        out.append(
            f"Two algorithms are compared by {used}, two-sided, at the level "
            f"{comparison.alpha:g} after Holm's correction over the {family} on a problem. A12 is "
            "Vargha and Delaney's effect size, the probability that a run of one algorithm is "
            "better than a run of the other: 0.5 is no difference; from 0.56 the effect is small, "
            "from 0.64 medium, from 0.71 large."
        )
    overall = comparison.ranks()
    if overall.ranking is not None:
        out.append(f"Mean ranks are over {overall.blocks}, 1 is best.")
        if len(overall.algorithms) > 2:
            out.append(
                "Friedman's test says whether any two algorithms differ; its p comes from random "
                "orders for up to 60 values, else from the chi-squared distribution."
            )
        elif overall.blocks == "problems":
            out.append("The sign test over the problems says whether the two algorithms differ.")
        out.append(
            "Nemenyi's critical difference is the smallest significant difference of mean ranks "
            "(Demsar 2006)."
        )
    if comparison.has_history:
        out.append(
            "How much sooner: evaluations after which a run first has the median final "
            "hypervolume of its rival, as medians over all runs; a run that never has it counts as "
            "infinite."
        )
    return out


_METHODS = {
    "hypervolume": "Hypervolume: the share of the box between the ideal and the reference point "
    "that a front dominates; larger is better, 1 is the whole box.",
    "igd_plus": "IGD+: the mean distance from the points of the pooled front to the region that a "
    "front dominates (Ishibuchi et al. 2015); smaller is better, 0 is the pooled front.",
    "epsilon": "Epsilon: how far a front must be moved in every objective to dominate the "
    "pooled front (Zitzler et al. 2003); smaller is better, 0 is the pooled front.",
    "r2": "R2: the expected weighted Chebyshev distance of a front to the ideal, over weights "
    "uniform on the simplex (Hansen and Jaszkiewicz 1998); smaller is better.",
}


def summary_text(comparison: Comparison) -> str:
    """Return the text that printing a comparison shows."""
    lines = [counts_text(comparison), ""]
    for problem in comparison.problems:
        scale = comparison.scales[problem]
        lines.append(f"{problem}: {len(scale.names)} objectives ({', '.join(scale.goals)})")
        lines.append(f"  {reference_text(comparison, problem)}")
        lines += ["  " + line for line in str(medians(comparison, problem)).splitlines()]
        lines.append("")
    for heading, sentences in findings(comparison).items():
        lines += [heading, *(f"- {sentence}" for sentence in sentences)]
    if comparison.caveats:
        lines += ["", "Caveats"]
        lines += [f"- {caveat}" for caveat in comparison.caveats]
    return "\n".join(map(harmless, lines))


def counts_text(comparison: Comparison) -> str:
    """Return the numbers of algorithms, problems and runs."""
    c = comparison
    counts = {"algorithm": len(c.algorithms), "problem": len(c.problems), "run": len(c.runs)}
    return ", ".join(amount(n, noun) for noun, n in counts.items())


def reference_text(comparison: Comparison, problem: str) -> str:
    """Return the reference point of a problem, its origin, and the kind of hypervolumes."""
    scale = comparison.scales[problem]
    worst = scale.own(scale.nadir)
    point = ", ".join(map(beside, scale.own(scale.ref_point), worst))
    how = "exact" if scale.exact else "approximate"
    return f"reference point ({point}), {scale.rule}; hypervolumes {how}, as shares of its box"


@dataclass(frozen=True)
class Spread:
    """The median of an indicator over runs as text, with as many digits as tell medians apart."""

    median: str
    quartiles: str  # empty for a single run
    is_best: bool  # whether no other median is better

    @classmethod
    def of(cls, row: Row, rows: list[Row]) -> Spread:
        """Return a row of `Comparison.summary`, among the rows of its problem."""
        medians = [r["median"] for r in rows if math.isfinite(r["median"])]
        largest = max((abs(m) for m in medians), default=0.0)
        difference = max(medians) - min(medians) if medians else 0.0
        digits = 4
        if difference > 0 and largest > 0:
            digits = min(max(4, 2 - math.floor(math.log10(difference / largest))), 8)
        median, q1, q3 = (f"{row[key]:.{digits}g}" for key in ("median", "q1", "q3"))
        quartiles = f"{q1}–{q3}" if row["runs"] > 1 else ""
        return cls(median, quartiles, row["best"] and len(rows) > 1)

    @property
    def text(self) -> str:
        """The median, with the quartiles in brackets."""
        return f"{self.median} ({self.quartiles})" if self.quartiles else self.median

    def __str__(self) -> str:
        return f"{self.text} *" if self.is_best else self.text


def medians(comparison: Comparison, problem: str) -> Table:
    """Return one row per algorithm: runs, points, and the `Spread` of each indicator."""
    summaries = {
        name: comparison.summary(name).where(problem=problem) for name in comparison.indicators
    }
    rows = []
    for algorithm in comparison.algorithms_on(problem):
        sizes = [len(run.F) for run in comparison.runs_of(problem, algorithm)]
        row: Row = {
            "algorithm": algorithm,
            "runs": len(sizes),
            "points": f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)}–{max(sizes)}",
        }
        for name, summary in summaries.items():
            (own,) = summary.where(algorithm=algorithm).rows
            row[TITLES[name]] = Spread.of(own, summary.rows)
        rows.append(row)
    return Table(rows)


def p_text(p: float) -> str:
    """Return a p-value with two significant digits, or ``< 0.0001``."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def p_equals(p: float) -> str:
    """Return a p-value as an equation or inequality, for a sentence."""
    return f"p {p_text(p)}" if p < 1e-4 else f"p = {p_text(p)}"


def listed(names: Iterable[object]) -> str:
    """Return names as an enumeration in a sentence."""
    *others, last = map(str, names)
    return f"{', '.join(others)} and {last}" if others else last
