"""VS-RLS: randomized local search on an archive, with steps that become smaller during the run."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from pymoo.core.population import Population

from moela._arrays import Designs, Floats, Ints, rows
from moela._checks import count, require
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.origin import set_origin
from moela.core.parameters import AlgorithmParameters
from moela.evaluation.termination import evaluation_budget
from moela.rivals.common import STEP_LOG10, restarts

# Evaluations over which steps become smaller if neither `horizon` nor a termination says.
_HORIZON = 10_000
# Further moves after which a duplicate is given up.
_MOVES = 8


class VSRLS(ArchiveAlgorithm):
    """Randomized local search with a variable step size (VS-RLS).

    The search keeps an archive of all non-dominated designs. It draws an archived design at
    random, changes it by a number of elementary moves, and adds the result to the archive unless a
    design there dominates it. The number of moves, the step size, is drawn uniformly from 1 to a
    threshold. The threshold is the number of variables at first (exploration), and then falls to 1
    (exploitation). There is no population, no selection, and no model.

    An elementary move is one of the problem's own `neighbors`, such as the exchange of two
    facilities or the flip of a bit, else a move by the type of variables.

    The published text says: the archive, the random choice from it, a threshold equal to the number
    of variables during exploration, and smaller steps later. Assumed here, since our sources do not
    say more:

    - Step sizes up to the threshold are equally likely.
    - After a tenth of the run, the threshold falls geometrically, and is 1 after three tenths. On
      random QAPs, knapsacks and MNK-landscapes, this was better in trials than falling until the
      end, and as good as falling at once.
    - The search starts from `n_init` designs. Until the first feasible design, the archive holds
      the designs of least constraint violation.
    - Duplicates are moved on and not evaluated again.
    - `batch_size` designs are requested at once, so that they can be evaluated in parallel; with
      `batch_size=1` each evaluation may change the archive before the next design is made.

    Parameters
    ----------
    n_init : int
        Number of initial designs.
    exploration : float
        Fraction of the run in which steps may be as long as the number of variables.
    decline : float
        Fraction of the run in which the threshold then falls to 1.
    horizon : int or None
        Number of evaluations that count as the run. None uses the progress that the termination
        reports, in evaluations, time or generations, or 10,000 evaluations without a termination.
    batch_size : int
        Number of designs requested at once.
    archive_size : int or None
        Bound on the archive; None keeps every non-dominated design, as published.
    **kwargs
        `sampling`, `crossover`, `mutation`, `repair`, and the parameters of pymoo's `Algorithm`.

    References
    ----------
    X. Ren, M. Wang, G. Dai, Z. Liang, Q. Liu, S. Yang, M. Li. "Variable Search Stepsize for
    Randomized Local Search in Multi-Objective Combinatorial Optimization." 2026, arXiv 2602.05675.

    Examples
    --------
    >>> from pymoo.optimize import minimize
    >>> from moela.rivals import VSRLS
    >>> from problems import MultiObjectiveKnapsack
    >>> problem = MultiObjectiveKnapsack.random(n_items=30, seed=1)
    >>> res = minimize(problem, VSRLS(), ("n_eval", 1000), seed=1)
    >>> res.algorithm.n_eval
    1000
    """

    def __init__(
        self,
        *,
        n_init: int = 50,
        exploration: float = 0.1,
        decline: float = 0.2,
        horizon: int | None = None,
        batch_size: int = 10,
        archive_size: int | None = None,
        **kwargs: Unpack[AlgorithmParameters],
    ) -> None:
        super().__init__(n_init=n_init, archive_size=archive_size, **kwargs)
        for name, value in (("exploration", exploration), ("decline", decline)):
            require("VSRLS", name, value, 0.0 <= value <= 1.0, "between 0 and 1")
        self.exploration, self.decline = float(exploration), float(decline)
        self.horizon = None if horizon is None else count("VSRLS", "horizon", horizon)
        self.batch_size = count("VSRLS", "batch_size", batch_size)

    @property
    def threshold(self) -> int:
        """Largest number of elementary moves of a step now."""
        over = self._progress() - self.exploration
        if over <= 0.0:
            return int(self.problem.n_var)
        left = 1.0 - over / self.decline if over < self.decline else 0.0
        return int(self.problem.n_var**left + 1e-9)

    def _progress(self) -> float:
        """Return the fraction of the run that is over."""
        # Counted here, since with ask and tell the termination may not see the evaluations.
        budget = self.horizon or evaluation_budget(self.termination)
        if budget is not None:
            return self.n_answered / budget
        # A termination without a limit reports no progress.
        return float(self.termination.perc) or self.n_answered / _HORIZON

    def _ask(self) -> Population:
        rng = self.random_state
        chosen = rng.integers(len(self.front), size=self.batch_size)
        n_moves = rng.integers(1, self.threshold + 1, self.batch_size)
        X = self._moved(rows([self.front.pop[i].X for i in chosen]), n_moves)
        new = self.context.duplicates.claim(X)
        for _ in range(_MOVES):
            if new.all():
                break
            X[~new] = self._moved(X[~new], np.ones(int((~new).sum()), dtype=np.int64))
            new[~new] = self.context.duplicates.claim(X[~new])
        if not new.any():
            return restarts(self, self.batch_size)
        pop = Population.new("X", X[new])
        set_origin(pop, part="search")
        return pop

    def _moved(self, X: Designs, n_moves: Ints) -> Designs:
        """Return designs [b] after this number of elementary moves of each [b]."""
        X, n_moves = X.copy(), n_moves.copy()
        while (n_moves > 0).any():
            moving = n_moves > 0
            X[moving] = self.context.neighbors(X[moving], 1, self._steps(int(moving.sum())))[:, 0]
            n_moves -= 1
        return X

    def _steps(self, n: int) -> Floats:
        """Draw the sizes of n moves of real variables, as fractions of their range."""
        return 10.0 ** self.random_state.uniform(*STEP_LOG10, n)
