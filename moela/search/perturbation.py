"""Perturbation of starting points, as in iterated local search."""

from __future__ import annotations

import numpy as np
from pymoo.core.population import Population

from moela._arrays import Designs, Floats, Ints, rows
from moela.core.archive import Archive
from moela.core.context import SearchContext
from moela.search.local_search import LocalSearches
from moela.search.operator_selection import OperatorSelection
from moela.search.starts import shortlist

# Moves of a perturbation: at most a fifth of the variables, and at most this many.
_MOST_MOVES = 10
# Initial qualities: a perturbation has to show first that it pays.
_QUALITY = (0.5, 0.05, 0.05)


class Perturbation:
    """Lets some local searches begin from a perturbed copy of an archived design.

    Perturbations leave the basin of attraction of the design. There are two kinds: a few random
    *moves*, as in iterated local search, and a *crossover* with another archived design that is
    good for the weights of the search, as in genetic local search (Jaszkiewicz 2002, "Genetic local
    search for multi-objective combinatorial optimization", EJOR 137(1)). Each kind, and none, is
    used according to its rewards, for at least 5 % of the searches.
    """

    KINDS = ("none", "moves", "crossover")

    def __init__(self, context: SearchContext, *, used: bool) -> None:
        self.context, self.used = context, used
        self.selection = OperatorSelection(_QUALITY, p_min=0.05, rate=0.1)

    def draw(self, n: int) -> Ints:
        """Draw the kind of perturbation, an index into `KINDS`, for n new searches: [n]."""
        if not self.used:
            return np.zeros(n, dtype=np.int64)
        return self.selection.draw(n, self.context.random_state)

    def perturb(self, searches: LocalSearches, front: Archive) -> tuple[Ints, Designs]:
        """Make the pending perturbations.

        Returns the positions [b] of the perturbed searches, and the perturbed designs [b], which
        count as asked for from now on.
        """
        context, rng = self.context, self.context.random_state
        at = np.flatnonzero(searches.pending)
        X = searches.X[at]
        most = min(max(2, context.problem.n_var // 5), _MOST_MOVES)
        n_moves = rng.integers(2, most + 1, len(at))
        crossed = searches.perturbation[at] == self.KINDS.index("crossover")
        if crossed.any():
            X[crossed] = self._crossover(searches, at[crossed], front)
            # A child that was asked for before makes one move more.
            known = context.duplicates
            n_moves[crossed] = [key in known for key in known.keys(X[crossed])]
        while (n_moves > 0).any():
            moving = n_moves > 0
            X[moving] = context.neighbors(X[moving], 1, searches.step[at[moving]])[:, 0]
            n_moves -= 1
        context.duplicates.claim(X)
        return at, X

    def _crossover(self, searches: LocalSearches, at: Ints, front: Archive) -> Designs:
        """Cross the incumbents of these searches with archived designs: [b, ...]."""
        b, context = len(at), self.context
        members, _ = shortlist(front, context.normalization, searches.W[at], searches.by)
        k = members.shape[1]
        column = context.random_state.integers(0, k, (b, context.operators.n_parents - 1))
        # The incumbent itself is among the best for its weights.
        first = front.individuals(members[np.arange(b), column[:, 0]])
        same = [a is b for a, b in zip(first, searches.pop[at], strict=True)]
        column[same, 0] = (column[same, 0] + 1) % k
        partners = np.take_along_axis(members, column, axis=1)
        pop = Population.create(*searches.pop[at], *front.individuals(partners.ravel()))
        parents = np.column_stack([np.arange(b), b + np.arange(partners.size).reshape(b, -1)])
        return rows([ind.X for ind in context.children(pop, parents)])

    def learn(self, kinds: Ints, entered: Floats) -> None:
        """Reward kinds [b] with the fraction of evaluations that entered the archive [b]."""
        self.selection.update(kinds, entered)
