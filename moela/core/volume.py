"""A cheap running estimate of hypervolume, for the contribution of each part of an algorithm."""

from __future__ import annotations

from copy import copy

import numpy as np

from moela._arrays import Floats
from moela.core.kernels.volume import furthest, growths, rooms
from moela.core.scaling import Normalization


class DirectionalVolume:
    """Hypervolume as an average over rays from the reference point.

    With V_k the largest distance along ray k that some design still dominates, the hypervolume is
    proportional to the mean of V_k ** M (Deng and Zhang 2019, "Approximating hypervolume and
    hypervolume contributions using polar coordinate", IEEE TEVC 23(5)). O(K M) per design, for K
    rays and M objectives.
    """

    def __init__(self, n_obj: int, random_state: np.random.Generator, n_rays: int = 200) -> None:
        rays = np.abs(random_state.normal(size=(n_rays, n_obj)))
        self.rays = np.maximum(rays / np.linalg.norm(rays, axis=1, keepdims=True), 1e-9)
        self._inverse = np.ascontiguousarray(1.0 / self.rays.T)
        self.reach: Floats = np.zeros(n_rays)

    def reset(self, F: Floats, normalization: Normalization) -> None:
        """Forget all designs, then add F [n, M]; needed if the normalization has changed."""
        self.reach = self._furthest(F, normalization)

    def empty(self) -> DirectionalVolume:
        """Return an estimate along the same rays, without designs."""
        other = copy(self)
        other.reach = np.zeros(len(self.rays))
        return other

    def of(self, F: Floats, normalization: Normalization) -> float:
        """Return the estimate for F [n, M] alone, as a share of the unit ball's part."""
        return float(_power(self._furthest(F, normalization), self.rays.shape[1]).mean())

    def add(self, F: Floats, normalization: Normalization) -> Floats:
        """Add designs F [b, M] one after another; return the growth of the estimate by each, [b].

        Like the estimate, it is a share of the unit ball's part.
        """
        if len(F) == 0:
            return np.empty(0)
        # A copy, since copies of the algorithm share the old one.
        self.reach = self.reach.copy()
        return growths(_room(F, normalization), self._inverse, self.reach, keep=True)

    def gain(self, F: Floats, normalization: Normalization) -> Floats:
        """Return what each design of F [b, M] would add on its own, without adding it: [b]."""
        return growths(_room(F, normalization), self._inverse, self.reach, keep=False)

    def _furthest(self, F: Floats, normalization: Normalization) -> Floats:
        reach = np.zeros(len(self.rays))
        if len(F):
            furthest(_room(F, normalization), self._inverse, reach)
        return reach


def _room(F: Floats, normalization: Normalization) -> Floats:
    return rooms(F, normalization.ideal, normalization.nadir, normalization.farthest)


def _power(values: Floats, n: int) -> Floats:
    # A product takes a fraction of the time of numpy's power.
    out = values.copy()
    for _ in range(n - 1):
        out *= values
    return out
