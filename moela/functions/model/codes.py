"""Codes: how the values of a variable become numbers of a design, and back."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from moela._arrays import Floats, Ints
from moela.functions.model.kinds import Boolean, Choice, Integer, Permutation, Real, Variable

# Decimals of logarithms. numpy's last digits depend on the length of an array, and those of the
# logarithm of an exponential are lost; equal designs must have equal codes.
_LOG_DIGITS = 12
# A number that has at most so many digits comes back exactly. Of random numbers, whose codes are
# as close together as 1e-12, one in a million has the code of such a number.
_SHORT_DIGITS = 6


class Code(Protocol):
    """The code of one variable: `width` numbers between the bounds `low` and `high` [width]."""

    low: Floats
    high: Floats

    def settle(self, A: Floats) -> Floats:
        """Return the code of a value that is closest to each row of A [n, width]."""
        ...

    def values(self, A: Floats) -> list[object]:
        """Return the values of settled codes A [n, width], as the function gets them."""
        ...

    def encode(self, value: object) -> Floats:
        """Return the code [width] of a value."""
        ...

    def features(self, A: Floats) -> Floats:
        """Return settled codes as features for learned models, in [0, 1]: [n, d]."""
        ...


def code_of(variable: Variable) -> Code:
    """Return the code of a variable."""
    match variable:
        case Real():
            return _LogRealCode(variable) if variable.log else _RealCode(variable)
        case Integer():
            code = _LogIntegerCode if variable.log else _IntegerCode
            return code(variable.low, variable.high)
        case Boolean():
            return _BooleanCode()
        case Choice():
            return _ChoiceCode(variable)
        case Permutation():
            return _PermutationCode(variable)
    raise TypeError(f"There is no code for a {type(variable).__name__}.")


def log_codes(values: Floats) -> Floats:
    """Return logarithms as codes have them: equal for numbers that differ by less than 1e-12."""
    return np.asarray(np.round(np.log(values), _LOG_DIGITS))


def _short(values: Floats, logarithms: Floats) -> Floats:
    """Return values [n] > 0, those that have the code of a number of few digits as that number."""
    with np.errstate(all="ignore"):  # of the largest and smallest numbers
        scaled = values * 10.0 ** (_SHORT_DIGITS - 1 - np.floor(np.log10(values)))
        near = np.abs(scaled - np.rint(scaled)) <= scaled * 10.0**-_LOG_DIGITS
    out = values.copy()
    for i in np.flatnonzero(near):
        number = float(f"{values[i]:.{_SHORT_DIGITS}g}")
        if number > 0 and log_codes(np.array([number]))[0] == logarithms[i]:
            out[i] = number
    return out


class _Scaled:
    """Bounds, and features that are scaled by them."""

    def __init__(self, low: float, high: float, width: int = 1) -> None:
        self.low, self.high = np.full(width, float(low)), np.full(width, float(high))

    def features(self, A: Floats) -> Floats:
        return np.asarray((A - self.low) / (self.high - self.low))


class _RealCode(_Scaled):
    """A real number is its own code."""

    def __init__(self, variable: Real) -> None:
        super().__init__(variable.low, variable.high)

    def settle(self, A: Floats) -> Floats:
        return np.clip(A, self.low, self.high)

    def values(self, A: Floats) -> list[object]:
        return list(A[:, 0].tolist())

    def encode(self, value: object) -> Floats:
        return np.array([value], dtype=float)


class _LogRealCode(_Scaled):
    """A real number is coded by its logarithm; bounds are exact."""

    def __init__(self, variable: Real) -> None:
        super().__init__(*log_codes(np.array([variable.low, variable.high])))
        self._low, self._high = variable.low, variable.high

    def settle(self, A: Floats) -> Floats:
        return np.clip(np.round(A, _LOG_DIGITS), self.low, self.high)

    def values(self, A: Floats) -> list[object]:
        numbers = np.clip(np.exp(A[:, 0]), self._low, self._high)
        numbers = np.where(A[:, 0] <= self.low[0], self._low, numbers)
        numbers = np.where(A[:, 0] >= self.high[0], self._high, numbers)
        return _short(numbers, A[:, 0]).tolist()  # type: ignore[no-any-return]

    def encode(self, value: object) -> Floats:
        return log_codes(np.array([value], dtype=float))


class _IntegerCode(_Scaled):
    """An integer is its own code; half a unit beyond the bounds makes all equally likely."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__(low - 0.5, high + 0.5)
        self._low, self._high = low, high

    def settle(self, A: Floats) -> Floats:
        return np.clip(np.rint(A), self._low, self._high)

    def positions(self, A: Floats) -> Ints:
        """Return settled codes as integers [n]."""
        return A[:, 0].astype(np.int64)

    def values(self, A: Floats) -> list[object]:
        return list(self.positions(A).tolist())

    def encode(self, value: object) -> Floats:
        return np.array([value], dtype=float)


class _LogIntegerCode(_Scaled):
    """An integer is coded by its logarithm."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__(*log_codes(np.array([low - 0.5, high + 0.5])))
        self._low, self._high = low, high

    def settle(self, A: Floats) -> Floats:
        return log_codes(np.clip(np.rint(np.exp(A)), self._low, self._high))

    def values(self, A: Floats) -> list[object]:
        numbers = np.clip(np.rint(np.exp(A[:, 0])), self._low, self._high)
        # The logarithm of a large upper bound may be rounded to that of a smaller number.
        numbers = np.where(A[:, 0] >= log_codes(np.array(float(self._high))), self._high, numbers)
        return list(numbers.astype(np.int64).tolist())

    def encode(self, value: object) -> Floats:
        return log_codes(np.array([value], dtype=float))


class _BooleanCode(_Scaled):
    """True is 1 and False is 0."""

    def __init__(self) -> None:
        super().__init__(0.0, 1.0)

    def settle(self, A: Floats) -> Floats:
        return (A > 0.5).astype(float)

    def values(self, A: Floats) -> list[object]:
        return list((A[:, 0] > 0.5).tolist())

    def encode(self, value: object) -> Floats:
        return np.array([bool(value)], dtype=float)


class _ChoiceCode(_IntegerCode):
    """An option is coded by its position."""

    def __init__(self, variable: Choice) -> None:
        super().__init__(0, len(variable.options) - 1)
        self._variable = variable

    def values(self, A: Floats) -> list[object]:
        return [self._variable.options[i] for i in self.positions(A)]

    def encode(self, value: object) -> Floats:
        return np.array([self._variable.position(value)], dtype=float)

    def features(self, A: Floats) -> Floats:
        if self._variable.ordered:
            return super().features(A)
        return (A == np.arange(len(self._variable.options))).astype(float)


class _PermutationCode(_Scaled):
    """An order is coded by a key for each item, by which the items are sorted.

    Bean 1994, "Genetic algorithms and random keys for sequencing and optimization", ORSA Journal on
    Computing 6(2). Settled keys are evenly spaced, so that one order has one code.
    """

    def __init__(self, variable: Permutation) -> None:
        self._items = variable.items
        self._variable = variable
        super().__init__(0.0, 1.0, len(self._items))

    def settle(self, A: Floats) -> Floats:
        ranks = A.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        return ranks / (len(self._items) - 1.0)

    def values(self, A: Floats) -> list[object]:
        orders = A.argsort(axis=1, kind="stable")
        return [[self._items[i] for i in order] for order in orders.tolist()]

    def encode(self, value: object) -> Floats:
        places = self._variable.places(value)
        assert places is not None
        ranks = np.empty(len(places))
        ranks[places] = np.arange(len(places))
        return ranks / (len(places) - 1.0)
