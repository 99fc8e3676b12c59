"""The compiled thermal objectives of both models."""

from __future__ import annotations

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.chip.jit import compiled

__all__ = ["thermal_batch"]


@compiled
def thermal_batch(
    X: Ints,
    level: Ints,
    stack: Ints,
    power: Floats,
    layer: float,
    base: float,
    released: bool,
    out: Floats,
) -> None:
    """Fill ``out`` [n] with the thermal objective of each row of X.

    The published model multiplies the peak rise of the stack model in K by the largest spread
    within a layer in K, where T(n, k) = sum_{i<=k} P(n, i) * (sum_{j<=i} R_j + R_b), k counted from
    the heat sink. The released model sums, over stacks, the integer part of power times resistance
    to the sink. Only the fields of the platform's `Tables` that matter are passed, since every
    field takes time.
    """
    n_levels, n_stacks = level.max() + 1, stack.max() + 1
    watts = np.zeros((n_levels, n_stacks), np.float64)
    for i in range(X.shape[0]):
        for t in range(level.size):
            watts[level[t], stack[t]] = power[X[i, t]]
        if released:
            out[i] = 0.0
            for s in range(n_stacks):
                heat = 0.0
                for k in range(n_levels):
                    heat += watts[k, s] * layer * (k + 1)
                out[i] += np.floor(heat)
            continue
        peak = 0.0
        spread = 0.0
        for k in range(n_levels):
            hot, cold = -np.inf, np.inf
            resistance = (k + 1) * layer + base
            for s in range(n_stacks):
                watts[k, s] *= resistance
                if k > 0:
                    watts[k, s] += watts[k - 1, s]
                hot = max(hot, watts[k, s])
                cold = min(cold, watts[k, s])
            peak = max(peak, hot)
            spread = max(spread, hot - cold)
        out[i] = peak * spread
