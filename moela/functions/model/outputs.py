"""The numbers that a plain function returns for its objectives and constraints."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass, is_dataclass
from numbers import Number

import numpy as np

from moela._arrays import Designs, Floats, column
from moela._spelling import printed
from moela.functions.model.goals import Constraint, Objective
from moela.functions.model.kinds import is_number
from moela.quality.words import design_text, listed, nearest, of_kind, shown

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
                f"{expected}. Got {of_kind(returned)} for {_designs(n)}."
                f"{_mistake(returned, vectorized=True)}"
            )
        columns = {}
        for name, value in returned.items():
            rows: Designs
            if isinstance(value, list | tuple) and name not in self.names:
                rows = column(value)
            else:
                rows = value if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
            if rows.ndim == 0 or len(rows) != n:
                raise OutputError(
                    f"{expected}, each with one value per design. Got shape {rows.shape} of "
                    f"{name!r} for {_designs(n)}."
                )
            columns[str(name)] = rows
        return [{name: rows[i] for name, rows in columns.items()} for i in range(n)]

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


def _mistake(returned: object, vectorized: bool = False) -> str:
    """Return a sentence about the probable reason of an answer that is none."""
    if returned is None:
        return " Does the function end with a return statement?"
    if inspect.iscoroutine(returned):
        returned.close()
        return " Call it from a plain function by asyncio.run(...)."
    if inspect.isgenerator(returned) and returned.gi_code.co_name != "<genexpr>":
        return " Use return instead of yield."
    if is_dataclass(returned) and not isinstance(returned, type):
        return " Convert it with dataclasses.asdict(...)."
    if callable(getattr(returned, "to_dict", None)):  # a series or a frame of pandas
        row = ".to_dict('list')" if vectorized else ".iloc[0].to_dict()"
        return f" Convert it with {row if hasattr(returned, 'columns') else '.to_dict()'}."
    if getattr(returned, "ndim", 0) == 1 and callable(getattr(returned, "tolist", None)):
        return " Convert it with .tolist()."
    if isinstance(returned, Iterator | ValuesView):
        return " Convert it with tuple(...)."
    return ""


def _kept(value: object) -> object:
    """Return an extra output as something that a store can keep: number, text, or numbers."""
    if value is None or isinstance(value, bool | int | float | str | np.number | np.bool_):
        return value
    if isinstance(value, np.ma.MaskedArray) and value.dtype.kind in "iuf":
        value = np.ma.filled(value.astype(float), np.nan)
    try:
        array = np.asarray(value)
    except Exception:
        return printed(value)
    if array.dtype.kind == "f" and isinstance(value, list | tuple) and _holds_large(value):
        return printed(value)  # floats would cut their digits
    return array if array.dtype.kind in "iufb" else printed(value)


def _holds_large(values: object) -> bool:
    """Return whether nested lists of numbers hold an integer that a float cannot."""
    items = np.asarray(values, dtype=object).ravel()
    return any(isinstance(item, int) and abs(item) > 2**53 for item in items)


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
