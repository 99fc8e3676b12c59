"""Individuals: fast creation of unevaluated ones, and checks of evaluated ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import Bools, Designs, Floats, rows, unmasked
from moela.core.duplicates import Duplicates, fingerprint
from moela.evaluation.runners.outcome import failed
from moela.evaluation.runners.violation import violations_of
from moela.quality.words import of_kind

_REAL = "biuf"  # kinds of dtypes
_ASKED = "asked"
_ANSWERED, _FAILED, _SUCCEEDED = "answered", "failed", "succeeded"


def unevaluated(X: Sequence[Any] | Designs) -> Population:
    """Return a population of unevaluated individuals with designs X, [n, n_var] or [n].

    The same as ``Population.new("X", X)`` in a fraction of the time, since individuals are copies
    of one that pymoo makes.
    """
    attributes = vars(Individual())
    config = attributes["config"]
    individuals = []
    for x in X:
        individual = object.__new__(Individual)
        state = individual.__dict__ = attributes.copy()
        # Rows of a larger array would keep all of it alive.
        state["_X"] = x.copy() if isinstance(x, np.ndarray) and x.base is not None else x
        state["data"], state["evaluated"], state["config"] = {}, set(), config.copy()
        individuals.append(individual)
    pop = np.empty(len(individuals), dtype=object)
    pop[:] = individuals
    return pop.view(Population)


def population_of(owner: str, answers: object) -> Population:
    """Return what a user tells an algorithm as a population: an individual, or a list of them."""
    if isinstance(answers, Population):
        return answers
    listed = [answers] if isinstance(answers, Individual) else answers
    if isinstance(listed, list | tuple) and all(isinstance(ind, Individual) for ind in listed):
        return Population.create(*listed)
    raise TypeError(
        f"{owner}.tell() needs the evaluated individuals that ask() has returned, as a Population "
        f"or a list. Got {of_kind(answers)} instead."
    )


def is_changed(individual: Individual) -> bool:
    """Return whether an individual has another design now than the one it was asked for."""
    key = individual.data.get(_ASKED)
    return key is not None and key != fingerprint(individual.X)


class Answered:
    """The individuals that a user has told an algorithm, so that none counts twice.

    Both the algorithm and the individual must know of it: an individual may be told to a copy of
    the algorithm, too, and an algorithm may ask for a design twice.
    """

    def __init__(self, problem: Problem) -> None:
        self._designs = Duplicates(problem)

    @staticmethod
    def asked(pop: Population) -> Population:
        """Return individuals that from now on know which designs they were asked for."""
        for ind in pop:
            ind.data[_ASKED] = fingerprint(ind.X)
        return pop

    def new(self, pop: Population) -> Bools:
        """Mark the individuals that were not told before, [n]; a success after a failure is new."""
        marks = []
        ids: set[int] = set()
        keys = self._designs.keys(rows([ind.X for ind in pop])) if len(pop) else []
        for ind, key, fails in zip(pop, keys, failed(pop), strict=True):
            known = ind.data.get(_ANSWERED) if key in self._designs else None
            marks.append(id(ind) not in ids and (known is None or (known == _FAILED and not fails)))
            ids.add(id(ind))
        return np.array(marks, dtype=bool)

    def add(self, pop: Population) -> None:
        """Remember individuals."""
        if len(pop):
            self._designs.add(rows([ind.X for ind in pop]))
        for ind, fails in zip(pop, failed(pop), strict=True):
            ind.data[_ANSWERED] = _FAILED if fails else _SUCCEEDED


def checked_objectives(problem: Problem, pop: Population) -> Floats:
    """Return the objectives of evaluated individuals [b, M].

    Raises
    ------
    ValueError
        An individual has another number of objectives, or one that is NaN or not real.
    """
    try:
        F = np.array([unmasked(ind.F) for ind in pop])
    except ValueError:
        F = np.empty(0)
    if F.dtype.kind not in _REAL:
        _make_real(pop, "F")
        F = np.array([unmasked(ind.F) for ind in pop], dtype=float)
    F = F.astype(float, copy=False)
    expected = (len(pop), problem.n_obj)
    if len(pop) == 0:
        return np.empty(expected)
    if F.shape != expected:
        raise ValueError(
            f"Every told design must have {problem.n_obj} objectives, F of shape {expected}. Got "
            f"{[np.shape(ind.F) for ind in pop[:3]]} for the first ones; evaluate the population "
            "before tell()."
        )
    if np.isnan(F).any():
        row, column = np.argwhere(np.isnan(F))[0].tolist()
        raise ValueError(
            f"Objectives must be finite. Got F[{column}] = {F[row, column]} for the design X = "
            f"{pop[row].X}; fix the problem, leave such designs out of tell(), or set them aside "
            "with evaluator=moela.Evaluator(on_error='infeasible')."
        )
    return F


def _make_real(pop: Population, name: str) -> None:
    """Turn values F, G or H of other types into floats, in place; raise if one is not real."""
    what = "Objectives" if name == "F" else "Constraints"
    for ind in pop:
        value = unmasked(getattr(ind, name))
        if value is None or np.asarray(value).dtype.kind in _REAL:
            continue
        advice = "set numbers"
        try:
            numbers = np.asarray(value).astype(complex)
            real = not numbers.imag.any()
            advice = "take the real part or the absolute value"
        except (TypeError, ValueError):
            real = False
        if not real:
            raise ValueError(
                f"{what} must be real numbers. Got {name} = {value} for the design X = {ind.X}; "
                f"{advice}, or leave such designs out of tell()."
            )
        setattr(ind, name, numbers.real.copy())


def checked_violations(problem: Problem, pop: Population) -> Floats:
    """Return the constraint violations of evaluated individuals [b]; zeros without constraints.

    Raises
    ------
    ValueError
        An individual has another number of constraints, or one that is NaN or not real.
    """
    if not problem.has_constraints():
        return np.zeros(len(pop))
    for name, size, kind in (
        ("G", problem.n_ieq_constr, "inequality"),
        ("H", problem.n_eq_constr, "equality"),
    ):
        values = [getattr(ind, name) for ind in pop.tolist()]
        if any(getattr(value, "dtype", np.dtype(float)).kind not in _REAL for value in values):
            _make_real(pop, name)
        masked = [i for i, v in enumerate(values) if isinstance(v, np.ma.MaskedArray)]
        for i in [i for i in masked if np.ma.is_masked(values[i])][:1]:
            raise ValueError(
                f"Constraints must not be masked. Got {name} = {values[i]} for the design X = "
                f"{pop[i].X}; fix the problem."
            )
        if {getattr(value, "shape", None) for value in values} == {(size,)}:
            continue
        shapes = [(0,) if value is None else np.shape(value) for value in values]
        for i in [i for i, shape in enumerate(shapes) if shape != (size,)][:1]:
            raise ValueError(
                f"Every told design must have {size} {kind} constraints, {name} of shape "
                f"{(size,)}. Got shape {shapes[i]} for design {i} of the batch; set {name} as well "
                "as F before tell()."
            )
    CV = np.maximum(violations_of(pop), 0.0)
    if np.isnan(CV).any():
        row = int(np.flatnonzero(np.isnan(CV))[0])
        raise ValueError(
            f"Constraints must not be NaN. Got G = {pop[row].G}, H = {pop[row].H} for the design "
            f"X = {pop[row].X}; fix the problem."
        )
    return CV
