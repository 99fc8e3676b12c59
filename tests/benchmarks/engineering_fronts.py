"""Reference points and hypervolumes of the engineering problems' best-known fronts.

    python -m tests.benchmarks.engineering_fronts

The front of `GearTrain` is that of all designs. Others begin with a run of MOELA, one of NSGA-II,
and a grid of up to two real variables for every value of the others. Ten million small changes of
the best designs then refine the front. Results go to `problems/engineering/best_known.py`, after
each problem; problems that are listed there are left out, unless they are named or `--again` is
given. A listed reference point stays, so that runs before and after are comparable, and a smaller
hypervolume does not replace a larger one. All problems take five minutes on one core.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import moocore
import numpy as np
from pymoo.core.variable import Choice, Real

import moela
import problems.engineering
from problems.engineering import best_known

TARGET = Path(best_known.__file__)
HEAD = '''"""Reference points and hypervolumes of the best-known fronts, by the name of the problem.

Written by ``python -m tests.benchmarks.engineering_fronts``.
"""

from __future__ import annotations

BEST_KNOWN: dict[str, tuple[tuple[float, ...], float]] = {
'''
# Cells of the scaled objectives, each of which keeps one point, by the number of objectives.
_CELLS = {2: 20_000, 3: 200}
# Designs of the grid that are evaluated at a time, and in all.
_CHUNK, _GRID = 200_000, 20_000_000


def all_gears() -> np.ndarray:
    """Return the objectives of all gear trains, pairs in either order being the same."""
    teeth = np.arange(12, 61)
    first, second = np.triu_indices(len(teeth))
    a, b = teeth[first], teeth[second]
    product, largest = a * b, np.maximum(a, b)
    error = np.abs(6.931 - product[None] / product[:, None]).ravel()
    size = np.maximum(largest[None], largest[:, None]).ravel()
    kept = error <= 0.5 * 6.931
    found = np.column_stack([error, size])[kept].astype(float)
    return np.unique(found[moocore.is_nondominated(found)], axis=0)


class Designs:
    """The best designs of a problem so far, as rows of numbers; an option is its position.

    Attributes
    ----------
    X : float array [n, n_var]
    F : float array [n, n_obj]
    """

    def __init__(self, problem: Any) -> None:
        self.problem = problem
        kinds = list(problem.variables.values())
        self.options = [np.array(v.options) if isinstance(v, Choice) else None for v in kinds]
        bounds = [
            v.bounds if options is None else (0, len(options) - 1)
            for v, options in zip(kinds, self.options, strict=True)
        ]
        self.low, self.high = np.array(bounds, dtype=float).T
        self.real = np.array([isinstance(v, Real) for v in kinds])
        self.X = np.empty((0, len(kinds)))
        self.F = np.empty((0, problem.n_obj))

    def row(self, x: Any) -> np.ndarray:
        """Return a design of the problem as a row."""
        names = self.problem.variables
        named = x if isinstance(x, Mapping) else dict(zip(names, x, strict=True))
        numbers = [
            named[name] if options is None else np.flatnonzero(options == named[name])[0]
            for name, options in zip(names, self.options, strict=True)
        ]
        return np.array(numbers, dtype=float)

    def add(self, X: np.ndarray) -> None:
        """Evaluate designs, and keep the feasible ones that are not dominated."""
        names = self.problem.variables
        values = {
            name: column if options is None else options[column.astype(int)]
            for name, column, options in zip(names, X.T, self.options, strict=True)
        }
        with np.errstate(all="ignore"):
            objectives, limits = self.problem._formulas(values)
        F = np.column_stack(objectives)
        good = np.isfinite(F).all(axis=1)
        for limit in limits:
            good &= limit <= 0.0
        F, X = np.concatenate([self.F, F[good]]), np.concatenate([self.X, X[good]])
        kept = moocore.is_nondominated(F)
        self.F, self.X = F[kept], X[kept]
        if len(self.F) > _CELLS[F.shape[1]]:
            low, width = self.F.min(axis=0), np.ptp(self.F, axis=0)
            cells = np.floor((self.F - low) / width * _CELLS[F.shape[1]]).astype(int)
            _, one = np.unique(cells, axis=0, return_index=True)
            one = np.union1d(one, self.F.argmin(axis=0))
            self.F, self.X = self.F[one], self.X[one]

    def grid(self, size: int) -> None:
        """Try every value of the variables that are not real, with a grid of up to two others."""
        others = [np.arange(self.low[j], self.high[j] + 1) for j in np.flatnonzero(~self.real)]
        n_real, n_others = int(self.real.sum()), int(np.prod([len(axis) for axis in others]))
        if not 1 <= n_real <= 2 or n_others > size:
            return
        steps = int((size / n_others) ** (1.0 / n_real))
        axes = [np.linspace(self.low[j], self.high[j], steps) for j in np.flatnonzero(self.real)]
        inner = np.stack(np.meshgrid(*axes), -1).reshape(-1, n_real)
        parts: list[np.ndarray] = []
        for values in itertools.product(*others):
            X = np.empty((len(inner), len(self.real)))
            X[:, self.real], X[:, ~self.real] = inner, values
            parts.append(X)
            if len(parts) * len(inner) >= _CHUNK:
                self.add(np.concatenate(parts))
                parts = []
        if parts:
            self.add(np.concatenate(parts))

    def refine(self, rng: np.random.Generator, n: int) -> None:
        """Try n small changes of the best designs: of some variables, or along another design."""
        i = rng.integers(len(self.X), size=n)
        order = np.argsort(self.F[:, 0], kind="stable")
        place = np.argsort(order)
        near = order[np.clip(place[i] + rng.integers(-3, 4, n), 0, len(order) - 1)]
        X, width = self.X[i], self.high - self.low
        step = 10.0 ** rng.uniform(-7.0, -1.0, (n, 1)) * rng.standard_normal(X.shape) * width
        step *= rng.random(X.shape) < rng.choice([0.2, 0.5, 1.0], (n, 1))
        along = (self.X[near] - X) * rng.uniform(-1.0, 2.0, (n, 1))
        whole = rng.integers(-1, 2, X.shape) * (rng.random(X.shape) < 0.2)
        X = X + np.where(self.real, np.where(rng.random((n, 1)) < 0.4, along, step), whole)
        self.add(np.clip(X, self.low, self.high))


def front(problem: Any, n_moela: int, n_nsga2: int, rounds: int) -> np.ndarray:
    """Return the objectives of the best designs that are found."""
    if isinstance(problem, problems.engineering.GearTrain):
        return all_gears()
    settings: dict[str, Any] = {"seed": 1, "verbose": False, "progress": False}
    runs = [
        moela.minimize(problem, n_eval=n_moela, **settings),
        moela.minimize(problem, n_eval=n_nsga2, algorithm="nsga2", **settings),
    ]
    best = Designs(problem)
    best.add(np.array([best.row(ind.X) for run in runs for ind in run.population]))
    best.grid(_GRID if rounds > 20 else _GRID // 100)
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        best.refine(rng, 50_000)
    return best.F


def main() -> None:
    """Compute what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="problems to compute again; default: what is new")
    parser.add_argument("--quick", action="store_true", help="small budgets, nothing is written")
    parser.add_argument("--again", action="store_true", help="also what is listed")
    arguments = parser.parse_args()
    budgets = (300, 600, 10) if arguments.quick else (5_000, 15_000, 200)
    known = {} if arguments.quick else dict(best_known.BEST_KNOWN)
    for name in arguments.names or problems.engineering.__all__:
        if name in known and not arguments.again and not arguments.names:
            continue
        problem = getattr(importlib.import_module("problems.engineering"), name)()
        F = front(problem, *budgets)
        before = known.get(name)
        if before is None:
            point = F.max(axis=0) + 0.1 * np.ptp(F, axis=0)
            point = np.array([float(f"{value:.6g}") for value in point])
        else:
            point = np.array(before[0])
        volume = float(moocore.hypervolume(F, ref=point))
        larger = volume if before is None else max(volume, before[1])
        known[name] = tuple(point.tolist()), larger
        gain = 1.0 if before is None else volume / before[1]
        print(name, len(F), known[name], f"{gain:.4f} of what was known", flush=True)
        if not arguments.quick:
            lines = [f'    "{key}": ({k[0]}, {k[1]!r}),\n' for key, k in sorted(known.items())]
            TARGET.write_text(HEAD + "".join(lines) + "}\n")
    if not arguments.quick:
        n = sum(name in known for name in problems.engineering.__all__)
        total = len(problems.engineering.__all__)
        print(f"bar: problems with a best-known front, {n}, {total}")


if __name__ == "__main__":
    main()
