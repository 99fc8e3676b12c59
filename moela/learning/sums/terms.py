"""Sums over pairs of items and over items, and those with a known matrix of places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moela._arrays import Floats, Ints
from moela.core.kernels.pairs import Singles
from moela.learning.sums.regression import ridge, scaled

# A fit that leaves less than this share of the variance is exact but for rounding.
EXACT = 1e-6
# Designs per unknown if the matrix of places is known, and what is added to the diagonal then.
_PER_UNKNOWN, _TINY = 1.3, 1e-10


@dataclass(frozen=True)
class Terms:
    """An objective as a sum of A[i, j] B[p_i, p_j] over pairs of items, and C[i, p_i] over items.

    All are [m, m]. If the sum over pairs is not `directed`, A and B are symmetric, and each pair
    counts once. `left` is the share of the variance that is left unexplained. `factors` are the
    values [pairs] of A and of B that a fit has found, which another objective may share.
    """

    A: Floats
    B: Floats
    C: Floats
    directed: bool
    left: float
    factors: tuple[Singles, Singles] | None = None

    @property
    def exact(self) -> bool:
        """Whether nothing but rounding is left."""
        return self.left < EXACT

    @classmethod
    def none(cls, m: int) -> Terms:
        """Return the terms of an objective of which nothing is known."""
        zeros = np.zeros((m, m))
        return cls(zeros, zeros, zeros, False, 1.0)


@dataclass(frozen=True)
class Structure:
    """A matrix B [m, m] of places, and the pairs of items [2, c] whose values are to be found.

    Without B, `pairs` are an item and a place each, and there are only costs of items at places.
    """

    B: Floats | None
    pairs: Ints
    directed: bool

    @property
    def n_needed(self) -> float:
        """Number of designs from which on a fit that is exact is no coincidence."""
        return _PER_UNKNOWN * self.pairs.shape[1]

    def fitted(self, places: Ints, F: Floats) -> list[Terms | None]:
        """Return what fits each of the objectives F [n, M] exactly, or None."""
        first, second = self.pairs
        if self.B is None:
            columns = (places[:, first] == second).astype(float)
        else:
            columns = self.B[places[:, first], places[:, second]]
        unit, targets = scaled(F)
        found = ridge(columns, targets, _TINY)
        left = (targets - columns @ found).var(axis=0)
        out: list[Terms | None] = []
        for values, scale, rest in zip(found.T, unit, left, strict=True):
            A = np.zeros((places.shape[1], places.shape[1]))
            A[first, second] = scale * values
            out.append(self._terms(A, float(rest)) if rest < EXACT else None)
        return out

    def _terms(self, A: Floats, left: float) -> Terms:
        zeros = np.zeros_like(A)
        if self.B is None:
            return Terms(zeros, zeros, A, False, left)
        return Terms(A if self.directed else A + A.T, self.B, zeros, self.directed, left)


def structures(m: int) -> list[Structure]:
    """Return the structures that are tried, those of the fewest unknowns first.

    They are tours and their parts, arrangements in a row, linear orderings, linear assignments, and
    sequences with changeovers.
    """
    place = np.arange(m)
    ahead = place - place[:, None]
    next_, ring = ahead == 1, ahead == 1 - m
    pairs = np.array(np.triu_indices(m, 1))
    both = np.concatenate([pairs, pairs[::-1]], axis=1)
    either = next_ | next_.T
    return [
        Structure((either | ring | ring.T).astype(float), pairs, False),
        Structure(either.astype(float), pairs, False),
        Structure(1.0 * np.abs(ahead), pairs, False),
        Structure((ahead > 0).astype(float), pairs, True),
        Structure(None, np.array(np.divmod(np.arange(m * m), m)), False),
        Structure(next_.astype(float), both, True),
        Structure((next_ | ring).astype(float), both, True),
    ]
