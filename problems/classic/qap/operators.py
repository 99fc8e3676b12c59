"""Operators on permutations in which positions matter: sampling, crossover, mutation."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling

from moela.compilation.jit import cached_njit
from problems._arrays import Ints
from problems._checks import setting_error

__all__ = ["CycleCrossover", "ExchangeMutation", "PermutationSampling"]


class PermutationSampling(Sampling):
    """Uniformly random permutations of 0..n_var-1."""

    def _do(
        self, problem: Problem, n_samples: int, *, random_state: Generator, **kw: object
    ) -> Ints:
        return random_state.permuted(np.tile(np.arange(problem.n_var), (n_samples, 1)), axis=1)


@cached_njit(nogil=True)
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
    """Cycle crossover of Oliver, Smith and Holland (1987), with a random parent for each cycle.

    The positions fall into cycles within which the parents hold the same values. The first child
    takes each cycle from a random parent, the second child from the other. Every position of a
    child thus comes from one of its parents, and shared positions are kept.
    """

    def __init__(self, prob: float = 1.0) -> None:
        super().__init__(2, 2, prob=prob)

    def _do(self, problem: object, X: Ints, *, random_state: Generator, **kw: object) -> Ints:
        parents = np.ascontiguousarray(X, dtype=np.int64)
        out = np.empty_like(parents)
        _cycle_children(parents, random_state.random(parents.shape[1:]), out)
        return out


@cached_njit(nogil=True)
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
        Probability that a design is mutated.
    more : float
        Probability of another exchange after each, up to eight in total.
    """

    def __init__(self, prob: float = 1.0, more: float = 0.3) -> None:
        super().__init__(prob=prob)
        if not 0.0 <= more < 1.0:
            raise setting_error("ExchangeMutation", "more", "at least 0 and below 1", more)
        self.more = more

    def _do(self, problem: object, X: Ints, *, random_state: Generator, **kw: object) -> Ints:
        X = np.ascontiguousarray(X, dtype=np.int64)
        counts = np.minimum(random_state.geometric(1.0 - self.more, size=len(X)), 8)
        out = np.empty_like(X)
        _exchange(X, counts, random_state.random((len(X), 8, 2)), out)
        return out
