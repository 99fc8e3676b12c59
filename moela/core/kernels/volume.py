"""Compiled kernel of the hypervolume estimate: how far designs reach along rays."""

from __future__ import annotations

import numpy as np

from moela._arrays import Floats
from moela.core.kernels.jit import compiled

__all__ = ["furthest", "growths", "rooms"]


@compiled
def rooms(F: Floats, ideal: Floats, nadir: Floats, farthest: float) -> Floats:
    """Return how far objectives [n, M] are from the nadir in scaled units, [n, M].

    Scaling is that of `Normalization.scale`.
    """
    n, m = F.shape
    out = np.ones((n, m))
    for j in range(m):
        span = nadir[j] - ideal[j]
        if span > 0.0:
            for i in range(n):
                z = (F[i, j] - ideal[j]) / span
                out[i, j] = 1.0 - max(min(z, farthest), -farthest)
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
    out = np.zeros(n)
    along = np.empty_like(reach)
    for i in range(n):
        for k in range(reach.size):
            along[k] = room[i, 0] * inverse[0, k]
        for j in range(1, m):
            for k in range(reach.size):
                other = room[i, j] * inverse[j, k]
                along[k] = other if other < along[k] else along[k]
        # Most designs extend nothing, which a loop without branches finds fast.
        n_further = 0
        for k in range(reach.size):
            n_further += along[k] > reach[k]
        if n_further == 0:
            continue
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
