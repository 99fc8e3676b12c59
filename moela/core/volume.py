"""A cheap running estimate of hypervolume, for the contribution of each part of an algorithm."""

from __future__ import annotations

from copy import copy

import numpy as np

from moela._arrays import Floats
from moela.core.scaling import Normalization

# Number of designs processed at a time, so that temporaries stay in the processor's cache.
_BLOCK = 128


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
        reaches = np.maximum.accumulate(
            np.concatenate([self.reach[None], self._reaches(F, normalization)]), axis=0
        )
        self.reach = reaches[-1]
        return np.diff(_power(reaches, self.rays.shape[1]).mean(axis=1))

    def gain(self, F: Floats, normalization: Normalization) -> Floats:
        """Return what each design of F [b, M] would add on its own, without adding it: [b]."""
        m = self.rays.shape[1]
        volumes = np.empty(len(F))
        for start in range(0, len(F), _BLOCK):
            reaches = self._reaches(F[start : start + _BLOCK], normalization)
            np.maximum(reaches, self.reach, out=reaches)
            volumes[start : start + _BLOCK] = _power(reaches, m).mean(axis=1)
        return np.asarray(volumes - _power(self.reach, m).mean())

    def _furthest(self, F: Floats, normalization: Normalization) -> Floats:
        reach = np.zeros(len(self.rays))
        for start in range(0, len(F), _BLOCK):
            reaches = self._reaches(F[start : start + _BLOCK], normalization)
            np.maximum(reach, reaches.max(axis=0), out=reach)
        return reach

    def _reaches(self, F: Floats, normalization: Normalization) -> Floats:
        room = 1.0 - normalization.scale(F)
        reach = room[:, :1] * self._inverse[0]
        along = np.empty_like(reach)
        for j in range(1, room.shape[1]):
            np.multiply(room[:, j : j + 1], self._inverse[j], out=along)
            np.minimum(reach, along, out=reach)
        return reach


def _power(values: Floats, n: int) -> Floats:
    # A product takes a fraction of the time of numpy's power.
    out = values.copy()
    for _ in range(n - 1):
        out *= values
    return out
