"""A benchmark: algorithms on problems, runs that are kept one by one, and the page of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from tests.benchmarks import harness, tables
from tests.benchmarks.harness import Case, Cases
from tests.benchmarks.search.runs import Make, Run

OURS = tables.OURS
Report = tuple[Sequence[str], Sequence[str]]  # parts of a page, and bars


def always(run: Run) -> bool:
    """Every run is made."""
    return True


@dataclass(frozen=True, kw_only=True)
class Study:
    """Algorithms on problems.

    A run is measured by `measure(run, make_problem, make_algorithm)`, which returns a dictionary
    for JSON. `report(found)` returns the parts of the page, and the bars.
    """

    title: str
    about: str  # with {seeds} and {budget}, and {versions} of these packages
    problems: Mapping[str, Make]
    algorithms: Mapping[str, Make]
    measure: Callable[[Run, Make, Make], Case]
    report: Callable[[Found], Report]
    store: str  # file of the results, without ending
    budgets: Sequence[int]
    quick: Mapping[str, Any]  # options of a run of under a minute
    seeds: int = 7
    no_rivals: Sequence[str] = ()  # algorithms that are shown beside the rivals
    checks: Sequence[str] = ()  # problems in a table of their own, without bars
    least: float = 1.0  # ratio to the best rival that is a bar
    wanted: Callable[[Run], bool] = always
    packages: Sequence[str] = ()

    def main(self, words: Sequence[str], module: str = "tests.benchmarks.search") -> None:
        """Make the runs that are missing, write the page, and print the bars."""
        options = self.parser().parse_args(words)
        if options.quick:
            vars(options).update({"seeds": 1} | dict(self.quick))
        found = self.results(options)
        text = self.about.format(
            seeds=options.seeds,
            budget=f"{options.budgets[0]:,}",
            versions=", ".join(f"{name} {harness.version_of(name)}" for name in self.packages),
        )
        parts, bars = self.report(found)
        harness.finish([harness.header(self.title, module, text), *parts], options.out)
        print("\n".join(f"bar: {bar}" for bar in bars))

    def path(self) -> Path:
        """Return the file of the results."""
        return harness.RESULTS / f"{self.store}.json"

    def parser(self) -> argparse.ArgumentParser:
        """Return the parser of the options."""
        parser = harness.script_parser(self.about)
        parser.add_argument("--quick", action="store_true", help="under a minute, nothing is kept")
        parser.add_argument("--stored", action="store_true", help="make no runs")
        parser.add_argument("--seeds", type=int, default=self.seeds)
        parser.add_argument("--budgets", nargs="+", type=int, default=list(self.budgets))
        parser.add_argument("--problems", nargs="+", metavar="NAME")
        parser.add_argument("--algorithms", nargs="+", metavar="NAME")
        parser.add_argument(
            "--again", "--redo", nargs="+", metavar="NAME", default=[],
            help="make the runs of these algorithms anew, or `all`",
        )  # fmt: skip
        parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
        parser.add_argument("--out", help="Markdown file to write; default: print only")
        return parser

    def results(self, options: argparse.Namespace) -> Found:
        """Make the runs that are missing, seed by seed; return all of them."""
        cases = Cases(None if options.quick else self.path())
        problems = harness.pick(self.problems, options.problems)
        algorithms = harness.pick(self.algorithms, options.algorithms, OURS)
        runs = [
            Run(problem, algorithm, budget, seed)
            for seed in range(1, options.seeds + 1)
            for problem in problems
            for budget in options.budgets
            for algorithm in algorithms
        ]
        runs = [run for run in runs if self.wanted(run)]
        again = {run for run in runs if {run.algorithm, "all"} & set(options.again)}
        if not options.stored:
            self.make(runs, again, cases, options.jobs)
        return Found(self, cases, problems, algorithms, options.budgets, options.seeds)

    def make(self, runs: Sequence[Run], again: Collection[Run], cases: Cases, jobs: int) -> None:
        """Make the runs that are missing, and some again; keep each as soon as it has ended."""
        missing = [run for run in runs if run in again or str(run) not in cases]
        tasks = [
            delayed(self.measure)(run, self.problems[run.problem], self.algorithms[run.algorithm])
            for run in missing
        ]
        made = Parallel(n_jobs=jobs, return_as="generator")(tasks)
        for run, case in zip(missing, made, strict=True):
            cases.keep(str(run), case)


@dataclass(frozen=True)
class Found:
    """The results of a study, and what is shown of them."""

    study: Study
    cases: Cases
    problems: Mapping[str, Make]
    algorithms: Mapping[str, Make]
    budgets: Sequence[int]
    seeds: int

    def by_seed(self, problem: str, algorithm: str, budget: int) -> dict[int, Case]:
        """Return the runs of an algorithm on a problem, by seed."""
        runs = (Run(problem, algorithm, budget, seed) for seed in range(1, self.seeds + 1))
        return {
            run.seed: self.cases.results[str(run)]
            for run in runs
            if self.study.wanted(run) and str(run) in self.cases
        }

    def runs(self, problem: str, budget: int) -> dict[str, list[Case]]:
        """Return the runs on a problem, by algorithm; those without any are left out."""
        runs = {name: self.by_seed(problem, name, budget) for name in self.algorithms}
        return {name: list(of.values()) for name, of in runs.items() if of}
