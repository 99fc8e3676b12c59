"""Many greedy local searches in lock-step, on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela._arrays import Floats, Ints, rows
from moela.core.scaling import Frame, Scalarization, better, scalarize

# A real variable's step doubles on success and shrinks on failure such that about one success in
# five keeps it where it is (Rechenberg's rule).
_GROW, _SHRINK = 2.0, 0.5**0.25
_STEP_MIN, _STEP_MAX, _STEP_START = 1e-5, 0.5, 0.1


class LocalSearches:
    """Greedy first-improvement searches that advance side by side.

    Each search descends on a scalarization with weights of its own and keeps the first better
    neighbor. It ends after `patience` failures in a row or `max_gains` improvements. Answers are
    matched by search id, so a search that gets no answer just proposes again.

    Parameters
    ----------
    n_obj : int
    by : str
        What is descended on; see `moela.core.scaling.scalarize`.
    patience : int
        Neighbors in a row that may fail before a search ends.
    max_gains : int or None
        Improvements after which a search ends; None sets no limit.

    Attributes
    ----------
    ids : int array, [s]
        The searches that are running.
    pop : Population, [s]
        The individual each stands on; `F` [s, M], `CV` [s] what it is worth, `W` [s, M] the
        weights of the search. `tries` on an individual counts the neighbors evaluated from it.
    fails, gains, cost : int arrays, [s]
        Failures in a row, improvements, and evaluations so far.
    step : float array, [s]
        Step size for real variables, as a share of their range.
    features : float array, [s, d]
        Features of where each stands, for learned models; d may be 0.
    start, start_F : float arrays, [s, e] and [s, M]
        What the start model saw, and the objectives, of where each began.
    kick : int array, [s]
        The kind of kick, an index into `Kicks.KINDS`, with which each begins; 0 for none.
    pending : bool array, [s]
        Whether the kick is still to be made. A search goes on from where it leads, better or worse.
    entered : int array, [s]
        Evaluated neighbors that entered the archive.
    promised : float array, [s]
        By how much the start model expects each to lower its value; NaN where it expects nothing.
    """

    _FIELDS = (
        "ids", "pop", "F", "CV", "W", "fails", "gains", "cost", "step",
        "features", "start", "start_F", "kick", "pending", "entered", "promised",
    )  # fmt: skip

    def __init__(
        self, n_obj: int, by: Scalarization, patience: int, max_gains: int | None = None
    ) -> None:
        self.by, self.patience = by, patience
        self.max_gains = max_gains
        self.next_id = 0
        self.ids: Ints = np.empty(0, dtype=np.int64)
        self.pop = Population.empty()
        self.F: Floats = np.empty((0, n_obj))
        self.CV: Floats = np.empty(0)
        self.W: Floats = np.empty((0, n_obj))
        self.fails: Ints = np.empty(0, dtype=np.int64)
        self.gains: Ints = np.empty(0, dtype=np.int64)
        self.cost: Ints = np.empty(0, dtype=np.int64)
        self.step: Floats = np.empty(0)
        self.features: Floats = np.empty((0, 0))
        self.start: Floats = np.empty((0, 0))
        self.start_F: Floats = np.empty((0, n_obj))
        self.kick: Ints = np.empty(0, dtype=np.int64)
        self.pending: NDArray[np.bool_] = np.empty(0, dtype=bool)
        self.entered: Ints = np.empty(0, dtype=np.int64)
        self.promised: Floats = np.empty(0)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def X(self) -> NDArray[Any]:
        """Where each search stands, [s, n_var] or [s] dictionaries."""
        return rows([ind.X for ind in self.pop])

    def begin(
        self,
        pop: Population,
        F: Floats,
        CV: Floats,
        W: Floats,
        features: Floats,
        start: Floats | None = None,
        kick: Ints | None = None,
        promised: Floats | None = None,
    ) -> Ints:
        """Start one search from each design; return their ids [b].

        `start` [b, e] is what the start model saw of each; default: `features` [b, d]. `kick` [b]
        defaults to zeros, `promised` [b] to NaN.
        """
        b = len(pop)
        ids = np.arange(self.next_id, self.next_id + b)
        self.next_id += b
        zeros = np.zeros(b, dtype=np.int64)
        kick = zeros if kick is None else kick
        new = {
            "ids": ids, "pop": pop, "F": F, "CV": CV, "W": W, "fails": zeros, "gains": zeros,
            "cost": zeros, "step": np.full(b, _STEP_START), "features": features,
            "start": features if start is None else start, "start_F": F,
            "kick": kick, "pending": kick > 0, "entered": zeros,
            "promised": np.full(b, np.nan) if promised is None else promised,
        }  # fmt: skip
        for name in self._FIELDS:
            old = getattr(self, name)
            joined = np.concatenate([old, new[name]]) if len(self) else new[name].copy()
            new[name] = joined
        for name in self._FIELDS:
            setattr(self, name, new[name])
        return ids

    def receive(
        self,
        ids: Ints,
        pop: Population,
        F: Floats,
        CV: Floats,
        frame: Frame,
        features: Floats | None = None,
        accepted: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.bool_]:
        """Move each search to its best answered neighbor where that improves on where it stands.

        Parameters
        ----------
        ids : int array, [b]
            Which search each neighbor belongs to; several may belong to one, and ids of searches
            that have ended are ignored.
        pop, F, CV : arrays, [b, ...]
            The evaluated neighbors.
        features : float array, [b, d], optional
            Their features, where learned models want them.
        accepted : bool array, [b], optional
            Which entered the archive.

        Returns
        -------
        finished : bool array, [s]
            Which of the running searches have ended with this; see `drop`.
        """
        if len(self) == 0:
            return np.zeros(0, dtype=bool)
        at = np.searchsorted(self.ids, ids)
        at = np.where((at < len(self)) & (self.ids[np.minimum(at, len(self) - 1)] == ids), at, -1)
        known = np.flatnonzero(at >= 0)
        at = at[known]
        g = scalarize(frame.scale(F[known]), self.W[at], self.by)
        # The best neighbor of each search comes first in this order.
        order = np.lexsort((g, CV[known], at))
        _, first = np.unique(at[order], return_index=True)
        best = order[first]
        where = at[best]
        own = scalarize(frame.scale(self.F[where]), self.W[where], self.by)
        chosen = known[best]
        kicked = self.pending[where]
        wins = better(CV[chosen], g[best], self.CV[where], own) | kicked
        tried = np.bincount(at, minlength=len(self))
        for i in np.flatnonzero(tried):
            add_tries(self.pop[i], int(tried[i]))
        self.cost += tried
        if accepted is not None:
            self.entered += np.bincount(at[accepted[known]], minlength=len(self))
        self.fails += tried
        self.step[where] *= np.where(wins, _GROW, _SHRINK ** tried[where])
        np.clip(self.step, _STEP_MIN, _STEP_MAX, out=self.step)
        won = where[wins]
        self.pop[won], self.F[won] = pop[chosen[wins]], F[chosen[wins]]
        self.CV[won] = CV[chosen[wins]]
        if features is not None:
            self.features[won] = features[chosen[wins]]
        self.fails[won] = 0
        self.gains[where[wins & ~kicked]] += 1
        self._land(where[kicked])
        finished = self.fails >= self.patience
        if self.max_gains is not None:
            finished |= self.gains >= self.max_gains
        return finished

    def _land(self, at: Ints) -> None:
        """Let searches begin anew from where their kick has led."""
        self.pending[at] = False
        self.start_F[at] = self.F[at]
        self.promised[at] = np.nan
        if self.start.shape[1]:
            # As a start it has not been tried yet.
            self.start[at] = 0.0
            self.start[at, : self.features.shape[1]] = self.features[at]

    def gained(self, frame: Frame) -> Floats:
        """Say by how much each has lowered the value that it descends on, [s]."""
        before = scalarize(frame.scale(self.start_F), self.W, self.by)
        return before - scalarize(frame.scale(self.F), self.W, self.by)

    def drop(self, finished: NDArray[np.bool_]) -> None:
        """Forget searches [s]."""
        for name in self._FIELDS:
            setattr(self, name, getattr(self, name)[~finished])


def add_tries(individual: Individual, n: int) -> None:
    """Count n more evaluated neighbors of a design."""
    individual.data["tries"] = individual.data.get("tries", 0) + n


def tries_of(pop: Population) -> Ints:
    """How many neighbors of each design have been evaluated, [n]."""
    return np.array([ind.data.get("tries", 0) for ind in pop], dtype=np.int64)
