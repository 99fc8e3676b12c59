"""Designs whose third differences tell whether objectives may be sums over pairs of items.

Items are divided into four groups, each with two arrangements at its places. A pair of items
belongs to two groups at most. So the third differences of a sum over pairs, also with costs of
items at places, are 0: how one group's arrangement changes the effect of another one's does not
depend on a third group.
"""

from __future__ import annotations

import numpy as np

from moela._arrays import Bools, Floats, Ints
from moela.learning.sums.terms import EXACT

_N_GROUPS = 4
LEAST_ITEMS = 2 * _N_GROUPS
# Random choices of groups and arrangements until one has nothing unusual about it.
_N_CHOICES = 50
# Growth of the number of designs after which designs that were not answered are awaited no longer.
_GROWTH = 1.18
# Mean square of third differences of a sum with an error, relative to the square of that error,
# and a margin.
_DIFFERENCES, _MARGIN = 8.0, 10.0


class SumTest:
    """The test whether objectives may be sums: asks for designs once, and looks at their answers.

    Parameters
    ----------
    m : int
        Number of items.
    seed : int
    wanted : bool
        Whether anybody evaluates the designs. With fewer than eight items, there are none.

    Attributes
    ----------
    pending : bool
        Whether the test is still to come.
    passed : bool
        Whether it has shown that all objectives are sums.
    """

    def __init__(self, m: int, seed: int, *, wanted: bool) -> None:
        self.m, self.seed = m, seed
        self.pending, self.passed = wanted and m >= LEAST_ITEMS, False
        self._awaited: Ints | None = None
        self._n_most = np.inf  # designs from which on answers are awaited no longer

    @property
    def ready(self) -> bool:
        """Whether `designs` has not been called yet."""
        return self.pending and self._awaited is None

    @property
    def awaits(self) -> bool:
        """Whether answers to the designs are still to come."""
        return self.pending and self._awaited is not None

    def designs(self, places: Ints, n: int) -> Ints | None:
        """Return places [16, m] to evaluate, or None if there are no such designs.

        These are the places [b, m] of evaluated designs, the newest of n in all.
        """
        self._awaited = combined(places, np.random.default_rng([self.seed, self.m]))
        self.pending = self._awaited is not None
        self._n_most = n * _GROWTH
        return self._awaited

    def refuted(self, places: Ints, F: Floats, n: int) -> Bools | None:
        """Mark the objectives that are no sums, [M], once all designs are answered.

        These are the places [b, m] and objectives [b, M] of evaluated designs, the newest of n.
        """
        assert self._awaited is not None
        row_of = {row.tobytes(): i for i, row in enumerate(places)}
        found = [row_of.get(row.tobytes()) for row in self._awaited]
        known = [i for i in found if i is not None]
        if len(known) == len(found) and np.isfinite(F).all():
            refuted = ~may_be_sums(F[known], F.var(axis=0))
            self.pending, self.passed = False, not refuted.any()
            return refuted
        self.pending = n < self._n_most  # else some were not answered
        return None


def combined(places: Ints, rng: np.random.Generator) -> Ints | None:
    """Return designs [16, m] with all combinations of two arrangements of four groups of items.

    Each item is where it has been in one of the evaluated designs with places [n, m], after an item
    that it has been after, and each pair of items is in an order in which it has been: other
    designs might break a rule of the problem. Returns None if no such designs are found.
    """
    m = places.shape[1]
    evaluated = {row.tobytes() for row in np.ascontiguousarray(places)}
    usual = _Usual(places)
    for _ in range(_N_CHOICES):
        first = rng.permutation(m)
        found = np.tile(first, (2**_N_GROUPS, 1))
        for k, group in enumerate(np.array_split(rng.permutation(m), _N_GROUPS)):
            # No item stays where it is.
            shifted = rng.permutation(group)
            other = first.copy()
            other[shifted] = first[np.roll(shifted, 1)]
            rows = (np.arange(len(found)) >> (_N_GROUPS - 1 - k)) % 2 == 1
            found[np.ix_(rows, group)] = other[group]
        if usual.all(found) and not any(row.tobytes() in evaluated for row in found):
            return found
    return None


class _Usual:
    """Places, predecessors and orders of items in designs with places [n, m]."""

    def __init__(self, places: Ints) -> None:
        m = places.shape[1]
        self.at, self.after, self.before = np.zeros((3, m, m), dtype=bool)
        self.at[np.arange(m), places] = True
        items = places.argsort(axis=1)
        self.after[items[:, :-1], items[:, 1:]] = True
        for item in range(m):
            self.before[item] = (places[:, [item]] < places).any(axis=0)

    def all(self, places: Ints) -> bool:
        """Return whether there is nothing in designs with places [b, m] that was in none."""
        m = places.shape[1]
        items = places.argsort(axis=1)
        first, second = np.triu_indices(m, 1)
        return bool(
            self.at[np.arange(m), places].all()
            and self.after[items[:, :-1], items[:, 1:]].all()
            and self.before[items[:, first], items[:, second]].all()
        )


def may_be_sums(F: Floats, variance: Floats) -> Bools:
    """Mark the objectives F [16, M] of designs by `combined` that may be sums over pairs, [M].

    The variances [M] are those of the objectives of many designs.
    """
    by_group = F.reshape((2,) * _N_GROUPS + (-1,))
    thirds = []
    for left_out in range(_N_GROUPS):
        differences = by_group
        for axis in set(range(_N_GROUPS)) - {left_out}:
            differences = np.diff(differences, axis=axis)
        thirds.append(differences.reshape(2, -1))
    square = (np.concatenate(thirds) ** 2).mean(axis=0)
    return np.asarray(square <= _MARGIN * _DIFFERENCES * EXACT * variance)
