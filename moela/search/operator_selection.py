"""Adaptive operator selection: how often each operator is used, by its rewards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moela._arrays import Floats, Ints


class Credit:
    """How well each of several ways has paid, and how often to take each.

    Parameters
    ----------
    mean : sequence of float
        For each way, what is expected of it before it has been tried, in [0, 1].
    floor : float
        Least probability of each, so that one that did not pay is tried again.
    rate : float
        Weight of the newest reward in the running means.
    """

    def __init__(self, mean: Sequence[float], floor: float, rate: float = 0.02) -> None:
        self.floor, self.rate = floor, rate
        self.mean: Floats = np.array(mean, dtype=float)

    @property
    def probabilities(self) -> Floats:
        """Probability of each way, [n]."""
        n = len(self.mean)
        return self.floor + (1.0 - n * self.floor) * self.mean / self.mean.sum()

    def add(self, ways: Ints, rewards: Floats) -> None:
        """Learn what was paid, rewards [b] in [0, 1], for the ways taken [b]."""
        for way, reward in zip(ways.tolist(), rewards.tolist(), strict=True):
            mean = self.mean[way] + self.rate * (reward - self.mean[way])
            self.mean[way] = max(mean, 1e-4)
