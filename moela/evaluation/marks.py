"""Values that stand for failed designs before algorithms that read F of every individual."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import Floats
from moela.evaluation.runners.outcome import OK
from moela.evaluation.runners.violation import violation, violation_of

# The objectives of failures before the first success: larger than most real ones, so that running
# ideal points forget them, but with finite squares and sums of squares.
_BEFORE_ANY = 2.0**500
# Margin beyond the worst value, as a fraction of the range: more than rounding loses when an
# algorithm scales objectives, and too little to distort their scale. A power of two keeps marks
# exact if objectives are scaled by one.
_MARGIN = 1.0 / 64.0
# Different objectives of failures if there are several objectives: some algorithms of pymoo divide
# by zero if all of a population are equal (AGE-MOEA2, R-NSGA2, RVEA, SPEA2).
_N_DIFFERENT = 32
_LARGEST = float(np.finfo(np.float64).max)


class Marks:
    """F, G, H and CV of all failed and skipped designs of one run.

    pymoo's algorithms know no status: they read F, and on a problem without constraints they never
    look at CV. Each objective of a failure is the worst value of that objective that the run has
    seen, plus 1/64 to 1/32 of its range, so that every real design dominates every failure and
    scales are hardly changed. CV is likewise more than any violation. Failures do not dominate each
    other.

    All failures of a run share a few arrays. So when a later design is worse than a mark, earlier
    failures follow, wherever an algorithm keeps them. The marks depend on the answers up to the
    current batch only, so that a resumed run repeats them.

    No mark exceeds the largest floating-point number: a real objective of that value equals it.
    """

    def __init__(self, problem: Problem) -> None:
        self._F: dict[int, Floats] = {}  # made when needed, since histories hold many copies
        self._G: Floats = np.empty(problem.n_ieq_constr)
        self._H: Floats = np.empty(problem.n_eq_constr)
        self._CV: Floats = np.empty(1)
        self.n_seen = 0  # real designs
        self.in_use = False  # whether there is a failure
        self.reported = False  # whether the log says that everything failed
        self._best = np.full(problem.n_obj, np.inf)
        self._worst = np.full(problem.n_obj, -np.inf)
        self._largest_G = np.zeros(problem.n_ieq_constr)
        self._largest_H = np.zeros(problem.n_eq_constr)
        self._largest_CV = np.zeros(1)
        self._move()

    def put_on(self, individual: Individual, status: str, error: str | None = None) -> None:
        """Mark an individual as failed, with a status and the traceback."""
        individual.F, individual.G, individual.H = self._F_of(individual), self._G, self._H
        individual.CV = self._CV
        individual.data["status"] = status
        individual.data["error"] = error
        individual.evaluated.update(("F", "G", "H"))
        self.in_use = True

    def _F_of(self, individual: Individual) -> Floats:
        # By the design itself, so that copies of an individual have the same.
        X = sorted(individual.X.items()) if isinstance(individual.X, dict) else individual.X
        X = np.asarray(X)
        data = repr(X.tolist()).encode() if X.dtype == object else X.tobytes()
        n_obj = len(self._worst)
        k = zlib.crc32(data) % _N_DIFFERENT if n_obj > 1 else 0
        if k not in self._F:
            self._F[k] = np.empty(n_obj)
            self._place(k)
        return self._F[k]

    def update(self, pop: Iterable[Individual], algorithm: Algorithm | None) -> None:
        """Learn from evaluated individuals, and move all failures beyond them.

        Individuals that were evaluated before the run, such as those of a warm start, count, too.
        Failures of another run, and copies that an algorithm has made, get the marks of this one.
        """
        real = []
        for individual in pop:
            status = individual.data.get("status", OK)
            if status != OK:
                self._adopt(individual)
            elif individual.evaluated and np.shape(individual.F) == self._worst.shape:
                real.append(individual)
        if real:
            self._learn(real)
        if self.in_use:
            self._move()
            for individual in _kept_by(algorithm):
                if individual.data.get("status", OK) != OK:
                    self._adopt(individual)

    def _adopt(self, individual: Individual) -> None:
        if individual.F is not self._F_of(individual):
            data = individual.data
            self.put_on(individual, data["status"], data.get("error"))

    def _learn(self, real: list[Individual]) -> None:
        F = np.array([individual.F for individual in real], dtype=float)
        F = F[np.isfinite(F).all(axis=1)]
        self.n_seen += len(F)
        self._best = np.minimum(self._best, F.min(axis=0, initial=np.inf))
        self._worst = np.maximum(self._worst, F.max(axis=0, initial=-np.inf))
        if len(self._G) + len(self._H) == 0:
            return
        for individual in real:
            self._largest_G = _larger(self._largest_G, individual.G)
            self._largest_H = _larger(self._largest_H, np.abs(individual.H))
            self._largest_CV = _larger(self._largest_CV, np.array([violation_of(individual)]))

    def _move(self) -> None:
        """Bring the marks up to date, in place."""
        for k in self._F:
            self._place(k)
        # Without any violation so far, the unit of the constraints is unknown.
        self._G[:] = np.where(self._largest_G > 0.0, _moved_up(self._largest_G), 1.0)
        self._H[:] = np.where(self._largest_H > 0.0, _moved_up(self._largest_H), 1.0)
        self._CV[:] = np.where(self._largest_CV > 0.0, _moved_up(self._largest_CV), 1.0)
        self._CV[:] = np.maximum(self._CV, violation(self._G, self._H))

    def _place(self, k: int) -> None:
        best, worst = self._best, self._worst
        if self.n_seen == 0:
            best = worst = np.full(len(worst), _BEFORE_ANY)
        self._F[k][:] = _beyond(best, worst, k / _N_DIFFERENT)


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


def _moved_up(largest: Floats) -> Floats:
    with np.errstate(over="ignore"):
        moved = np.maximum(largest * (1.0 + _MARGIN), np.nextafter(largest, np.inf))
    return np.minimum(moved, _LARGEST)


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
