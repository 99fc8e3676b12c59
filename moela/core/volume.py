"""A cheap running estimate of hypervolume, for the contribution of each part of an algorithm."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TypeVar, cast

import numpy as np
from numba import njit

from moela._arrays import Floats
from moela.core.scaling import Normalization

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function, and keep the machine code on disk if a folder can be written."""
    try:
        return cast(Function, njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast(Function, njit(nogil=True)(function))


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
        return growths(1.0 - normalization.scale(F), self._inverse, self.reach, keep=True)

    def gain(self, F: Floats, normalization: Normalization) -> Floats:
        """Return what each design of F [b, M] would add on its own, without adding it: [b]."""
        return growths(1.0 - normalization.scale(F), self._inverse, self.reach, keep=False)

    def _furthest(self, F: Floats, normalization: Normalization) -> Floats:
        reach = np.zeros(len(self.rays))
        if len(F):
            furthest(1.0 - normalization.scale(F), self._inverse, reach)
        return reach


def _power(values: Floats, n: int) -> Floats:
    # A product takes a fraction of the time of numpy's power.
    out = values.copy()
    for _ in range(n - 1):
        out *= values
    return out


@compiled
def furthest(room: Floats, inverse: Floats, reach: Floats) -> None:
    """Extend the reach [K] along rays by designs with this room to the reference point, [n, M].

    `inverse` [M, K] holds the inverse coordinates of the rays.
    """
    along = np.empty_like(reach)
    for i in range(room.shape[0]):
        for k in range(reach.size):
            along[k] = room[i, 0] * inverse[0, k]
        for j in range(1, room.shape[1]):
            for k in range(reach.size):
                other = room[i, j] * inverse[j, k]
                along[k] = other if other < along[k] else along[k]
        for k in range(reach.size):
            reach[k] = along[k] if along[k] > reach[k] else reach[k]


@compiled
def growths(room: Floats, inverse: Floats, reach: Floats, *, keep: bool) -> Floats:
    """Return how much each design [n, M] adds to the mean of the M-th powers of the reach, [n].

    With `keep`, each design extends the reach before the next one; else each counts on its own.
    """
    n, m = room.shape
    out = np.empty(n)
    along = np.empty_like(reach)
    for i in range(n):
        for k in range(reach.size):
            along[k] = room[i, 0] * inverse[0, k]
        for j in range(1, m):
            for k in range(reach.size):
                other = room[i, j] * inverse[j, k]
                along[k] = other if other < along[k] else along[k]
        total = 0.0
        for k in range(reach.size):
            if along[k] > reach[k]:
                before, after = reach[k], along[k]
                for _ in range(m - 1):
                    before *= reach[k]
                    after *= along[k]
                total += after - before
                if keep:
                    reach[k] = along[k]
        out[i] = total / reach.size
    return out
