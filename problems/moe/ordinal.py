"""Operators and moves on ladders: integers whose neighboring values mean nearly the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.sampling import Sampling

from problems._arrays import Ints
from problems.moe.base import MoEProblem

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "LadderCrossover",
    "LadderMutation",
    "LadderProblem",
    "LadderSampling",
    "Ladders",
    "climb",
]

_SINGLE, _TRADE = 0.55, 0.9


class LadderProblem(MoEProblem):
    """A problem whose variables are rungs of ladders, but for some that are names.

    Attributes
    ----------
    named : bool array [n_var]
        Variables whose values have no order.
    """

    named: NDArray[np.bool_]

    def repaired(self, X: Ints, random_state: np.random.Generator) -> Ints:
        """Return rows that keep the rules; by default X itself."""
        return X

    def operators(self) -> dict[str, Any]:
        """Return fresh sampling, crossover and mutation, as ``NSGA2(**problem.operators())``."""
        return {
            "sampling": LadderSampling(),
            "crossover": LadderCrossover(),
            "mutation": LadderMutation(),
        }

    def moved(self, X: Ints, random_state: np.random.Generator) -> Ints:
        """Return each row after one legal move, never the row itself."""
        out = self.repaired(climb(X, self, random_state), random_state)
        same = (out == X).all(axis=1)
        if same.any():
            # Only a rule can undo a move, and going down a rung never breaks one.
            out[same] = _step_down(X[same], self, random_state)
        return out

    def neighbors_many(self, X: ArrayLike, k: int, random_state: np.random.Generator) -> Ints:
        """Return k neighbors of each row of X, [n, k, n_var].

        Most go a rung or a few up or down one ladder; others go up one and down another, which
        trades between them, or move all ladders together.
        """
        rows = self._rows(X)
        return self.moved(np.repeat(rows, k, axis=0), random_state).reshape(len(rows), k, -1)


class Ladders(Protocol):
    """Bounds of integer variables, and which of them have no order."""

    @property
    def xl(self) -> Any:
        """Lowest values, [n_var]."""

    @property
    def xu(self) -> Any:
        """Highest values, [n_var]."""

    @property
    def named(self) -> NDArray[np.bool_]:
        """Variables without order, [n_var]."""


def _step_down(X: Ints, problem: Ladders, random_state: np.random.Generator) -> Ints:
    """Go down one rung somewhere; where all are at the bottom, change a name instead."""
    out = X.copy()
    can = (X > problem.xl) & ~problem.named
    can = np.where(can.any(axis=1, keepdims=True), can, problem.named & (problem.xu > problem.xl))
    at = np.where(can, random_state.random(X.shape), -1.0).argmax(axis=1)
    rows = np.arange(len(X))
    low, high = problem.xl.astype(np.int64)[at], problem.xu.astype(np.int64)[at]
    value = X[rows, at]
    out[rows, at] = np.where(value > low, value - 1, high)
    return out


def climb(X: Ints, problem: Ladders, random_state: np.random.Generator) -> Ints:
    """Return each row after one move within the bounds, [n, n_var]."""
    n = len(X)
    low, high = problem.xl.astype(np.int64), problem.xu.astype(np.int64)
    free = np.flatnonzero(high > low)
    ladders = free[~problem.named[free]]
    out = X.copy()
    rows = np.arange(n)
    kind = random_state.random(n)
    # One variable, or one up and another down.
    at = free[random_state.integers(0, len(free), n)]
    size = 1 + np.floor(random_state.exponential(0.8, n)).astype(np.int64)
    up = random_state.random(n) < 0.5
    up = np.where(X[rows, at] >= high[at], False, np.where(X[rows, at] <= low[at], True, up))
    stepped = X[rows, at] + np.where(up, size, -size)
    # A shift by 1 .. span modulo span + 1 is never the value itself.
    span = (high - low)[at]
    shift_by = 1 + np.floor(random_state.random(n) * span).astype(np.int64)
    others = low[at] + (X[rows, at] - low[at] + shift_by) % (span + 1)
    value = np.where(problem.named[at], others, np.clip(stepped, low[at], high[at]))
    out[rows, at] = value
    if len(ladders) > 1:
        trade = (kind >= _SINGLE) & (kind < _TRADE) & ~problem.named[at]
        partner = ladders[random_state.integers(0, len(ladders), n)]
        trade &= partner != at
        moved = np.clip(X[rows, partner] + np.where(up, -size, size), low[partner], high[partner])
        out[rows[trade], partner[trade]] = moved[trade]
        together = kind >= _TRADE
        shift = np.where(up, 1, -1)[:, None]
        shifted = np.clip(X[:, ladders] + shift, low[ladders], high[ladders])
        together &= (shifted != X[:, ladders]).any(axis=1)
        out[together] = X[together]
        out[np.ix_(together, ladders)] = shifted[together]
    return out


class LadderSampling(Sampling):
    """The problem's starts, evenly picked where there are more than wanted; then variations."""

    def _do(
        self,
        problem: LadderProblem,
        n_samples: int,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Ints:
        starts = problem.starts()
        # Half of the sample is varied, so that it spreads beyond what is uniform over the layers.
        n_plain = min(len(starts), (n_samples + 1) // 2)
        plain = starts[np.linspace(0, len(starts) - 1, n_plain).round().astype(np.int64)]
        n_varied = n_samples - n_plain
        base = starts[random_state.integers(0, len(starts), n_varied)]
        span = (problem.xu - problem.xl)[None]
        noise = np.rint(random_state.normal(size=base.shape) * 0.15 * span).astype(np.int64)
        noise[:, problem.named] = 0
        low, high = problem.xl.astype(np.int64), problem.xu.astype(np.int64)
        varied = problem.repaired(np.clip(base + noise, low, high), random_state)
        return np.concatenate((plain, varied))


class LadderCrossover(Crossover):
    """Children take each variable from one parent, or lie between them, half of the pairs each.

    Parameters
    ----------
    prob : float
        Chance that a pair is recombined at all.
    """

    def __init__(self, prob: float = 0.9, **kwargs: Any) -> None:
        super().__init__(2, 2, prob=prob, vtype=np.int64, **kwargs)

    def _do(
        self,
        problem: LadderProblem,
        X: Ints,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Ints:
        A, B = X[0].astype(np.int64), X[1].astype(np.int64)
        swap = random_state.random(A.shape) < 0.5
        children = np.stack((np.where(swap, B, A), np.where(swap, A, B)))
        share = random_state.random(len(A))[:, None]
        between = np.rint(np.stack((A + share * (B - A), B + share * (A - B)))).astype(np.int64)
        between[:, :, problem.named] = children[:, :, problem.named]
        blend = random_state.random(len(A)) < 0.5
        children[:, blend] = between[:, blend]
        flat = problem.repaired(children.reshape(-1, A.shape[1]), random_state)
        return flat.reshape(children.shape)


class LadderMutation(Mutation):
    """One or a few moves.

    Parameters
    ----------
    prob : float
        Chance that a design is mutated at all.
    max_moves : int
        Each mutated design gets 1 to ``max_moves`` moves, equally likely.
    """

    def __init__(self, prob: float = 0.8, max_moves: int = 3, **kwargs: Any) -> None:
        super().__init__(prob=prob, vtype=np.int64, **kwargs)
        if max_moves < 1:
            raise ValueError(
                f"The 'max_moves' parameter of LadderMutation must be >= 1. Got {max_moves} "
                "instead."
            )
        self.max_moves = int(max_moves)

    def _do(
        self,
        problem: LadderProblem,
        X: Ints,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Ints:
        out = X.astype(np.int64)
        moves = random_state.integers(1, self.max_moves + 1, len(out))
        for i in range(self.max_moves):
            due = moves > i
            if due.any():
                out[due] = problem.moved(out[due], random_state)
        return out
