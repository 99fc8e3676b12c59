"""Surrogate-assisted preselection of offspring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pymoo.core.problem import Problem

from moela._arrays import Bools, Floats, Ints
from moela._threads import one_thread
from moela.core.context import SearchContext
from moela.core.decomposition import Subproblems
from moela.core.operators import Operators
from moela.core.scaling import better
from moela.learning.models import Models
from moela.learning.surrogate import Surrogate
from moela.search.operator_selection import OperatorSelection
from moela.search.real_mating import RealMating, numbers

PLAIN, BEST, EVOLVED = range(3)
_P_MIN = 0.1
# Number of children of which the best is chosen.
_N_EACH = 30
# Members that were evolved on the surrogate and are used before all evolve anew.
_N_SERVED = 40
# Evolution on the surrogate: children of each sub-problem in a generation, generations, and the
# probability that a parent comes from the neighborhood.
_N_CHILDREN, _N_GENERATIONS, _PROB_NEIGHBORS = 4, 20, 0.9


@dataclass
class _Pool:
    """Evolved members X [N, n_var] of which those `waiting` [N] can be used."""

    X: Floats
    operator: Ints
    waiting: Bools
    n_fits: int
    n_left: int = _N_SERVED


class Preselection:
    """Chooses offspring by surrogate predictions, with whichever strategy pays.

    - *plain*: the first child, without the surrogate;
    - *best*: of many children made in the same way, the one with the best prediction;
    - *evolved*: the result of evolving the sub-problems' members for several generations on
      surrogate predictions only.

    The more a strategy relies on the surrogate, the more it gains if the predictions are right, and
    loses if not. Their rewards, the mean improvements by their children, decide how often each is
    used (cf. Jin 2011, "Surrogate-assisted evolutionary computation: recent advances and future
    challenges", Swarm and Evolutionary Computation 1(2), on pre-selection and on generation-based
    control).
    """

    STRATEGIES = ("plain", "best", "evolved")

    def __init__(self, surrogate: Surrogate) -> None:
        self.surrogate = surrogate
        self.n_each = _N_EACH
        self._pool: _Pool | None = None
        self.selection = OperatorSelection([0.5] * len(self.STRATEGIES), p_min=_P_MIN)

    @property
    def ready(self) -> bool:
        """Whether the surrogate can be used."""
        return self.surrogate.ready

    def draw(self, n: int, random_state: np.random.Generator) -> Ints:
        """Draw the strategies of n children, as indices into `STRATEGIES`, [n]."""
        if not self.ready:
            return np.full(n, PLAIN)
        return self.selection.draw(n, random_state)

    def learn(self, strategies: Ints, rewards: Floats) -> None:
        """Update the selection with the rewards, in [0, 1], of children chosen so [b]."""
        if self.ready:
            self.selection.update(strategies, rewards)

    def pick(self, gain: Floats, CV: Floats) -> Ints:
        """Pick from each row [n, n_each] the least violation CV, then the largest gain.

        Returns indices into all n * n_each, row after row: [n].
        """
        n, k = gain.shape
        order = np.lexsort((-gain, CV), axis=1)
        return np.arange(n) * k + order[:, 0]

    def evolved(
        self, subproblems: Ints, sub: Subproblems, mating: RealMating, context: SearchContext
    ) -> tuple[Floats, Ints, Ints]:
        """Return evolved members [b, n_var], mating operators and sub-problems for some of these.

        Members of all sub-problems evolve at once, so those that are not asked for are kept until
        `_N_SERVED` have been used or the surrogate is fitted again. A sub-problem whose evolved
        member was used or did not change gives its place to another one.
        """
        pool = self._pool
        if pool is None or pool.n_fits != self.surrogate.n_fits or pool.n_left < len(subproblems):
            pool = self._pool = _Pool(*self.evolve(sub, mating, context), self.surrogate.n_fits)
        waiting = pool.waiting[subproblems]
        others = np.setdiff1d(np.flatnonzero(pool.waiting), subproblems)
        n_others = min(int((~waiting).sum()), len(others))
        at = np.concatenate(
            [
                subproblems[waiting],
                context.random_state.choice(others, n_others, replace=False),
            ]
        ).astype(np.int64)
        pool.waiting[at] = False
        pool.n_left -= len(at)
        return pool.X[at], pool.operator[at], at

    def evolve(
        self, sub: Subproblems, mating: RealMating, context: SearchContext
    ) -> tuple[Floats, Ints, Bools]:
        """Evolve the members of all N sub-problems for some generations on the surrogate.

        A child replaces the member of the neighboring sub-problem that it suits best, if the
        surrogate predicts it to be better there, feasibility first. Returns the evolved members
        [N, n_var], the mating operator that made each last, and which differ from the members.
        """
        X = numbers(sub.pop)
        with one_thread():
            return self._evolve(X, sub, mating, context)

    def _evolve(
        self, X: Floats, sub: Subproblems, mating: RealMating, context: SearchContext
    ) -> tuple[Floats, Ints, Bools]:
        """Do as `evolve` does, from members X [N, n_var]."""
        rng, n = context.random_state, len(sub)
        xl, xu = context.problem.xl, context.problem.xu
        operator, changed = np.full(n, -1), np.zeros(n, dtype=bool)
        # Members count with their predictions, too: these may have the same error everywhere.
        F, CV = self.surrogate.predict(X)
        # A design at the ideal would be best for all weights, so the ideal covers predictions.
        normalization = context.normalization.with_ideal_of(F)
        subproblems = np.arange(n).repeat(_N_CHILDREN)
        near = sub.B[subproblems]
        each = np.arange(len(subproblems))
        for _ in range(_N_GENERATIONS):
            around = rng.integers(0, near.shape[1], (len(near), mating.n_partners))
            partners = np.take_along_axis(near, around, axis=1)
            anywhere = rng.random(len(near)) >= _PROB_NEIGHBORS
            partners[anywhere] = rng.integers(0, n, (int(anywhere.sum()), mating.n_partners))
            children, made_by = mating.children(
                X[subproblems], X[partners], xl, xu, rng, _N_CHILDREN
            )
            new_F, new_CV = self.surrogate.predict(children)
            normalization = normalization.with_ideal_of(new_F[new_CV <= CV.max()])
            incumbent = normalization.scalarize(F, sub.W, sub.by)
            values = normalization.scalarize(new_F[:, None], sub.W[near], sub.by)
            suits = values.argmin(axis=1)
            target, value = near[each, suits], values.min(axis=1)
            # The best child for each sub-problem comes first in this order.
            order = np.lexsort((value, new_CV, target))
            _, first = np.unique(target[order], return_index=True)
            best = order[first]
            at = target[best]
            wins = better(new_CV[best], value[best], CV[at], incumbent[at])
            at, best = at[wins], best[wins]
            X[at], F[at], CV[at] = children[best], new_F[best], new_CV[best]
            operator[at], changed[at] = made_by[best], True
        return X, operator, changed


def preselection_for(
    problem: Problem, operators: Operators, models: Models, *, few: bool
) -> Preselection | None:
    """Return the preselection of a run, or None if it has none; `few` marks a short run."""
    if not (models.surrogate_size and operators.default_real):
        return None
    codes = operators.codes
    # With constraints, the children most likely feasible are worth more.
    lenient = (few or len(codes.labels) > 0) and not problem.has_constraints()
    size = models.surrogate_size
    return Preselection(Surrogate(problem.xl, problem.xu, size, lenient=lenient, codes=codes))
