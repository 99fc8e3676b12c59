"""Restarts of MOELA on functions of integers, options and orders: on against off.

    python -m tests.benchmarks.function_restarts --seeds 7 --budget 3000

Prints the share of the hypervolume of all fronts together, as medians over seeds, and in how many
seeds each was better. Functions of booleans only, or of one permutation, restart by default; these
are functions that are searched as vectors of numbers.
"""

from __future__ import annotations

import argparse
from typing import Any

import moocore
import numpy as np
from joblib import Parallel, delayed
from pymoo.core.evaluator import Evaluator
from pymoo.optimize import minimize

import moela
from moela import MOELA
from tests.benchmarks import harness
from tests.benchmarks.function_encodings import CASES, front

_RNG = np.random.default_rng(11)
_TABLES = _RNG.random((2, 24, 4, 4, 4))
_DISTANCES, _FLOWS = _RNG.integers(1, 100, (9, 9)), _RNG.integers(0, 60, (2, 9, 9))
_WEIGHTS, _VALUES = _RNG.integers(5, 60, 20), _RNG.integers(1, 90, (2, 20))


def landscape(d: dict[str, Any]) -> dict[str, float]:
    """A rugged landscape: each of 24 options interacts with the next two (Kauffman's NK model)."""
    x = [d[f"x{i}"] for i in range(24)]
    at = [(x[i], x[(i + 1) % 24], x[(i + 2) % 24]) for i in range(24)]
    return {name: sum(_TABLES[k, i][a] for i, a in enumerate(at)) for k, name in enumerate("fg")}


def layout(d: dict[str, Any]) -> dict[str, float]:
    """Two flows between machines in an order of places, with a choice of carriers."""
    order = np.array(d["order"])
    near = _DISTANCES[np.ix_(order, order)]
    speed = {"belt": 1.0, "robot": 0.7, "hand": 1.6}
    costs = {"belt": 20.0, "robot": 60.0, "hand": 5.0}
    f, g = ((near * _FLOWS[k]).sum() * speed[d[f"carrier{k}"]] for k in (0, 1))
    return {"f": f + 90 * costs[d["carrier1"]], "g": g + 90 * costs[d["carrier0"]]}


def loading(d: dict[str, Any]) -> dict[str, float]:
    """Up to four pieces of each of twenty items, of two values."""
    n = np.array([d[f"n{i}"] for i in range(20)])
    return {"f": float(_VALUES[0] @ n), "g": float(_VALUES[1] @ n), "weight": float(_WEIGHTS @ n)}


def waves(d: dict[str, Any]) -> dict[str, float]:
    """Integers with a wave on a bowl, so that every seventh value is a valley."""
    x = np.array(list(d.values()), dtype=float)
    bump = 12 * (1 - np.cos(2 * np.pi * x / 7))
    return {"f": float(((x - 20) ** 2 / 20 + bump).sum()), "g": float((abs(x - 63) + bump).sum())}


DISCRETE: dict[str, dict[str, Any]] = {
    "frame": CASES["frame"],
    "gears": CASES["gears"],
    "landscape": {
        "function": landscape,
        "variables": {f"x{i}": moela.choice(range(4), ordered=False) for i in range(24)},
        "objectives": ["f", "g"],
    },
    "layout": {
        "function": layout,
        "variables": {
            "order": moela.permutation(9),
            **{f"carrier{k}": ["belt", "robot", "hand"] for k in (0, 1)},
        },
        "objectives": ["f", "g"],
    },
    "loading": {
        "function": loading,
        "variables": {f"n{i}": (0, 4) for i in range(20)},
        "objectives": {"f": "max", "g": "max"},
        "constraints": {"weight": (None, 600)},
    },
    "waves": {
        "function": waves,
        "variables": {f"x{i}": (0, 80) for i in range(8)},
        "objectives": ["f", "g"],
    },
}


def run(case: str, restarts: bool, seed: int, budget: int) -> tuple[Any, int]:
    """Return the front of feasible designs, and the number of phases."""
    settings = dict(DISCRETE[case])
    problem = moela.problem(settings.pop("function"), **settings)
    rows: list[Any] = []
    evaluator = Evaluator(callback=lambda pop: rows.extend((ind.F, ind.CV[0]) for ind in pop))
    algorithm = MOELA(restarts=restarts)
    res = minimize(problem, algorithm, ("n_eval", budget), seed=seed, evaluator=evaluator)
    F, ok = np.array([F for F, _ in rows]), np.array([CV <= 0 for _, CV in rows])
    return front(F[ok]), res.algorithm.n_phases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--budget", type=int, default=3000)
    parser.add_argument("--cases", nargs="+", default=list(DISCRETE))
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    print(harness.machine())
    print("| problem | off | on | on better in | restarts (median) |\n|---|---|---|---|---|")
    for case in args.cases:
        tasks = [(on, seed) for on in (False, True) for seed in range(args.seeds)]
        found = Parallel(args.jobs)(delayed(run)(case, *task, args.budget) for task in tasks)
        everything = front(np.vstack([F for F, _ in found]))
        ref = everything.max(axis=0) + 0.1 * np.ptp(everything, axis=0)
        whole = moocore.hypervolume(everything, ref=ref)
        values = np.array([moocore.hypervolume(F, ref=ref) / whole for F, _ in found])
        off, on = values.reshape(2, -1)
        phases = np.median([n for (_, n), (was_on, _) in zip(found, tasks, strict=True) if was_on])
        print(
            f"| {case} | {np.median(off):.4f} | {np.median(on):.4f} | "
            f"{(on > off).sum()} of {(on != off).sum()} | {phases - 1:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
