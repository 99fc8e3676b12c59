"""The constructors with which users write the variables of a plain function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from moela._arrays import equal
from moela.functions.model.codes import log_codes
from moela.functions.model.kinds import (
    Boolean,
    Choice,
    Condition,
    Integer,
    Permutation,
    Real,
    is_number,
    plain,
)
from moela.quality.words import of_kind, shown

# A design holds floating-point numbers: beyond this, they are no longer all the integers.
LARGEST_INTEGER = 2**53

# Children may lie a few widths of the range away before they are repaired: no product overflows.
WIDEST = 1e305

Conditions: TypeAlias = "Mapping[str, object]"


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
        The bounds are not finite or not in order, or with `log` not positive or too close together.

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
        The bounds are not integers, not from -2**53 to 2**53, not in order, or with `log` not
        positive or too close together.

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
        At least two different objects of any type. The function gets the objects themselves, or
        copies if they are lists, dictionaries, sets or arrays.
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
    if log and np.ptp(log_codes(np.array([low, high], dtype=float))) == 0:
        raise ValueError(
            f"The bounds of {owner} must differ by more than 1e-12 of their size with log=True. "
            f"Got ({low!r}, {high!r}) instead; leave out log=True, or search the difference."
        )
    if not log and float(high) - float(low) > WIDEST:
        raise ValueError(
            f"The bounds of {owner} must be at most {WIDEST:g} apart. Got ({low!r}, {high!r}) "
            "instead; use a larger unit, and convert in the function."
        )
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
