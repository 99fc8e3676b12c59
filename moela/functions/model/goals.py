"""Objectives and constraints of a plain function, as users write them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from moela.functions.model.kinds import is_number
from moela.quality.words import listed, nearest, number, of_kind

ObjectiveSpec: TypeAlias = "str | Iterable[str] | Mapping[str, str]"
"""Objectives as users write them."""

ConstraintSpec: TypeAlias = "Mapping[str, tuple[float | None, float | None]]"
"""Constraints as users write them."""

_SENSES = {"min": 1.0, "minimize": 1.0, "minimise": 1.0, "max": -1.0, "maximize": -1.0}
_SENSES |= {"maximise": -1.0}

# No names of outputs, as "min" and "max" may be.
_DIRECTIONS = ("minimize", "minimise", "maximize", "maximise")

# An equality holds within this share of its value, or within this number if the value is 0.
EQUALITY_TOLERANCE = 1e-4

# A value this close to a bound, relative to the scale of the constraint, is at its limit.
_ACTIVE = 0.01


@dataclass(frozen=True)
class Objective:
    """An objective: `sign` is 1 if it is minimized, -1 if it is maximized."""

    name: str
    sign: float

    @property
    def sense(self) -> Literal["min", "max"]:
        """The direction of the objective, "min" or "max"."""
        return "min" if self.sign > 0 else "max"


@dataclass(frozen=True)
class Constraint:
    """Bounds of an output; either may be None."""

    name: str
    low: float | None
    high: float | None

    def describe(self) -> str:
        """Return the constraint in words."""
        if self.low is None:
            return f"{self.name} at most {number(self.high or 0.0)}"
        if self.high is None:
            return f"{self.name} at least {number(self.low)}"
        if self.low == self.high:
            return f"{self.name} equal to {number(self.low)}, within {number(self.tolerance)}"
        return f"{self.name} from {number(self.low)} to {number(self.high)}"

    @property
    def tolerance(self) -> float:
        """Permitted deviation from an equality."""
        assert self.low is not None
        return EQUALITY_TOLERANCE * (abs(self.low) or 1.0)

    @property
    def scale(self) -> float:
        """Divisor of violations, so that those of several constraints can be added."""
        if self.low is not None and self.high is not None and self.low < self.high:
            return self.high - self.low
        bound = self.high if self.low is None else self.low
        return abs(bound or 0.0) or 1.0

    def standing(self, value: float) -> str:
        """Return in a sentence how far a value is from the bounds."""
        gap = self.violation(value)
        if gap > 0:
            words = "violates"
        else:
            words = "is at the limit of" if gap > -_ACTIVE else "satisfies"
        return f"It {words} {self.describe()}: {number(value)}."

    def violation(self, value: float) -> float:
        """Return a number that is at most 0 if the value satisfies the constraint."""
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if low == high:
            return (abs(value - low) - self.tolerance) / self.scale
        return max(low - value, value - high) / self.scale


def read_objectives(given: object) -> tuple[Objective, ...]:
    """Return the objectives that a user has named."""
    form = "['mass', 'rise'], or {'mass': 'min', 'yield': 'max'}"
    if isinstance(given, str):
        given = [given]
    if isinstance(given, Mapping):
        for name, sense in given.items():
            if not isinstance(sense, str) or sense.lower() not in _SENSES:
                close = nearest(sense, ("min", "max"))
                raise ValueError(
                    f"The direction of objective {name!r} must be 'min' or 'max'. Got "
                    f"{of_kind(sense)} instead.{close}"
                )
        pairs = [(name, _SENSES[str(sense).lower()]) for name, sense in given.items()]
    elif isinstance(given, Iterable) and not isinstance(given, set | frozenset | bytes):
        pairs = [(name, 1.0) for name in given]
    else:
        raise TypeError(
            f"The 'objectives' parameter must be names in a fixed order: {form}. Got "
            f"{of_kind(given)} instead."
        )
    if not pairs:
        raise ValueError(
            f"The 'objectives' parameter must name at least one objective: {form}. Got none."
        )
    names = [name for name, _ in pairs]
    if all(isinstance(name, str) and name.lower() in _DIRECTIONS for name in names):
        raise ValueError(
            f"The 'objectives' parameter must name the outputs of the function: {form}. Got only "
            f"directions, {listed(names)}; write them beside the names."
        )
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise TypeError(
                f"The 'objectives' parameter must hold texts: {form}. Got {of_kind(name)} instead."
            )
        if names.count(name) > 1:
            raise ValueError(
                f"The 'objectives' parameter must hold different names. Got {name!r} twice; remove "
                "one of them."
            )
    return tuple(Objective(name, sign) for name, sign in pairs)


def read_constraints(given: object, objectives: Iterable[Objective]) -> tuple[Constraint, ...]:
    """Return the constraints that a user has given."""
    form = "{'noise': (None, 33)} for at most 33, {'noise': (20, None)} for at least 20"
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise TypeError(
            "The 'constraints' parameter must be a dictionary from names to bounds: "
            f"{form}. Got {of_kind(given)} instead."
        )
    taken = {objective.name for objective in objectives}
    constraints = []
    for name, bounds in given.items():
        if not isinstance(name, str) or not name.strip():
            raise TypeError(f"The names of 'constraints' must be texts. Got {of_kind(name)}.")
        if name in taken:
            raise ValueError(
                f"A constraint and an objective must have different names. Got {name!r} for both; "
                "return the number under two names."
            )
        if not isinstance(bounds, tuple | list) or len(bounds) != 2:
            advice = f" Did you mean (None, {bounds!r})?" if is_number(bounds) else ""
            raise TypeError(
                f"The constraint {name!r} must be a pair (low, high): {form}. Got "
                f"{of_kind(bounds)} instead.{advice}"
            )
        low, high = (_bound(name, bound, form) for bound in bounds)
        if low is None and high is None:
            raise ValueError(
                f"The constraint {name!r} must have at least one bound: {form}. Got (None, None) "
                "instead."
            )
        if low is not None and high is not None and low > high:
            raise ValueError(
                f"The constraint {name!r} must be (low, high) with low <= high. Got "
                f"{tuple(bounds)!r} instead; did you mean {tuple(bounds)[::-1]!r}?"
            )
        constraints.append(Constraint(name, low, high))
    return tuple(constraints)


def _bound(name: str, bound: object, form: str) -> float | None:
    if bound is None or (isinstance(bound, float) and math.isinf(bound)):
        return None
    if not is_number(bound):
        raise TypeError(
            f"The bounds of constraint {name!r} must be numbers or None: {form}. Got "
            f"{of_kind(bound)} instead."
        )
    return float(bound)  # type: ignore[arg-type]
