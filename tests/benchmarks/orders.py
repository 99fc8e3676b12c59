"""`moela.minimize` and evolution after 300 and 1,000 evaluations of functions of an order.

    python -m tests.benchmarks.orders --out docs/benchmarks/orders.md

What the order means differs: who is beside whom in a tour, what comes first, what follows what,
or who is where. The value of a run is the hypervolume of its front, in the box of the fronts of all
runs on the problem with the same budget, and a tenth of its size beyond the worst values. Fronts
are kept in `tests/benchmarks/results`, by problem, algorithm, budget and seed, so an interrupted
run resumes. `--again MOELA` makes the runs of an algorithm anew.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2

import moela
from moela import MOELA
from moela.plugins import LearnedLocalSearch
from moela.rivals import VSRLS, MemeticGBT
from tests.benchmarks import plain_functions, tables
from tests.benchmarks.few_functions import Page
from tests.benchmarks.plain_functions import Case

DATA = Path(__file__).parent / "results" / "orders.json"
OURS = tables.OURS
# What NSGA-II gains from MOELA's models; no rival.
_LEARNED = "NSGA-II, learned"
ALGORITHMS: dict[str, Any] = {
    OURS: MOELA,
    _LEARNED: lambda: NSGA2(pop_size=50, mating=LearnedLocalSearch()),
    "VS-RLS": VSRLS,
    "Memetic GBT": MemeticGBT,
    "NSGA-II, 50": partial(NSGA2, pop_size=50),
    "NSGA-II, 20": partial(NSGA2, pop_size=20),
}


def ordering(n: int = 25) -> Case:
    """A linear ordering: for each pair of items, three gains if the first one comes first."""
    gains = np.random.default_rng(21).random((3, n, n))
    ahead = np.triu(np.ones((n, n), dtype=bool), 1)

    def gained(d: dict[str, Any]) -> tuple[float, ...]:
        order = np.array(d["order"])
        return tuple((gains[:, order][:, :, order] * ahead).sum(axis=(1, 2)).tolist())

    return {
        "function": gained,
        "variables": {"order": moela.permutation(n)},
        "objectives": {"first": "max", "second": "max", "third": "max"},
    }


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

    return {
        "function": schedule,
        "variables": {"order": moela.permutation(n)},
        "objectives": ["tardiness", "setups"],
    }


def assignment(n: int = 20) -> Case:
    """A linear assignment of workers to jobs: what they cost, and how long they take."""
    each = np.random.default_rng(23).random((2, n, n))

    def spent(d: dict[str, Any]) -> tuple[float, ...]:
        return tuple(each[:, np.arange(n), d["jobs"]].sum(axis=1).tolist())

    return {
        "function": spent,
        "variables": {"jobs": moela.permutation(n)},
        "objectives": ["cost", "time"],
    }


def facilities(n: int = 25) -> Case:
    """A quadratic assignment of facilities to sites: two flows over the distances."""
    rng = np.random.default_rng(23)
    sites = rng.random((n, 2))
    distances = np.linalg.norm(sites[:, None] - sites, axis=2)
    flows = rng.integers(0, 100, (2, n, n)) * (rng.random((2, n, n)) < 0.5)

    def costs(d: dict[str, Any]) -> tuple[float, ...]:
        site = np.array(d["site"])
        return tuple((flows * distances[np.ix_(site, site)]).sum(axis=(1, 2)).tolist())

    return {
        "function": costs,
        "variables": {"site": moela.permutation(n)},
        "objectives": ["materials", "people"],
    }


CASES: dict[str, Any] = {
    "tour of 40": plain_functions.tour,
    "tour of 80": partial(plain_functions.tour, 80),
    "linear ordering": ordering,
    "changeovers": changeovers,
    "flow shop of 20": plain_functions.flow_shop,
    "flow shop of 50": partial(plain_functions.flow_shop, 50, 10),
    "facilities": facilities,
    "assignment": assignment,
}


def main() -> None:
    """Make the runs that are missing, and write the page."""
    Page(
        title="Orders",
        script=__spec__.name,
        doc=__doc__,
        about=ABOUT,
        data=DATA,
        cases=CASES,
        algorithms=ALGORITHMS,
        no_rivals=(_LEARNED,),
        quick=("tour of 40", "facilities"),
        least=1.0,
    ).write()


ABOUT = (
    "Functions of one order. Hypervolume of the front relative to that of the best rival: medians "
    "over the seeds. The box in which it is measured holds the fronts of all runs with the same "
    "budget. All algorithms run in `moela.minimize`, with the same operators and moves: an "
    "exchange, a move, or a reversed part. The number after a name is the size of the population. "
    "`NSGA-II, learned` has 50 members and the mating `LearnedLocalSearch()`, and is no rival."
)

if __name__ == "__main__":
    main()
