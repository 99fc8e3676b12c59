"""Base class of the deployment problems, and checks of traffic and names that they share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from pymoo.core.operator import Operator

from moe_costmodel import RoutingTrace
from problems._arrays import Floats, Ints
from problems._checks import check_int, check_random_state, setting_error
from problems._problem import DesignProblem
from problems.moe.operators import LayerCrossover, MoveMutation, StartSampling

__all__ = [
    "AGGREGATES",
    "MoEProblem",
    "aggregated",
    "as_windows",
    "check_judged",
    "checked_front",
    "evenly",
    "exchanged",
]


AGGREGATES = ("mean", "worst")
"""How a value that differs between windows of traffic becomes one."""


_FAR = 2.0**53
"""Whole floats are clipped to this, which is far outside the bounds and exact as an integer."""


class MoEProblem(DesignProblem[np.int64]):
    """Base of the deployment problems: designs are integer rows, all objectives are minimized.

    Attributes
    ----------
    objective_names : tuple of str
    feature_names : tuple of str
        The columns of ``features``.
    """

    objective_names: tuple[str, ...]
    feature_names: tuple[str, ...] = ()
    """Beginning of the names of the operators in version 0.1, which had operators per problem."""
    _mutation: ClassVar[tuple[float, int]]
    """Probability and largest number of moves of the mutation."""
    _sample_moves: ClassVar[int]
    """Moves at most of a sampled design that is not a start."""

    def __init__(self, xl: ArrayLike, xu: ArrayLike, n_ieq_constr: int = 0) -> None:
        super().__init__(
            n_var=len(np.asarray(xl)),
            n_obj=len(self.objective_names),
            n_ieq_constr=n_ieq_constr,
            xl=np.asarray(xl, dtype=float),
            xu=np.asarray(xu, dtype=float),
            vtype=int,
        )

    def _rows(self, X: ArrayLike) -> Ints:
        """Return X as int64 rows [n, n_var]; the ValueError names the first entry that is wrong."""
        owner = type(self).__name__
        try:
            array = np.atleast_2d(X)
        except ValueError as error:  # lists of different lengths
            raise setting_error(owner, "X", f"of shape [n, {self.n_var}]", str(error)) from error
        if array.ndim != 2 or array.shape[1] != self.n_var:
            raise setting_error(owner, "X", f"of shape [n, {self.n_var}]", np.shape(X))
        if array.dtype.kind not in "iu":
            try:
                unsafe = array.dtype == object
                numbers = array.astype(np.float64, casting="unsafe" if unsafe else "same_kind")
            except (TypeError, ValueError):
                raise setting_error(owner, "X", "whole numbers", array.dtype) from None
            whole = np.isfinite(numbers) & (numbers == array) & (numbers == np.rint(numbers))
            if not whole.all():
                i, j = (int(value) for value in np.argwhere(~whole)[0])
                expected = f"whole numbers (see row {i}, column {j})"
                raise setting_error(owner, "X", expected, array[i, j].item())
            array = np.clip(numbers, -_FAR, _FAR)
        rows: Ints = array.astype(np.int64, copy=False)
        outside = np.argwhere((rows < self.xl) | (rows > self.xu))
        if len(outside):
            i, j = (int(value) for value in outside[0])
            span = f"from {self.xl[j]:g} to {self.xu[j]:g} in column {j} (see row {i})"
            raise setting_error(owner, "X", span, int(rows[i, j]))
        return rows

    def _row(self, x: ArrayLike) -> Ints:
        """Return one design as rows [1, n_var]."""
        if np.size(x) == self.n_var:
            return self._rows(np.reshape(x, (1, -1)))
        expected = f"one design, of shape ({self.n_var},)"
        raise setting_error(type(self).__name__, "x", expected, np.shape(x))

    def _by_name(self, F: Floats) -> dict[str, float]:
        """Return objectives [n_obj] by name."""
        return dict(zip(self.objective_names, F.tolist(), strict=True))

    def check(self, X: ArrayLike) -> None:
        """Check designs, [n, n_var] or [n_var]; the ValueError names the first illegal entry."""
        self._rows(X)

    def operators(self) -> dict[str, Operator]:
        """Return new sampling, crossover and mutation, for ``NSGA2(**problem.operators())``."""
        return {
            "sampling": StartSampling(),
            "crossover": LayerCrossover(),
            "mutation": MoveMutation(*self._mutation),
        }

    def sampled(self, n_samples: int, random_state: np.random.Generator) -> Ints:
        """Return `n_samples` designs: starts, and mixtures of two starts that were moved a little.

        Two thirds are starts if there are enough.
        """
        starts = self.starts()
        plain = self._some_starts(max(1, 2 * n_samples // 3))
        pairs = random_state.integers(0, len(starts), (2, n_samples - len(plain)))
        mixed = self.mixed(starts[pairs[0]], starts[pairs[1]], random_state)[0]
        return np.concatenate(
            (plain, self.moved(mixed, random_state, max_moves=self._sample_moves))
        )

    def _some_starts(self, most: int) -> Ints:
        """Return the starts, or `most` of them if there are more, [n, n_var]."""
        return evenly(self.starts(), most)

    def moved(self, X: Ints, random_state: np.random.Generator, *, max_moves: int = 1) -> Ints:
        """Return each row after 1 to `max_moves` legal moves, each number equally likely."""
        out = np.ascontiguousarray(X).copy()
        n_moves = random_state.integers(1, max_moves + 1, len(out))
        for i in range(max_moves):
            self._move(out, np.flatnonzero(n_moves > i), random_state)
        return out

    def neighbors_many(self, X: ArrayLike, k: int, random_state: np.random.Generator) -> Ints:
        """Return `k` designs one move away from each row of X, [n, k, n_var].

        If a problem has a single design, this design is returned.
        """
        check_int("neighbors_many", "k", k, 1)
        check_random_state("neighbors_many", random_state)
        rows = self._rows(X)
        return self.moved(np.repeat(rows, k, axis=0), random_state).reshape(-1, k, self.n_var)

    @abstractmethod
    def _move(self, X: Ints, chosen: Ints, random_state: np.random.Generator) -> None:
        """Make one move in each row whose index is in `chosen`; change X in place."""

    @abstractmethod
    def mixed(self, A: Ints, B: Ints, random_state: np.random.Generator) -> tuple[Ints, Ints]:
        """Return two recombinations of each pair of rows of A and B, both [n, n_var]."""

    @abstractmethod
    def starts(self) -> Ints:
        """Return the designs that an engineer would try first, [n, n_var]."""


def evenly(rows: Ints, most: int) -> Ints:
    """Return the rows, or `most` of them, evenly spaced, if there are more."""
    n = min(len(rows), most)
    return rows[np.linspace(0, len(rows) - 1, n).round().astype(np.int64)]


def exchanged(A: Ints, B: Ints, swap: ArrayLike) -> tuple[Ints, Ints]:
    """Return A and B with their entries exchanged where `swap` is true."""
    return np.where(swap, B, A), np.where(swap, A, B)


def check_judged(owner: str, decide: Sequence[str], judged: bool, advice: str) -> None:
    """Raise a ValueError if gates are to be decided, and nothing counts what they lose.

    Every design would drop as many choices as it can. `judged` tells whether something counts it.
    """
    if "gates" in decide and not judged:
        expected = f"without 'gates', since nothing counts what they lose ({advice})"
        raise setting_error(owner, "decide", expected, list(decide))


def as_windows(
    trace: RoutingTrace | Sequence[RoutingTrace],
    owner: str,
    *,
    tokens: bool = True,
    name: str = "trace",
) -> list[RoutingTrace]:
    """Return one trace, or several of the same model, as a list.

    Parameters
    ----------
    trace : RoutingTrace or sequence of RoutingTrace
        Windows or domains of the traffic.
    owner : str
        Class whose parameter it is, for messages.
    tokens : bool
        Whether the choices of each token are needed, so that load-only traces are refused.
    name : str
        The parameter, for messages.

    Raises
    ------
    ValueError
        If there is no trace, the traces are of different models, or tokens are missing.
    """
    listed = [trace] if isinstance(trace, RoutingTrace) else trace
    several = isinstance(listed, Sequence) and len(listed) > 0
    if not several or not all(isinstance(item, RoutingTrace) for item in listed):
        raise setting_error(owner, name, "a RoutingTrace or a sequence of them", trace)
    listed = list(listed)
    size = (listed[0].n_layers, listed[0].n_experts)
    for item in listed:
        if (item.n_layers, item.n_experts) != size:
            raise setting_error(
                owner,
                name,
                f"of one model, {size} layers and experts (see {item.source!r})",
                (item.n_layers, item.n_experts),
            )
        if tokens and item.is_load_only:
            raise setting_error(
                owner,
                name,
                "a trace of each token's choices (SGLang: mode per_token), not of loads only",
                item.source,
            )
    return listed


def aggregated(values: Floats, aggregate: str) -> Floats:
    """Return the mean or the largest of minimized values over windows, which are the first axis."""
    return values.mean(axis=0) if aggregate == "mean" else values.max(axis=0)


def checked_front(F: ArrayLike, n_obj: int, owner: str) -> Floats:
    """Return F as floats [n, n_obj], or raise if it has another shape or no rows."""
    array = np.asarray(F, dtype=float)
    if array.ndim != 2 or array.shape[1] != n_obj or len(array) == 0:
        raise setting_error(owner, "F", f"of shape [n, {n_obj}]", array.shape)
    return array
