"""Variables of a plain function, and the constructors that users write them with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from moela.quality.words import number, of_kind, shown

# A design holds floating-point numbers: beyond this, they are no longer all the integers.
LARGEST_INTEGER = 2**53

Condition: TypeAlias = "tuple[tuple[str, tuple[object, ...]], ...]"
"""Names of other variables with the values for which a variable exists."""

Conditions: TypeAlias = "Mapping[str, object]"


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


@dataclass(frozen=True)
class Choice(Variable):
    """A choice among options, which have an order if `ordered`."""

    options: tuple[object, ...]
    ordered: bool = False

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
class Permutation(Variable):
    """An order of some items."""

    items: tuple[object, ...]

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


def real(low: float, high: float, *, log: bool = False, when: Conditions | None = None) -> Real:
    """Return a real variable for `moela.minimize` or `moela.problem`.

    Parameters
    ----------
    low, high : float
        Bounds, both included.
    log : bool
        Whether to search in the logarithm. Use it for values that span several orders of magnitude.
    when : dict, optional
        Values of other variables for which this one exists: ``{"shape": "pin"}`` or
        ``{"shape": ["pin", "round"]}``. Otherwise it is absent from the dictionary that the
        function gets.

    Returns
    -------
    Real

    Raises
    ------
    ValueError
        The bounds are not finite or not in order, or not positive with `log`.

    Examples
    --------
    >>> import moela
    >>> moela.real(1e-6, 1e-2, log=True).describe()
    'real, 1e-06 to 0.01, on a logarithmic scale'
    """
    lower, upper = _bounds("real", low, high, log)
    return Real(lower, upper, _flag("real", "log", log), when=condition("real", when))


def integer(low: int, high: int, *, log: bool = False, when: Conditions | None = None) -> Integer:
    """Return an integer variable for `moela.minimize` or `moela.problem`.

    Parameters
    ----------
    low, high : int
        Bounds, both included.
    log : bool
        Whether to search in the logarithm.
    when : dict, optional
        Values of other variables for which this one exists; see `moela.real`.

    Returns
    -------
    Integer

    Raises
    ------
    ValueError
        The bounds are not integers, not from -2**53 to 2**53, not in order, or not positive with
        `log`.

    Examples
    --------
    >>> import moela
    >>> moela.integer(1, 1024, log=True).describe()
    'integer, 1 to 1024, on a logarithmic scale'
    """
    for name, value in (("low", low), ("high", high)):
        if isinstance(value, int | np.integer) and abs(int(value)) > LARGEST_INTEGER:
            raise ValueError(
                f"The '{name}' parameter of integer must be from -2**53 to 2**53, between which "
                f"every integer is a floating-point number. Got {of_kind(value)} instead; search a "
                "smaller number and multiply it in the function, or use moela.real, also with "
                "log=True, and round in the function."
            )
        if not is_number(value) or not float(value).is_integer():
            raise ValueError(
                f"The '{name}' parameter of integer must be an integer. Got {of_kind(value)} "
                "instead; use moela.real for real numbers."
            )
    _bounds("integer", low, high, log)
    return Integer(
        int(low), int(high), _flag("integer", "log", log), when=condition("integer", when)
    )


def boolean(*, when: Conditions | None = None) -> Boolean:
    """Return a variable that is True or False, for `moela.minimize` or `moela.problem`.

    Parameters
    ----------
    when : dict, optional
        Values of other variables for which this one exists; see `moela.real`.

    Returns
    -------
    Boolean

    Examples
    --------
    >>> import moela
    >>> moela.boolean(when={"shape": "pin"}).describe()
    'True or False'
    """
    return Boolean(when=condition("boolean", when))


def choice(
    options: Iterable[object], *, ordered: bool | None = None, when: Conditions | None = None
) -> Choice:
    """Return a choice among options, for `moela.minimize` or `moela.problem`.

    Parameters
    ----------
    options : iterable
        At least two different objects of any type. The function gets the objects themselves.
    ordered : bool, optional
        Whether neighboring options are similar, as sizes are. Default: True for numbers that only
        rise or only fall, else False.
    when : dict, optional
        Values of other variables for which this one exists; see `moela.real`.

    Returns
    -------
    Choice

    Raises
    ------
    ValueError
        There are fewer than two options, or two equal ones.
    TypeError
        The options have no fixed order, such as a set.

    Examples
    --------
    >>> import moela
    >>> moela.choice(["S", "M", "L"], ordered=True).describe()
    "one of 'S', 'M', 'L', in this order"
    """
    found = _items("choice", "options", options)
    ordered = in_order(found) if ordered is None else ordered
    return Choice(found, _flag("choice", "ordered", ordered), when=condition("choice", when))


def in_order(options: Sequence[object]) -> bool:
    """Return whether options are three or more numbers that only rise or only fall."""
    if len(options) < 3 or not all(map(is_number, options)):
        return False
    steps = np.diff(np.array(options, dtype=float))
    return bool((steps > 0).all() or (steps < 0).all())


def permutation(items: int | Iterable[object], *, when: Conditions | None = None) -> Permutation:
    """Return an order of items, for `moela.minimize` or `moela.problem`.

    Parameters
    ----------
    items : int or iterable
        The items, or how many: n means the numbers 0 to n - 1. At least two, all different. The
        function gets a list.
    when : dict, optional
        Values of other variables for which this one exists; see `moela.real`.

    Returns
    -------
    Permutation

    Raises
    ------
    ValueError
        There are fewer than two items, or two equal ones.
    TypeError
        The items have no fixed order, such as a set.

    Examples
    --------
    >>> import moela
    >>> moela.permutation(["cut", "drill", "paint"]).describe()
    "an order of 'cut', 'drill', 'paint'"
    """
    if isinstance(items, int | np.integer):
        if isinstance(items, bool) or items < 2:
            raise ValueError(
                "The 'items' parameter of permutation must be at least 2, or a list of items. Got "
                f"{items!r} instead."
            )
        items = range(int(items))
    return Permutation(_items("permutation", "items", items), when=condition("permutation", when))


def is_number(value: object) -> bool:
    """Return whether a value is a finite real number of Python or numpy, and not a boolean."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return False
    try:
        return not isinstance(value, complex | np.complexfloating) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floating-point numbers
        return False


def equal(a: object, b: object) -> bool:
    """Return whether two objects are equal, also if their ``==`` gives an array or fails."""
    if isinstance(a, bool | np.bool_) is not isinstance(b, bool | np.bool_):
        return False
    try:
        same = a == b
        return bool(np.all(same)) and np.shape(a) == np.shape(b)  # type: ignore[call-overload]
    except Exception:
        return False


def condition(owner: str, when: Conditions | None) -> Condition:
    """Return the parameter `when` as names with their values."""
    if when is None:
        return ()
    if not isinstance(when, Mapping) or not all(isinstance(name, str) for name in when):
        raise TypeError(
            f"The 'when' parameter of {owner} must be a dictionary from names of other variables "
            f"to the values for which this one exists, such as {{'shape': 'pin'}}. Got "
            f"{of_kind(when)} instead."
        )
    values = {
        name: tuple(value) if isinstance(value, list | tuple | range) else (value,)
        for name, value in when.items()
    }
    empty = [name for name, options in values.items() if not options]
    if empty:
        raise ValueError(
            f"The 'when' parameter of {owner} must name at least one value of {empty[0]!r}. Got an "
            "empty list instead."
        )
    return tuple(values.items())


def only_if(conditions: Condition) -> str:
    """Return the conditions of a variable in words, or an empty text."""
    texts = [f"{name} is {' or '.join(map(shown, values))}" for name, values in conditions]
    return f", only if {' and '.join(texts)}" if texts else ""


def _identical(a: object, b: object) -> bool:
    return a is b


def _flag(owner: str, name: str, value: object) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(
            f"The '{name}' parameter of {owner} must be True or False. Got {of_kind(value)}."
        )
    return bool(value)


def _bounds(owner: str, low: float, high: float, log: bool) -> tuple[float, float]:
    """Check bounds, and return them as floats."""
    for name, value in (("low", low), ("high", high)):
        if not is_number(value):
            raise ValueError(
                f"The '{name}' parameter of {owner} must be a finite number. Got {of_kind(value)} "
                "instead."
            )
    if low > high:
        raise ValueError(
            f"The bounds of {owner} must be (low, high) with low < high. Got ({low!r}, {high!r}) "
            f"instead; did you mean ({high!r}, {low!r})?"
        )
    if low == high:
        raise ValueError(
            f"The bounds of {owner} must be (low, high) with low < high. Got ({low!r}, {high!r}) "
            "instead; leave out a variable that has one value only, and set it in the function."
        )
    if log and low <= 0:
        raise ValueError(
            f"The 'low' parameter of {owner} must be greater than 0 with log=True. Got {low!r} "
            "instead; raise it, or leave out log=True."
        )
    if not math.isfinite(float(high) - float(low)):
        raise ValueError(f"The bounds of {owner} are too far apart: {low!r} to {high!r}.")
    return float(low), float(high)


def _items(owner: str, name: str, given: Iterable[object]) -> tuple[object, ...]:
    if isinstance(given, set | frozenset):
        raise TypeError(
            f"The '{name}' parameter of {owner} must have a fixed order, since that of a set "
            f"changes from run to run. Got {shown(given)} instead; write a list."
        )
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise TypeError(
            f"The '{name}' parameter of {owner} must be a list. Got {of_kind(given)} instead."
        )
    found = tuple(plain(item) for item in given)
    if len(found) < 2:
        raise ValueError(
            f"The '{name}' parameter of {owner} must hold at least two items. Got "
            f"{shown(list(found))} instead; leave out a variable that has one value only, and set "
            "it in the function."
        )
    _refuse_repeated(owner, name, found)
    return found


def _refuse_repeated(owner: str, name: str, found: Sequence[object]) -> None:
    for i, item in enumerate(found):
        if any(equal(item, other) for other in found[:i]):
            raise ValueError(
                f"The '{name}' parameter of {owner} must hold different items. Got {shown(item)} "
                "twice; remove one of them."
            )


def plain(value: object) -> object:
    """Return a scalar of numpy as one of Python, anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value
