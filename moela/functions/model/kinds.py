"""The kinds of variables of a plain function: what they hold, and which values they take."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np

from moela._arrays import equal
from moela.provenance.signature import as_stored, dump
from moela.quality.words import number, shown

Condition: TypeAlias = "tuple[tuple[str, tuple[object, ...]], ...]"
"""Names of other variables with the values for which a variable exists."""


@dataclass(frozen=True)
class Variable:
    """A variable of a function, which may exist for some values of others only."""

    when: Condition = field(default=(), kw_only=True)

    def describe(self) -> str:
        """Return the meaning of the variable in words."""
        raise NotImplementedError

    def problem_with(self, value: object) -> str | None:
        """Return the expected values in words if `value` is not one of them, else None."""
        raise NotImplementedError


@dataclass(frozen=True)
class Real(Variable):
    """A real number between two bounds, searched in its logarithm if `log`."""

    low: float
    high: float
    log: bool = False

    def describe(self) -> str:
        """Return the meaning of the variable in words."""
        scale = ", on a logarithmic scale" if self.log else ""
        return f"real, {number(self.low)} to {number(self.high)}{scale}"

    def problem_with(self, value: object) -> str | None:
        """Return the expected values in words if `value` is not one of them, else None."""
        fits = is_number(value) and self.low <= float(value) <= self.high  # type: ignore[arg-type]
        return None if fits else f"a number from {self.low!r} to {self.high!r}"


@dataclass(frozen=True)
class Integer(Variable):
    """An integer between two bounds, both included, searched in its logarithm if `log`."""

    low: int
    high: int
    log: bool = False

    def describe(self) -> str:
        """Return the meaning of the variable in words."""
        scale = ", on a logarithmic scale" if self.log else ""
        return f"integer, {self.low} to {self.high}{scale}"

    def problem_with(self, value: object) -> str | None:
        """Return the expected values in words if `value` is not one of them, else None."""
        fits = is_number(value) and float(value).is_integer()  # type: ignore[arg-type]
        if fits and self.low <= float(value) <= self.high:  # type: ignore[arg-type]
            return None
        return f"an integer from {self.low} to {self.high}"


@dataclass(frozen=True)
class Boolean(Variable):
    """True or False."""

    def describe(self) -> str:
        """Return the meaning of the variable in words."""
        return "True or False"

    def problem_with(self, value: object) -> str | None:
        """Return the expected values in words if `value` is not one of them, else None."""
        return None if isinstance(value, bool | np.bool_) or value in (0, 1) else "True or False"


class Listed(Variable):
    """A variable whose values are made of listed objects: options, or items of an order."""

    @property
    def listed(self) -> tuple[object, ...]:
        """The objects."""
        raise NotImplementedError

    def stored_position(self, value: object) -> int | None:
        """Return the position of the only object that a store gives back as `value`, or None.

        Two objects without attributes, for example, cannot be told apart.
        """
        return self._stored.get(dump(as_stored(value)))

    @cached_property
    def _stored(self) -> dict[str, int]:
        forms = [dump(as_stored(each)) for each in self.listed]
        counts = Counter(forms)
        return {form: i for i, form in enumerate(forms) if counts[form] == 1}


@dataclass(frozen=True)
class Choice(Listed):
    """A choice among options, which have an order if `ordered`."""

    options: tuple[object, ...]
    ordered: bool = False

    @property
    def listed(self) -> tuple[object, ...]:
        """The options."""
        return self.options

    def describe(self) -> str:
        """Return the meaning of the variable in words."""
        names = [shown(option) for option in self.options[:12]]
        rest = len(self.options) - len(names)
        more = f" and {rest} more" if rest else ""
        return f"one of {', '.join(names)}{more}{', in this order' if self.ordered else ''}"

    def position(self, value: object) -> int | None:
        """Return the position of an option, None if `value` is not one."""
        for same in (_identical, equal):
            for i, option in enumerate(self.options):
                if same(option, value):
                    return i
        return None

    def problem_with(self, value: object) -> str | None:
        """Return the expected values in words if `value` is not one of them, else None."""
        if self.position(value) is not None:
            return None
        return f"one of {', '.join(shown(option) for option in self.options)}"


@dataclass(frozen=True)
class Permutation(Listed):
    """An order of some items."""

    items: tuple[object, ...]

    @property
    def listed(self) -> tuple[object, ...]:
        """The items."""
        return self.items

    def describe(self) -> str:
        """Return the meaning of the variable in words."""
        if self.items == tuple(range(len(self.items))):
            return f"an order of the numbers 0 to {len(self.items) - 1}"
        names = [shown(item) for item in self.items[:8]]
        return f"an order of {', '.join(names)}{', ...' if len(self.items) > 8 else ''}"

    def places(self, value: object) -> list[int] | None:
        """Return the positions of the items in the order `value`, None if it is none."""
        if not isinstance(value, Iterable) or isinstance(value, str):
            return None
        free = dict(enumerate(self.items))
        found = []
        for item in value:
            at = next((i for i, known in free.items() if equal(known, item)), None)
            if at is None:
                return None
            found.append(at)
            del free[at]
        return None if free else found

    def problem_with(self, value: object) -> str | None:
        """Return the expected values in words if `value` is not one of them, else None."""
        if self.places(value) is not None:
            return None
        return f"an order of {', '.join(shown(item) for item in self.items)}"


def is_number(value: object) -> bool:
    """Return whether a value is a finite real number of Python or numpy, and not a boolean."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return False
    try:
        return not isinstance(value, complex | np.complexfloating) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floating-point numbers
        return False


def _identical(a: object, b: object) -> bool:
    return a is b


def only_if(conditions: Condition) -> str:
    """Return the conditions of a variable in words, or an empty text."""
    texts = [f"{name} is {' or '.join(map(shown, values))}" for name, values in conditions]
    return f", only if {' and '.join(texts)}" if texts else ""


def fresh(value: object) -> object:
    """Return lists, dictionaries, sets and arrays as copies, and any other object as it is.

    Their contents are copied in the same way. A function may change them without changing the
    options of later designs.
    """
    kind = type(value)
    if kind in (bytearray, np.ndarray, set):
        return value.copy()  # type: ignore[attr-defined]
    if isinstance(value, dict) and kind is dict:
        return {key: fresh(content) for key, content in value.items()}
    if isinstance(value, list | tuple) and kind in (list, tuple):
        return kind(map(fresh, value))
    return value


def plain(value: object) -> object:
    """Return a scalar of numpy as one of Python, anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value
