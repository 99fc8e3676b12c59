"""Where a run searches: an archive, the box that it is scaled in, and whether it still grows."""

from __future__ import annotations

import numpy as np

from moela._arrays import Bools, Floats
from moela.core.archive import Archive
from moela.core.scaling import Frame
from moela.core.volume import DirectionalVolume

# The front is looked at anew each time that a tenth more has been evaluated.
_STEP = 1.1
# A region has ceased to grow where the last third of its evaluations brought no more than the
# first share of all that it has gained since its first designs, and where no more than the second
# share of them was non-dominated: where many are, a front is being filled in.
_RECENT, _LEAST_GAIN, _LEAST_ENTERED = 1.0 / 3.0, 0.03, 0.05
# By how much longer it is waited where going elsewhere has paid less than staying did.
_REGRET = 3


class Region:
    """What has been found from some first designs on, and what it is measured in.

    Parameters
    ----------
    archive, frame, volume
        All of them empty at first.
    least : int
        Evaluations that a region is given before anything is said about it.
    """

    def __init__(
        self, archive: Archive, frame: Frame, volume: DirectionalVolume, least: int
    ) -> None:
        self.archive, self.frame, self.volume, self.least = archive, frame, volume, least
        self._most = float("inf")
        self._n_entered = 0
        self._left: tuple[int, Floats, int, Floats] | None = None
        self.begin(0)

    def fresh(self, n_eval: int) -> Region:
        """Return an empty region with the same reference, to begin after `n_eval` evaluations.

        If it finds nothing feasible, it is given up after as many again.
        """
        n_obj = self.archive.F.shape[1]
        archive, frame = Archive(n_obj, self.archive.max_size), Frame(n_obj, self.frame.reference)
        region = Region(archive, frame, self.volume.empty(), self.least)
        region._most = n_eval
        region.begin(n_eval)
        return region

    def take(self, F: Floats, CV: Floats, accepted: Bools, *, first: bool = False) -> Floats:
        """Account for designs [b] that have just gone to the archive.

        Parameters
        ----------
        F, CV : float arrays, [b, M] and [b]
        accepted : bool array, [b]
            Which of them the archive has taken.
        first : bool
            Whether these are the first designs; then infeasible ones count for the box, too.

        Returns
        -------
        float array, [b]
            By how much each has made the (estimated) hypervolume grow, in units of the objectives,
            so that gains add up although the box moves.
        """
        self._n_entered += int(accepted.sum())
        known = F if first or not self.archive.feasible else F[CV <= 0]
        if self.frame.update(known, self.archive):
            n_before = max(len(self.archive) - int(accepted.sum()), 0)
            self.volume.restart(self.archive.F[:n_before], self.frame)
        grown = np.zeros(len(F))
        useful = accepted & (CV <= 0)
        unit = np.prod(self.frame.nadir - self.frame.ideal)
        grown[useful] = unit * self.volume.add(F[useful], self.frame)
        return grown

    # ------------------------------------------------------------------------ whether it grows

    def begin(self, n_eval: int) -> None:
        """Look at what is gained from here on, after `n_eval` evaluations of the run."""
        self._begun_at, self._look_at = n_eval, 1.0
        self._looks = [(0, self._n_entered, self._feasible_front())]

    def stagnates(self, n_eval: int) -> bool:
        """Say whether, after `n_eval` evaluations of the run, the region has ceased to grow."""
        n = n_eval - self._begun_at
        if n < self._look_at:
            return False
        self._look_at = n * _STEP
        self._looks.append((n, self._n_entered, self._feasible_front()))
        if not self.archive.feasible:
            return n >= self._most
        if n < self.least:
            return False
        then, entered, before = [look for look in self._looks if look[0] <= (1.0 - _RECENT) * n][-1]
        if self._n_entered - entered > _LEAST_ENTERED * (n - then):
            return False
        # All in the box of now; they were found in other boxes.
        at_first, earlier, now = self._volumes(self._looks[0][2], before, self.archive.F)
        stagnant = now - earlier <= _LEAST_GAIN * (now - at_first)
        if stagnant:
            self._look_back(n_eval)
            self._left = n_eval, self.archive.F, n_eval - n + then, before
        return stagnant

    def _look_back(self, n_eval: int) -> None:
        """Stay longer from now on if leaving has paid less than staying had until then."""
        if self._left is None:
            return
        n_left, at_leaving, n_before, before = self._left
        earlier, left, now = self._volumes(before, at_leaving, self.archive.F)
        if (now - left) / (n_eval - n_left) < (left - earlier) / (n_left - n_before):
            self.least *= _REGRET

    def _feasible_front(self) -> Floats:
        return self.archive.F if self.archive.feasible else self.archive.F[:0]

    def _volumes(self, *fronts: Floats) -> list[float]:
        return [self.volume.of(F, self.frame) for F in fronts]
