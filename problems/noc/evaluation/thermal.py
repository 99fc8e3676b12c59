"""The compiled thermal objectives of both models."""

from __future__ import annotations

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.chip.jit import compiled, inlined
from problems.noc.chip.tables import Tables

__all__ = ["thermal_batch"]


@inlined
def thermal(row: Ints, tables: Tables, levels: Floats, released: bool) -> float:
    """Return the thermal objective of a row of X.

    The published model multiplies the peak rise of the stack model in K by the largest spread
    within a layer in K, where T(n, k) = sum_{i<=k} P(n, i) * (sum_{j<=i} R_j + R_b), k counted from
    the heat sink. The released model sums, over stacks, the integer part of power times resistance
    to the sink. ``levels`` [n_levels, n_stacks] is scratch.
    """
    n_levels, n_stacks = levels.shape
    for t in range(tables.pe_type.size):
        levels[tables.level[t], tables.stack[t]] = tables.power[row[t]]
    if released:
        total = 0.0
        for s in range(n_stacks):
            heat = 0.0
            for k in range(n_levels):
                heat += levels[k, s] * tables.layer_resistance * (k + 1)
            total += np.floor(heat)
        return total
    peak = 0.0
    spread = 0.0
    for k in range(n_levels):
        hot, cold = -np.inf, np.inf
        resistance = (k + 1) * tables.layer_resistance + tables.base_resistance
        for s in range(n_stacks):
            levels[k, s] *= resistance
            if k > 0:
                levels[k, s] += levels[k - 1, s]
            hot = max(hot, levels[k, s])
            cold = min(cold, levels[k, s])
        peak = max(peak, hot)
        spread = max(spread, hot - cold)
    return peak * spread


@compiled
def thermal_batch(X: Ints, tables: Tables, released: bool, out: Floats) -> None:
    """Fill ``out`` [n] with the thermal objective of each row of X, by either model."""
    levels = np.zeros((tables.level.max() + 1, tables.stack.max() + 1), np.float64)
    for i in range(X.shape[0]):
        out[i] = thermal(X[i], tables, levels, released)
