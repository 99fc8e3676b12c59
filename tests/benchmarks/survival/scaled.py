"""Problems whose objectives and constraints are scaled, penalized, or otherwise changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from pymoo.core.evaluator import Evaluator
from pymoo.core.problem import Problem
from pymoo.core.result import Result
from pymoo.optimize import minimize

from moela._arrays import Floats

Change = Callable[[Floats], Any]
"""Change of objectives [..., M], or of constraints."""


def changed(
    problem: Problem, F: Change, G: Change | None = None, *, penalty: Any = None
) -> Problem:
    """Return a copy of a problem with changed objectives and constraints.

    Its reference point is changed like the objectives. `penalty` is a function of the designs and
    the changed objectives that replaces some of the latter.
    """

    class Changed(type(problem)):  # type: ignore[misc]
        def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            super()._evaluate(X, out, *args, **kwargs)
            out["F"] = F(_table(out["F"]))
            if penalty is not None:
                out["F"] = penalty(X, out["F"])
            if G is not None and out.get("G") is not None:
                out["G"] = G(_table(out["G"]))

    other = copy.copy(problem)
    other.__class__ = Changed
    if getattr(problem, "ref_point", None) is not None:
        other.ref_point = F(np.asarray(problem.ref_point, dtype=float))
    return other


def times_powers_of_two(problem: Problem, exponents: Any, of_constraints: int = 0) -> Problem:
    """Return a problem whose objectives are multiplied by 2 to some powers, one or [M]."""
    return changed(problem, lambda F: np.ldexp(F, exponents), lambda G: np.ldexp(G, of_constraints))


def times_powers_of_ten(problem: Problem, exponents: Any, of_constraints: int = 0) -> Problem:
    """Return a problem whose objectives are multiplied by 10 to some powers, one or [M]."""
    scale = 10.0 ** np.asarray(exponents, dtype=float)
    return changed(problem, lambda F: F * scale, lambda G: G * 10.0**of_constraints)


def penalized(
    problem: Problem, value: float, share: float, columns: Any = slice(None), bands: int = 0
) -> Problem:
    """Return a problem that sets objectives to a penalty for about this share of the designs.

    The designs are in bands across the space, so that neighbors often share their fate. Each number
    of `bands` moves them elsewhere.
    """

    def penalty(X: Any, F: Floats) -> Floats:
        rows = np.atleast_2d(_numbers(X))
        place = rows @ (0.37 + 0.61 * (np.arange(rows.shape[1]) % 7)) + 0.618 * bands
        bad = place % 1.0 < share
        F = np.array(F, dtype=float)
        if F.ndim == 1:
            if bad[0]:
                F[columns] = value
        else:
            part = F[bad]
            part[:, columns] = value
            F[bad] = part
        return F

    return changed(problem, lambda F: F, penalty=penalty)


def _numbers(X: Any) -> Floats:
    """Return the variables that are numbers, of a design or of several."""
    if isinstance(X, dict):
        return np.array([v for v in X.values() if isinstance(v, int | float | np.number)], float)
    if isinstance(X[0], dict):
        return np.array([_numbers(x) for x in X])
    return np.asarray(X, dtype=float)


def _table(values: Any) -> Floats:
    """Return the values of `out`, which may be a list of columns, as pymoo reads them."""
    if isinstance(values, list) and np.ndim(values[0]):
        return np.column_stack(values)
    return np.asarray(values)


class Run:
    """All designs that an algorithm evaluated, with their objectives, and its result."""

    def __init__(self, problem: Problem, algorithm: Any, n_eval: int, seed: int) -> None:
        self.X: list[Any] = []
        self._F: list[Floats] = []
        evaluator = Evaluator(callback=self._keep)
        self.result: Result = minimize(
            problem, algorithm, ("n_eval", n_eval), seed=seed, evaluator=evaluator
        )

    def _keep(self, pop: Any) -> None:
        self.X += [copy.copy(ind.X) for ind in pop]
        self._F.append(pop.get("F").copy())

    @property
    def F(self) -> Floats:
        """Objectives of all evaluated designs, [n_eval, M]."""
        return np.concatenate(self._F)

    def is_scaled(self, other: Run, exponents: Any) -> bool:
        """Return whether the other run is this one, bit for bit, with objectives times 2^e."""
        same = len(self.X) == len(other.X) and all(map(_equal, self.X, other.X))
        fronts = self.result.F, other.result.F
        if not same or (fronts[0] is None) != (fronts[1] is None):
            return False
        pairs = [(self.F, other.F), *([fronts] if fronts[0] is not None else [])]
        return all(np.array_equal(np.ldexp(a, exponents), b) for a, b in pairs)


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b) if isinstance(a, dict) else np.array_equal(a, b)
