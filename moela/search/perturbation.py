"""Where some searches begin instead of on an archived design: after a kick away from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import Floats, Ints, rows
from moela.core.archive import Archive
from moela.core.duplicates import Seen
from moela.core.operators import Operators
from moela.core.scaling import Frame
from moela.search.local_search import LocalSearches
from moela.search.operator_selection import Credit
from moela.search.starts import shortlist

# Moves of a kick: at most a fifth of the variables, and at most so many.
_MOST_MOVES = 10
# A kick has to show first that it pays.
_EXPECTED = (0.5, 0.05, 0.05)


class Kicks:
    """Takes some searches out of the basin of the archived design that they start from.

    There are two kinds of kick: a few *moves* at random, as in iterated local search, and a
    *crossing* with another archived design that is good for the weights of the search, as in
    genetic local search (Jaszkiewicz 2002, "Genetic local search for multi-objective combinatorial
    optimization", EJOR 137(1)). Each kind is used as often as it pays, at least once in twenty.

    Parameters
    ----------
    problem, operators, seen
        What is searched, its operators, and the designs asked for so far.
    used : bool
        Whether there are kicks at all.
    """

    KINDS = ("none", "moves", "crossing")

    def __init__(self, problem: Problem, operators: Operators, seen: Seen, *, used: bool) -> None:
        self.problem, self.operators, self.seen = problem, operators, seen
        self.used = used
        self.credit = Credit(_EXPECTED, floor=0.05, rate=0.1)

    def draw(self, n: int, random_state: np.random.Generator) -> Ints:
        """Draw the kind of kick, an index into `KINDS`, of n searches that start: [n]."""
        if not self.used:
            return np.zeros(n, dtype=np.int64)
        return random_state.choice(len(self.KINDS), n, p=self.credit.probabilities)

    def designs(
        self,
        searches: LocalSearches,
        front: Archive,
        frame: Frame,
        random_state: np.random.Generator,
    ) -> tuple[Ints, NDArray[Any]]:
        """Make the kicks that are still to be made.

        Returns
        -------
        at : int array, [b]
            Which of the running searches are kicked.
        X : array, [b, n_var] or [b] dictionaries
            Where that leads them, which counts as asked for from now on.
        """
        rng = random_state
        at = np.flatnonzero(searches.pending)
        X = searches.X[at]
        most = min(max(2, self.problem.n_var // 5), _MOST_MOVES)
        left = rng.integers(2, most + 1, len(at))
        crossing = searches.kick[at] == self.KINDS.index("crossing")
        if crossing.any():
            X[crossing] = self._children(searches, at[crossing], front, frame, rng)
            # What has been evaluated before is left by one move.
            left[crossing] = [key in self.seen for key in self.seen.keys(X[crossing])]
        while (left > 0).any():
            go = left > 0
            step = searches.step[at[go]]
            X[go] = self.operators.neighbors(self.problem, X[go], 1, rng, step)[:, 0]
            left -= 1
        self.seen.claim(X)
        return at, X

    def _children(
        self,
        searches: LocalSearches,
        at: Ints,
        front: Archive,
        frame: Frame,
        random_state: np.random.Generator,
    ) -> NDArray[Any]:
        """Cross the designs that these searches stand on with archived ones: [b, ...]."""
        b, rng = len(at), random_state
        members, _ = shortlist(front.F, frame, searches.W[at], searches.by)
        k = members.shape[1]
        column = rng.integers(0, k, (b, self.operators.n_parents - 1))
        # The design itself is among the best for its weights.
        first = front.pop[members[np.arange(b), column[:, 0]]]
        own = [a is b for a, b in zip(first, searches.pop[at], strict=True)]
        column[own, 0] = (column[own, 0] + 1) % k
        partners = np.take_along_axis(members, column, axis=1)
        pop = Population.create(*searches.pop[at], *front.pop[partners.ravel()])
        parents = np.column_stack([np.arange(b), b + np.arange(partners.size).reshape(b, -1)])
        return rows([ind.X for ind in self.operators.children(self.problem, pop, parents, rng)])

    def learn(self, kinds: Ints, entered: Floats) -> None:
        """Learn which share of their evaluations entered the archive: kinds [b], shares [b]."""
        self.credit.add(kinds, entered)
