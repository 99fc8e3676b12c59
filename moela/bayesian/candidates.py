"""Candidates among which an acquisition function chooses, made by the operators of the run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
from pymoo.core.population import Population
from pymoo.core.variable import Choice, Integer, Real, Variable

from moela._arrays import Bools, Designs, Floats, Ints, rows
from moela.bayesian.alternatives import Descriptions
from moela.core.context import SearchContext
from moela.learning.features import Encoder
from moela.learning.permutations import Aspect, n_columns, ones

# Share of the candidates that move in all variables at once by small steps.
_PROB_ALL = 0.25
# Aspects of permutations, the most useful first. They are used up to this total of columns, since
# more would take too long.
_BY_USE: tuple[Aspect, ...] = ("neighbors", "order", "place", "successor")
_MOST_COLUMNS = 6000
# Columns that are no orders up to which each has a length scale of its own.
_MOST_OTHERS = 32


class Mating(Protocol):
    """Makes children of vectors; see `RealMating`."""

    n_partners: int

    def children(
        self,
        base: Floats,
        partners: Floats,
        xl: Floats,
        xu: Floats,
        random_state: np.random.Generator,
        n_each: int = 1,
    ) -> tuple[Floats, Ints]:
        """Make a child of each base [b, d] and its partners [b, n_partners, d]."""


class CandidateSource(ABC):
    """Designs of a problem in the form in which candidates are made and described."""

    def __init__(self, context: SearchContext, encoder: Encoder) -> None:
        self.context, self.encoder = context, encoder
        self.is_real: Bools = np.zeros(0, dtype=bool)  # columns along which slopes can be followed
        # The descriptions in the features, if a process should use only one of several.
        self.descriptions: Descriptions | None = None

    @abstractmethod
    def of(self, X: Designs) -> Designs:
        """Return designs X in this form, [n, ...]."""

    @abstractmethod
    def varied(self, parents: Designs, n: int) -> tuple[Designs, Ints]:
        """Make n candidates from these, best first; return them and the parent of each."""

    def bounds(self, centers: Designs, radius: float) -> tuple[Floats, Floats]:
        """Return the bounds of trust regions around these, both [n, d]."""
        raise NotImplementedError

    def within(self, candidates: Designs, centers: Designs, radius: float) -> Designs:
        """Bring candidates into trust regions around known designs, row by row."""
        return candidates

    @abstractmethod
    def features(self, candidates: Designs) -> Floats:
        """Describe candidates for a model, [n, d]."""

    @abstractmethod
    def population(self, candidates: Designs) -> Population:
        """Return candidates as repaired individuals."""


class Vectors(CandidateSource):
    """Candidates as points of the unit cube, for problems that are described by their variables.

    Integers and binary variables lie on a grid, options of a choice at the middles of equal parts.
    """

    def __init__(self, context: SearchContext, encoder: Encoder, mating: Mating) -> None:
        super().__init__(context, encoder)
        self.mating = mating
        problem = context.problem
        named: dict[str, Variable] = getattr(problem, "vars", None) or {}
        self.names = list(named)
        self.variables = list(named.values())
        # Number of values of each variable, 0 for real ones.
        if named:
            self.n_values = np.array([_n_values(variable) for variable in self.variables])
            self.is_choice = np.array([isinstance(v, Choice) for v in self.variables])
        else:
            kind = context.operators.kind
            n = problem.n_var
            self.low = np.zeros(n) if kind == "binary" else np.broadcast_to(problem.xl, n)
            high = np.ones(n) if kind == "binary" else np.broadcast_to(problem.xu, n)
            self.span = np.asarray(high - self.low, dtype=float)
            real = kind == "real"  # whose span may be no integer of the machine
            self.n_values = np.zeros(n, dtype=int) if real else np.floor(self.span).astype(int) + 1
            self.is_choice = np.zeros(n, dtype=bool)
        self.is_real = self.n_values == 0
        self.one, self.zero = np.ones(len(self.n_values)), np.zeros(len(self.n_values))

    def of(self, X: Designs) -> Floats:
        """Return designs as points of the unit cube, [n, n_var]."""
        if self.names:
            return np.array(
                [
                    [_place(x[n], v) for n, v in zip(self.names, self.variables, strict=True)]
                    for x in X
                ]
            ).reshape(len(X), -1)
        return np.asarray(
            (np.asarray(X, dtype=float) - self.low) / np.where(self.span > 0, self.span, 1.0)
        )

    def varied(self, parents: Designs, n: int) -> tuple[Floats, Ints]:
        """Recombine and move points."""
        rng = self.context.random_state
        at = _ranked(len(parents), n, rng)
        base = parents[at]
        partners = parents[rng.integers(0, len(parents), (n, self.mating.n_partners))]
        children = self._mated(base, partners)
        same = rng.random(n) < _PROB_ALL
        if same.any():
            size = 10.0 ** rng.uniform(-3.0, -1.0, (int(same.sum()), 1))
            moved = base[same] + rng.normal(size=base[same].shape) * size
            children[same] = np.clip(moved, 0.0, 1.0)
        return self._snapped(children), at

    def _mated(self, base: Floats, partners: Floats) -> Floats:
        """Make a child of each base [b, n_var] and its partners [b, n_partners, n_var]."""
        rng = self.context.random_state
        return self.mating.children(base, partners, self.zero, self.one, rng)[0]

    def bounds(self, centers: Designs, radius: float) -> tuple[Floats, Floats]:
        """Return bounds that let integers take a step, and choices any option."""
        steps = np.where(self.n_values > 1, 1.0 / np.maximum(self.n_values - 1, 1), 0.0)
        width = np.where(self.is_choice, 1.0, np.maximum(radius, steps))
        return np.maximum(centers - width, 0.0), np.minimum(centers + width, 1.0)

    def within(self, candidates: Designs, centers: Designs, radius: float) -> Floats:
        """Clip candidates to the trust regions."""
        return self._snapped(np.clip(candidates, *self.bounds(centers, radius)))

    def features(self, candidates: Designs) -> Floats:
        """Return the points, with a column for each option of a choice."""
        if not self.is_choice.any():
            return candidates
        columns = []
        for j, n in enumerate(self.n_values):
            column = candidates[:, j]
            if self.is_choice[j]:
                option = np.minimum((column * n).astype(int), n - 1)
                columns.append(np.eye(n)[option])
            else:
                columns.append(column[:, None])
        return np.concatenate(columns, axis=1)

    def population(self, candidates: Designs) -> Population:
        """Return the designs at these points as individuals."""
        if self.names:
            designs = np.empty(len(candidates), dtype=object)
            for i, point in enumerate(candidates):
                parts = zip(self.names, self.variables, point.tolist(), strict=True)
                designs[i] = {name: _value(place, variable) for name, variable, place in parts}
            return self.context.repaired(designs)
        X = self.low + candidates * self.span
        kind = self.context.operators.kind
        if kind == "integer":
            X = np.round(X).astype(int)
        elif kind == "binary":
            X = X > 0.5
        else:
            X = np.clip(X, self.context.problem.xl, self.context.problem.xu)
        return self.context.repaired(X)

    def _snapped(self, points: Floats) -> Floats:
        n = self.n_values
        if not n.any():
            return points
        grid = np.round(points * np.maximum(n - 1, 1)) / np.maximum(n - 1, 1)
        middles = (np.minimum(np.floor(points * n), n - 1) + 0.5) / np.maximum(n, 1)
        snapped = np.where(self.is_choice, middles, grid)
        return np.where(n > 0, snapped, points)


class CodedVectors(Vectors):
    """Candidates as points of the unit cube, for vectors in which some numbers are codes.

    A code is a whole number or a logarithm. The run's repair turns each candidate into the closest
    design that exists. The features of that design describe the candidate.
    """

    def __init__(self, context: SearchContext, encoder: Encoder, mating: Mating) -> None:
        super().__init__(context, encoder, mating)
        whole = context.operators.codes.whole
        self.n_values[whole] = self.span[whole].astype(int) + 1
        self.is_real = self.n_values == 0

    def _mated(self, base: Floats, partners: Floats) -> Floats:
        problem = self.context.problem
        children, _ = self.mating.children(
            self._designs(base),
            self._designs(partners),
            problem.xl,
            problem.xu,
            self.context.random_state,
        )
        return self.of(children)

    def features(self, candidates: Designs) -> Floats:
        """Return the features of the designs."""
        return self.encoder(self._designs(candidates))

    def _designs(self, points: Floats) -> Floats:
        return self.low + points * self.span

    def _snapped(self, points: Floats) -> Floats:
        return self.of(self.context.repaired_rows(self._designs(points)))


class OwnDesigns(CandidateSource):
    """Candidates as designs, varied by the problem's own operators and neighbors."""

    def of(self, X: Designs) -> Designs:
        """Return the designs."""
        return rows(X)

    def varied(self, parents: Designs, n: int) -> tuple[Designs, Ints]:
        """Make half of the candidates by crossover and mutation, half as neighbors."""
        rng, context = self.context.random_state, self.context
        n_parents = context.operators.n_parents
        pop = Population.new("X", parents)
        n_crossed, n_moved = n // 2, -(-n // 8)
        first = _ranked(len(parents), n_crossed, rng)
        others = rng.integers(0, len(parents), (n_crossed, n_parents - 1))
        made = context.children(pop, np.column_stack([first, others])).get("X")
        base = _ranked(len(parents), n_moved, rng)
        near = context.neighbors(parents[base], 4)
        near = near.reshape(n_moved * 4, *near.shape[2:])
        return rows([*made, *near]), np.concatenate([first, base.repeat(4)])

    def features(self, candidates: Designs) -> Floats:
        """Return the features of the designs, of permutations several aspects."""
        keys = self.context.operators.codes.orders
        if keys:
            orders = [candidates[:, at].argsort(axis=1, kind="stable") for at in keys]
            places = [order.argsort(axis=1) for order in orders]
            return self._aspects(places, self._others(candidates))
        features = self.encoder(candidates)
        if not self.encoder.gives_places:
            return features
        return self._aspects([features.astype(np.int64)], features[:, :0])

    def _others(self, candidates: Designs) -> Floats:
        """Describe what is no order in vectors of codes, [n, d]."""
        problem, codes = self.context.problem, self.context.operators.codes
        numbers = np.setdiff1d(
            np.arange(problem.n_var), np.concatenate([codes.labels, *codes.orders])
        )
        span = problem.xu - problem.xl
        parts = [(candidates[:, numbers] - problem.xl[numbers]) / span[numbers]]
        for at in codes.labels:
            options = np.arange(np.ceil(problem.xl[at]), problem.xu[at] + 1e-9)
            parts.append((candidates[:, at : at + 1] == options).astype(float))
        return np.concatenate(parts, axis=1).astype(float)

    def _aspects(self, places: list[Ints], others: Floats) -> Floats:
        """Return aspects of orders with places [n, m] each, behind what others say, [n, d]."""
        sizes = [sum(n_columns(order.shape[1], aspect) for order in places) for aspect in _BY_USE]
        kept = [
            aspect
            for aspect, n in zip(_BY_USE, np.cumsum(sizes), strict=True)
            if n <= _MOST_COLUMNS
        ]
        if not kept:
            parts = [order / (order.shape[1] - 1.0) for order in places]
            return np.concatenate([others, *parts], axis=1)
        parts = [ones(order, aspect) for aspect in kept for order in places]
        n_others, lengths = others.shape[1], [part.shape[1] for part in parts]
        # Each order, and each other column if these are few, has a length scale of its own.
        own = (
            np.arange(n_others) if n_others <= _MOST_OTHERS else np.zeros(n_others, dtype=np.int64)
        )
        number = np.arange(len(kept)).repeat(sizes[: len(kept)])
        order_of = np.tile(np.arange(len(places)), len(kept)).repeat(lengths)
        self.descriptions = Descriptions(
            np.concatenate([np.full(n_others, -1), number]),
            np.concatenate([own, n_others + order_of]),
        )
        return np.concatenate([others, *parts], axis=1)

    def population(self, candidates: Designs) -> Population:
        """Return individuals."""
        return self.context.repaired(candidates)


def _ranked(n: int, size: int, rng: np.random.Generator) -> Ints:
    """Draw indices below n, the first ones more often, [size]."""
    return np.asarray(np.minimum(n * rng.random(size) ** 2, n - 1)).astype(np.int64)


def _n_values(variable: Variable) -> int:
    if isinstance(variable, Choice):
        return len(variable.options)
    if isinstance(variable, Integer):
        return int(variable.bounds[1] - variable.bounds[0]) + 1
    return 0 if isinstance(variable, Real) else 2


def _limits(variable: Variable) -> tuple[float, float]:
    """Return the bounds of a variable, those of a binary one as 0 and 1."""
    return variable.bounds if isinstance(variable, Real | Integer) else (0.0, 1.0)


def _place(value: object, variable: Variable) -> float:
    """Return the place of a value of a variable in [0, 1]."""
    if isinstance(variable, Choice):
        n = len(variable.options)
        return (list(variable.options).index(value) + 0.5) / n
    low, high = _limits(variable)
    number: float = np.asarray(value, dtype=float).item()
    return (number - low) / (high - low) if high > low else 0.0


def _value(place: float, variable: Variable) -> object:
    if isinstance(variable, Choice):
        n = len(variable.options)
        return variable.options[min(int(place * n), n - 1)]
    low, high = _limits(variable)
    value = low + place * (high - low)
    if isinstance(variable, Integer):
        return round(value)
    return min(max(value, low), high) if isinstance(variable, Real) else value > 0.5
