"""Values that stand for failed designs before algorithms that read F of every individual."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import Design, Floats
from moela.evaluation.runners.outcome import OK
from moela.evaluation.runners.violation import violation, violation_of

# The objectives of failures before the first success: larger than most real ones, so that running
# ideal points forget them, but with finite squares and sums of squares.
_BEFORE_ANY = 2.0**500
# Margin beyond the worst value, as a fraction of the range: more than rounding loses when an
# algorithm scales objectives, and too little to distort their scale. A power of two keeps marks
# exact if objectives are scaled by one.
_MARGIN = 1.0 / 64.0
_LARGEST = float(np.finfo(np.float64).max)


class Marks:
    """F, G, H and CV of the failed and skipped designs of one run.

    pymoo's algorithms know no status: they read F, and on a problem without constraints they never
    look at CV. Each objective of a failure is the worst value of that objective that the run has
    seen, plus 1/64 to 1/32 of its range, so that every real design dominates every failure and
    scales are hardly changed. CV is likewise more than any violation.

    Failures differ by a hash of their designs, and do not dominate each other: some algorithms of
    pymoo divide by zero if all objectives of a population are equal (AGE-MOEA2, R-NSGA2, RVEA), and
    some decide between equal violations by random numbers without a seed (NSGA3).

    When a later design is worse than the marks, all of them move, wherever an algorithm keeps the
    failures: the marks are the arrays on the individuals themselves. They depend on the answers up
    to the current batch only, so that a resumed run repeats them. No mark exceeds the largest
    floating-point number: a real objective of that value equals it.
    """

    def __init__(self, problem: Problem) -> None:
        # Arrays by the hash of their design, as long as an individual holds them.
        self._F = WeakValueDictionary[int, Floats]()
        self._CV = WeakValueDictionary[int, Floats]()
        self._G: Floats = np.ones(problem.n_ieq_constr)
        self._H: Floats = np.ones(problem.n_eq_constr)
        self.n_real = 0  # real designs
        self.in_use = False  # whether there has been a failure
        self.reported = False  # whether the log says that everything failed
        self.first_error = ""  # traceback or description of the first failure
        self._best = np.full(problem.n_obj, np.inf)
        self._worst = np.full(problem.n_obj, -np.inf)
        self._largest_G = np.zeros(problem.n_ieq_constr)
        self._largest_H = np.zeros(problem.n_eq_constr)
        self._largest_CV = np.zeros(1)

    def put_on(self, individual: Individual, status: str, error: str | None = None) -> None:
        """Mark an individual as failed, with a status and the traceback."""
        key = _hash(individual.X)
        F, CV = self._F.get(key), self._CV.get(key)
        if F is None:
            self._F[key] = F = np.empty(len(self._worst))
            self._place_F(key, F)
        if CV is None:
            self._CV[key] = CV = np.empty(1)
            self._place_CV(key, CV)
        individual.F, individual.G, individual.H, individual.CV = F, self._G, self._H, CV
        individual.data["status"] = status
        individual.data["error"] = error
        individual.evaluated.update(("F", "G", "H"))
        self.in_use = True
        self.first_error = self.first_error or error or ""

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_F": dict(self._F), "_CV": dict(self._CV)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # The individuals that are copied or pickled along keep the arrays.
        self.__dict__.update(state)
        self._F = WeakValueDictionary[int, Floats](state["_F"])
        self._CV = WeakValueDictionary[int, Floats](state["_CV"])

    def update(self, pop: Iterable[Individual], algorithm: Algorithm | None) -> None:
        """Learn from evaluated individuals, and move all failures beyond them.

        Individuals that were evaluated before the run, such as those of a warm start, count, too.
        Failures of another run, and copies that an algorithm has made, get the marks of this one.
        """
        real = []
        for individual in pop:
            status = individual.data.get("status", OK)
            if status != OK:
                self.put_on(individual, status, individual.data.get("error"))
            elif individual.evaluated and np.shape(individual.F) == self._worst.shape:
                real.append(individual)
        if real and self._learn(real):
            self._move()
        if self.in_use:
            for individual in _kept_by(algorithm):
                status = individual.data.get("status", OK)
                if status != OK:
                    self.put_on(individual, status, individual.data.get("error"))

    def _learn(self, real: list[Individual]) -> bool:
        """Update the extremes by evaluated individuals; return whether they have changed."""
        before = self._extremes()
        F = np.array([individual.F for individual in real], dtype=float)
        F = F[np.isfinite(F).all(axis=1)]
        self.n_real += len(F)
        self._best = np.minimum(self._best, F.min(axis=0, initial=np.inf))
        self._worst = np.maximum(self._worst, F.max(axis=0, initial=-np.inf))
        if len(self._G) + len(self._H):
            for individual in real:
                self._largest_G = _larger(self._largest_G, individual.G)
                self._largest_H = _larger(self._largest_H, np.abs(individual.H))
                self._largest_CV = _larger(self._largest_CV, np.array([violation_of(individual)]))
        return not np.array_equal(before, self._extremes())

    def _extremes(self) -> Floats:
        largest = (self._largest_G, self._largest_H, self._largest_CV)
        return np.concatenate([self._best, self._worst, *largest])

    def _move(self) -> None:
        """Bring the marks up to date, in place."""
        self._G[:] = _beyond_violation(self._largest_G)
        self._H[:] = _beyond_violation(self._largest_H)
        for key, F in self._F.items():
            self._place_F(key, F)
        for key, CV in self._CV.items():
            self._place_CV(key, CV)

    def _place_F(self, key: int, F: Floats) -> None:
        best, worst = self._best, self._worst
        if self.n_real == 0:
            best = worst = np.full(len(worst), _BEFORE_ANY)
        F[:] = _beyond(best, worst, key / 2**32)

    def _place_CV(self, key: int, CV: Floats) -> None:
        least = max(float(_beyond_violation(self._largest_CV)[0]), violation(self._G, self._H))
        CV[:] = least * (1.0 + _MARGIN * key / 2**32)


def _hash(X: Design) -> int:
    """Return a number below 2^32 that is the same for equal designs, in any process."""
    array = np.asarray(sorted(X.items()) if isinstance(X, dict) else X)
    data = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
    return zlib.crc32(data)


def _beyond(best: Floats, worst: Floats, share: float) -> Floats:
    """Return a point beyond the worst objectives [M]; points of different shares are on a line."""
    margin = worst * _MARGIN - best * _MARGIN  # the difference itself may overflow
    # If the objective has not varied, its own size is the only scale.
    alone = np.where(worst == 0.0, 1.0, np.abs(worst) * _MARGIN)
    margin = np.where(worst > best, margin, alone)
    along = np.where(np.arange(len(worst)) == 0, share, 1.0 - share)
    with np.errstate(over="ignore"):
        moved = np.maximum(worst + margin * (1.0 + along), np.nextafter(worst, np.inf))
    return np.minimum(moved, _LARGEST)


def _beyond_violation(largest: Floats) -> Floats:
    with np.errstate(over="ignore"):
        moved = np.maximum(largest * (1.0 + _MARGIN), np.nextafter(largest, np.inf))
    # Without any violation so far, the unit of the constraints is unknown.
    return np.where(largest > 0.0, np.minimum(moved, _LARGEST), 1.0)


def _larger(largest: Floats, values: Floats) -> Floats:
    return np.fmax(largest, values) if np.shape(values) == largest.shape else largest


def _kept_by(algorithm: Algorithm | None) -> Iterator[Individual]:
    """Yield the individuals in the attributes of an algorithm and of its survival."""
    for owner in (algorithm, getattr(algorithm, "survival", None)):
        for value in getattr(owner, "__dict__", {}).values():
            if isinstance(value, Individual):
                yield value
            elif isinstance(value, Population):
                yield from value.ravel()
