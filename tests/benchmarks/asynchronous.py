"""Evaluations of uneven length: runs whose workers never wait against runs in batches.

    python -m tests.benchmarks.asynchronous --out docs/benchmarks/asynchronous.md

Two measurements. *Throughput*: eight threads sleep for log-normal times (sigma 1), and the wall
clock says how many evaluations an hour each kind of run makes. *Quality*: hypervolume after the
same number of evaluations, where a simulated clock decides which evaluation ends next, so that no
time is spent on waiting. Results of the second are kept in `docs/benchmarks/data`, by case.
"""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from pymoo.problems import get_problem

import moela
from moela import MOELA
from moela.asynchronous import evaluator as arrivals
from moela.asynchronous.streams import Arrival, Stream
from moela.evaluation.runners.runner import Runner
from moela.quality.indicators import hypervolume
from problems import MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from tests.benchmarks import harness

DATA = Path(__file__).parents[2] / "docs" / "benchmarks" / "data" / "asynchronous.json"
WORKERS, SIGMA = 8, 1.0
# Runs in batches: as many designs as workers, and twice as many, which docs/how_to_choose.md
# recommends.
BATCHES = (WORKERS, 2 * WORKERS)


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


def problems() -> dict[str, Any]:
    """Return the problems of the comparison of quality, by name."""
    zdt1 = get_problem("zdt1")
    zdt1.ref_point = np.array([1.1, 6.0])
    return {
        "noc, 5 objectives": NoC3D.example("bfs", objectives=5),
        "noc, 3 objectives": NoC3D.example("kmeans", objectives=3),
        "qap 20": MultiObjectiveQAP.random(n_facilities=20, seed=1),
        "knapsack 100": MultiObjectiveKnapsack.random(n_items=100, seed=1),
        "zdt1": zdt1,
    }


def final_hypervolume(problem: Any, kind: str, seed: int, n_eval: int) -> float:
    """Return the hypervolume of one run: in batches of a size, or asynchronous."""
    settings: dict[str, Any] = {"n_eval": n_eval, "seed": seed, "verbose": False, "progress": False}
    if kind == "asynchronous":
        rng = np.random.default_rng([seed, 1])
        with mock.patch.object(arrivals, "make_stream", lambda r, n: SimulatedStream(r, rng)):
            result = moela.minimize(problem, asynchronous=True, **settings)
    else:
        result = moela.minimize(problem, algorithm=MOELA(batch_size=int(kind)), **settings)
    return hypervolume(np.array([ind.F for ind in result.algorithm.opt]), problem.ref_point)


def quality(n_eval: int, n_seeds: int, keep: bool) -> tuple[list[list[str]], list[list[float]]]:
    """Return a table of hypervolumes, and the ratios to each size of batches, by problem."""
    known = json.loads(DATA.read_text()) if DATA.exists() and keep else {}
    kinds = [*map(str, BATCHES), "asynchronous"]
    table, ratios = (
        [["problem", *(f"batches of {b}" for b in BATCHES), "asynchronous", "ratio", "interval"]],
        [],
    )
    for name, problem in problems().items():
        values: dict[str, list[float]] = known.setdefault(f"{name}, {n_eval}", {})
        for seed in range(1, n_seeds + 1):
            for kind in kinds:
                done = values.setdefault(kind, [])
                if len(done) < seed:
                    done.append(final_hypervolume(problem, kind, seed, n_eval))
            if keep:
                DATA.parent.mkdir(exist_ok=True)
                DATA.write_text(json.dumps(known, indent=1))
        medians = [float(np.median(values[kind][:n_seeds])) for kind in kinds]
        ratios.append([medians[-1] / batches for batches in medians[:-1]])
        better = kinds[int(np.argmax(medians[:-1]))]
        low, high = interval(values["asynchronous"][:n_seeds], values[better][:n_seeds])
        row = [name, *(f"{value:.4g}" for value in medians), f"{min(ratios[-1]):.3f}"]
        table.append([*row, f"{low:.2f} to {high:.2f}"])
        print(table[-1], flush=True)
    return table, ratios


def interval(values: list[float], others: list[float]) -> tuple[float, float]:
    """Return a bootstrapped interval of 95 % of the ratio of two medians."""
    rng = np.random.default_rng(1)
    ratios = np.median(rng.choice(values, (10_000, len(values))), axis=1)
    ratios /= np.median(rng.choice(others, (10_000, len(others))), axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def throughput(n_eval: int, mean: float) -> dict[str, float]:
    """Return the evaluations an hour of each kind of run on threads that sleep, by name.

    Designs are bits, for which MOELA itself takes least time.
    """
    weights = np.random.default_rng(2).random(30)
    rates = {}
    for kind in [*map(str, BATCHES), "asynchronous"]:
        rng = np.random.default_rng(1)
        durations = iter(mean * rng.lognormal(-(SIGMA**2) / 2, SIGMA, 10 * n_eval))

        def wait(d: Any, durations: Any = durations) -> tuple[float, float]:
            time.sleep(next(durations))
            bits = np.array([*d.values()], dtype=float)
            return float(bits @ weights), float((1.0 - bits) @ weights[::-1])

        settings: dict[str, Any] = (
            {"asynchronous": True} if kind == "asynchronous" else {"batch_size": int(kind)}
        )
        start = time.monotonic()
        moela.minimize(
            wait, variables={f"x{i}": bool for i in range(30)}, objectives=["a", "b"],
            n_eval=n_eval, n_jobs=WORKERS, backend="threads", verbose=False, progress=False,
            **settings,
        )  # fmt: skip
        rates[kind] = 3600 * n_eval / (time.monotonic() - start)
        print(kind, f"{rates[kind]:,.0f} evaluations an hour", flush=True)
    return rates


def main() -> None:
    """Measure, and write the page."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--budget", type=int, default=1000, help="evaluations of each run")
    parser.add_argument("--out")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.budget = 1, 200
    rates = throughput(200 if arguments.quick else 600, 0.1 if arguments.quick else 0.4)
    table, ratios = quality(arguments.budget, arguments.seeds, keep=not arguments.quick)
    batches = max(rates[str(b)] for b in BATCHES)
    rows = [["run", "evaluations an hour", "against the better batches"]]
    rows += [[f"{k}", f"{v:,.0f}", f"{v / batches:.2f}"] for k, v in rates.items()]
    parts = [
        harness.header(
            "Workers that never wait",
            "tests.benchmarks.asynchronous",
            f"Evaluations take log-normal times (sigma {SIGMA:g}) on {WORKERS} workers. The first "
            "table has the wall clock of threads that sleep; numbers in the first column are sizes "
            f"of batches. The second has the hypervolume after {arguments.budget:,} evaluations, "
            f"median of {arguments.seeds} seeds, where a simulated clock decides which evaluation "
            "ends next; `ratio` is asynchronous over the better kind of batches, and `interval` "
            "the bootstrapped interval of 95 % of that ratio.",
        ),
        harness.markdown(rows),
        harness.markdown(table),
    ]
    harness.finish(parts, arguments.out)
    of_eight = rates["asynchronous"] / rates[str(WORKERS)]
    print(f"bar: evaluations an hour over batches of {WORKERS}, {of_eight:.2f}, at least 1.6")
    double = rates["asynchronous"] / rates[str(2 * WORKERS)]
    print(f"bar: evaluations an hour over batches of {2 * WORKERS}, {double:.2f}, at least 1.6")
    for size, column in zip(BATCHES, zip(*ratios, strict=True), strict=True):
        what = f"hypervolume at equal evaluations over batches of {size}"
        print(f"bar: {what}, median, {np.median(column):.3f}, at least 0.98")
        print(f"bar: {what}, least, {min(column):.3f}, at least 0.98")


if __name__ == "__main__":
    main()
