"""Scouts: designs that look for parts of the front far from those that are known."""

from __future__ import annotations

from moela._arrays import Floats

# One of this many designs is a scout at first, and again after a scout that has found something.
# After one that has found nothing, scouts become fewer by the factor.
_EVERY, _FEWER = 4, 2
# A scout has found something if the box of the front has grown by more than this share of it.
_FOUND = 0.05
# Least leave-one-out correlation of the model. What a worse one promises far away is seldom there.
_LEAST_SKILL = 0.6
BEYOND = 1.0
"""The reference point of scouts lies this far beyond the nadir, relative to the front's extent."""


class Scouts:
    """Decides which of the next designs is a scout.

    Expected improvement is counted from a reference point just beyond the nadir. A part of the
    front behind a gap, or at a far end, lies outside it and is never asked for. Scouts count from a
    point far beyond.
    """

    def __init__(self) -> None:
        self._interval = self._due_in = _EVERY
        self._box: tuple[Floats, Floats] | None = None  # when the last scout was sent

    def update(self, ideal: Floats, nadir: Floats) -> None:
        """Learn from the box of the front, from `ideal` to `nadir`, what the last scout found."""
        if self._box is None:
            return
        low, high = self._box
        least = _FOUND * (high - low)
        found = bool(((low - ideal > least) | (nadir - high > least)).any())
        self._due_in = self._interval = _EVERY if found else _FEWER * self._interval
        self._box = None

    def due(self, size: int, skill: float) -> bool:
        """Return whether one of the next `size` designs is to be a scout."""
        self._due_in -= size
        return self._due_in <= 0 and skill >= _LEAST_SKILL

    def sent(self, ideal: Floats, nadir: Floats) -> None:
        """Keep the box of the front before a scout."""
        self._box = ideal, nadir
