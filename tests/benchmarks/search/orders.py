"""Functions of an order, alone or beside other variables."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2

import moela
from moela import MOELA
from moela.plugins import LearnedLocalSearch
from moela.rivals import VSRLS, BatchMOEAD, MemeticGBT
from tests.benchmarks.rivals import AgeMoea
from tests.benchmarks.search.functions import EVOLUTION, Case, case, flow_shop, tour
from tests.benchmarks.search.reports import study_of_functions
from tests.benchmarks.search.study import OURS


def ordering(n: int = 25) -> Case:
    """A linear ordering: for each pair of items, three gains if the first one comes first."""
    gains = np.random.default_rng(21).random((3, n, n))
    ahead = np.triu(np.ones((n, n), dtype=bool), 1)

    def gained(d: dict[str, Any]) -> tuple[float, ...]:
        order = np.array(d["order"])
        return tuple((gains[:, order][:, :, order] * ahead).sum(axis=(1, 2)).tolist())

    return case(
        gained, {"order": moela.permutation(n)}, {"first": "max", "second": "max", "third": "max"}
    )


def changeovers(n: int = 30) -> Case:
    """A machine with setups that depend on the job before: weighted tardiness and setup time."""
    rng = np.random.default_rng(22)
    times, weights = rng.integers(5, 50, n), rng.uniform(1.0, 5.0, n)
    due, setups = rng.integers(100, 800, n), rng.integers(0, 25, (n, n))

    def schedule(d: dict[str, Any]) -> tuple[float, float]:
        order = np.array(d["order"])
        changes = setups[order[:-1], order[1:]]
        ends = (times[order] + np.concatenate([[0], changes])).cumsum()
        late = np.maximum(0, ends - due[order])
        return float((weights[order] * late).sum()), float(changes.sum())

    return case(schedule, {"order": moela.permutation(n)}, ["tardiness", "setups"])


def assignment(n: int = 20) -> Case:
    """A linear assignment of workers to jobs: what they cost, and how long they take."""
    each = np.random.default_rng(23).random((2, n, n))

    def spent(d: dict[str, Any]) -> tuple[float, ...]:
        return tuple(each[:, np.arange(n), d["jobs"]].sum(axis=1).tolist())

    return case(spent, {"jobs": moela.permutation(n)}, ["cost", "time"])


def facilities(n: int = 25) -> Case:
    """A quadratic assignment of facilities to sites: two flows over the distances."""
    rng = np.random.default_rng(23)
    sites = rng.random((n, 2))
    distances = np.linalg.norm(sites[:, None] - sites, axis=2)
    flows = rng.integers(0, 100, (2, n, n)) * (rng.random((2, n, n)) < 0.5)

    def costs(d: dict[str, Any]) -> tuple[float, ...]:
        site = np.array(d["site"])
        return tuple((flows * distances[np.ix_(site, site)]).sum(axis=(1, 2)).tolist())

    return case(costs, {"site": moela.permutation(n)}, ["materials", "people"])


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
    return case(drive, {"route": moela.permutation(n), **speeds}, ["time", "fuel"])


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
    return case(
        produce, {"jobs": moela.permutation(n), **machines}, ["makespan", "tardiness", "energy"]
    )


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
    return case(paint, {"colors": moela.permutation(n), **others}, ["lateness", "cost"])


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
    return case(store, {"goods": moela.permutation(n), **others}, ["handling", "walking"])


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
    return case(produce, {**orders, "speed": (0.5, 2.0)}, ["waiting", "setups"])


ORDERS_ALONE: dict[str, Any] = {
    "tour of 40": tour,
    "tour of 80": partial(tour, 80),
    "linear ordering": ordering,
    "changeovers": changeovers,
    "flow shop of 20": flow_shop,
    "flow shop of 50": partial(flow_shop, 50, 10),
    "facilities": facilities,
    "assignment": assignment,
}
BESIDE_OTHERS: dict[str, Any] = {
    "deliveries": deliveries,
    "deliveries, 20": partial(deliveries, 20),
    "speeds": speeds,
    "paint shop": paint_shop,
    "shelves": shelves,
    "two machines": two_machines,
}

# What NSGA-II gains from MOELA's models; no rival.
_LEARNED = "NSGA-II, learned"
ORDERS = study_of_functions(
    title="Orders",
    about="Functions of one order. Hypervolume of the front relative to that of the best rival: "
    "medians over the seeds. The box in which it is measured holds the fronts of all runs with the "
    "same budget. All algorithms run in `moela.minimize`, with the same operators and moves: an "
    "exchange, a move, or a reversed part. The number after a name is the size of the population. "
    "`NSGA-II, learned` has 50 members and the mating `LearnedLocalSearch()`, and is no rival.",
    problems=ORDERS_ALONE,
    algorithms={
        OURS: MOELA,
        _LEARNED: lambda: NSGA2(pop_size=50, mating=LearnedLocalSearch()),
        "VS-RLS": VSRLS,
        "Memetic GBT": MemeticGBT,
        **EVOLUTION,
    },
    store="orders",
    budgets=(300, 1000),
    quick={"problems": ["tour of 40", "facilities"], "budgets": [60]},
    no_rivals=(_LEARNED,),
)
MIXED_ORDERS = study_of_functions(
    title="Orders beside other variables",
    about="Functions of one or two orders and of numbers or options. Hypervolume of the front "
    "relative to that of the best rival: medians over the seeds. The box in which it is measured "
    "holds the fronts of all runs with the same budget. All algorithms run in `moela.minimize`; "
    "the rivals have order crossover and reversed parts for the orders, and pymoo's operators for "
    "the others. The number after a name is the size of the population.",
    problems=BESIDE_OTHERS,
    algorithms={
        OURS: MOELA,
        **EVOLUTION,
        "AGE-MOEA-II": partial(AgeMoea, pop_size=50),
        "MOEA/D batch": BatchMOEAD,
    },
    store="mixed_orders",
    budgets=(100, 300, 1000),
    quick={"problems": ["deliveries", "paint shop"], "budgets": [60]},
)
