"""Working units: powers of two that keep the arithmetic on huge and tiny objectives in range."""

from __future__ import annotations

import numpy as np

from moela._arrays import Bools, Floats, Ints

# Numbers whose typical binary exponent is within this keep their units: sums, squares and products
# of a few of them neither overflow nor underflow.
_ORDINARY = 100
# Beyond 2^300 times the typical size, a number is only known to be far away. Squares of the largest
# working numbers, 2^400, do not overflow.
_REACH = 300
# A number that all of the first designs share and that is near the largest float marks failures. It
# says nothing about the size of other numbers.
_MARK = 2.0**980
_LARGEST, _TINY = np.finfo(float).max, np.finfo(float).tiny
_LARGEST_EXPONENT = np.finfo(float).maxexp - 1


class Units:
    """Exact scaling of objectives and violations into the range in which a run computes.

    The units of each objective, and of the violation, are a power of two times the user's. They are
    chosen from the first numbers that are not zero, so that a run on objectives times 2^e computes
    with the same numbers as one on the objectives themselves. Objectives of ordinary size keep
    their units. Scaling is exact except for numbers that are 2^1022 times smaller than typical
    ones, or 2^300 times larger; the latter count as equally far away. Archives compare the user's
    numbers, so that this decides at most where a run searches.
    """

    def __init__(self) -> None:
        # Of each objective, and of the violation in the last place:
        self._exponents: Ints = np.empty(0, dtype=np.int64)  # of the unit
        self._limits: Floats = np.empty(0)  # beyond it, a number is far away; in the user's units
        self._unknown: Bools = np.empty(0, dtype=bool)  # units are not chosen yet
        self._same = True  # working numbers are the user's
        self.some_far = False  # whether a number has been met that is far away

    def see(self, F: Floats, CV: Floats, front: Floats) -> None:
        """Learn from objectives F [b, M], violations CV [b], and the non-dominated of F [n, M]."""
        n_obj = F.shape[1]
        if len(self._unknown) == 0:
            self._exponents = np.zeros(n_obj + 1, dtype=np.int64)
            self._limits = np.full(n_obj + 1, np.inf)
            self._unknown = np.ones(n_obj + 1, dtype=bool)
        if self._unknown.any():
            self._choose(np.column_stack([F, CV]), front)
        if not self.some_far:
            limits = self._limits
            far = (np.abs(F) > limits[:-1]).any() or (limits[-1] < CV).any()
            self.some_far = bool(far)
            self._same = self._same and not self.some_far

    def _choose(self, numbers: Floats, front: Floats) -> None:
        for j in np.flatnonzero(self._unknown):
            column = numbers[:, j]
            if not column.any():
                continue
            # Penalties are dominated unless they are in single objectives only.
            good = front[:, j] if j < front.shape[1] and front[:, j].any() else column
            typical = 0 if _is_mark(column) else _typical_exponent(good)
            if typical < -_ORDINARY <= _largest_exponent(good):
                # Most numbers are next to nothing (DTLZ4), but differences of others count.
                typical = 0
            self._unknown[j] = False
            self._exponents[j] = 0 if abs(typical) <= _ORDINARY else typical
            with np.errstate(over="ignore"):  # to infinity: nothing is too large
                self._limits[j] = np.ldexp(1.0, typical + _REACH)
            self._same = self._same and self._exponents[j] == 0

    @property
    def far(self) -> Floats:
        """Size [M] of objectives that are far away, in working units."""
        return np.ldexp(self._limits[:-1], -self._exponents[:-1])

    @property
    def factors(self) -> Floats:
        """Working units of the user's units of each objective, [M] or [1]."""
        if self._same:
            return np.ones(1)
        return np.ldexp(1.0, np.minimum(-self._exponents[:-1], _LARGEST_EXPONENT))

    @property
    def complete(self) -> bool:
        """Whether the units of all objectives are chosen."""
        return len(self._unknown) > 0 and not self._unknown[:-1].any()

    def objectives(self, F: Floats) -> Floats:
        """Return objectives [..., M] in working units."""
        return F if self._same else self.point(F)

    def point(self, F: Floats) -> Floats:
        """Return objectives [..., M] in working units, even if none like them has been met."""
        if len(self._limits) == 0:
            return F
        limits = np.minimum(self._limits[:-1], _LARGEST)
        with np.errstate(under="ignore"):  # to 0, next to typical numbers
            return np.ldexp(np.clip(F, -limits, limits), -self._exponents[:-1])

    def violations(self, CV: Floats) -> Floats:
        """Return violations [b] in working units; those that are positive stay so."""
        if self._same:
            return CV
        with np.errstate(under="ignore"):
            scaled = np.ldexp(np.minimum(CV, min(self._limits[-1], _LARGEST)), -self._exponents[-1])
        return np.where(CV > 0.0, np.maximum(scaled, _TINY), scaled)

    def volume(self, volume: float) -> float:
        """Return a volume of working units in the user's; 0 or infinite if that is not a float."""
        if self._same:
            return volume
        with np.errstate(over="ignore", under="ignore"):
            return float(np.ldexp(volume, int(self._exponents[:-1].sum())))


def _is_mark(column: Floats) -> bool:
    return len(column) > 1 and bool(column[0] > _MARK) and bool((column == column[0]).all())


def _typical_exponent(values: Floats) -> int:
    """Return the lower quartile of the binary exponents, which few penalties cannot raise."""
    exponents = np.sort(np.frexp(values[values != 0.0])[1])
    return int(exponents[len(exponents) // 4])


def _largest_exponent(values: Floats) -> int:
    return int(np.frexp(np.abs(values).max())[1])
