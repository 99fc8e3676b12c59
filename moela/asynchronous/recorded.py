"""The order of arrival in a store, from which an asynchronous run repeats itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from moela.evaluation.storage.schema import Row


class RecordedArrivals:
    """The recorded arrivals of a run, the next one first.

    A row of an asynchronous run holds the number of its design (`Row.n`, in the order in which
    designs were handed to workers) and how many designs had arrived by then (`Row.batch`); rows
    are in the order of arrival. A design for which no row exists was in progress when the run was
    interrupted. It was handed over as soon as a worker was free, so the same number of workers
    repeats that as well.

    Parameters
    ----------
    rows : sequence of Row
        In the order of arrival.
    """

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        self._rows = deque(rows)
        self._arrived_before = {row.n: row.batch for row in rows}
        numbers = sorted(self._arrived_before)
        self._numbers = np.array(numbers, dtype=np.int64)
        self._counts = np.array([self._arrived_before[n] for n in numbers], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def first(self) -> Row:
        """The next arrival."""
        return self._rows[0]

    def pop(self) -> Row:
        """Return the next arrival, and go on to the one after it."""
        return self._rows.popleft()

    def rest(self) -> list[Row]:
        """Return all arrivals that are left, and forget them."""
        rows, self._rows = list(self._rows), deque()
        return rows

    def hands_over(self, number: int, n_arrived: int, *, free: bool) -> bool:
        """Return whether the design of this number is handed over after so many arrivals.

        `free` says whether a worker is free, which decides if nothing is recorded.
        """
        known = self._arrived_before.get(number)
        if known is not None:
            return known <= n_arrived
        # A later design was handed over by now, so this one was, too.
        later = int(np.searchsorted(self._numbers, number))
        return free or (later < len(self._counts) and int(self._counts[later]) <= n_arrived)
