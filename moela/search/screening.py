"""Candidate moves from where searches stand, and which of them are worth an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import Bools, Floats, rows
from moela.core.duplicates import Seen
from moela.core.operators import Operators
from moela.learning.features import Encoder
from moela.learning.move_ranking import Ranking
from moela.search.local_search import LocalSearches


@dataclass
class Candidates:
    """Neighbors of n designs, k each.

    Attributes
    ----------
    X : sequence of n arrays, [k, n_var] or [k] dictionaries
    features, moves : sequences of n float arrays, [k, d]
        Features of each, and how they differ from those of the design it came from; d = 0 where
        nothing learns.
    change : float array, [n, k, M]
        Predicted change of the objectives; zero where there is no model to predict it.
    blind : bool array, [n]
        Designs whose move is drawn without looking at the prediction, to measure its skill.
    ranked : bool
        Whether there was a model to rank them.
    pools : list of _Pool, n, or None
        Where they are kept for the next time; `Screen.pick` marks in them what it looks at.
    """

    X: Sequence[NDArray[Any]] | NDArray[Any]
    features: Sequence[Floats] | Floats
    moves: Sequence[Floats] | Floats
    change: Floats
    blind: Bools
    ranked: bool
    pools: list[_Pool] | None = None


@dataclass
class _Pool:
    """Candidates [k, ...] around the place where a search stands.

    `change` [k, M] is what the model predicts for them, in the fit that `fit` names. `used` [k]
    have been looked at; `spent` says that none of the others is expected to be better than where
    the search stands.
    """

    X: NDArray[Any]
    features: Floats
    moves: Floats
    used: Bools
    change: Floats
    fit: tuple[bool, int] | None = None
    spent: bool = False


class Screen:
    """Proposes neighbors and picks those that a learned model ranks best.

    Parameters
    ----------
    problem, operators, seen, describe
        What is searched, its moves, the designs asked for so far, which are not picked again, and
        how the model sees them.
    model : Ranking or None
    learns : bool
        Whether features are wanted although no move model is.
    n_candidates : int
        Neighbors that the model ranks around each place where a search stands.
    prob_blind : float
        Share of the designs whose move is drawn blindly.
    """

    def __init__(
        self,
        problem: Problem,
        operators: Operators,
        seen: Seen,
        describe: Encoder,
        model: Ranking | None,
        *,
        learns: bool,
        n_candidates: int,
        prob_blind: float = 0.1,
    ) -> None:
        self.problem, self.operators, self.seen, self.model = problem, operators, seen, model
        self.describe = describe
        self.learns = learns or model is not None
        self.n_candidates, self.prob_blind = n_candidates, prob_blind
        self._pools: dict[tuple[int, int], _Pool] = {}

    def around(
        self,
        searches: LocalSearches,
        width: int,
        random_state: np.random.Generator,
    ) -> Candidates:
        """Return candidates for each running search, of which `width` are to be picked.

        While a search stays where it is, its candidates stay the same, less those evaluated, until
        a fifth of them is, or `pick` found that none of the rest promises anything: ranking many
        then costs little more than ranking few.
        """
        n, k = len(searches), max(5 * width, self.n_candidates)
        if self.model is None or not self.model.ready:
            self._pools.clear()
            X, features = searches.X, searches.features
            return self.candidates(X, features, width, width, random_state, searches.step)
        stands = list(zip(searches.ids.tolist(), searches.gains.tolist(), strict=True))
        known = self._pools
        self._pools = {
            stand: known[stand]
            for stand in stands
            if stand in known
            and 5 * (known[stand].used.sum() + width) <= k
            and not known[stand].spent
        }
        moved = np.array([stand not in self._pools for stand in stands])
        if moved.any():
            X, features = searches.X[moved], searches.features[moved]
            near, described = self._propose(X, k, random_state, searches.step[moved])
            moves = described - features[:, None]
            unknown = np.empty((k, self.problem.n_obj))
            for i, at in enumerate(np.flatnonzero(moved)):
                used = np.zeros(k, dtype=bool)
                self._pools[stands[at]] = _Pool(near[i], described[i], moves[i], used, unknown)
        pools = [self._pools[stand] for stand in stands]
        self._predict([pool for pool in pools if pool.fit != self.model.fit])
        return Candidates(
            [pool.X for pool in pools],
            [pool.features for pool in pools],
            [pool.moves for pool in pools],
            np.array([pool.change for pool in pools]),
            random_state.random(n) < self.prob_blind,
            True,
            pools,
        )

    def _predict(self, pools: list[_Pool]) -> None:
        """Predict the changes that the moves of pools bring, with the model as it is now."""
        if pools:
            assert self.model is not None
            changes = self.model.predict(
                np.stack([pool.moves for pool in pools]),
                np.stack([pool.features for pool in pools]),
            )
            for pool, change in zip(pools, changes, strict=True):
                pool.change, pool.fit = change, self.model.fit

    def candidates(
        self,
        X: NDArray[Any],
        features: Floats,
        width: int,
        k: int,
        random_state: np.random.Generator,
        step: Floats | float = 0.1,
    ) -> Candidates:
        """Propose neighbors of designs X [n, ...] with features [n, d]; `width` are picked.

        There are k of each if there is a model to rank them, else `width`.
        """
        n, m = len(X), self.problem.n_obj
        ranked = self.model is not None and self.model.ready
        k = max(width, k) if ranked else width
        near, described = self._propose(X, k, random_state, step)
        moves = described - features[:, None] if self.learns else described
        change = np.zeros((n, k, m))
        blind = np.zeros(n, dtype=bool)
        if ranked:
            assert self.model is not None
            change = self.model.predict(moves, described)
            blind = random_state.random(n) < self.prob_blind
        return Candidates(near, described, moves, change, blind, ranked)

    def _propose(
        self, X: NDArray[Any], k: int, random_state: np.random.Generator, step: Floats | float
    ) -> tuple[NDArray[Any], Floats]:
        """Return k neighbors of each of X [n, ...], [n, k, ...], and their features [n, k, d]."""
        n = len(X)
        near = self.operators.neighbors(self.problem, X, k, random_state, step)
        if not self.learns:
            return near, np.empty((n, k, 0))
        flat = near.reshape(n * k, *near.shape[2:])
        return near, self.describe(flat).reshape(n, k, -1)

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
        if found.pools is not None:
            rank[np.array([pool.used for pool in found.pools])] = np.inf
        order = rank.argsort(axis=1, kind="stable")
        n, k = order.shape
        taken: list[tuple[int, int]] = []
        looked = np.zeros((n, k), dtype=bool)
        wanted = np.full(n, width)
        # Nearly all of the best are new, so few are fingerprinted at first, and ever more where
        # they turn out to be known.
        start, stop = 0, width
        while start < k and wanted.any():
            waiting = np.flatnonzero(wanted).tolist()
            columns = order[waiting, start:stop]
            near = [found.X[row][ahead] for row, ahead in zip(waiting, columns, strict=True)]
            keys = self.seen.keys(np.concatenate(near))
            places = [
                (row, c) for row, cs in zip(waiting, columns.tolist(), strict=True) for c in cs
            ]
            for (row, column), key in zip(places, keys, strict=True):
                if wanted[row] == 0:
                    continue
                looked[row, column] = True
                if self.seen.claim_key(key):
                    taken.append((row, column))
                    wanted[row] -= 1
            start, stop = stop, stop + 2 * (stop - start)
        if found.pools is not None:
            spent = np.all(looked | (rank >= 0.0), axis=1)
            for i, pool in enumerate(found.pools):
                pool.used |= looked[i]
                pool.spent = bool(spent[i])
        if not taken:
            none = np.empty(0, dtype=np.int64)
            return Population.empty(), (none, none)
        taken.sort()
        pop = Population.new("X", rows([found.X[row][column] for row, column in taken]))
        for ind, (row, column) in zip(pop, taken, strict=True):
            blind = bool(found.blind[row])
            ind.data.update(
                features=found.features[row][column],
                move=found.moves[row][column],
                blind=blind,
                screened=found.ranked and not blind,
            )
        return pop, tuple(np.array(taken).T)
