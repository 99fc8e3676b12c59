"""The progress bar: evaluations done, rate, time left, hypervolume."""

from __future__ import annotations

import sys
import time

import numpy as np
from numpy.typing import ArrayLike

from moela._arrays import Floats

# Beyond this the exact hypervolume of a front takes too long to be shown during a run.
_MAX_HYPERVOLUME_WORK = 2e7


class Progress:
    """A tqdm bar on standard error, with the hypervolume so far if there is a ``ref_point``.

    ``every`` is the least number of seconds between two hypervolumes.
    """

    def __init__(
        self, total: int | None, done: int, ref_point: ArrayLike | None = None, every: float = 3.0
    ) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, initial=done, unit="eval", dynamic_ncols=True)
        self._ref = None if ref_point is None else np.asarray(ref_point, dtype=float)
        self._front = np.empty((0, 0 if self._ref is None else len(self._ref)))
        self._every = every
        self._due = 0.0

    def add(self, n: int, F: Floats) -> None:
        """Count n evaluations; the k feasible ones of them have the objectives F [k, n_obj]."""
        if self._ref is not None and len(F):
            from moocore import is_nondominated

            both = np.vstack([self._front, F])
            self._front = both[is_nondominated(both)]
            if time.monotonic() >= self._due:
                self._show_hypervolume()
        self._bar.update(n)

    def total(self, total: int | None) -> None:
        """Set the number of evaluations at which the run ends."""
        if self._bar.total != total:
            self._bar.total = total
            self._bar.refresh()

    def close(self) -> None:
        """Show the last state and end the bar."""
        if self._ref is not None and len(self._front):
            self._show_hypervolume()
        self._bar.close()

    def _show_hypervolume(self) -> None:
        from moocore import hypervolume

        n, m = self._front.shape
        if m > 4 and float(n) ** (m - 2) > _MAX_HYPERVOLUME_WORK:
            return
        start = time.monotonic()
        value = hypervolume(self._front, ref=self._ref)
        now = time.monotonic()
        # At most a twentieth of the time is spent on hypervolumes.
        self._due = now + max(self._every, 20 * (now - start))
        self._bar.set_postfix(hv=f"{value:.6g}", refresh=False)


def wanted(progress: bool | None) -> bool:
    """Return whether to show a bar; None shows it if standard error is a terminal."""
    return bool(sys.stderr.isatty()) if progress is None else progress
