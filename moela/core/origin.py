"""Origin of a design: which part of an algorithm asked for it, and what its answer needs."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, fields
from itertools import groupby, repeat
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela._arrays import Bools, Floats

Part = Literal["initial", "evolution", "search", "pareto", "explore", "restart", "model"]

_KEY = "origin"


@dataclass(frozen=True)
class Origin:
    """Origin of a design, on its individual until the answer, as ``ind.get("origin")``."""

    part: Part | None = None  # the part of the algorithm that asked; None if it was not ours
    phase: int = 0  # the search phase of MOELA, see `MOELA.n_phases`
    already_evaluated: bool = False  # given as `sampling` with its objectives, so it costs nothing
    subproblem: int = -1  # the one that the design was made for; -1 for none
    from_neighborhood: bool = False  # the parents are from the neighborhood of that sub-problem
    ignores_constraints: bool = False  # the parents were chosen without regard to constraints
    mating_operator: int = -1  # index into `RealMating.OPERATORS`; negative for other operators
    preselection: int = -1  # index into `Preselection.STRATEGIES`; -1 without preselection
    likely_feasible: int = -1  # 1 if chosen as such among several children, 0 if not, -1 otherwise
    chosen_by_model: bool = False  # a learned model chose the design among others
    chosen_at_random: bool = False  # drawn among candidates, to measure the skill of the move model
    search: int = -1  # the local search that the design belongs to; -1 for none
    n_moves: int = 1  # moves between the design and the one that its search was at
    base: Individual | None = None  # Pareto local search: the archived design it is a neighbor of
    features: Floats | None = None  # [d], of the design, for learned models
    move: Floats | None = None  # [d], difference from the features of the design moved from
    predicted_change: float = float("nan")  # of the scalarized value


_UNKNOWN = Origin()
_DEFAULTS = {field.name: getattr(_UNKNOWN, field.name) for field in fields(Origin)}
_DETAILS = ("base", "features", "move")

Column = NDArray[Any] | list[Any]


@dataclass(frozen=True)
class _Table:
    """Origins of n designs that were asked for together, by field; never changed.

    An individual holds its table and its row. Fields that have no column have their default.
    """

    n: int
    columns: dict[str, Column]

    def column(self, field: str, rows: list[int] | None) -> Column:
        """Return the values of a field in these rows, or in all, [b] or [b, d]."""
        values = self.columns.get(field)
        if values is None:
            return [_DEFAULTS[field]] * (self.n if rows is None else len(rows))
        if rows is None:
            return values
        return values[rows] if isinstance(values, np.ndarray) else [values[i] for i in rows]

    def __deepcopy__(self, memo: dict[int, object]) -> _Table:
        # Everything but `base` is never changed, so copies may share it.
        if "base" not in self.columns:
            return self
        return _Table(self.n, {**self.columns, "base": deepcopy(self.columns["base"], memo)})


class _Place(tuple[_Table, int]):
    """The table and the row of an individual's origin, which has the fields of an `Origin`."""

    __slots__ = ()

    @property
    def origin(self) -> Origin:
        table, row = self
        found = {field: values[row] for field, values in table.columns.items()}
        return Origin(**{k: v.item() if isinstance(v, np.generic) else v for k, v in found.items()})

    def __getattr__(self, field: str) -> object:
        if field in _DEFAULTS:
            return getattr(self.origin, field)
        raise AttributeError(field)

    def __deepcopy__(self, memo: dict[int, object]) -> _Place:
        table = deepcopy(self[0], memo)
        return self if table is self[0] else _Place((table, self[1]))


_Run = tuple[_Table, list[int] | None]
_EMPTY = _Table(0, {})
_NOTHING = _Place((_Table(1, {}), 0))


def _runs(pop: Population) -> list[_Run]:
    """Return the table of individuals that follow each other, with their rows in it."""
    places = [individual.data.get(_KEY, _NOTHING) for individual in pop.tolist()]
    first = places[0][0] if places else _EMPTY
    rows = [row for table, row in places if table is first]
    if len(rows) == len(places):  # most often, since answers come as they were asked for
        return [(first, None if rows == list(range(first.n)) else rows)]
    grouped = [list(run) for _, run in groupby(places, key=lambda place: id(place[0]))]
    return [(run[0][0], [row for _, row in run]) for run in grouped]


def _column_of(field: str, runs: list[_Run]) -> Column:
    return _joined([table.column(field, rows) for table, rows in runs])


def _columns_of(pop: Population) -> dict[str, Column]:
    """Return the fields of the individuals' origins that are set."""
    runs = _runs(pop)
    if len(runs) == 1 and runs[0][1] is None:
        return runs[0][0].columns
    named = dict.fromkeys(field for table, _ in runs for field in table.columns)
    return {field: _column_of(field, runs) for field in named}


def _joined(columns: list[Column]) -> Column:
    if len(columns) == 1:
        return columns[0]
    if all(isinstance(column, np.ndarray) for column in columns):
        return np.concatenate(columns)
    return [value for column in columns for value in _values(column)]


def _values(column: Column) -> list[object]:
    """Return the values of a column, numbers as those of Python."""
    if isinstance(column, np.ndarray):
        return column.tolist() if column.ndim == 1 else list(column)
    return column


def _put(pop: Population, columns: dict[str, Column]) -> None:
    table = _Table(len(pop), columns)
    places = map(_Place, zip(repeat(table), range(table.n), strict=False))
    for individual, place in zip(pop.tolist(), places, strict=True):
        individual.data[_KEY] = place


def origin_of(individual: Individual) -> Origin:
    """Return the origin of an individual; the default one if it has none."""
    place: _Place = individual.data.get(_KEY, _NOTHING)
    return place.origin


def set_origin(pop: Population, **values: object) -> None:
    """Set fields of origins: an array or list holds a value for each individual of `pop`.

    The arrays must not be changed later.
    """
    assert values.keys() <= _DEFAULTS.keys(), f"an origin has no {values.keys() - _DEFAULTS.keys()}"
    n = len(pop)
    new: dict[str, Column] = {
        field: value if isinstance(value, np.ndarray | list) else [value] * n
        for field, value in values.items()
    }
    assert all(len(column) == n for column in new.values())
    _put(pop, {**_columns_of(pop), **new})


def forget_details(pop: Population) -> None:
    """Drop what only the answer needed, which would otherwise live as long as the design."""
    columns = _columns_of(pop)
    if columns:
        _put(pop, {field: values for field, values in columns.items() if field not in _DETAILS})


class Origins:
    """The origins of individuals [n], read once for several fields, as they are now."""

    def __init__(self, pop: Population) -> None:
        self._runs = _runs(pop)

    def array(self, field: str, dtype: type | None = None) -> NDArray[Any]:
        """Return one field as an array, [n] or [n, d]; do not change it, as for `origins`."""
        return np.asarray(_column_of(field, self._runs), dtype=dtype)

    def listed(self, field: str) -> list[Any]:
        """Return one field as a list, [n]."""
        return _values(_column_of(field, self._runs))

    def asked_by(self, part: str) -> Bools:
        """Mark the individuals that a part has asked for, [n]."""
        return np.array([other == part for other in self.listed("part")], dtype=bool)


def origins(pop: Population, field: str, dtype: type | None = None) -> NDArray[Any]:
    """Return one field of the origin of each individual as an array, [n] or [n, d].

    Do not change it: the origins themselves may hold it.
    """
    return Origins(pop).array(field, dtype)


def listed_origins(pop: Population, field: str) -> list[Any]:
    """Return one field of the origin of each individual as a list, [n]."""
    return Origins(pop).listed(field)


def asked_by(pop: Population, part: str) -> Bools:
    """Mark the individuals that a part has asked for, [n]."""
    return Origins(pop).asked_by(part)


def by_part(pop: Population) -> dict[str, Bools]:
    """Mark the individuals [b] that each part has asked for, if any, and those of "screening"."""
    known = Origins(pop)
    parts = known.listed("part")
    masks = {
        part: np.array([other == part for other in parts], dtype=bool)
        for part in dict.fromkeys(parts)
        if part is not None
    }
    return {**masks, "screening": known.array("chosen_by_model", bool)}


def sums_of(gains: Floats, masks: Mapping[str, Bools]) -> dict[str, float]:
    """Return the sum of gains [b] under each mask [b]."""
    return {name: float(gains[mine].sum()) for name, mine in masks.items()}
