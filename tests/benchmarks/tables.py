"""Runs of MOELA and its rivals on named problems, and the tables of one experiment."""

from __future__ import annotations

import argparse
import logging
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from moela.experiments.results import RefPoint, quartiles
from moela.experiments.run import ExperimentResults, run_experiment
from moela.quality.statistics import compare_pairs, compare_samples, holm, rank_blocks
from moela.quality.table import Table
from tests.benchmarks.harness import markdown, pick, titled

OURS = "MOELA"


def parser(description: str | None, *, budget: int, store: str) -> argparse.ArgumentParser:
    """Return the argument parser that all tables share."""
    out = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    out.add_argument("--budget", type=int, default=budget, help="evaluations of each run")
    out.add_argument(
        "--slow-budget", type=int, default=min(2000, budget),
        help="evaluations of algorithms that take milliseconds for each",
    )  # fmt: skip
    out.add_argument("--seeds", type=int, default=7, help="runs of each algorithm on each problem")
    out.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    out.add_argument("--problems", nargs="+", metavar="NAME", help="only these")
    out.add_argument("--algorithms", nargs="+", metavar="NAME", help=f"only {OURS} and these")
    out.add_argument("--store", default=f".benchmarks/{store}", help="folder that keeps the runs")
    out.add_argument("--out", help="Markdown file to write; default: print only")
    out.add_argument("--quick", action="store_true", help="a run of about a minute")
    return out


def parsed(
    of: argparse.ArgumentParser, words: Sequence[str], quick: Sequence[str]
) -> argparse.Namespace:
    """Return the arguments; a quick run is of these problems, short, and not kept."""
    arguments = of.parse_args(words)
    if arguments.quick:
        arguments.problems, arguments.seeds, arguments.store = quick, 2, tempfile.mkdtemp()
        arguments.budget, arguments.slow_budget = 300, 100
    return arguments


def rank_sums(results: ExperimentResults, algorithm: str, ref_point: RefPoint) -> Table:
    """Compare an algorithm with each rival on each problem, by hypervolume and rank sum test.

    The published pages compare raw hypervolumes of independent runs, at the smaller of the two
    budgets. Holm's correction is over the rivals on a problem.
    """
    rows = []
    for problem in results.problems:
        own_runs = results.select(problem=problem, algorithm=algorithm).runs
        block: list[dict[str, Any]] = []
        for rival in results.algorithms:
            rival_runs = results.select(problem=problem, algorithm=rival).runs
            if rival == algorithm or not rival_runs:
                continue
            n = min(run.budget for run in (*own_runs, *rival_runs))
            a, b = (results.values(problem, name, n, ref_point) for name in (algorithm, rival))
            own, other = float(np.median(a)), float(np.median(b))
            ratio = own / other if other > 0 else math.inf if own > 0 else 1.0
            row = {"problem": problem, "rival": rival, "evaluations": n, "median": own}
            block.append(
                row | {"rival_median": other, "ratio": ratio, "p_value": compare_samples(a, b)}
            )
        corrected = holm([row["p_value"] for row in block])
        rows += [row | {"p_holm": p} for row, p in zip(block, corrected, strict=True)]
    return Table(rows)


def run(
    problems: Mapping[str, Any],
    algorithms: Mapping[str, Any],
    slow: Mapping[str, Any],
    arguments: argparse.Namespace,
    budget: int | None = None,
) -> ExperimentResults:
    """Make the missing runs; slow algorithms get the smaller of the two budgets."""
    budget = arguments.budget if budget is None else budget
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("moela.experiment").setLevel(logging.INFO)
    # jMetalPy prints every step of every run.
    logging.getLogger("jmetal.core.algorithm").setLevel(logging.WARNING)
    chosen = pick(problems, arguments.problems)
    if not chosen:
        sys.exit(f"--problems: expected some of {', '.join(problems)}.")
    results = ExperimentResults([])
    for kinds, n_eval in ((algorithms, budget), (slow, min(arguments.slow_budget, budget))):
        kinds = pick(kinds, arguments.algorithms, OURS)
        if kinds:
            results = results + run_experiment(
                chosen, kinds, arguments.seeds, n_eval, arguments.jobs,
                store=arguments.store, on_mismatch="rerun", on_error="skip",
            )  # fmt: skip
    return results


# --------------------------------------------------------------------------------------- reports


def sources(results: ExperimentResults) -> str:
    """Return a line with the hash of the MOELA sources that the runs were made with."""
    digests = {
        str(run.settings["algorithm"]["code"].get("sources", "installed"))
        for run in results.select(algorithm=OURS).runs
    }
    if not digests:
        return ""
    return f"Version of {OURS} (hash of its sources): {', '.join(sorted(digests))}.\n"


def tests_note(seeds: int) -> str:
    """Return a note on the tests and on their smallest possible p-value for this many seeds."""
    least = 2.0 / math.comb(2 * seeds, seeds)
    return (
        "The tests are two-sided Wilcoxon rank sum tests over seeds, with Holm's correction over "
        f"the rivals on a problem. With {seeds} seeds against {seeds}, the smallest possible p is "
        f"{least:.2g} before the correction."
    )


class Report:
    """Tables of one experiment.

    Parameters
    ----------
    results : ExperimentResults
    ref_point
        Reference point of the hypervolumes; see `ExperimentResults.ref_point`.
    scale : dict of float by problem
        Divisor of the hypervolumes of a problem; 1 if none is given.
    digits : int
        Digits after the decimal point.
    """

    def __init__(
        self,
        results: ExperimentResults,
        ref_point: RefPoint = "problem",
        scale: Mapping[str, float] | None = None,
        digits: int = 2,
    ) -> None:
        self.results = results
        self.ref_point = ref_point
        self.scale = dict(scale or {})
        self.digits = digits

    def values(self, problem: str, algorithm: str, at: int | None = None) -> Any:
        """Return the scaled hypervolume of each seed."""
        volumes = self.results.values(problem, algorithm, at, self.ref_point)
        return volumes / self.scale.get(problem, 1.0)

    def budget(self, problem: str, algorithm: str) -> int:
        """Return the budget of an algorithm's runs, 0 if it has none."""
        runs = (r for r in self.results.runs if (r.problem, r.algorithm) == (problem, algorithm))
        return next((run.budget for run in runs), 0)

    def rivals(self, problem: str, *, slow: bool = False) -> list[str]:
        """Return the rivals with MOELA's budget on a problem, or those with a smaller budget."""
        full = self.budget(problem, OURS)
        budgets = {a: self.budget(problem, a) for a in self.results.algorithms if a != OURS}
        return [a for a, n in budgets.items() if n and (n < full) == slow]

    def median(self, problem: str, algorithm: str, at: int | None = None) -> float:
        """Return the median of the scaled hypervolumes."""
        return float(np.median(self.values(problem, algorithm, at)))

    def standing(self, problems: Sequence[str], at: Sequence[int] = ()) -> list[str]:
        """Return all tables for problems with the same scoring; empty tables are left out."""
        best = "MOELA's evaluations to the best rival's final hypervolume:"
        released = "MOELA's evaluations to the final hypervolume of the released algorithm:"
        return [
            self.cells(problems),
            self.against(problems),
            titled(best, self.race(problems)),
            titled(released, self.race(problems, ["MOELA published"])),
            titled("Comparison at the budget of the slow rivals:", self.slow(problems)),
            titled(f"{OURS}'s median hypervolume by evaluations:", self.progress(problems, at)),
        ]

    # ----------------------------------------------------------------------------------- parts

    def cells(self, problems: Sequence[str]) -> str:
        """Return medians (quartiles), with the best of each problem in bold.

        Each algorithm is measured at its own budget. Only algorithms with MOELA's budget can be
        the best.
        """
        best = {p: max(self.median(p, a) for a in (OURS, *self.rivals(p))) for p in problems}
        rows = [["algorithm", *problems]]
        for algorithm in self.results.algorithms:
            row = [algorithm, *(self._cell(p, algorithm, best[p]) for p in problems)]
            if any(row[1:]):
                rows.append(row)
        return markdown(rows)

    def _cell(self, problem: str, algorithm: str, best: float) -> str:
        budget = self.budget(problem, algorithm)
        if not budget:
            return ""
        full = budget >= self.budget(problem, OURS)
        q = quartiles(self.values(problem, algorithm))
        median, low, high = (self._number(q[name]) for name in ("median", "q1", "q3"))
        cell = f"{median}{'' if full else f' @{budget}'} ({low}–{high})"
        return f"**{cell}**" if full and q["median"] >= best > 0 else cell

    def against(self, problems: Sequence[str]) -> str:
        """Return MOELA's place on each problem, the best rival, and significant differences."""
        heading = "problem, place, best rival, ratio to it, p (Holm), significantly better"
        rows = [heading.split(", ")]
        for problem in problems:
            others = {a: self.median(problem, a) for a in self.rivals(problem)}
            if not others:
                continue
            best = max(others, key=lambda a: others[a])
            place = 1 + sum(v > self.median(problem, OURS) for v in others.values())
            compared = rank_sums(self.results.select(problem=problem), OURS, self.ref_point)
            certain = [r for r in compared if r["p_holm"] < 0.05]
            better = sum(r["ratio"] > 1 for r in certain)
            worse = ", ".join(r["rival"] for r in certain if r["ratio"] < 1)
            of_best = compared.where(rival=best).rows[0]
            cells = [f"{of_best['ratio']:.3f}", f"{of_best['p_holm']:.4f}"]
            note = f"{better} of {len(compared)}" + (f"; worse than {worse}" if worse else "")
            rows.append([problem, f"{place} of {len(others) + 1}", best, *cells, note])
        return markdown(rows) if len(rows) > 1 else ""

    def slow(self, problems: Sequence[str]) -> str:
        """Return the comparison with each rival of a smaller budget, at that budget."""
        rows = [["problem", "rival", "evaluations", OURS, "rival", "ratio", "p (Holm)"]]
        for problem in problems:
            for rival in self.rivals(problem, slow=True):
                pair = self.results.select(problem=problem, algorithm=[OURS, rival])
                (row,) = rank_sums(pair, OURS, self.ref_point).rows
                scale = self.scale.get(problem, 1.0)
                medians = [self._number(row[k] / scale) for k in ("median", "rival_median")]
                cells = [*medians, f"{row['ratio']:.3f}", f"{row['p_holm']:.4f}"]
                rows.append([problem, rival, str(row["evaluations"]), *cells])
        return markdown(rows) if len(rows) > 1 else ""

    def race(self, problems: Sequence[str], rivals: Sequence[str] | None = None) -> str:
        """Return MOELA's evaluations to the median final hypervolume of the best rival."""
        rows = [["problem", "rival", "its hypervolume", "evaluations", "share", "speed-up"]]
        for problem in problems:
            names = self.rivals(problem) if rivals is None else rivals
            names = [name for name in names if self.budget(problem, name)]
            if not names:
                continue
            best = max(names, key=lambda a: self.median(problem, a))
            goal = float(np.median(self.results.values(problem, best, None, self.ref_point)))
            own_runs = self.results.select(problem=problem, algorithm=OURS)
            (row,) = own_runs.evaluations_to(goal, self.ref_point).rows
            budget, needed = self.budget(problem, best), row["median"]
            if np.isfinite(needed):
                spread = f"{needed:,.0f} ({row['q1']:,.0f}–{row['q3']:,.0f})"
                cells = [spread, f"{needed / budget:.3f}", f"{budget / needed:.1f}x"]
            else:
                cells = [f"not reached ({row['reached']} of {row['n_seeds']} seeds did)", "", ""]
            rows.append([problem, best, self._number(self.median(problem, best)), *cells])
        return markdown(rows) if len(rows) > 1 else ""

    def progress(self, problems: Sequence[str], at: Sequence[int]) -> str:
        """Return MOELA's medians after these numbers of evaluations."""
        if not at:
            return ""
        rows = [["problem", *(f"{n:,}" for n in at)]]
        for problem in problems:
            known = [n <= self.budget(problem, OURS) for n in at]
            cells = (
                self._number(self.median(problem, OURS, n)) if is_known else ""
                for n, is_known in zip(at, known, strict=True)
            )
            rows.append([problem, *cells])
        return markdown(rows)

    def overall(self, problems: Sequence[str]) -> str:
        """Return mean ranks over the problems, and signed rank tests of the medians by problem."""
        names = [
            a for a in self.results.algorithms
            if all(self.budget(p, a) >= self.budget(p, OURS) for p in problems)
        ]  # fmt: skip
        if len(names) < 2 or OURS not in names:
            return ""
        scores = np.array([[self.median(p, a) for a in names] for p in problems])
        ranks = rank_blocks(scores).ranks
        column = names.index(OURS)
        others = [i for i in range(len(names)) if i != column]
        p_values = holm([compare_pairs(scores[:, column], scores[:, i]) for i in others])
        p_of = dict(zip(others, p_values, strict=True))
        best = scores.max(axis=1, keepdims=True)
        share = np.divide(scores, best, out=np.ones_like(scores), where=best > 0)
        rows = [["algorithm", "mean rank", "worst share of the best", "p (signed rank, Holm)"]]
        for i in np.argsort(ranks, kind="stable"):
            p = "" if i == column else f"{p_of[int(i)]:.4f}"
            rows.append([names[i], f"{ranks[i]:.2f}", f"{share[:, i].min():.3f}", p])
        return markdown(rows)

    def _number(self, value: float) -> str:
        return f"{value:.{self.digits}f}"
