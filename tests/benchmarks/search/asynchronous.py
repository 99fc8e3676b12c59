"""Evaluations of uneven length: runs whose workers never wait against runs in batches.

Two measurements. *Throughput*: eight threads sleep for log-normal times (sigma 1), and the wall
clock says how many evaluations an hour each kind of run makes. *Quality*: hypervolume after the
same number of evaluations, where a simulated clock decides which evaluation ends next, so that no
time is spent on waiting.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
from pymoo.problems import get_problem

import moela
from moela import MOELA
from moela._arrays import Floats
from moela.asynchronous import evaluator as arrivals
from moela.asynchronous.streams import Arrival, Stream
from moela.evaluation.runners.runner import Runner
from moela.quality.indicators import hypervolume
from problems import NoC3D
from tests.benchmarks import harness
from tests.benchmarks.harness import Case
from tests.benchmarks.search.runs import Make, Run
from tests.benchmarks.search.short import CLASSIC
from tests.benchmarks.search.study import Found, Report, Study

WORKERS, SIGMA = 8, 1.0
# Runs in batches: as many designs as workers, and twice as many, which docs/how_to_choose.md
# recommends.
BATCHES = (WORKERS, 2 * WORKERS)
ASYNCHRONOUSLY = "asynchronous"
# The measurement of throughput, and the mean seconds of an evaluation.
_SLEEP, _MEAN = "threads that sleep", 0.4
_REFERENCE = {"zdt1": np.array([1.1, 6.0])}


class SimulatedStream(Stream):
    """Evaluates at once, but lets designs arrive as if each took a log-normal time."""

    n_workers = WORKERS

    def __init__(self, runner: Runner, rng: np.random.Generator) -> None:
        self._call, self._rng = runner.call, rng
        self._now = 0.0
        self._ends: list[tuple[float, int, Any]] = []

    def submit(self, number: int, X: Any, names: Sequence[str]) -> None:
        end = self._now + self._rng.lognormal(0.0, SIGMA)
        heapq.heappush(self._ends, (end, number, self._call(X, names)[0]))

    def wait(self, seconds: float) -> list[Arrival]:
        self._now, number, outcome = heapq.heappop(self._ends)
        return [(number, outcome)]


def quality(run: Run, make_problem: Make, settings: dict[str, Any]) -> Case:
    """Return the hypervolume of one run: in batches of a size, or asynchronous."""
    problem = make_problem()
    given = {"n_eval": run.budget, "seed": run.seed, "verbose": False, "progress": False}
    rng = np.random.default_rng([run.seed, 1])
    with mock.patch.object(arrivals, "make_stream", lambda r, n: SimulatedStream(r, rng)):
        algorithm = {} if "asynchronous" in settings else {"algorithm": MOELA(**settings)}
        result = moela.minimize(problem, **(algorithm or settings), **given)
    front = np.array([ind.F for ind in result.algorithm.opt])
    return {"hypervolume": [hypervolume(front, _REFERENCE.get(run.problem, problem.ref_point))]}


def throughput(run: Run, weights: Floats, settings: dict[str, Any]) -> Case:
    """Return the evaluations an hour of a run on threads that sleep.

    Designs are bits, for which MOELA itself takes least time.
    """
    n_eval = run.budget * 3 // 5
    rng = np.random.default_rng(1)
    durations = iter(_MEAN * rng.lognormal(-(SIGMA**2) / 2, SIGMA, 10 * n_eval))

    def wait(d: dict[str, bool]) -> tuple[float, float]:
        time.sleep(next(durations))
        bits = np.array([*d.values()], dtype=float)
        return float(bits @ weights), float((1.0 - bits) @ weights[::-1])

    start = time.monotonic()
    moela.minimize(
        wait, variables={f"x{i}": bool for i in range(len(weights))}, objectives=["a", "b"],
        n_eval=n_eval, n_jobs=WORKERS, backend="threads", verbose=False, progress=False, **settings,
    )  # fmt: skip
    return {"rate": round(3600 * n_eval / (time.monotonic() - start))}


def measure(run: Run, make_problem: Make, settings: dict[str, Any]) -> Case:
    """Return the throughput of threads that sleep, or the hypervolume of a run."""
    if run.problem == _SLEEP:
        return throughput(run, make_problem(), settings)
    return quality(run, make_problem, settings)


def wanted(run: Run) -> bool:
    """Whether the run is part of the benchmark: throughput is measured once."""
    return run.problem != _SLEEP or run.seed == 1


def interval(values: Floats, others: Floats) -> tuple[float, float]:
    """Return a bootstrapped interval of 95 % of the ratio of two medians."""
    rng = np.random.default_rng(1)
    ratios = np.median(rng.choice(values, (10_000, len(values))), axis=1)
    ratios /= np.median(rng.choice(others, (10_000, len(others))), axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def report(found: Found) -> Report:
    """Return the tables of throughput and of quality, and the bars."""
    (budget,) = found.budgets
    sizes = list(map(str, BATCHES))
    rates = {kind: runs[0]["rate"] for kind, runs in found.runs(_SLEEP, budget).items()}
    best = max(rates[size] for size in sizes)
    rows = [["run", "evaluations an hour", "against the better batches"]]
    rows += [[kind, f"{rate:,.0f}", f"{rate / best:.2f}"] for kind, rate in rates.items()]
    heading = [*(f"batches of {size}" for size in sizes), ASYNCHRONOUSLY, "ratio", "interval"]
    table, ratios = [["problem", *heading]], []
    for name in [name for name in found.problems if name != _SLEEP]:
        runs = found.runs(name, budget)
        values = {k: np.array([run["hypervolume"][0] for run in of]) for k, of in runs.items()}
        medians = {kind: float(np.median(of)) for kind, of in values.items()}
        ratios.append([medians[ASYNCHRONOUSLY] / medians[size] for size in sizes])
        better = max(sizes, key=lambda size: medians[size])
        low, high = interval(values[ASYNCHRONOUSLY], values[better])
        cells = [f"{medians[kind]:.4g}" for kind in (*sizes, ASYNCHRONOUSLY)]
        table.append([name, *cells, f"{min(ratios[-1]):.3f}", f"{low:.2f} to {high:.2f}"])
    bars = []
    for size, column in zip(sizes, zip(*ratios, strict=True), strict=True):
        rate = rates[ASYNCHRONOUSLY] / rates[size]
        bars.append(f"evaluations an hour over batches of {size}, {rate:.2f}, at least 1.6")
        what = f"hypervolume at equal evaluations over batches of {size}"
        bars.append(f"{what}, median, {np.median(column):.3f}, at least 0.98")
        bars.append(f"{what}, least, {min(column):.3f}, at least 0.98")
    return [harness.markdown(rows), harness.markdown(table)], bars


ASYNCHRONOUS = Study(
    title="Workers that never wait",
    about=f"Evaluations take log-normal times (sigma {SIGMA:g}) on {WORKERS} workers. The first "
    "table has the wall clock of threads that sleep; numbers in the first column are sizes of "
    "batches. The second has the hypervolume after {budget} evaluations, median of {seeds} seeds, "
    "where a simulated clock decides which evaluation ends next; `ratio` is asynchronous over the "
    "better kind of batches, and `interval` the bootstrapped interval of 95 % of that ratio.",
    problems={
        _SLEEP: partial(np.random.default_rng(2).random, 30),
        "noc, 5 objectives": partial(NoC3D.example, "bfs", objectives=5),
        "noc, 3 objectives": partial(NoC3D.example, "kmeans", objectives=3),
        "qap 20": CLASSIC["qap 20"],
        "knapsack 100": CLASSIC["knapsack 100"],
        "zdt1": partial(get_problem, "zdt1"),
    },
    algorithms={
        **{str(size): {"batch_size": size} for size in BATCHES},
        ASYNCHRONOUSLY: {"asynchronous": True},
    },
    measure=measure,
    report=report,
    store="asynchronous",
    budgets=(1000,),
    quick={"budgets": [200]},
    wanted=wanted,
)
