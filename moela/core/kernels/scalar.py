"""Compiled scalarization of objectives: scaling and combining in one pass, broadcast like a ufunc.

Inputs are objectives, weights, ideal and span, [M], and the largest size of a scaled value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numpy as np
from numba import guvectorize

from moela._arrays import Floats

Ufunc = Callable[..., Any]

__all__ = ["EDGE", "combination"]

# Closer than this to the edge of the reference box, and beyond it, the tangent replaces the
# logarithm, so that searches outside the box still know which way leads into it.
EDGE = 0.02
_TYPES = ["void(f8[:], f8[:], f8[:], f8[:], f8[:], f8[:])"]
_SHAPES = "(m),(m),(m),(m),()->()"


def product(
    F: Floats, W: Floats, ideal: Floats, span: Floats, farthest: Floats, out: Floats
) -> None:
    """Set the negative logarithm of the weighted product of distances to the reference point."""
    total = 0.0
    for j in range(F.shape[0]):
        z = (F[j] - ideal[j]) / span[j] if span[j] > 0.0 else 0.0
        distance = 1.0 + EDGE - max(min(z, farthest[0]), -farthest[0])
        if distance >= EDGE:
            total += W[j] * math.log(distance)
        else:
            total += W[j] * (math.log(EDGE) + (distance - EDGE) / EDGE)
    out[0] = -total


def chebyshev(
    F: Floats, W: Floats, ideal: Floats, span: Floats, farthest: Floats, out: Floats
) -> None:
    """Set the largest weighted scaled objective."""
    largest = -np.inf
    for j in range(F.shape[0]):
        z = (F[j] - ideal[j]) / span[j] if span[j] > 0.0 else 0.0
        largest = max(largest, W[j] * max(min(z, farthest[0]), -farthest[0]))
    out[0] = largest


def weighted_sum(
    F: Floats, W: Floats, ideal: Floats, span: Floats, farthest: Floats, out: Floats
) -> None:
    """Set the weighted sum of scaled objectives."""
    total = 0.0
    for j in range(F.shape[0]):
        z = (F[j] - ideal[j]) / span[j] if span[j] > 0.0 else 0.0
        total += W[j] * max(min(z, farthest[0]), -farthest[0])
    out[0] = total


@cache
def combination(by: str) -> Ufunc:
    """Return the compiled function of this name, made at the first call.

    Its machine code is kept on disk if a folder can be written.
    """
    function = {"product": product, "chebyshev": chebyshev, "weighted_sum": weighted_sum}[by]
    compiler = cast(Any, guvectorize)
    try:
        made = compiler(_TYPES, _SHAPES, cache=True)(function)
    except RuntimeError:
        made = compiler(_TYPES, _SHAPES)(function)
    # numpy's object; that of numba checks its arguments once more.
    return cast(Ufunc, made.ufunc)
