"""Six, eight and ten objectives: MOELA against algorithms that were made for many objectives.

The value of a run is the hypervolume of all designs that it has evaluated, in a box that is the
same for all runs on a problem, estimated along the same 8,192 directions for each.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from moocore import is_nondominated
from pymoo.problems import get_problem

from moela import MOELA
from moela._arrays import Floats
from moela.quality.indicators import sphere_directions
from moela.rivals import BatchMOEAD
from problems import NoC3D
from tests.benchmarks import harness, rivals
from tests.benchmarks.harness import Case
from tests.benchmarks.search.reports import best_rival
from tests.benchmarks.search.runs import Make, Run, last_volumes, record
from tests.benchmarks.search.study import OURS, Found, Report, Study

N_DIRECTIONS = 8192
# Of the network-on-chip: the five objectives of the paper, and two further metrics.
SEVEN = ("mean", "deviation", "latency", "energy", "thermal", "packet_latency", "peak_load")


def dtlz(name: str, n_obj: int) -> tuple[Any, Floats, Floats]:
    """Return a DTLZ problem with ten distance variables, and its box."""
    problem = get_problem(name, n_var=n_obj + 9, n_obj=n_obj)
    return problem, np.zeros(n_obj), np.full(n_obj, 1.1)


def wfg(name: str, n_obj: int) -> tuple[Any, Floats, Floats]:
    """Return a WFG problem of 24 variables, and its box."""
    problem = get_problem(name, n_var=24, n_obj=n_obj, k=2 * (n_obj - 1))
    return problem, np.zeros(n_obj), 2.2 * np.arange(1, n_obj + 1)


def noc(application: str) -> tuple[Any, Floats, Floats]:
    """Return a network-on-chip with seven metrics, and the box of a fixed sample of designs."""
    problem = NoC3D.example(application, objectives=list(SEVEN))
    X = problem.operators()["sampling"](problem, 200, random_state=np.random.default_rng(0))
    F = problem.evaluate(X.get("X"), return_values_of=["F"])
    return problem, 2 * F.min(axis=0) - np.median(F, axis=0), np.median(F, axis=0)


def volume(F: Floats, low: Floats, high: Floats) -> float:
    """Return the share of the box that F [n, M] dominates, along `N_DIRECTIONS` directions."""
    Z = (F - low) / (high - low)
    Z = Z[(Z < 1.0).all(axis=1)]
    if len(Z) == 0:
        return 0.0
    room = 1.0 - Z[is_nondominated(Z)]
    rays = sphere_directions(room.shape[1], N_DIRECTIONS)
    # Along a ray, the box ends where the first coordinate does.
    most = (1.0 / rays).min(axis=1)
    reach = np.zeros(len(rays))
    for part in np.array_split(room, 1 + len(room) // 256):
        along = np.full((len(part), len(rays)), np.inf)
        for j in range(room.shape[1]):
            np.minimum(along, part[:, j, None] / rays[:, j], out=along)
        np.maximum(reach, along.max(axis=0), out=reach)
    n_obj = room.shape[1]
    return float((reach**n_obj).mean() / (most**n_obj).mean())


def measure(run: Run, make_problem: Make, make: Make) -> Case:
    """Return the hypervolume of a run."""
    problem, low, high = make_problem()
    F, _ = record(run, problem, make)
    return {"hypervolume": [volume(F, low, high)]}


def report(found: Found) -> Report:
    """Return a table of medians with the ratio to the best rival, and its bars."""
    (budget,) = found.budgets
    rows, bars = [["problem", *found.algorithms, f"{OURS} over the best"]], []
    for name in found.problems:
        of = last_volumes(found.runs(name, budget))
        _, ratio = best_rival(of)
        rows.append([name, *(f"{of[kind]:.4g}" for kind in found.algorithms), f"{ratio:.3f}"])
        bars.append(f"hypervolume over the best rival's, {name}, {ratio:.3f}, above 1")
    return [harness.markdown(rows)], bars


MANY_OBJECTIVES = Study(
    title="Many objectives",
    about="Hypervolume of all designs of {budget} evaluations in a box that is the same for all "
    "runs on a problem: medians of {seeds} seeds. The number in a problem's name is that of its "
    "objectives. DTLZ problems have ten distance variables, WFG problems have 24 variables. It is "
    f"estimated along {N_DIRECTIONS:,} directions. Rivals have a population of 100.",
    problems={
        **{f"{n}, {m}": partial(dtlz, n, m) for n in ("dtlz2", "dtlz4") for m in (6, 8, 10)},
        **{f"{name}, 8": partial(wfg, name, 8) for name in ("wfg2", "wfg4", "wfg9")},
        "noc bfs, 7": partial(noc, "bfs"),
    },
    algorithms={
        OURS: MOELA,
        "NSGA-III": partial(rivals.nsga3, pop=100),
        "AGE-MOEA-II": partial(rivals.age2, pop=100),
        "MOEA/D batch": partial(BatchMOEAD, n_subproblems=100),
        "NSGA-II": partial(rivals.nsga2, pop=100),
    },
    measure=measure,
    report=report,
    store="many_objectives",
    budgets=(10_000,),
    quick={"problems": ["dtlz2, 8"], "algorithms": [OURS, "NSGA-III"], "budgets": [500]},
)
