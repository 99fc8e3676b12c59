"""Screening of candidate moves by a learned model, before any is evaluated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

import numpy as np
from pymoo.core.population import Population

from moela._arrays import Bools, Designs, Floats, Ints
from moela.core.context import SearchContext
from moela.core.individuals import unevaluated
from moela.core.origin import set_origin
from moela.learning.feasibility import FeasibilityModel, constraints_of
from moela.learning.features import Encoder
from moela.learning.move_ranking import MoveRanking
from moela.search.local_search import LocalSearches

# Share of the designs around which one of the moves is chosen at random, to measure the skill of
# the move model.
_PROB_RANDOM = 0.1
# The candidates around an incumbent are replaced once one in this many has been evaluated.
_CANDIDATES_PER_PICK = 5
# Neighbors from which a walk chooses each of its moves, as a share of the candidates of a search.
# More gain little, and take longer.
_SHARE_OF_WALK = 0.25


_Pair = tuple[int, int]


@dataclass
class Candidates:
    """Neighbors of n designs, k each."""

    X: Sequence[Designs] | Designs
    features: Sequence[Floats] | Floats  # [n, k, d]; d = 0 if nothing is learned
    base: Floats  # [n, d], features of the designs
    change: Floats  # [n, k, M], predicted for the objectives; zero without a model
    constraint_change: Floats | None  # [n, k, c], predicted; None without a feasibility model
    at_random: Bools  # [n], designs around which one of the moves is chosen at random
    ranked: bool  # a model has predicted the changes
    pools: list[_Pool] | None = None  # [n], kept for later; `pick` marks the candidates looked at


@dataclass
class _Pool:
    """Candidates [k, ...] around the incumbent of a search."""

    X: Designs
    features: Floats
    used: Bools  # candidates already looked at
    change: Floats  # predicted by the fits that `fit_id` names
    constraint_change: Floats | None = None
    fit_id: tuple[object, ...] | None = None
    spent: bool = False  # no other candidate is predicted to be better than the incumbent


@dataclass
class Chosen:
    """The b candidates that are chosen to be evaluated."""

    X: Sequence[object] | Designs
    features: Floats  # [b, d]
    of: Ints  # [b], number of the design that each is near
    column: Ints  # [b], number among the candidates of that design; -1 for the end of a walk
    at_random: Bools  # [b]
    by_model: Bools  # [b]
    n_moves: Ints  # [b], from the design

    def __len__(self) -> int:
        return len(self.of)

    def and_also(self, other: Chosen) -> Chosen:
        """Return these and others together."""
        if len(self) == 0 or len(other) == 0:
            return self if len(self) else other
        joined = {
            field.name: np.concatenate([getattr(self, field.name), getattr(other, field.name)])
            for field in fields(self)
        }
        return Chosen(**joined)

    def population(self, found: Candidates, **values: object) -> Population:
        """Return unevaluated individuals with their origins, of which some fields are given."""
        pop = unevaluated(self.X)
        set_origin(
            pop,
            features=self.features,
            move=self.features - found.base[self.of],
            n_moves=self.n_moves,
            chosen_at_random=self.at_random,
            chosen_by_model=self.by_model,
            **values,
        )
        return pop


class Screening:
    """Proposes neighbors and picks those that a learned model ranks first.

    Without a model it picks neighbors in random order, with features if other models need them.
    """

    def __init__(
        self,
        context: SearchContext,
        encoder: Encoder,
        model: MoveRanking | None,
        feasibility: FeasibilityModel | None = None,
        *,
        needs_features: bool,
        n_candidates: int,
    ) -> None:
        self.context, self.encoder, self.model = context, encoder, model
        self.feasibility = feasibility
        self.needs_features = needs_features or model is not None
        self.n_candidates = n_candidates
        self._pools: dict[tuple[int, int], _Pool] = {}

    @property
    def _ranks_moves(self) -> bool:
        return self.model is not None and self.model.ready

    @property
    def _ranks_feasibility(self) -> bool:
        return self.feasibility is not None and self.feasibility.ready

    @property
    def ranks(self) -> bool:
        """Whether a model can rank candidates."""
        return self._ranks_moves or self._ranks_feasibility

    def around(
        self, searches: LocalSearches, width: int, waiting: Collection[int] = ()
    ) -> Candidates:
        """Return candidates for each of these searches, of which `width` are to be picked.

        `waiting` are the ids of other searches, whose candidates will be asked for later.

        Candidates are kept while the incumbent stays the same, until a fifth has been looked at or
        the rest is not predicted to improve, so that ranking many costs little more than ranking
        few.
        """
        n, k = len(searches), max(_CANDIDATES_PER_PICK * width, self.n_candidates)
        if not self.ranks:
            self._pools.clear()
            return self.candidates(searches.X, searches.features, width, width, searches.step)
        incumbents = list(zip(searches.ids.tolist(), searches.gains.tolist(), strict=True))
        old = self._pools
        self._pools = {key: pool for key, pool in old.items() if key[0] in waiting}
        self._pools |= {
            key: old[key]
            for key in incumbents
            if key in old
            and len(old[key].used) == k
            and _CANDIDATES_PER_PICK * (np.count_nonzero(old[key].used) + width) <= k
            and not old[key].spent
        }
        missing = np.array([key not in self._pools for key in incumbents])
        if missing.any():
            X = searches.X[missing]
            near, near_features = self._propose(X, k, searches.step[missing])
            unknown = np.empty((k, self.context.problem.n_obj))
            for i, at in enumerate(np.flatnonzero(missing)):
                parts = near[i], near_features[i], np.zeros(k, dtype=bool)
                self._pools[incumbents[at]] = _Pool(*parts, unknown)
        pools = [self._pools[key] for key in incumbents]
        self._predict(pools, searches.features)
        changes = [pool.constraint_change for pool in pools]
        return Candidates(
            [pool.X for pool in pools],
            [pool.features for pool in pools],
            searches.features,
            np.array([pool.change for pool in pools]),
            np.array(changes) if self._ranks_feasibility else None,
            self._at_random(n),
            True,
            pools,
        )

    def _predict(self, pools: list[_Pool], features: Floats) -> None:
        """Predict the changes from designs [n, d] to their candidates with the current fits."""
        moves = self.model.fit_id if self.model is not None and self.model.ready else ()
        fit_id = moves, self.feasibility.n_fits if self.feasibility is not None else 0
        for i, pool in enumerate(pools):
            if pool.fit_id != fit_id:
                change, constraints = self._changes(features[i : i + 1], pool.features[None])
                pool.change = change[0]
                pool.constraint_change = None if constraints is None else constraints[0]
                pool.fit_id = fit_id

    def _changes(self, features: Floats, near: Floats) -> tuple[Floats, Floats | None]:
        """Predict the changes of objectives and constraints from designs [n, d] to [n, k, d].

        If no model of moves is ready, the feasibility model predicts both.
        """
        change = constraints = None
        if self.feasibility is not None and self.feasibility.ready:
            change, constraints = self.feasibility.changes_to(features, near)
        if self.model is not None and self.model.ready:
            change = self.model.predict(features, near)
        assert change is not None
        return change, constraints

    def _at_random(self, n: int) -> Bools:
        """Draw the designs around which one of the moves is chosen at random, [n].

        There are none without the move model, whose skill is measured on these moves.
        """
        if not self._ranks_moves:
            return np.zeros(n, dtype=bool)
        return self.context.random_state.random(n) < _PROB_RANDOM

    def feasible_first(
        self, value: Floats, constraint_change: Floats | None, pop: Population, CV: Floats
    ) -> Floats:
        """Rank candidates by value [n, k] and predicted feasibility, the best lowest.

        They are neighbors of evaluated designs with violations CV [n]. Without predicted changes of
        constraints [n, k, c], the value alone is the rank.
        """
        if self.feasibility is None or constraint_change is None:
            return value
        return self.feasibility.rank(value, constraints_of(pop, CV), constraint_change)

    def candidates(
        self,
        X: Designs,
        features: Floats | None,
        width: int,
        k: int,
        step: Floats | float = 0.1,
    ) -> Candidates:
        """Propose neighbors of designs X [n, ...] with features [n, d]; `width` are to be picked.

        There are k of each design if a model can rank them, else `width`. If `features` is None,
        they are computed together with those of the neighbors, which takes less time.
        """
        n, m = len(X), self.context.problem.n_obj
        ranked = self.ranks
        k = max(width, k) if ranked else width
        near = self.context.neighbors(X, k, step)
        if features is None and self.needs_features:
            both = self.encoder.near(X, np.concatenate([X[:, None], near], axis=1))
            features, near_features = both[:, 0], both[:, 1:]
        else:
            features = np.empty((n, 0)) if features is None else features
            near_features = self._described(X, near)
        change, constraints = np.zeros((n, k, m)), None
        if ranked:
            change, constraints = self._changes(features, near_features)
        at_random = self._at_random(n)
        return Candidates(near, near_features, features, change, constraints, at_random, ranked)

    def _propose(self, X: Designs, k: int, step: Floats | float) -> tuple[Designs, Floats]:
        """Return k neighbors of each of X [n, ...], [n, k, ...], and their features [n, k, d]."""
        near = self.context.neighbors(X, k, step)
        return near, self._described(X, near)

    def _described(self, X: Designs, near: Designs) -> Floats:
        """Return the features [n, k, d] of neighbors of X [n, ...]; d = 0 if none are needed."""
        return self.encoder.near(X, near) if self.needs_features else np.empty((*near.shape[:2], 0))

    def walk(self, found: Candidates, rank: Floats, searches: LocalSearches) -> Chosen:
        """Go on from the best candidate, move after move, as long as the model predicts a gain.

        Only the end of a walk is evaluated, so a good prediction is worth several moves of a
        search. `searches` [n] are those of the candidates, whose ranks are [n, k]; each says how
        many moves its walk may make.
        """
        rank = _unused(found, rank)
        promising = (searches.reach > 1) & ~found.at_random & (rank.min(axis=1) < 0.0)
        at = np.flatnonzero(promising & found.ranked)
        if len(at) == 0:
            return _none(found)
        first = list(zip(at.tolist(), rank[at].argmin(axis=1).tolist(), strict=True))
        X, features = _at(found.X, first), _at(found.features, first)
        n_moves, going = np.ones(len(at), dtype=np.int64), np.arange(len(at))
        while len(going := going[n_moves[going] < searches.reach[at[going]]]):
            better, X_next, features_next = self._next_of_walk(
                X[going], features[going], found, searches, at[going]
            )
            going = going[better]
            X[going], features[going] = X_next[better], features_next[better]
            n_moves[going] += 1
        far = np.flatnonzero(n_moves > 1)
        far = far[self.context.duplicates.claim(X[far])]
        no, yes = np.zeros(len(far), dtype=bool), np.ones(len(far), dtype=bool)
        return Chosen(X[far], features[far], at[far], np.full(len(far), -1), no, yes, n_moves[far])

    def _next_of_walk(
        self,
        X: Designs,
        features: Floats,
        found: Candidates,
        searches: LocalSearches,
        at: Ints,
    ) -> tuple[Bools, Designs, Floats]:
        """Choose the next design of each walk [b], which is at X [b, ...] now.

        Returns whether a neighbor is predicted to be better, that neighbor, and its features. If
        none is better, the last two mean nothing.
        """
        k = max(1, round(_SHARE_OF_WALK * self.n_candidates))
        near, near_features = self._propose(X, k, searches.step[at])
        near_features = np.concatenate([features[:, None], near_features], axis=1)
        change, constraints = self._changes(found.base[at], near_features)
        value = searches.predicted(change, self.context.normalization, at)
        rank = self.feasible_first(value, constraints, searches.pop[at], searches.CV[at])
        best = rank.argmin(axis=1)
        each = np.arange(len(at))
        return best > 0, near[each, best - 1], near_features[each, best]

    def pick(self, found: Candidates, rank: Floats, width: Ints) -> Chosen:
        """Pick up to `width` [n] new candidates of each design, by smallest rank [n, k] first."""
        pools, rank = found.pools, _unused(found, rank)
        # Candidates are in random order, so the first that is left is a random one.
        drawn = np.flatnonzero(found.at_random)
        if len(drawn):
            first_left = np.isfinite(rank[drawn]).argmax(axis=1)
            rank[drawn, first_left] = -np.inf
        order = rank.argsort(axis=1, kind="stable")
        taken, looked = self._first_new(found, order, width.tolist())
        if pools is not None:
            left = ~(rank >= 0.0)
            for row, column in looked:
                pools[row].used[column], left[row, column] = True, False
            for pool, own_left in zip(pools, left, strict=True):
                pool.spent = not own_left.any()
        if not taken:
            return _none(found)
        design, column = np.array(taken).T
        at_random = rank[design, column] == -np.inf
        return Chosen(
            _at(found.X, taken),
            _at(found.features, taken),
            design,
            column,
            at_random,
            found.ranked & ~at_random,
            np.ones(len(taken), dtype=np.int64),
        )

    def _first_new(
        self, found: Candidates, order: Ints, wanted: list[int]
    ) -> tuple[list[_Pair], list[_Pair]]:
        """Find the first `wanted` [n] new candidates of each design in this order [n, k].

        `wanted` is left with what was not found. Returns pairs (design, candidate), sorted, and
        those of all candidates looked at, since they are duplicates or taken.
        """
        n, k = order.shape
        duplicates = self.context.duplicates
        taken: list[_Pair] = []
        looked: list[_Pair] = []
        # Nearly all of the best are new, so few are looked at first, and more if they are not.
        waiting = [i for i in range(n) if wanted[i]]
        start, stop = 0, max(wanted)
        while start < k and waiting:
            ahead = order[waiting, start:stop].tolist()
            pairs = [(i, j) for i, columns in zip(waiting, ahead, strict=True) for j in columns]
            for pair, key in zip(pairs, duplicates.keys(_at(found.X, pairs)), strict=True):
                if wanted[pair[0]] == 0:
                    continue
                looked.append(pair)
                if duplicates.claim_key(key):
                    taken.append(pair)
                    wanted[pair[0]] -= 1
            waiting = [i for i in waiting if wanted[i]]
            start, stop = stop, stop + 2 * (stop - start)
        return sorted(taken), looked


def _none(found: Candidates) -> Chosen:
    none, mark = np.empty(0, dtype=np.int64), np.empty(0, dtype=bool)
    return Chosen([], found.base[:0], none, none, mark, mark, none)


def _unused(found: Candidates, rank: Floats) -> Floats:
    """Return a copy of ranks [n, k], infinite for candidates that have been looked at."""
    if found.pools is None:
        return rank.copy()
    return np.where(np.array([pool.used for pool in found.pools]), np.inf, rank)


def _at(values: Sequence[Designs] | Designs, pairs: list[_Pair]) -> Designs:
    """Return what values [n][k, ...] hold for these pairs (design, candidate), [b, ...]."""
    if isinstance(values, np.ndarray):
        design, column = np.array(pairs).T
        return values[design, column]
    return np.array([values[i][j] for i, j in pairs])
