"""Search for the sums of several objectives, by fits from random starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from moela._arrays import Bools, Ints
from moela.learning.sums.fitting import Data, random_start, sharing
from moela.learning.sums.terms import Terms

# A fit that leaves less than this share of the variance, but is not exact, has found all that there
# is without costs of items at places.
_NEARLY = 2e-3


class SumSearch:
    """Looks for sums of the objectives marked in `wanted` [M].

    `sums` [M] are the best so far, and None where nothing is known. `nearly` [M] marks objectives
    of which a fit has explained all but a little.
    """

    def __init__(self, data: Data, sums: Iterable[Terms | None], wanted: Bools) -> None:
        self._data, self.sums = data, list(sums)
        self.nearly: Bools = np.zeros(len(wanted), dtype=bool)
        self._wanted: list[int] = np.flatnonzero(wanted).tolist()
        self._failed: Ints = np.zeros(len(wanted), dtype=np.int64)
        self._failed_together: list[bool] = []
        self._share()

    @property
    def left(self) -> list[int]:
        """Indices of the wanted objectives for which there is no exact sum."""
        return [j for j in self._wanted if (known := self.sums[j]) is None or not known.exact]

    @property
    def apart(self) -> bool:
        """Whether fits of several objectives explain little, whichever matrix is common."""
        return len(self._failed_together) > 1 and all(self._failed_together)

    @property
    def failures(self) -> Ints:
        """Number of fits that explained little of each objective, [M].

        Fits of several objectives count once, and only if all of them failed. Objectives may have
        the other matrix in common.
        """
        failed = self._failed.copy()
        failed[self._wanted] += self.apart
        return failed

    def start(self, of: Sequence[int], rng: np.random.Generator, *, common_items: bool) -> None:
        """Fit these objectives; see `random_start`. Those found are tried for the others, too."""
        found = random_start(self._data, of, rng, common_items=common_items)
        if len(of) > 1:
            self._failed_together.append(found is None)
        elif found is None:
            self._failed[of] += 1
        self._keep(of, found)
        self._share()

    def _share(self) -> None:
        """Look for objectives that share a matrix with a known one."""
        for j in self.left:
            self._keep([j], sharing(self._data, j, self.sums))

    def _keep(self, of: Sequence[int], found: Sequence[Terms] | None) -> None:
        for j, terms in zip(of, found or [], strict=found is not None):
            known = self.sums[j]
            if known is None or terms.left < known.left:
                self.sums[j] = terms
            self.nearly[j] |= not terms.exact and terms.left < _NEARLY
