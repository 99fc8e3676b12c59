"""Long runs on permutations and bits: at equal evaluations, and at MOELA's process time.

MOELA makes 50,000 evaluations; each rival runs until it has made as many and has taken the process
time of MOELA's first 20,000 with the same seed, or up to 19 % more. MOO-STAGE makes 20,000. The
published MOELA, which fits a forest in every generation and takes eight minutes for as many, and
the memetic algorithm with boosted trees only run for that time. Needs MOELA_DATA for the shared
instances; without it, only generated instances are used.

The reference point of each problem is the nadir of the front of an NSGA-II run of 20,000
evaluations with seed 0, plus a tenth of the front's range. Rivals keep their hypervolumes at a grid
of times, so that a faster MOELA can be compared with the same runs of theirs.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from moela import MOELA, Models
from moela._arrays import Floats
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP
from tests.benchmarks import harness, rivals
from tests.benchmarks.harness import Case, Cases
from tests.benchmarks.search.reports import best_rival
from tests.benchmarks.search.runs import Make, Run, rounded
from tests.benchmarks.search.study import OURS, Found, Report, Study
from tests.benchmarks.search.timed import SCHEDULED, TimedRun, timed_run

POP, LONGEST = 100, 50_000
# MOELA as the documentation advises where an evaluation takes less than a few milliseconds, and
# without the model that makes the difference on QAPs.
VARIANTS = {
    "MOELA, batches of 50": partial(MOELA, batch_size=50, n_searches=5),
    "MOELA, batches of 50, no models": partial(MOELA, batch_size=50, n_searches=5, models=None),
    "MOELA, no sums over pairs": partial(MOELA, models=Models(pair_sums=False)),
}
TIMED = "time"
# Times at which rivals are looked at, each 19 % after the one before; MOELA's time is rounded up.
GRID = tuple(2.0 ** (i / 4) for i in range(-16, 41))
# Largest shares of the evaluations of algorithms that are slow themselves.
AT_MOST = {"MOO-STAGE": 0.4, "MOELA published": 0.0, "Memetic GBT": 0.0}


def problems() -> dict[str, Any]:
    """Return functions that make the problems, by name."""
    makers: dict[str, Any] = {}
    folder = os.environ.get("MOELA_DATA")
    if folder:
        data = Path(folder)
        for name in ("KC20-2fl-1rl", "KC20-2fl-2uni", "KC30-3fl-1rl"):
            path = data / "mqap" / f"{name}.dat"
            makers[name] = partial(MultiObjectiveQAP.from_file, path)
        path = data / "knapsack" / "random-2D-200_1.in"
        makers["knapsack-200"] = partial(MultiObjectiveKnapsack.from_file, path)
    makers["qap-25"] = partial(MultiObjectiveQAP.random, n_facilities=25, seed=2)
    makers["knapsack-150-3"] = partial(MultiObjectiveKnapsack.random, n_items=150, n_obj=3, seed=2)
    makers["mnk-100"] = partial(MNKLandscape.random, n=100, k=4, n_obj=2, rho=0.0, seed=2)
    return makers


def wanted(run: Run) -> bool:
    """Whether the algorithm is for the problem."""
    if run.algorithm == "MOEA/D":  # pymoo's does not support constraints
        return not run.problem.startswith("knapsack")
    return run.algorithm != "MOELA, no sums over pairs" or run.problem.startswith(("KC", "qap"))


def looked_at(budget: int) -> tuple[int, int]:
    """Return the two numbers of evaluations at which runs are compared."""
    return budget * 2 // 5, budget


def clock_time(seconds: float) -> str:
    """Return the first time of the grid that is not before this one, as the name of a column."""
    return f"{next(t for t in GRID if t >= seconds):.3g} s"


def reference_point(make_problem: Make, n_eval: int) -> Case:
    """Return the reference point."""
    problem = make_problem()
    front = TimedRun(problem, rivals.nsga2(problem, pop=POP), 0, n_eval=n_eval).front_after(n_eval)
    return {"point": (front.max(axis=0) + 0.1 * np.ptp(front, axis=0)).tolist()}


def measured(run: Run, problem: Any, make: Make, seconds: float, ref: Floats) -> Case:
    """Return hypervolumes after numbers of evaluations and, of a rival, at the times of the grid.

    MOELA itself is given no time.
    """
    most = AT_MOST.get(run.algorithm, 1.0) * run.budget
    at = [n for n in looked_at(run.budget) if n <= most]
    scheduled = run.algorithm in SCHEDULED
    case: Case = {}
    # Where steps follow the length of the run, each length needs a run of its own.
    lengths = [(0.0, n) for n in at] if scheduled else []
    lengths.append((seconds, 0 if scheduled or not at else at[-1]))
    for length, n_eval in lengths:
        if length == n_eval == 0:
            continue
        made = timed_run(run, problem, make, length, n_eval)
        counts = {n: made.clock.seconds_at(n) for n in ([n_eval] if scheduled else at) if n}
        case |= {f"seconds, {n}": round(at_second, 3) for n, at_second in counts.items()}
        first = length / (2.0 if scheduled else 5.0)
        times = {clock_time(t): made.clock.evaluations_at(t) for t in GRID if first < t <= length}
        case |= {f"evaluations, {t}": n for t, n in times.items()}
        for title, n in ({str(n): n for n in counts} | times).items():
            (case[title],) = rounded([made.hypervolume_after(n, ref)], 8)
    return case


class LongRuns(Study):
    """A study whose rivals run as long as MOELA."""

    def make(self, runs: Sequence[Run], again: Collection[Run], cases: Cases, jobs: int) -> None:
        """Make the runs that are missing, those that ended before MOELA did, and some again."""
        seconds = 0.0
        for run in runs:
            first, _ = looked_at(run.budget)
            make_problem = self.problems[run.problem]
            key = str(run._replace(algorithm="reference", seed=0))
            reference = cases.get(key, partial(reference_point, make_problem, first))
            ours = run.algorithm == OURS
            seconds = 0.0 if ours else seconds
            known = cases.results.get(str(run), {})
            short = not known or (not ours and clock_time(seconds) not in known)
            if short or run in again:
                ref, make = np.array(reference["point"]), self.algorithms[run.algorithm]
                known = measured(run, make_problem(), make, seconds, ref)
                cases.keep(str(run), known)
            if ours:
                seconds = next(t for t in GRID if t >= known[f"seconds, {first}"])


def _with_time(found: Found, problem: str, kind: str) -> list[Case]:
    """Return the runs of an algorithm, with what it had at MOELA's time of the same seed."""
    (budget,) = found.budgets
    first, _ = looked_at(budget)
    ours, runs = found.by_seed(problem, OURS, budget), []
    for seed, run in found.by_seed(problem, kind, budget).items():
        at = str(first) if kind == OURS else clock_time(ours[seed][f"seconds, {first}"])
        evaluations = run.get(f"evaluations, {at}", first)
        runs.append(run | {TIMED: run[at], "evaluations": evaluations})
    return runs


def _median(runs: Sequence[Case], column: str) -> float | None:
    """Return the median of a column, None if a run lacks it."""
    if not all(column in run for run in runs):
        return None
    return float(np.median([run[column] for run in runs]))


def report(found: Found) -> Report:
    """Return a table of all problems, and one for each."""
    at = looked_at(found.budgets[0])
    titles = {str(n): f"{n:,} evaluations" for n in at} | {TIMED: "MOELA's time"}
    rows = [["problem", "at", OURS, "best rival", "its", "ratio", "its evaluations"]]
    bars, blocks = [], []
    for name in found.problems:
        runs = {kind: _with_time(found, name, kind) for kind in found.algorithms}
        runs = {kind: of for kind, of in runs.items() if of}
        medians = {column: {k: _median(of, column) for k, of in runs.items()} for column in titles}
        counts = {kind: _median(of, "evaluations") for kind, of in runs.items()}
        for column, title in titles.items():
            of = {kind: value for kind, value in medians[column].items() if value is not None}
            best, ratio = best_rival(of, list(VARIANTS))
            n = counts[best] if column == TIMED else int(column)
            for kind in (OURS, *(k for k in VARIANTS if k in of and column == TIMED)):
                shown = title + kind.removeprefix(OURS)
                ours = of[kind] / of[OURS] * ratio
                cells = [f"{of[kind]:.5g}", best, f"{of[best]:.5g}", f"{ours:.3f}", f"{n:,.0f}"]
                rows.append([name, shown, *cells])
                bars.append(f"{name} at {shown}, over the best rival's, {ours:.4f}, at least 1")
        block = [["algorithm", *titles.values(), "evaluations", "own seconds"]]
        for kind, of_kind in runs.items():
            values = [medians[column][kind] for column in titles]
            seconds = _median(of_kind, f"seconds, {at[0]}")
            cells = ["" if value is None else f"{value:.5g}" for value in values]
            cells += [f"{counts[kind]:,.0f}", "" if seconds is None else f"{seconds:.1f}"]
            block.append([kind, *cells])
        blocks += [f"## {name}\n", harness.markdown(block)]
    return [harness.markdown(rows), *blocks], bars


LONG_RUNS = LongRuns(
    title="Long runs on permutations and bits",
    about="Hypervolume of all evaluated designs after equal numbers of evaluations, and after the "
    f"process time of MOELA's first {looked_at(LONGEST)[0]:,} evaluations, evaluations included; "
    "medians of {seeds} seeds. Rivals have up to 19 % more time. The reference point is the nadir "
    "of a front of NSGA-II, plus a tenth of its range. Populations have "
    f"{POP} members where no number is given. Rows that begin with `MOELA,` are settings for "
    "evaluations that take microseconds, or lack the model of sums over pairs. They are no rivals. "
    "`evaluations` are those in MOELA's time, `own seconds` the process time of "
    f"{looked_at(LONGEST)[0]:,} evaluations. Empty cells were not run: the algorithm itself takes "
    "too long.",
    problems=problems(),
    algorithms={
        OURS: MOELA,
        **VARIANTS,
        **rivals.pymoo_rivals(POP),
        "NSGA-II, 50": partial(rivals.nsga2, pop=50),
        **rivals.our_rivals(),
        "MOELA published": MOELA.published,
        "Memetic GBT": rivals.slow_rivals(POP)["Memetic GBT"],
    },
    measure=measured,
    report=report,
    store="long_runs",
    budgets=(LONGEST,),
    quick={
        "problems": ["qap-25"],
        "algorithms": ["NSGA-II", "MOEA/D batch", "VS-RLS"],
        "budgets": [600],
    },
    wanted=wanted,
)
