"""Operators on permutations in which positions matter: sampling, crossover, mutation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.sampling import Sampling

from problems._arrays import Ints

__all__ = ["CycleCrossover", "ExchangeMutation", "PermutationSampling"]


class PermutationSampling(Sampling):
    """Uniformly random permutations of 0..n_var-1."""

    def _do(
        self, problem: Any, n_samples: int, *args: Any, random_state: Any = None, **kwargs: Any
    ) -> Ints:
        rows = np.tile(np.arange(problem.n_var), (n_samples, 1))
        return np.asarray(random_state.permuted(rows, axis=1))


@njit(cache=True, nogil=True)
def _cycle_children(parents, uniforms, out):  # type: ignore[no-untyped-def]
    _, rows, n = parents.shape
    where = np.empty(n, dtype=np.int64)
    done = np.empty(n, dtype=np.bool_)
    for r in range(rows):
        for i in range(n):
            where[parents[0, r, i]] = i
        done[:] = False
        for start in range(n):
            source = 0 if uniforms[r, start] < 0.5 else 1
            i = start
            while not done[i]:
                done[i] = True
                out[0, r, i] = parents[source, r, i]
                out[1, r, i] = parents[1 - source, r, i]
                i = where[parents[1, r, i]]


class CycleCrossover(Crossover):
    """Every position of a child comes from one of its parents, so what they share stays.

    The cycle crossover of Oliver, Smith and Holland (1987), each cycle at random: the positions
    fall into cycles inside which the parents hold the same values; each cycle goes to the first
    child from a random parent, and to the second child from the other.
    """

    def __init__(self, prob: float = 1.0) -> None:
        super().__init__(2, 2, prob=prob)

    def _do(
        self, problem: Any, X: Ints, *args: Any, random_state: Any = None, **kwargs: Any
    ) -> Ints:
        parents = np.ascontiguousarray(X, dtype=np.int64)
        out = np.empty_like(parents)
        _cycle_children(parents, random_state.random(parents.shape[1:]), out)
        return out


@njit(cache=True, nogil=True)
def _exchange(X, counts, uniforms, out):  # type: ignore[no-untyped-def]
    rows, n = X.shape
    for r in range(rows):
        out[r] = X[r]
        for c in range(counts[r]):
            i = int(uniforms[r, c, 0] * n)
            j = (i + 1 + int(uniforms[r, c, 1] * (n - 1))) % n
            out[r, i], out[r, j] = out[r, j], out[r, i]


class ExchangeMutation(Mutation):
    """Exchange the values of random pairs of positions.

    Parameters
    ----------
    prob : float
        Probability that a design is mutated at all.
    more : float
        After each exchange, the probability of one more (at most eight in all).
    """

    def __init__(self, prob: float = 1.0, more: float = 0.3) -> None:
        super().__init__(prob=prob)
        if not 0.0 <= more < 1.0:
            raise ValueError(
                "The 'more' parameter of ExchangeMutation must be at least 0 and below 1. "
                f"Got {more!r} instead."
            )
        self.more = more

    def _do(
        self, problem: Any, X: Ints, *args: Any, random_state: Any = None, **kwargs: Any
    ) -> Ints:
        X = np.ascontiguousarray(X, dtype=np.int64)
        counts = np.minimum(random_state.geometric(1.0 - self.more, size=len(X)), 8)
        out = np.empty_like(X)
        _exchange(X, counts, random_state.random((len(X), 8, 2)), out)
        return out
