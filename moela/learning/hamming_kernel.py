"""Compiled kernels of the Hamming-kernel model: distances, and changes by moves of few columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moela._arrays import Floats
from moela.core.kernels.jit import compiled, reassociating

__all__ = ["changes_after", "hamming_distances", "similarities", "similarity_triangle"]

Singles = NDArray[np.float32]
Shorts = NDArray[np.int16]
Signs = NDArray[np.int8]


@compiled
def hamming_distances(features: Floats, sizes: Shorts, signs: Signs) -> Shorts:
    """Return the distances [b, centers] of rows of zeros and ones [b, d] from the centers.

    `sizes` holds the number of ones of each center; for `signs`, see `changes_after`.
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


@reassociating
def weighted_sum(factor: Singles, weights: Singles) -> np.float32:
    """Return the sum of weights times what factors [centers] add to them."""
    total = np.float32(0.0)
    for c in range(len(factor)):
        total += (factor[c] - np.float32(1.0)) * weights[c]
    return total


@reassociating
def changes_after(
    features: Floats, near: Floats, weighted: Singles, signs: Signs, rates: Singles
) -> Singles:
    """Return how moves from designs to neighbors change weighted sums of similarities, [n, k, M].

    A move multiplies the similarity to a center by a constant for each column that it changes, so
    that no exponential is computed.

    Parameters
    ----------
    features : array of shape (n, d)
        Zeros and ones of the designs.
    near : array of shape (n, k, d)
        Zeros and ones of their neighbors.
    weighted : array of shape (n, M, centers)
        Similarities of the designs to the centers, times the weights of the centers.
    signs : array of shape (d, centers)
        Change of the distance if a column becomes one: 1 where the center has a zero, else -1.
    rates : array of shape (2,)
        Hyperbolic cosine and sine of the change of the logarithm of a similarity with the distance.
    """
    n, k, d = near.shape
    m, n_centers = weighted.shape[1:]
    out = np.empty((n, k, m), dtype=np.float32)
    factor = np.empty(n_centers, dtype=np.float32)
    even, odd = rates[0], rates[1]
    for i in range(n):
        for j in range(k):
            first = True
            for column in range(d):
                if near[i, j, column] == features[i, column]:
                    continue
                slope = -odd if near[i, j, column] > features[i, column] else odd
                sign = signs[column]
                if first:
                    for c in range(n_centers):
                        factor[c] = even + slope * np.float32(sign[c])
                else:
                    for c in range(n_centers):
                        factor[c] *= even + slope * np.float32(sign[c])
                first = False
            for objective in range(m):
                out[i, j, objective] = (
                    0.0 if first else weighted_sum(factor, weighted[i, objective])
                )
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


@compiled
def similarity_triangle(products: Singles, sizes: Shorts, table: Singles, penalty: float) -> None:
    """Turn inner products [n, n] of rows of zeros and ones into similarities, in place.

    Only the lower triangle is computed. `sizes` holds the number of ones of each row; the penalty
    is added to the diagonal.
    """
    for i in range(len(sizes)):
        for j in range(i):
            products[i, j] = table[sizes[i] + sizes[j] - 2 * np.int32(products[i, j])]
        products[i, i] = table[0] + penalty
