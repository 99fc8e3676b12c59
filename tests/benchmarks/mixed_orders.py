"""`moela.minimize` and evolution on functions of an order and of other variables.

    python -m tests.benchmarks.mixed_orders --budgets 100 300 1000 \
        --out docs/benchmarks/mixed_orders.md

The value of a run is the hypervolume of its front, in the box of the fronts of all runs on the
problem with the same budget, and a tenth of its size beyond the worst values. Fronts are kept in
`tests/benchmarks/results`, by problem, algorithm, budget and seed, so an interrupted run resumes.
`--again MOELA` makes the runs of an algorithm anew.
"""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.algorithms.moo.age2 import AGEMOEA2
from pymoo.algorithms.moo.nsga2 import NSGA2

import moela
from moela import MOELA
from moela.rivals import BatchMOEAD
from tests.benchmarks import tables
from tests.benchmarks.few_functions import Page
from tests.benchmarks.plain_functions import Case

DATA = Path(__file__).parent / "results" / "mixed_orders.json"
OURS = tables.OURS
ALGORITHMS: dict[str, Any] = {
    OURS: MOELA,
    "NSGA-II, 50": partial(NSGA2, pop_size=50),
    "NSGA-II, 20": partial(NSGA2, pop_size=20),
    "AGE-MOEA-II": partial(AGEMOEA2, pop_size=50),
    "MOEA/D batch": BatchMOEAD,
}


def deliveries(n: int = 12) -> Case:
    """A van that is slower or faster while it is full and while it is half empty: time and fuel."""
    rng = np.random.default_rng(31)
    places, loads = rng.random((n, 2)), rng.uniform(0.2, 1.2, n)
    distances = np.linalg.norm(places[:, None] - places, axis=2)

    def drive(d: dict[str, Any]) -> tuple[float, float]:
        left, time, fuel = loads.sum(), 0.0, 0.0
        for a, b in itertools.pairwise([*d["route"], d["route"][0]]):
            speed = d["full"] if 2.0 * left > loads.sum() else d["empty"]
            time += distances[a, b] / speed
            fuel += distances[a, b] * speed**2 * (1.0 + left)
            left -= loads[a]
        return time, fuel

    speeds = {"full": (0.3, 2.0), "empty": (0.3, 2.0)}
    return {
        "function": drive,
        "variables": {"route": moela.permutation(n), **speeds},
        "objectives": ["time", "fuel"],
    }


def speeds(n: int = 10, n_machines: int = 4) -> Case:
    """A flow shop whose machines can run faster: makespan, tardiness and energy."""
    rng = np.random.default_rng(32)
    times, due = rng.uniform(1.0, 10.0, (n_machines, n)), rng.uniform(20.0, 80.0, n)

    def produce(d: dict[str, Any]) -> tuple[float, float, float]:
        speed = [d[f"speed {k}"] for k in range(n_machines)]
        ends, late = np.zeros(n_machines), 0.0
        for job in d["jobs"]:
            before = 0.0
            for k in range(n_machines):
                before = ends[k] = max(ends[k], before) + times[k, job] / speed[k]
            late += max(0.0, before - due[job])
        energy = float((times.sum(axis=1) * np.square(speed)).sum())
        return float(ends[-1]), float(late), energy

    machines = {f"speed {k}": (0.5, 2.0) for k in range(n_machines)}
    return {
        "function": produce,
        "variables": {"jobs": moela.permutation(n), **machines},
        "objectives": ["makespan", "tardiness", "energy"],
    }


def paint_shop(n: int = 15) -> Case:
    """Changeovers between colors, the size of a lot, and a crew: lateness and cost."""
    rng = np.random.default_rng(33)
    setups, times = rng.uniform(1.0, 20.0, (n, n)), rng.uniform(2.0, 8.0, n)
    due, weights = rng.uniform(10.0, 120.0, n), rng.uniform(0.5, 2.0, n)

    def paint(d: dict[str, Any]) -> tuple[float, float]:
        order, lot, large = d["colors"], d["lot"], d["crew"] == "large"
        clock = late = cost = 0.0
        for before, color in itertools.pairwise([None, *order]):
            setup = (5.0 if before is None else setups[before, color]) * (0.6 if large else 1.0)
            clock += setup + times[color] * (1.0 + 0.1 * lot)
            cost += 0.5 * setup + 5.0 * times[color] / (lot + 1.0) + 3.0 * large
            late += weights[color] * max(0.0, clock - due[color])
        return float(late), float(cost)

    others = {"lot": (0, 5), "crew": ["small", "large"]}
    return {
        "function": paint,
        "variables": {"colors": moela.permutation(n), **others},
        "objectives": ["lateness", "cost"],
    }


def shelves(n: int = 10) -> Case:
    """Goods on a row of shelves with gaps, around a door: handling and walking."""
    rng = np.random.default_rng(34)
    handling, flows = rng.uniform(1.0, 10.0, (n, n)), np.triu(rng.uniform(0.0, 5.0, (n, n)), 1)

    def store(d: dict[str, Any]) -> tuple[float, float]:
        goods = np.array(d["goods"])
        shelf = goods.argsort()
        place = shelf * (0.5 + d["gap"])
        handled = handling[np.arange(n), shelf].sum() * (1.5 - d["gap"])
        walked = (flows * np.abs(place[:, None] - place)).sum()
        return float(handled), float(walked + 10.0 * np.abs(place - d["door"]).sum())

    others = {"gap": (0.0, 1.0), "door": (0.0, 15.0)}
    return {
        "function": store,
        "variables": {"goods": moela.permutation(n), **others},
        "objectives": ["handling", "walking"],
    }


def two_machines(n: int = 8) -> Case:
    """Two machines that take the same jobs in orders of their own: setups, and waiting between."""
    rng = np.random.default_rng(35)
    times, setups = rng.uniform(1.0, 10.0, (2, n)), rng.uniform(1.0, 9.0, (n, n))
    setups = setups + setups.T

    def produce(d: dict[str, Any]) -> tuple[float, float]:
        ends = np.empty((2, n))
        for machine, name in enumerate(("first", "second")):
            speed = 1.0 if machine == 0 else d["speed"]
            clock = 0.0
            for before, job in itertools.pairwise([None, *d[name]]):
                start = clock if machine == 0 else max(clock, ends[0, job])
                change = 0.0 if before is None else 0.2 * setups[before, job]
                clock = ends[machine, job] = start + change + times[machine, job] / speed
        changes = sum(
            setups[a, b] for name in ("first", "second") for a, b in itertools.pairwise(d[name])
        )
        waiting = float((ends[1] - ends[0]).sum() + ends[1].max())
        return waiting, float(changes * d["speed"] ** 2)

    orders = {"first": moela.permutation(n), "second": moela.permutation(n)}
    return {
        "function": produce,
        "variables": {**orders, "speed": (0.5, 2.0)},
        "objectives": ["waiting", "setups"],
    }


CASES: dict[str, Any] = {
    "deliveries": deliveries,
    "deliveries, 20": partial(deliveries, 20),
    "speeds": speeds,
    "paint shop": paint_shop,
    "shelves": shelves,
    "two machines": two_machines,
}


def main() -> None:
    """Make the runs that are missing, and write the page."""
    Page(
        title="Orders beside other variables",
        script=__spec__.name,
        doc=__doc__,
        about=ABOUT,
        data=DATA,
        cases=CASES,
        algorithms=ALGORITHMS,
        no_rivals=(),
        quick=("deliveries", "paint shop"),
        least=1.0,
    ).write()


ABOUT = (
    "Functions of one or two orders and of numbers or options. Hypervolume of the front relative "
    "to that of the best rival: medians over the seeds. The box in which it is measured holds the "
    "fronts of all runs with the same budget. All algorithms run in `moela.minimize`; the rivals "
    "have order crossover and reversed parts for the orders, and pymoo's operators for the others. "
    "The number after a name is the size of the population."
)

if __name__ == "__main__":
    main()
