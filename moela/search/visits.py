"""Archived designs by how many of their neighbors have been evaluated."""

from __future__ import annotations

import numpy as np

from moela._arrays import Ints
from moela.core.archive import Archive
from moela.search.local_search import tries_of_one


class Visits:
    """The designs of an archive, by the number of their neighbors that have been evaluated.

    A draw takes time in proportion to the designs drawn and those added since the last draw, not to
    the archive. Each design waits at a number of tries. When its turn comes, it is left out if it
    is not in the archive any more, and waits again if it has been tried more often in between.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._n_seen = 0  # designs added to the archive before the last draw
        self._waiting: dict[int, list[int]] = {}  # serial numbers by number of tries

    def least_tried(self, n: int, random_state: np.random.Generator) -> Ints:
        """Draw n designs (or all) of those tried least, in random order if tried equally often.

        Returns their places in the archive.
        """
        archive = self._archive
        new, self._n_seen = archive.serials_from(self._n_seen)
        for serial in new:
            self._wait(serial, self._tries(serial))
        drawn: list[int] = []
        n = min(n, len(archive))
        while len(drawn) < n:
            tries = min(self._waiting)
            serials = self._waiting[tries]
            i = int(random_state.integers(len(serials)))
            serials[i], serials[-1] = serials[-1], serials[i]
            serial = serials.pop()
            if not serials:
                del self._waiting[tries]
            if serial not in archive:
                continue
            if self._tries(serial) != tries:
                self._wait(serial, self._tries(serial))
            else:
                drawn.append(serial)
        for serial in drawn:
            self._wait(serial, self._tries(serial) + 1)
        return archive.places(drawn)

    def _tries(self, serial: int) -> int:
        return tries_of_one(self._archive.by_serial(serial))

    def _wait(self, serial: int, tries: int) -> None:
        self._waiting.setdefault(tries, []).append(serial)
