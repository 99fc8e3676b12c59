"""Objectives and constraints of a plain function, and the numbers that it returns for them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from numbers import Number
from typing import Literal, TypeAlias

import numpy as np

from moela._arrays import Floats
from moela.functions.model.kinds import is_number
from moela.quality.words import design_text, listed, nearest, number, of_kind, shown

ObjectiveSpec: TypeAlias = "str | Iterable[str] | Mapping[str, str]"
"""Objectives as users write them."""

ConstraintSpec: TypeAlias = "Mapping[str, tuple[float | None, float | None]]"
"""Constraints as users write them."""

_SENSES = {"min": 1.0, "minimize": 1.0, "minimise": 1.0, "max": -1.0, "maximize": -1.0}
_SENSES |= {"maximise": -1.0}

# An equality holds within this share of its value, or within this number if the value is 0.
EQUALITY_TOLERANCE = 1e-4

# A value this close to a bound, relative to the scale of the constraint, is at its limit.
_ACTIVE = 0.01

# Begins the names of outputs on individuals and in stores.
PREFIX = "out."
# Comes before the design in messages.
WHERE = " for the design "


_IF_NOT_FINITE = (
    "Fix the function, or let it raise an exception for such a design and pass "
    "on_error='infeasible' to go on without it."
)


class OutputError(ValueError):
    """A function returned something else than its objectives and constraints."""


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


@dataclass(frozen=True)
class Answer:
    """The outputs of one design."""

    F: Floats  # objectives, minimized
    G: Floats  # violations; at most 0 if satisfied
    extra: dict[str, object]  # constraints as they came, and all other outputs


@dataclass(frozen=True)
class Outputs:
    """The objectives and constraints of a function, and how to read what it returns."""

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]

    @property
    def names(self) -> list[str]:
        """Names of the objectives, then of the constraints."""
        return [o.name for o in self.objectives] + [c.name for c in self.constraints]

    def read(
        self,
        returned: object,
        design: Mapping[str, object],
        function: str,
        if_not_finite: str = _IF_NOT_FINITE,
    ) -> Answer:
        """Return the outputs of a design; `if_not_finite` is the advice about NaN and infinity.

        Raises
        ------
        OutputError
            Something is missing or is no number; the message names the design.
        """
        where = f"{WHERE}{design_text(design)}"
        named = self._named(returned, where, function)
        values = [
            self._number(named[name], name, where, function, if_not_finite) for name in self.names
        ]
        m = len(self.objectives)
        F = np.array([o.sign * v for o, v in zip(self.objectives, values[:m], strict=True)])
        limits = zip(self.constraints, values[m:], strict=True)
        G = np.array([constraint.violation(value) for constraint, value in limits], dtype=float)
        extra: dict[str, object] = {
            stored_name(c.name): v for c, v in zip(self.constraints, values[m:], strict=True)
        }
        for name, value in named.items():
            if name not in self.names:
                extra[stored_name(str(name))] = _kept(value)
        return Answer(F, G, extra)

    def split(self, returned: object, n: int, function: str) -> list[dict[str, object]]:
        """Return the outputs of a batch of n designs, from arrays [n], as a dictionary for each.

        Raises
        ------
        OutputError
            An output is missing, or its array does not have n rows.
        """
        returned = _by_field(returned, self.names)
        if isinstance(returned, tuple | list) and len(returned) == len(self.names):
            returned = dict(zip(self.names, returned, strict=True))
        example = "{" + ", ".join(f"{name!r}: [...]" for name in self.names) + "}"
        expected = f"{function} (vectorized) must return a dictionary of arrays {example}"
        if not isinstance(returned, Mapping):
            raise OutputError(
                f"{expected}. Got {of_kind(returned)} for {_designs(n)}.{_mistake(returned)}"
            )
        columns = {}
        for name, value in returned.items():
            column = value if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
            if column.ndim == 0 or len(column) != n:
                raise OutputError(
                    f"{expected}, each with one value per design. Got shape {column.shape} of "
                    f"{name!r} for {_designs(n)}."
                )
            columns[str(name)] = column
        return [{name: column[i] for name, column in columns.items()} for i in range(n)]

    def _named(self, returned: object, where: str, function: str) -> Mapping[str, object]:
        """Return the outputs by name, whatever form they came in."""
        n, names = len(self.names), self.names
        example = "{" + ", ".join(f"{name!r}: ..." for name in names) + "}"
        expected = f"{function} must return a dictionary {example}"
        returned = _by_field(returned, names)
        if isinstance(returned, Mapping):
            missing = [name for name in names if name not in returned]
            if missing:
                others = [str(key) for key in returned if key not in names]
                raise OutputError(
                    f"{expected}. Got no {missing[0]!r} but {listed(returned)}{where}."
                    f"{_renamed(missing[0], others)}"
                )
            return {str(key): value for key, value in returned.items()}
        if n == 1 and (is_number(returned) or isinstance(returned, float | np.floating)):
            return {names[0]: returned}
        if isinstance(returned, tuple | list) or (
            isinstance(returned, np.ndarray) and returned.ndim == 1
        ):
            if len(returned) == n:
                return dict(zip(names, returned, strict=True))
            raise OutputError(
                f"{expected}, or {n} number{'s' * (n != 1)} in this order. Got {len(returned)}"
                f"{where}: {of_kind(returned)}."
            )
        raise OutputError(f"{expected}. Got {of_kind(returned)}{where}.{_mistake(returned)}")

    def _number(
        self, value: object, name: str, where: str, function: str, if_not_finite: str
    ) -> float:
        kind = "objective" if name in [o.name for o in self.objectives] else "constraint"
        expected = f"The {kind} {name!r} that {function} returns must be a finite number"
        advice = ""
        if isinstance(value, bool | np.bool_):
            return float(value)
        if isinstance(value, complex | np.complexfloating):
            advice = " Take its real part or its absolute value."
        elif is_number(value):
            return float(value)  # type: ignore[arg-type]
        elif isinstance(value, int | float | np.number) or _is_missing(value):
            advice = f" {if_not_finite}"
        elif isinstance(value, str | Number):  # of decimal or fractions, too
            advice = " Convert it with float()."
        elif (single := _single(value)) is not None:
            return self._number(single, name, where, function, if_not_finite)
        elif isinstance(value, list | tuple | np.ndarray):
            advice = " Return one number, such as the mean or the largest."
        raise OutputError(f"{expected}. Got {of_kind(value)}{where}.{advice}")


def _designs(n: int) -> str:
    return "1 design" if n == 1 else f"{n} designs"


def _by_field(returned: object, names: Sequence[str]) -> object:
    """Return a named tuple with these fields as a dictionary, anything else as it is."""
    fields = getattr(returned, "_fields", ())
    if isinstance(returned, tuple) and isinstance(fields, tuple) and set(names) <= set(fields):
        return dict(zip(fields, returned, strict=True))
    return returned


def _is_missing(value: object) -> bool:
    """Return whether a value is a masked one of numpy, or the missing one of pandas."""
    if isinstance(value, np.ma.MaskedArray):
        return value.size == 1 and bool(np.ma.is_masked(value))
    return type(value).__name__ == "NAType"


def _single(value: object) -> object:
    """Return the only number of an array or a tensor, None if there is none."""
    item = getattr(value, "item", None)
    try:
        single = item() if callable(item) else None
    except Exception:
        return None
    return single if isinstance(single, int | float | complex) else None


def _renamed(missing: str, others: list[str]) -> str:
    close = nearest(missing, others)
    if not close:
        return " Add it to what the function returns."
    return f"{close} Rename it in the function, or in 'objectives' or 'constraints'."


def _mistake(returned: object) -> str:
    """Return a sentence about the probable reason of an answer that is none."""
    if returned is None:
        return " Does the function end with a return statement?"
    if inspect.iscoroutine(returned):
        returned.close()
        return " Call it from a plain function by asyncio.run(...)."
    if inspect.isgenerator(returned):
        return " Use return instead of yield."
    if is_dataclass(returned) and not isinstance(returned, type):
        return " Convert it with dataclasses.asdict(...)."
    if callable(getattr(returned, "to_dict", None)):  # a series of pandas
        return " Convert it with .to_dict()."
    return ""


def _kept(value: object) -> object:
    """Return an extra output as something that a store can keep: number, text, or numbers."""
    if isinstance(value, bool | int | float | str | np.number | np.bool_):
        return value
    if isinstance(value, np.ma.MaskedArray) and value.dtype.kind in "iuf":
        value = np.ma.filled(value.astype(float), np.nan)
    try:
        array = np.asarray(value)
    except Exception:
        return str(value)
    return array if array.dtype.kind in "iufb" else str(value)


def stored_name(name: str) -> str:
    """Return the name under which an output is kept on individuals and in stores.

    The prefix keeps it apart from the names that algorithms give to data of their own, such as
    pymoo's "index" and "rank".
    """
    return PREFIX + name


def own_message(traceback: str) -> str:
    """Return the message of an OutputError at the end of a traceback, else an empty text."""
    mark = f"{OutputError.__module__}.{OutputError.__qualname__}: "
    return traceback.rpartition(mark)[2].strip() if mark in traceback else ""


def number_of_each(names: Sequence[str]) -> str:
    """Return the expected form of a vector over these objectives, as words for an error."""
    return f"a number for each of {listed(names)}"


def in_order(
    parameter: str, given: Mapping[str, object], names: Sequence[str], default: object = None
) -> list[object]:
    """Return the values of a dictionary in the order of the objectives; refuse other names."""
    for name in given:
        if name not in names:
            raise ValueError(
                f"The '{parameter}' parameter must hold {number_of_each(names)}. Got {name!r} as "
                f"well.{nearest(name, names)}"
            )
    missing = [name for name in names if name not in given]
    if missing and default is None:
        raise ValueError(
            f"The '{parameter}' parameter must hold {number_of_each(names)}. Got none for "
            f"{listed(missing)} in {shown(dict(given))}; add it."
        )
    return [given.get(name, default) for name in names]
