"""Reading the variables as users write them: bounds, lists, types, and `when` conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

import numpy as np

from moela._arrays import equal
from moela.functions.model.kinds import (
    Boolean,
    Choice,
    Integer,
    Variable,
    is_number,
    only_if,
    plain,
)
from moela.functions.model.variables import choice, integer, real
from moela.quality.words import listed, nearest, of_kind, shown

_FORMS = (
    "(0.0, 1.0) for a real number, (5, 25) for an integer, a list of options, bool, "
    "moela.permutation(n), or one of moela.real, moela.integer, moela.choice and moela.boolean"
)

# Variables of which each has a line of its own in a summary.
_MOST_LINES = 12

# Names of scales that other libraries take after the bounds.
_SCALES = ("linear", "log", "log-uniform", "log10", "log_uniform", "loguniform", "uniform")
# Ranges beyond are written as integers, since a choice keeps all of its options.
_MOST_OPTIONS = 1_000_000


def read_variables(given: object) -> dict[str, Variable]:
    """Return the variables by name, parents before the variables that depend on them.

    Raises
    ------
    TypeError, ValueError
        Something is not a variable; the message says what was expected and what came.
    """
    if not isinstance(given, Mapping):
        raise TypeError(
            "The 'variables' parameter must be a dictionary from names to variables: "
            f"{{'height': (0.01, 0.06)}}. Got {of_kind(given)} instead."
        )
    if not given:
        raise ValueError(
            "The 'variables' parameter must hold at least one variable: "
            "{'height': (0.01, 0.06)}. Got an empty dictionary instead."
        )
    variables = {}
    for name, spec in given.items():
        if not isinstance(name, str) or not name.strip():
            raise TypeError(f"The names of 'variables' must be texts. Got {of_kind(name)} instead.")
        variables[name] = _read(name, spec)
    _check_conditions(variables)
    return variables


def _read(name: str, spec: object) -> Variable:
    try:
        return _variable(spec)
    except (TypeError, ValueError) as error:
        raise type(error)(f"Variable {name!r}: {error}") from None


def _variable(spec: object) -> Variable:
    if isinstance(spec, Variable):
        return spec
    if spec is bool:
        return Boolean()
    if isinstance(spec, type) and issubclass(spec, Enum):
        return choice(list(spec))
    if isinstance(spec, range):
        whole = abs(spec.step) == 1 and bool(spec[1:])
        if not whole and bool(spec[_MOST_OPTIONS:]):
            raise ValueError(
                f"A range may have at most {_MOST_OPTIONS:,} options. Got {spec!r}; give the "
                f"number of the step as an integer, and multiply it by {spec.step} in the function."
            )
        return integer(*sorted((spec[0], spec[-1]))) if whole else choice(spec)
    if isinstance(spec, tuple) and len(spec) == 2 and all(map(_is_numeric, spec)):
        low, high = map(plain, spec)
        if isinstance(low, int) and isinstance(high, int):
            return integer(low, high)
        return real(low, high)  # type: ignore[arg-type]
    if isinstance(spec, tuple) and len(spec) == 2 and None in spec and any(map(_is_numeric, spec)):
        raise TypeError(
            f"Both bounds of a variable must be numbers. Got {spec!r} instead; give the other "
            f"bound, or write a list for a choice: {list(spec)!r}."
        )
    if isinstance(spec, tuple) and len(spec) > 2 and all(map(_is_numeric, spec)):
        raise TypeError(
            f"A tuple of numbers must be the bounds of a variable, (low, high). Got {shown(spec)} "
            f"instead; write a list for a choice among these numbers: {shown(list(spec))}."
        )
    if isinstance(spec, tuple) and len(spec) == 3 and _names_scale(spec):
        kind = "real" if any(isinstance(bound, float) for bound in spec[:2]) else "integer"
        log = ", log=True" if "log" in str(spec[2]).lower() else ""
        raise TypeError(
            f"A tuple of bounds must be (low, high). Got {shown(spec)} instead; write "
            f"moela.{kind}({spec[0]!r}, {spec[1]!r}{log}), or a list for a choice among these "
            f"options: {shown(list(spec))}."
        )
    if isinstance(spec, list | tuple | np.ndarray):
        return choice(spec.tolist() if isinstance(spec, np.ndarray) else spec)
    raise TypeError(f"A variable must be {_FORMS}. Got {of_kind(spec)} instead.{_advice(spec)}")


def _names_scale(spec: tuple[object, ...]) -> bool:
    """Return whether a tuple holds bounds and the name of a scale, as other libraries take it."""
    *bounds, scale = spec
    return all(map(_is_numeric, bounds)) and str(scale).lower() in _SCALES


def _is_numeric(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)


def _advice(spec: object) -> str:
    """Return a sentence on how to write a variable that was written in another way."""
    if isinstance(spec, set | frozenset):
        return f" Write a list, since the order of a set changes: {shown(list(spec))}."
    if isinstance(spec, str):
        found = re.findall(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", spec)
        bounds = ", ".join(found[:2]) if len(found) >= 2 else "low, high"
        return f" Write numbers without quotes: ({bounds})."
    if spec in (int, float) and isinstance(spec, type):
        return f" Give its bounds: {'(0, 10)' if spec is int else '(0.0, 1.0)'}."
    if is_number(spec):
        return " Leave out a variable that has one value only, and set it in the function."
    if isinstance(spec, Mapping):
        return " Write bounds as (low, high) and options as a list."
    return ""


def _check_conditions(variables: Mapping[str, Variable]) -> None:
    for name, variable in variables.items():
        for parent, values in variable.when:
            _check_condition(name, parent, values, variables)
    order_of(variables)


def _check_condition(
    name: str, parent: str, values: tuple[object, ...], variables: Mapping[str, Variable]
) -> None:
    if parent not in variables:
        raise ValueError(
            f"The 'when' of variable {name!r} must name another variable: {listed(variables)}. Got "
            f"{parent!r} instead.{nearest(parent, variables)}"
        )
    other = variables[parent]
    if not isinstance(other, Boolean | Choice | Integer):
        raise ValueError(
            f"The 'when' of variable {name!r} must name a choice, a boolean or an integer, whose "
            f"values can be listed. Got {parent!r} instead, which is {other.describe()}."
        )
    for value in values:
        expected = other.problem_with(value)
        if expected is not None:
            raise ValueError(
                f"The 'when' of variable {name!r} must list values of {parent!r}, each {expected}. "
                f"Got {of_kind(value)} instead."
            )


def described(variables: Mapping[str, Variable]) -> list[str]:
    """Return a line for each variable; of many variables, those that are alike share a line."""
    lines: dict[str, str] = {}
    alike: dict[str, list[str]] = {}
    for name, variable in variables.items():
        alike.setdefault(f"{variable.describe()}{only_if(variable.when)}", []).append(name)
    for words, names in alike.items():
        if len(variables) > _MOST_LINES and len(names) > 2:
            lines[f"{names[0]}, ..., {names[-1]}"] = f"{len(names)} variables: {words}"
        else:
            lines |= dict.fromkeys(names, words)
    width = max(map(len, lines))
    shown_lines = [f"  {name:<{width}}  {words}" for name, words in lines.items()]
    more = len(lines) - 2 * _MOST_LINES
    if more > 0:
        shown_lines[2 * _MOST_LINES :] = [f"  and {more} more"]
    return shown_lines


def order_of(variables: Mapping[str, Variable]) -> list[str]:
    """Return the names with every variable after those that its `when` names."""
    order: list[str] = []
    open_: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in open_:
            circle = [*open_[open_.index(name) :], name]
            raise ValueError(
                f"The 'when' of variables must not form a circle. Got {' -> '.join(circle)}; "
                "remove one of these conditions."
            )
        open_.append(name)
        for parent, _ in variables[name].when:
            visit(parent)
        open_.pop()
        order.append(name)

    for name in variables:
        visit(name)
    return order


def holds(value: object, values: tuple[object, ...]) -> bool:
    """Return whether a value of a parent is among those for which a variable exists."""
    return any(value is other or equal(value, other) for other in values)


def warnings_of(variables: Mapping[str, Variable]) -> list[str]:
    """Return sentences about variables that may not mean what their author wanted."""
    notes = []
    for name, variable in variables.items():
        if isinstance(variable, Integer) and (variable.low, variable.high) == (0, 1):
            notes.append(
                f"{name!r} is an integer that is 0 or 1. Did you mean bool, or (0.0, 1.0) for a "
                "real number?"
            )
        if isinstance(variable, Choice) and len(variable.options) == 2:
            low, high = variable.options
            if is_number(low) and is_number(high) and not isinstance(low, Enum):
                notes.append(
                    f"{name!r} is one of the two values {low!r} and {high!r}. Write ({low!r}, "
                    f"{high!r}) for bounds."
                )
    return notes
