"""Origin of a design: which part of an algorithm asked for it, and what its answer needs."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, fields
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
    mating_operator: int = -1  # index into `RealMating.OPERATORS`; -1 for other operators
    preselection: int = -1  # index into `Preselection.STRATEGIES`; -1 without preselection
    likely_feasible: int = -1  # 1 if chosen as such among several children, 0 if not, -1 otherwise
    chosen_by_model: bool = False  # a learned model chose the design among others
    chosen_at_random: bool = False  # drawn among candidates, to measure the skill of the move model
    search: int = -1  # the local search that the design belongs to; -1 for none
    base: Individual | None = None  # Pareto local search: the archived design it is a neighbor of
    features: Floats | None = None  # [d], of the design, for learned models
    move: Floats | None = None  # [d], difference from the features of the design moved from
    predicted_change: float = float("nan")  # of the scalarized value

    def __deepcopy__(self, memo: dict[int, object]) -> Origin:
        # Everything but `base` is never changed, so copies may share it.
        return self if self.base is None else _changed(self, {"base": deepcopy(self.base, memo)})


_UNKNOWN = Origin()
_NAMES = frozenset(field.name for field in fields(Origin))


def _changed(origin: Origin, values: Mapping[str, object]) -> Origin:
    # `dataclasses.replace` calls the constructor, which is slow, and every evaluation comes here.
    changed = object.__new__(Origin)
    changed.__dict__.update(origin.__dict__, **values)
    return changed


def origin_of(individual: Individual) -> Origin:
    """Return the origin of an individual; the default one if it has none."""
    origin: Origin = individual.data.get(_KEY, _UNKNOWN)
    return origin


def set_origin(pop: Population, **values: object) -> None:
    """Set fields of origins: an array or list holds a value for each individual of `pop`."""
    assert values.keys() <= _NAMES, f"an origin has no {values.keys() - _NAMES}"
    columns = [_column(value, len(pop)) for value in values.values()]
    for ind, *row in zip(pop, *columns, strict=True):
        ind.data[_KEY] = _changed(origin_of(ind), dict(zip(values, row, strict=True)))


def forget_details(pop: Population) -> None:
    """Drop what only the answer needed, which would otherwise live as long as the design."""
    for ind in pop:
        if _KEY in ind.data:
            nothing = {"base": None, "features": None, "move": None}
            ind.data[_KEY] = _changed(ind.data[_KEY], nothing)


def origins(pop: Population, field: str, dtype: type | None = None) -> NDArray[Any]:
    """Return one field of the origin of each individual as an array, [n] or [n, d]."""
    return np.array([getattr(origin_of(ind), field) for ind in pop], dtype=dtype)


def asked_by(pop: Population, part: str) -> Bools:
    """Mark the individuals that a part has asked for, [n]."""
    return np.array([origin_of(ind).part == part for ind in pop], dtype=bool)


def _column(value: object, n: int) -> list[object]:
    if isinstance(value, np.ndarray):
        return value.tolist() if value.ndim == 1 else list(value)
    return value if isinstance(value, list) else [value] * n
