"""Candidate moves from where searches stand, and which of them are worth an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela.archive import Bools, Floats
from moela.base import rows
from moela.encode import encode
from moela.move_model import MoveModel
from moela.operators import Operators
from moela.seen import Seen


@dataclass
class Candidates:
    """Neighbours of n designs, k each.

    Attributes
    ----------
    X : array, [n, k, n_var] or [n, k] dictionaries
    features, moves : float arrays, [n, k, d]
        Features of each, and how they differ from those of the design it came from; d = 0 where
        nothing learns.
    change : float array, [n, k, M]
        Predicted change of the objectives; zero where there is no model to predict it.
    blind : bool array, [n]
        Designs whose move is drawn without looking at the prediction, to measure its skill.
    ranked : bool
        Whether there was a model to rank them.
    """

    X: NDArray[Any]
    features: Floats
    moves: Floats
    change: Floats
    blind: Bools
    ranked: bool


class Screen:
    """Proposes neighbours and picks those that a learned model ranks best.

    Parameters
    ----------
    problem, operators, seen
        What is searched, its moves, and the designs asked for so far, which are not picked again.
    model : MoveModel or None
    learns : bool
        Whether features are wanted although no move model is.
    n_candidates : int
        Neighbours that the model ranks for each one picked.
    prob_blind : float
        Share of the designs whose move is drawn blindly.
    """

    def __init__(
        self,
        problem: Problem,
        operators: Operators,
        seen: Seen,
        model: MoveModel | None,
        *,
        learns: bool,
        n_candidates: int,
        prob_blind: float = 0.1,
    ) -> None:
        self.problem, self.operators, self.seen, self.model = problem, operators, seen, model
        self.learns = learns or model is not None
        self.n_candidates, self.prob_blind = n_candidates, prob_blind

    def candidates(
        self,
        X: NDArray[Any],
        features: Floats,
        width: int,
        random_state: np.random.Generator,
        step: Floats | float = 0.1,
    ) -> Candidates:
        """Propose neighbours of designs X [n, ...] with features [n, d]; `width` are picked."""
        n, m = len(X), self.problem.n_obj
        screening = self.model is not None and self.model.ready
        k = max(width, self.n_candidates) if screening else width
        near = self.operators.neighbours(self.problem, X, k, random_state, step)
        described = np.empty((n, k, 0))
        moves = described
        if self.learns:
            flat = near.reshape(n * k, *near.shape[2:])
            described = encode(self.problem, flat).reshape(n, k, -1)
            moves = described - features[:, None]
        change = np.zeros((n, k, m))
        blind = np.zeros(n, dtype=bool)
        if screening:
            assert self.model is not None
            change = self.model.predict(moves.reshape(n * k, -1)).reshape(n, k, m)
            blind = random_state.random(n) < self.prob_blind
        return Candidates(near, described, moves, change, blind, screening)

    def pick(self, found: Candidates, rank: Floats, width: int) -> tuple[Population, Any]:
        """Pick up to `width` new candidates of each design, by smallest rank [n, k] first.

        Returns
        -------
        pop : Population, [b]
            Unevaluated, with `features`, `move`, `blind` and `screened` (whether the model chose)
            on each.
        at : tuple of int arrays, [b] and [b]
            Where each came from: design, and candidate of it.
        """
        rank = np.where(found.blind[:, None], 0.0, rank)
        order = rank.argsort(axis=1, kind="stable")
        n, k = order.shape
        taken: list[tuple[int, int]] = []
        waiting = np.zeros(n, dtype=np.int64)
        wanted = np.full(n, width)
        # Nearly all of the best are new, so fingerprints are made of those that are looked at only.
        while True:
            rows_ = np.flatnonzero((wanted > 0) & (waiting < k))
            if len(rows_) == 0:
                break
            columns = order[rows_, waiting[rows_]]
            waiting[rows_] += 1
            new = self.seen.claim(found.X[rows_, columns])
            wanted[rows_[new]] -= 1
            taken.extend(zip(rows_[new].tolist(), columns[new].tolist(), strict=True))
        if not taken:
            none = np.empty(0, dtype=np.int64)
            return Population.empty(), (none, none)
        at = tuple(np.array(sorted(taken)).T)
        pop = Population.new("X", rows(list(found.X[at])))
        carried = zip(found.features[at], found.moves[at], found.blind[at[0]].tolist(), strict=True)
        for ind, (features, move, blind) in zip(pop, carried, strict=True):
            screened = found.ranked and not blind
            ind.data.update(features=features, move=move, blind=blind, screened=screened)
        return pop, at
