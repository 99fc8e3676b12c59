"""Greedy local searches that advance in lock-step, on arrays."""

from __future__ import annotations

from copy import copy

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela._arrays import Bools, Designs, Floats, Ints, rows
from moela.core.scaling import Normalization, Scalarization, better

# A real variable's step doubles on success and shrinks on failure, so that it stays the same at
# one success in five (Rechenberg's rule).
_GROW, _SHRINK = 2.0, 0.5**0.25
_STEP_MIN, _STEP_MAX, _STEP_START = 1e-5, 0.5, 0.1
# Weight of an evaluation in the running mean of successes, and that mean before any.
_RATE, _SUCCESS_START = 0.01, 0.5


class LocalSearches:
    """Greedy first-improvement searches that advance side by side.

    Each search minimizes a scalarization with its own weights and moves to the first better
    neighbor. It ends after `patience` failures in a row or `max_gains` improvements. Answers are
    matched by search id, so a search without an answer just proposes another neighbor.
    """

    # Of each of s running searches:
    ids: Ints  # in ascending order
    pop: Population  # incumbents
    F: Floats  # [s, M], their objectives
    CV: Floats  # their constraint violations
    W: Floats  # [s, M], weights
    fails: Ints  # failures in a row
    gains: Ints  # improvements
    cost: Ints  # evaluations
    step: Floats  # step size for real variables, as a fraction of their range
    reach: Ints  # moves that it may make on predictions before a design is evaluated
    features: Floats  # [s, d], of the incumbents, for learned models; d may be 0
    start: Floats  # [s, e], inputs of the start model for the designs that searches started from
    start_F: Floats  # [s, M], objectives of these designs
    perturbation: Ints  # kind that the search begins with, an index into `Perturbation.KINDS`
    # The perturbed design is not evaluated yet. The search continues from it, even if it is worse.
    pending: Bools
    entered: Ints  # evaluated neighbors that entered the archive
    predicted_gain: Floats  # reduction of the scalarized value by the start model, or NaN

    def __init__(
        self,
        n_obj: int,
        by: Scalarization,
        patience: int,
        max_gains: int | None = None,
        *,
        expected_improvements: float = 1.0,
        most_at_a_time: int = 1,
        most_moves: int = 1,
    ) -> None:
        self.by, self.patience, self.max_gains = by, patience, max_gains
        self.expected_improvements, self.most_at_a_time = expected_improvements, most_at_a_time
        self.most_moves = most_moves
        self.next_id = 0
        self.success = _SUCCESS_START  # running mean of improvements by an evaluated neighbor
        self.ids = np.empty(0, dtype=np.int64)
        no_F = np.empty((0, n_obj))
        self.begin(Population.empty(), no_F, np.empty(0), no_F, np.empty((0, 0)))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def width(self) -> int:
        """Number of neighbors that a search should evaluate at a time."""
        wanted = round(self.expected_improvements / self.success)
        return min(max(wanted, 1), self.most_at_a_time)

    @property
    def X(self) -> Designs:
        """The incumbents, [s, n_var] or [s] dictionaries."""
        return rows([ind.X for ind in self.pop])

    def positions(self, ids: Ints) -> Ints:
        """Return the positions of searches [b] among the running ones; -1 if a search has ended."""
        if len(self) == 0:
            return np.full(len(ids), -1)
        at = np.searchsorted(self.ids, ids)
        running = self.ids[np.minimum(at, len(self) - 1)] == ids
        return np.where(running, at, -1)

    def begin(
        self,
        pop: Population,
        F: Floats,
        CV: Floats,
        W: Floats,
        features: Floats,
        start: Floats | None = None,
        perturbation: Ints | None = None,
        predicted_gain: Floats | None = None,
    ) -> Ints:
        """Start a search from each design; return their ids [b].

        `start` [b, e] defaults to `features` [b, d], `perturbation` [b] to zeros, and
        `predicted_gain` [b] to NaN.
        """
        b, first = len(pop), len(self) == 0
        ids = np.arange(self.next_id, self.next_id + b)
        self.next_id += b
        zeros = np.zeros(b, dtype=np.int64)
        perturbation = zeros if perturbation is None else perturbation
        new = {
            "ids": ids, "pop": pop, "F": F, "CV": CV, "W": W, "fails": zeros, "gains": zeros,
            "cost": zeros, "step": np.full(b, _STEP_START), "reach": zeros + 1,
            "features": features,
            "start": features if start is None else start, "start_F": F,
            "perturbation": perturbation, "pending": perturbation > 0, "entered": zeros,
            "predicted_gain": np.full(b, np.nan) if predicted_gain is None else predicted_gain,
        }  # fmt: skip
        for name, rows_ in new.items():
            joined = rows_.copy() if first else np.concatenate([getattr(self, name), rows_])
            setattr(self, name, joined)
        return ids

    def receive(
        self,
        ids: Ints,
        pop: Population,
        F: Floats,
        CV: Floats,
        normalization: Normalization,
        features: Floats | None = None,
        accepted: Bools | None = None,
        n_moves: Ints | None = None,
    ) -> Bools:
        """Move each search to its best evaluated neighbor if that improves on the incumbent.

        `ids` [b] holds the search of each neighbor. Several neighbors may belong to one search, and
        those of searches that have ended are ignored. `accepted` [b] marks the neighbors that
        entered the archive; `n_moves` [b] are their moves from the incumbent, one each by default.
        Returns which of the running searches end now, [s]; see `drop`.
        """
        if len(self) == 0:
            return np.zeros(0, dtype=bool)
        at = self.positions(ids)
        known = np.flatnonzero(at >= 0)
        at = at[known]
        g = normalization.scalarize(F[known], self.W[at], self.by)
        incumbent = normalization.scalarize(self.F, self.W, self.by)
        improves = better(CV[known], g, self.CV[at], incumbent[at])
        # The best neighbor of each search comes first in this order.
        order = np.lexsort((g, CV[known], at))
        sorted_at = at[order]
        best = np.concatenate([order[:1], order[1:][sorted_at[1:] > sorted_at[:-1]]])
        answered, chosen = at[best], known[best]
        perturbed = self.pending[answered]
        wins = improves[best] | perturbed
        tried = np.bincount(at, minlength=len(self))
        for i in np.flatnonzero(tried):
            add_tries(self.pop[i], int(tried[i]))
        self.cost += tried
        improved = improves[~self.pending[at]]
        if len(improved):
            keep = (1.0 - _RATE) ** len(improved)
            share = int(np.count_nonzero(improved)) / len(improved)
            self.success = max(keep * self.success + (1.0 - keep) * share, 1e-3)
        if accepted is not None:
            self.entered += np.bincount(at[accepted[known]], minlength=len(self))
        self.fails += tried
        self.step[answered] *= np.where(wins, _GROW, _SHRINK ** tried[answered])
        np.minimum(self.step, _STEP_MAX, out=self.step)
        np.maximum(self.step, _STEP_MIN, out=self.step)
        won, new = answered[wins], chosen[wins]
        self.reach[answered] = np.maximum(self.reach[answered] // 2, 1)
        self.reach[won] = np.minimum(2 * (1 if n_moves is None else n_moves[new]), self.most_moves)
        self.pop[won], self.F[won], self.CV[won] = pop[new], F[new], CV[new]
        if features is not None:
            self.features[won] = features[new]
        self.fails[won] = 0
        self.gains[answered[wins & ~perturbed]] += 1
        self._start_from_incumbent(answered[perturbed])
        finished = self.fails >= self.patience
        if self.max_gains is not None:
            finished |= self.gains >= self.max_gains
        return finished

    def _start_from_incumbent(self, at: Ints) -> None:
        """Let searches count as started from their incumbents, the perturbed designs."""
        self.pending[at] = False
        self.start_F[at] = self.F[at]
        self.predicted_gain[at] = np.nan
        if self.start.shape[1]:
            # The last column, the number of neighbors tried, is zero for a new design.
            self.start[at] = 0.0
            self.start[at, : self.features.shape[1]] = self.features[at]

    def predicted(
        self, change: Floats, normalization: Normalization, at: Ints | None = None
    ) -> Floats:
        """Return how changes of the objectives [b, k, M] would change scalarized values, [b, k].

        They are changes from the incumbents of all searches, or of those at positions [b].
        """
        F, W = (self.F, self.W) if at is None else (self.F[at], self.W[at])
        return normalization.scalarize_changes(F, W, change, self.by)

    def only(self, chosen: Bools) -> LocalSearches:
        """Return these searches, marked in [s]; changes of their arrays do not come back."""
        if chosen.all():
            return self
        other = copy(self)
        other.drop(~chosen)
        return other

    def gained(self, normalization: Normalization) -> Floats:
        """Return by how much each search has lowered its scalarized value, as learned, [s]."""
        start, end = (normalization.learned(F) for F in (self.start_F, self.F))
        before = normalization.scalarize(start, self.W, self.by)
        return before - normalization.scalarize(end, self.W, self.by)

    def drop(self, finished: Bools) -> None:
        """Remove searches, marked in [s]."""
        for name in LocalSearches.__annotations__:
            setattr(self, name, getattr(self, name)[~finished])


# The effort spent around a design is kept in its data: "tries" counts the evaluated neighbors,
# "exhausted" says that no new neighbor was found.


def add_tries(individual: Individual, n: int) -> None:
    """Count n more evaluated neighbors of a design."""
    individual.data["tries"] = individual.data.get("tries", 0) + n


def tries_of_one(individual: Individual) -> int:
    """Return the number of evaluated neighbors of a design."""
    return int(individual.data.get("tries", 0))


def tries_of(pop: Population) -> Ints:
    """Return the number of evaluated neighbors of each design, [n]."""
    return np.array([tries_of_one(ind) for ind in pop], dtype=np.int64)


def mark_exhausted(pop: Population) -> None:
    """Note that designs have no new neighbors left."""
    for ind in pop:
        ind.data["exhausted"] = True


def is_exhausted(individual: Individual) -> bool:
    """Return whether a design has no new neighbors left."""
    return bool(individual.data.get("exhausted", False))
