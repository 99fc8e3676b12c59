"""Compiled kernels of the Hamming-kernel model: distances, and changes by moves of few columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moela._arrays import Floats, Ints
from moela.core.kernels.jit import compiled, reassociating

__all__ = [
    "changes_after",
    "distance_counts",
    "hamming_distances",
    "similarities",
    "similarity_triangle",
]

Singles = NDArray[np.float32]
Shorts = NDArray[np.int16]
Signs = NDArray[np.int8]
Words = NDArray[np.uint64]

_ONE, _TWO, _FOUR, _TOP = np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(56)
_PAIRS, _FOURS = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
_EIGHTS, _SUM = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)


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
    features: Floats,
    near: Floats,
    kernel: Singles,
    weights: Singles,
    signs: Signs,
    rates: Singles,
    unit: Floats,
) -> Floats:
    """Return how moves from designs to neighbors change weighted sums of similarities, [n, k, M].

    A move multiplies the similarity to a center by a constant for each column that it changes, so
    that no exponential is computed.

    Parameters
    ----------
    features : array of shape (n, d)
        Zeros and ones of the designs.
    near : array of shape (n, k, d)
        Zeros and ones of their neighbors.
    kernel : array of shape (n, centers)
        Similarities of the designs to the centers.
    weights : array of shape (M, centers)
        Weights of the centers.
    signs : array of shape (d, centers)
        Change of the distance if a column becomes one: 1 where the center has a zero, else -1.
    rates : array of shape (2,)
        Hyperbolic cosine and sine of the change of the logarithm of a similarity with the distance.
    unit : array of shape (M,)
        Factors on the sums.
    """
    n, k, d = near.shape
    m, n_centers = weights.shape
    out = np.zeros((n, k, m))
    factor = np.empty(n_centers, dtype=np.float32)
    weighted = np.empty((m, n_centers), dtype=np.float32)
    even, odd = rates[0], rates[1]
    for i in range(n):
        for objective in range(m):
            for c in range(n_centers):
                weighted[objective, c] = kernel[i, c] * weights[objective, c]
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
            if first:
                continue
            for objective in range(m):
                out[i, j, objective] = weighted_sum(factor, weighted[objective]) * unit[objective]
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
def _distances_to_earlier(bits: Words, i: int, stop: int, out: Shorts) -> None:
    """Write to `out` the distances of row i from the rows before `stop`."""
    for j in range(stop):
        out[j] = 0
    for word in range(bits.shape[0]):
        own = bits[word, i]
        for j in range(stop):
            x = own ^ bits[word, j]
            # The number of ones of a word, by halves; compilers know this form.
            x = x - ((x >> _ONE) & _PAIRS)
            x = (x & _FOURS) + ((x >> _TWO) & _FOURS)
            x = (x + (x >> _FOUR)) & _EIGHTS
            out[j] += np.int16((x * _SUM) >> _TOP)


@compiled
def distance_counts(bits: Words, n_columns: int, every: int) -> Ints:
    """Return how often each distance occurs from every so many rows to all, [n_columns + 1].

    `bits` [words, n] holds the rows of zeros and ones, 64 columns in a word.
    """
    n = bits.shape[1]
    counts = np.zeros(n_columns + 1, dtype=np.int64)
    distances = np.empty(n, dtype=np.int16)
    for i in range(0, n, every):
        _distances_to_earlier(bits, i, n, distances)
        for j in range(n):
            counts[distances[j]] += 1
    return counts


@compiled
def similarity_triangle(bits: Words, table: Singles, penalty: float) -> Singles:
    """Return the similarities [n, n] of rows of zeros and ones, of which only the lower triangle.

    The penalty is added to the diagonal; the rest is not set. For `bits`, see `distance_counts`.
    """
    n = bits.shape[1]
    out = np.empty((n, n), dtype=np.float32)
    distances = np.empty(n, dtype=np.int16)
    for i in range(n):
        _distances_to_earlier(bits, i, i, distances)
        for j in range(i):
            out[i, j] = table[distances[j]]
        out[i, i] = table[0] + penalty
    return out
