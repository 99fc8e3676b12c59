"""Hypervolume-greedy searches that run side by side, and algorithms built on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Unpack

import numpy as np
from pymoo.core.population import Population

from moela._arrays import Bools, Design, Floats, Ints
from moela._checks import count
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.archive import Archive, weakly_dominated
from moela.core.origin import origins
from moela.core.parameters import AlgorithmParameters
from moela.core.scaling import Normalization
from moela.rivals.common import new_neighbors, restarts
from moela.rivals.phv import contributions, scaled_reference


@dataclass
class Search:
    """State of one search, which the origins of its neighbors name by its `id`."""

    id: int
    x: Design  # the incumbent
    F: Floats  # [M], its objectives
    CV: float  # its constraint violation
    met: Floats  # [k, M], non-dominated objectives that the search has met, all of violation `CV`
    path: list[Design] = field(default_factory=list)  # all incumbents, beginning with the start
    steps: int = 0  # number of moves
    fails: int = 0  # rounds of neighbors in a row without a move
    gain: float = 0.0  # hypervolume that the moves have added, in the normalization at each move


class GreedySearches:
    """Searches that each move to the neighbor which adds the most hypervolume.

    Feasibility comes first: a neighbor of smaller constraint violation is better whatever its
    objectives. Beyond the reference point no design adds hypervolume, so a search there minimizes
    its distance to the reference box instead. `max_steps` moves, or `patience` rounds of neighbors
    without a move, end a search.
    """

    def __init__(self, n_obj: int, max_steps: int, patience: int = 1) -> None:
        self.max_steps, self.patience = max_steps, patience
        self.known: Floats = np.empty((0, n_obj))
        self.known_CV = np.inf
        self.next_id = 0
        self.running: dict[int, Search] = {}

    def __len__(self) -> int:
        return len(self.running)

    def begin(self, x: Design, F: Floats, CV: float) -> Search:
        """Start a search from an evaluated design."""
        search = Search(self.next_id, x, F, CV, F[None], [x])
        self.running[search.id] = search
        self.next_id += 1
        return search

    def end(self, search: Search) -> Search:
        """Stop a search; later answers for it are ignored."""
        return self.running.pop(search.id)

    def receive(
        self,
        ids: Ints,
        X: Sequence[Design],
        F: Floats,
        CV: Floats,
        normalization: Normalization,
        archive: Archive,
    ) -> list[Search]:
        """Move each search to its best evaluated neighbor; return those that end now.

        Neighbors [b] of searches that have ended are ignored. The archive that hypervolume is added
        to holds the neighbors already, so they are compared with its state at the previous call.
        """
        ended = []
        ref = scaled_reference(normalization)
        front = normalization.scale(
            self.known if archive.CV[:1] == self.known_CV else self.known[:0]
        )
        for id_ in np.unique(ids):
            search = self.running.get(int(id_))
            if search is None:
                continue
            rows = np.flatnonzero(ids == id_)
            near = [X[int(row)] for row in rows]
            self._move(search, near, F[rows], CV[rows], normalization, ref, front)
            if search.fails >= self.patience or search.steps >= self.max_steps:
                ended.append(self.end(search))
        self.remember(archive)
        return ended

    def remember(self, archive: Archive) -> None:
        """Remember the archive for comparison with later answers."""
        self.known, self.known_CV = archive.working_F, float(archive.CV[0])

    def _move(
        self,
        search: Search,
        X: Sequence[Design],
        F: Floats,
        CV: Floats,
        normalization: Normalization,
        ref: Floats,
        front: Floats,
    ) -> None:
        search.fails += 1
        rows = np.flatnonzero(CV.min() == CV)
        if CV[rows[0]] > search.CV:
            return
        improved = bool(CV[rows[0]] < search.CV)
        Z = normalization.scale(F[rows])
        gains = contributions(Z, front, ref)
        excess = np.maximum(Z - ref, 0.0).sum(axis=1)
        best = int(np.lexsort((excess, -gains))[0])
        outside = float(np.maximum(normalization.scale(search.F) - ref, 0.0).sum())
        if not (improved or gains[best] > 0.0 or excess[best] < outside):
            return
        row = rows[best]
        new = F[row][None]
        kept = search.met[:0] if improved else search.met[~weakly_dominated(search.met, new)]
        covered = bool(weakly_dominated(new, kept)[0])
        search.met = kept if covered else np.concatenate([kept, new])
        search.x, search.F, search.CV = X[row], F[row], float(CV[row])
        search.path.append(search.x)
        search.gain += float(gains[best])
        search.steps += 1
        search.fails = 0


class GreedyAlgorithm(ArchiveAlgorithm):
    """Base of algorithms whose designs come from hypervolume-greedy searches.

    Subclasses begin searches (`_start`) and learn from those that have ended (`_end`).
    """

    def __init__(
        self,
        *,
        n_init: int = 50,
        n_neighbors: int = 5,
        max_steps: int = 15,
        archive_size: int | None = 500,
        **kwargs: Unpack[AlgorithmParameters],
    ) -> None:
        super().__init__(n_init=n_init, archive_size=archive_size, **kwargs)
        self.n_neighbors = count(type(self).__name__, "n_neighbors", n_neighbors)
        self.max_steps = count(type(self).__name__, "max_steps", max_steps)

    def _begin(self) -> None:
        self.searches = GreedySearches(self.problem.n_obj, self.max_steps)

    def _start(self) -> Population | None:
        """Begin searches, or return designs to start searches from once they are evaluated."""
        raise NotImplementedError

    def _end(self, search: Search) -> None:
        """Learn from a search that has ended."""
        raise NotImplementedError

    def _ask(self) -> Population:
        for _ in range(10):
            if len(self.searches) == 0:
                start = self._start()
                if start is not None:
                    return start
            running = list(self.searches.running.values())
            ids = np.array([search.id for search in running])
            X = [search.x for search in running]
            pop = new_neighbors(self, X, ids, self.n_neighbors, "search")
            if len(pop):
                return pop
            for search in running:
                self._end(self.searches.end(search))
        return restarts(self, self.n_neighbors)

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self.normalization.update_feasible(F, CV, self.front)
        self.searches.remember(self.front)

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self.normalization.update_feasible(F, CV, self.front)
        ids, X = origins(pop, "search", np.int64), [ind.X for ind in pop]
        for search in self.searches.receive(ids, X, F, CV, self.normalization, self.front):
            self._end(search)

    def _start_from_front(self, i: int) -> Search:
        """Begin a search from the i-th archived design."""
        front = self.front
        F, CV = front.working_F[i], float(front.working_CV[i])
        return self.searches.begin(front.pop[i].X, F, CV)
