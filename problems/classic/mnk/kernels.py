"""Compiled loops of the MNK-landscapes: evaluation and bit flips."""

from __future__ import annotations

import numpy as np

from moela.compilation.jit import cached_njit

__all__ = ["evaluate", "flip_neighbors"]

# links: int64 [m, n, k + 1], the bits that a contribution depends on, the lowest index bit first;
# tables: float64 [m, n, 2 ** (k + 1)].


@cached_njit(nogil=True)
def evaluate(X, links, tables, out):  # type: ignore[no-untyped-def]
    """Write minus the mean contribution of each row of X to out[row, objective]."""
    m, n, width = links.shape
    for r in range(X.shape[0]):
        for o in range(m):
            total = 0.0
            for i in range(n):
                at = 0
                for j in range(width):
                    if X[r, links[o, i, j]]:
                        at |= 1 << j
                total += tables[o, i, at]
            out[r, o] = -total / n


@cached_njit(nogil=True)
def flip_neighbors(X, uniforms, out):  # type: ignore[no-untyped-def]
    """Write to out[row, c] the row with one bit flipped, each bit once, and then with two bits.

    `uniforms` has shape [rows, k, 2].
    """
    rows, n = X.shape
    order = np.arange(n)
    for r in range(rows):
        for c in range(out.shape[1]):
            out[r, c] = X[r]
            # A partial Fisher-Yates shuffle; it may start from any order, so none is restored.
            done = c if c < n else 0
            q = done + int(uniforms[r, c, 0] * (n - done))
            order[done], order[q] = order[q], order[done]
            i = order[done]
            out[r, c, i] = not out[r, c, i]
            if c >= n and n > 1:
                j = (i + 1 + int(uniforms[r, c, 1] * (n - 1))) % n
                out[r, c, j] = not out[r, c, j]
