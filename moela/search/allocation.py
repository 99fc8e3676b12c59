"""Whose turn it is: shares of the evaluations, which follow what has paid off so far."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# An evaluation counts for half of what it did some 70 evaluations of the same part ago.
_FADE = 0.99
# Evaluations to see of every part before any share moves, and how far one may.
_MIN_SEEN = 50.0
_LEAST, _MOST = 0.1, 10.0


class Turns:
    """Shares evaluations out among the parts of an algorithm.

    Each part has a base share. Where shares adapt, it is multiplied by how much hypervolume an
    evaluation of that part has lately brought, relative to the mean over the parts, between a tenth
    and ten times. A part that has been handed its share waits until the others have theirs (stride
    scheduling, Waldspurger and Weihl 1995).

    Parameters
    ----------
    base : dict of float by part
        Relative shares; parts with none, or zero, get no turn.
    adapt : bool
        Whether the shares follow the gains, or stay.
    """

    def __init__(self, base: Mapping[str, float], *, adapt: bool) -> None:
        total = sum(base.values())
        self.base = {part: share / total for part, share in base.items() if share > 0}
        self.adapt = adapt
        self._passed = dict.fromkeys(self.base, 0.0)
        self._gain = dict.fromkeys(self.base, 0.0)
        self._seen = dict.fromkeys(self.base, 0.0)

    @property
    def shares(self) -> dict[str, float]:
        """The shares now, by part; they sum to 1."""
        if not self.adapt or min(self._seen.values()) < _MIN_SEEN:
            return self.base
        rate = {part: self._gain[part] / self._seen[part] for part in self.base}
        mean = sum(self.base[part] * rate[part] for part in self.base)
        if mean <= 0.0:
            return self.base
        moved = {
            part: self.base[part] * float(np.clip(rate[part] / mean, _LEAST, _MOST))
            for part in self.base
        }
        total = sum(moved.values())
        return {part: share / total for part, share in moved.items()}

    def next(self) -> str:
        """Return the part that is furthest behind its share."""
        return min(self._passed, key=lambda part: self._passed[part])

    def asked(self, part: str, n: int) -> None:
        """Count n evaluations handed to a part."""
        if part in self.base:
            self._passed[part] += n / self.shares[part]

    def paid(self, part: str, n: int, gain: float) -> None:
        """Learn that n evaluations of a part have brought so much hypervolume."""
        if part in self.base and n:
            fade = _FADE**n
            self._gain[part] = fade * self._gain[part] + gain
            self._seen[part] = fade * self._seen[part] + n
