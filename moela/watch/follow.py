"""Follower: the state of a growing run, updated from the rows that are new in its store."""

from __future__ import annotations

import os
from pathlib import Path

from moela.evaluation.storage.errors import StoreError
from moela.evaluation.storage.reader import EvaluationStore
from moela.evaluation.storage.stored import StoredRun
from moela.watch.state import Snapshot, WatchedRun


class Follower:
    """Follow a run in a store that another process writes.

    Parameters
    ----------
    path : str or Path
        The store.
    run : int, optional
        Its number; default the run with the newest batch.

    Raises
    ------
    StoreError
        The file does not exist or is no store.
    ValueError
        The store does not hold the run.
    """

    def __init__(self, path: str | os.PathLike[str], run: int | None = None) -> None:
        self.path = Path(path).expanduser().absolute()
        self._wanted = run
        self._store: EvaluationStore | None = None
        self._opened = (0, 0)
        self._states: dict[int, WatchedRun] = {}

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()
        self._store = None

    def refresh(self) -> Snapshot | None:
        """Read what is new and return the state of the run; None while the store has no run.

        If the file was replaced, the follower begins again with the new one.
        """
        if self._store is None or self._identity() != self._opened:
            self.close()
            self._states.clear()
            self._store, self._opened = EvaluationStore(self.path), self._identity()
        run = self._run(self._store)
        if run is None:
            return None
        state = self._states.setdefault(run.id, WatchedRun())
        state.read(self._store, run)
        return state.snapshot(self._store, run)

    def _identity(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            raise StoreError(
                f"There is no store {self.path}. Check the path; a run makes its store when it "
                "begins."
            ) from None
        return found.st_dev, found.st_ino

    def _run(self, store: EvaluationStore) -> StoredRun | None:
        runs = store.runs()
        if self._wanted is None:
            return max(runs, key=lambda run: run.updated, default=None)
        known = {run.id: run for run in runs}
        if self._wanted not in known:
            raise ValueError(
                f"The run must be one of the runs {list(known)} of {self.path}. Got "
                f"{self._wanted} instead."
            )
        return known[self._wanted]
