"""Greedy searches on the Pareto hypervolume, side by side: best of k neighbors, or the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moela._arrays import Floats
from moela.core.archive import Archive, weakly_dominated
from moela.core.scaling import Frame
from moela.rivals.phv import contributions, scaled_reference


@dataclass
class Search:
    """One search: where it stands and what it has met.

    Attributes
    ----------
    id : int
        What its neighbors carry, so that their answers find it.
    x : array, [n_var] or a dictionary
        The design that it stands on; `F` [M] are its objectives, `CV` its constraint violation.
    met : float array, [k, M]
        Objectives of the non-dominated designs that it has met, all of violation `CV`.
    path : list
        The designs that it has stood on, its start first.
    steps, fails : int
        Moves made; rounds of neighbors in a row without one.
    gain : float
        Hypervolume that its moves have added, in the units of the frame at each move.
    """

    id: int
    x: Any
    F: Floats
    CV: float
    met: Floats
    path: list[Any] = field(default_factory=list)
    steps: int = 0
    fails: int = 0
    gain: float = 0.0


class GreedySearches:
    """Searches that each move to the neighbor which adds the most hypervolume.

    Feasibility comes first: a neighbor of smaller constraint violation is better whatever its
    objectives. Beyond the reference every design adds nothing, so a search that stands out there
    descends on its distance to the reference box instead.

    Parameters
    ----------
    n_obj : int
    max_steps : int
        Moves after which a search ends.
    patience : int
        Rounds of neighbors without a move after which it ends.
    """

    def __init__(self, n_obj: int, max_steps: int, patience: int = 1) -> None:
        self.max_steps, self.patience = max_steps, patience
        self.known: Floats = np.empty((0, n_obj))
        self.known_CV = np.inf
        self.next_id = 0
        self.running: dict[int, Search] = {}

    def __len__(self) -> int:
        return len(self.running)

    def begin(self, x: Any, F: Floats, CV: float) -> Search:
        """Start a search from an evaluated design."""
        search = Search(self.next_id, x, F, CV, F[None], [x])
        self.running[search.id] = search
        self.next_id += 1
        return search

    def end(self, search: Search) -> Search:
        """Stop a search; answers that still come for it are ignored."""
        return self.running.pop(search.id)

    def receive(
        self,
        ids: NDArray[np.int64],
        X: Sequence[Any],
        F: Floats,
        CV: Floats,
        frame: Frame,
        archive: Archive,
    ) -> list[Search]:
        """Move each search to its best answered neighbor, and end those that cannot move.

        Parameters
        ----------
        ids : int array, [b]
            The search of each neighbor; ids of searches that have ended are ignored.
        X, F, CV : arrays [b, n_var], [b, M], [b]
        archive : Archive
            What hypervolume is added to. It holds the answers already, so they are compared with
            what it held at the call before.

        Returns
        -------
        list of Search
            Those that have ended with this.
        """
        ended = []
        ref = scaled_reference(frame)
        front = frame.scale(self.known if archive.CV[:1] == self.known_CV else self.known[:0])
        for id_ in np.unique(ids):
            search = self.running.get(int(id_))
            if search is None:
                continue
            rows = np.flatnonzero(ids == id_)
            self._move(search, [X[int(row)] for row in rows], F[rows], CV[rows], frame, ref, front)
            if search.fails >= self.patience or search.steps >= self.max_steps:
                ended.append(self.end(search))
        self.remember(archive)
        return ended

    def remember(self, archive: Archive) -> None:
        """Take the archive for what later answers are compared with."""
        self.known, self.known_CV = archive.F, float(archive.CV[0])

    def _move(
        self,
        search: Search,
        X: Sequence[Any],
        F: Floats,
        CV: Floats,
        frame: Frame,
        ref: Floats,
        front: Floats,
    ) -> None:
        search.fails += 1
        rows = np.flatnonzero(CV.min() == CV)
        if CV[rows[0]] > search.CV:
            return
        improved = bool(CV[rows[0]] < search.CV)
        Z = frame.scale(F[rows])
        gains = contributions(Z, front, ref)
        excess = np.maximum(Z - ref, 0.0).sum(axis=1)
        best = int(np.lexsort((excess, -gains))[0])
        outside = float(np.maximum(frame.scale(search.F) - ref, 0.0).sum())
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
