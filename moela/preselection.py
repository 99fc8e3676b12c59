"""Which of many children is worth an evaluation, by what a learned model says of them."""

from __future__ import annotations

import numpy as np

from moela.archive import Bools, Floats
from moela.mating import Credit, Ints
from moela.surrogate import Surrogate

_FLOOR = 0.1


class Preselection:
    """Picks children by a surrogate, as often as that turns out to pay.

    Parameters
    ----------
    surrogate : Surrogate
    n_each : int
        Children of the same parents, made in the same way, of which one is picked.

    Attributes
    ----------
    credit : Credit
        What children that were picked have brought (the second) against others (the first).
    """

    def __init__(self, surrogate: Surrogate, n_each: int = 50) -> None:
        self.surrogate, self.n_each = surrogate, n_each
        self.credit = Credit([0.5, 0.5], floor=_FLOOR)

    @property
    def ready(self) -> bool:
        """Whether there is a model to pick by."""
        return self.surrogate.ready

    def draw(self, n: int, random_state: np.random.Generator) -> Bools:
        """Draw for which of n homes children are picked rather than made once, [n]."""
        return np.asarray(random_state.random(n) < self.credit.probabilities[1])

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

    def learn(self, picked: Bools, rewards: Floats) -> None:
        """Learn what children [b] have brought, rewards in [0, 1], picked ones and others."""
        if self.ready:
            self.credit.add(picked.astype(np.int64), rewards)
