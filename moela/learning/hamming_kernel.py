"""Compiled kernel of the Hamming-kernel model: similarities after moves that change few columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from moela._arrays import Floats

__all__ = ["hamming_distances", "similarities", "similarities_after"]

Singles = NDArray[np.float32]
Shorts = NDArray[np.int16]
Signs = NDArray[np.int8]

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a function, and keep the machine code on disk if a folder can be written."""
    try:
        return cast(F, njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast(F, njit(nogil=True)(function))


@compiled
def hamming_distances(features: Floats, sizes: Shorts, signs: Signs) -> Shorts:
    """Return the distances [b, centers] of rows of zeros and ones [b, d] from the centers.

    `sizes` holds the number of ones of each center; for `signs`, see `similarities_after`.
    """
    b, d = features.shape
    out = np.empty((b, len(sizes)), dtype=np.int16)
    for i in range(b):
        out[i] = sizes
        for column in range(d):
            if features[i, column] != 0.0:
                for c in range(len(sizes)):
                    out[i, c] += signs[column, c]
    return out


@compiled
def similarities_after(moves: Floats, before: Shorts, signs: Signs, table: Singles) -> Singles:
    """Return the similarities to all centers after moves, [n * k, centers].

    Parameters
    ----------
    moves : array of shape (n, k, d)
        Changes of columns, -1, 0 or 1.
    before : array of shape (n, centers)
        Hamming distances before the moves.
    signs : array of shape (d, centers)
        Change of the distance if a column becomes one: 1 where the center has a zero, else -1.
    table : array of shape (d + 1,)
        Similarity at each distance.
    """
    n, k, d = moves.shape
    n_centers = before.shape[1]
    out = np.empty((n * k, n_centers), dtype=np.float32)
    distance = np.empty(n_centers, dtype=np.int16)
    for i in range(n):
        for j in range(k):
            distance[:] = before[i]
            for column in range(d):
                move = moves[i, j, column]
                if move > 0.0:
                    for c in range(n_centers):
                        distance[c] += signs[column, c]
                elif move < 0.0:
                    for c in range(n_centers):
                        distance[c] -= signs[column, c]
            row = out[i * k + j]
            for c in range(n_centers):
                row[c] = table[distance[c]]
    return out


@compiled
def similarities(distances: Shorts, table: Singles) -> Singles:
    """Return the similarities at these distances [b, centers]."""
    b, n_centers = distances.shape
    out = np.empty((b, n_centers), dtype=np.float32)
    for i in range(b):
        for c in range(n_centers):
            out[i, c] = table[distances[i, c]]
    return out
