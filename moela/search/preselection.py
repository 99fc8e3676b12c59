"""What a surrogate does for evolution: it picks one child of many, or evolves them by itself."""

from __future__ import annotations

import numpy as np

from moela._arrays import Bools, Floats, Ints, rows
from moela.core.decomposition import Subproblems
from moela.core.scaling import Frame, scalarize
from moela.learning.surrogate import Surrogate
from moela.search.operator_selection import Credit
from moela.search.real_mating import RealMating

MADE, PICKED, EVOLVED = range(3)
_FLOOR = 0.1
# Children of the same parents of which one is picked; and, in evolution on the surrogate alone,
# children of a home in each generation, generations, and how often their parents are neighbors.
_N_EACH, _N_BRED, _N_GENERATIONS, _PROB_NEAR = 50, 4, 20, 0.9


class Assistance:
    """Chooses children by a surrogate, in the ways that turn out to pay.

    - *made*: the first child that is made, without a look at the model;
    - *picked*: of many children made in the same way, the one that it finds best;
    - *evolved*: what comes out where the members of the sub-problems go on for some generations
      on what the model says, before anything is evaluated.

    The further the model is followed, the more is gained where it is right, and lost where it is
    not; the running share of improvement decides, as it does on ways of mating (cf. Jin 2011,
    "Surrogate-assisted evolutionary computation: recent advances and future challenges", Swarm and
    Evolutionary Computation 1(2), on pre-selection and on generation-based control).

    Parameters
    ----------
    surrogate : Surrogate

    Attributes
    ----------
    n_each : int
        Children made for one that is picked.
    credit : Credit
        What children have brought, by how they were chosen, an index into `WAYS`.
    """

    WAYS = ("made", "picked", "evolved")

    def __init__(self, surrogate: Surrogate) -> None:
        self.surrogate = surrogate
        self.n_each = _N_EACH
        self.credit = Credit([0.5] * len(self.WAYS), floor=_FLOOR)

    @property
    def ready(self) -> bool:
        """Whether there is a model to go by."""
        return self.surrogate.ready

    def draw(self, n: int, random_state: np.random.Generator) -> Ints:
        """Draw how each of n children is chosen, [n] indices into `WAYS`."""
        if not self.ready:
            return np.full(n, MADE)
        return random_state.choice(len(self.WAYS), n, p=self.credit.probabilities)

    def learn(self, ways: Ints, rewards: Floats) -> None:
        """Learn what children [b] have brought, rewards in [0, 1], that were chosen these ways."""
        if self.ready:
            self.credit.add(ways, rewards)

    def pick(self, gain: Floats, CV: Floats) -> Ints:
        """Pick of each row [n, n_each] the one of least violation CV, then of largest gain.

        Returns
        -------
        int array, [n]
            Which of all n * n_each, row after row.
        """
        n, k = gain.shape
        order = np.lexsort((-gain, CV), axis=1)
        return np.arange(n) * k + order[:, 0]

    def evolve(
        self,
        sub: Subproblems,
        mating: RealMating,
        bounds: tuple[Floats, Floats],
        frame: Frame,
        random_state: np.random.Generator,
    ) -> tuple[Floats, Ints, Bools]:
        """Let the members of all N sub-problems go on for some generations on the model.

        A child replaces the member, near its home, of the sub-problem that it suits best, if the
        model finds it better there, feasibility first.

        Returns
        -------
        X : float array, [N, n_var]
            What the members have become, unevaluated.
        way : int array, [N]
            The way of mating that made each last.
        changed : bool array, [N]
            Which of them are not what they were.
        """
        rng, n = random_state, len(sub)
        X = rows([ind.X for ind in sub.pop]).astype(float)
        way, changed = np.full(n, -1), np.zeros(n, dtype=bool)
        # Members, too, count as what the model says of them: it may be off everywhere alike.
        here, CV = self.surrogate.predict(X)
        # A design that is the ideal would be best for all weights, whatever the model promises.
        frame = frame.reaching(here)
        homes = np.arange(n).repeat(_N_BRED)
        near = sub.B[homes]
        for _ in range(_N_GENERATIONS):
            around = rng.integers(0, near.shape[1], (len(homes), mating.n_parents))
            partners = np.take_along_axis(near, around, axis=1)
            anywhere = rng.random(len(homes)) >= _PROB_NEAR
            partners[anywhere] = rng.integers(0, n, (int(anywhere.sum()), mating.n_parents))
            made, made_by = mating.children(X[homes], X[partners], *bounds, rng, _N_BRED)
            F, broken = self.surrogate.predict(made)
            frame = frame.reaching(F[broken <= CV.max()])
            value = scalarize(frame.scale(here), sub.W, sub.by)
            values = scalarize(frame.scale(F)[:, None], sub.W[near], sub.by)
            suits = values.argmin(axis=1)
            to, new = near[np.arange(len(homes)), suits], values.min(axis=1)
            # The best child for each comes first in this order.
            order = np.lexsort((new, broken, to))
            _, first = np.unique(to[order], return_index=True)
            best = order[first]
            at = to[best]
            wins = (broken[best] < CV[at]) | ((broken[best] == CV[at]) & (new[best] < value[at]))
            at, best = at[wins], best[wins]
            X[at], here[at], CV[at], way[at] = made[best], F[best], broken[best], made_by[best]
            changed[at] = True
        return X, way, changed
