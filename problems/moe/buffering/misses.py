"""Misses of each step under each policy and number of resident experts, and waits for copies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moe_costmodel import Placement, miss_curves
from moe_costmodel._arrays import Array
from problems._arrays import Floats, Ints
from problems.moe.buffering.kernels import Misses, waiting_steps

__all__ = ["counted_misses", "joined", "waiting"]

# Designs whose steps are in memory at a time.
_ROWS = 256


def counted_misses(loads: Array, placement: Placement, policies: Sequence[str]) -> Misses:
    """Return the misses of each step, [n_policies, n_layers, n_devices, n_capacities, n_steps].

    Parameters
    ----------
    loads : array [n_steps, n_layers, n_experts]
        Tokens of each expert.
    placement : Placement
        Without replicas.
    policies : sequence of str
    """
    curves = miss_curves(
        loads, placement.device_of(), placement.n_devices, policies=policies, per_step=True
    )
    steps = np.stack([np.asarray(curves[name].per_step) for name in policies])
    return np.ascontiguousarray(steps.transpose(0, 2, 3, 4, 1).astype(np.uint16))


def waiting(windows: Sequence[Misses], kept: Ints, policy: Ints) -> tuple[Floats, Floats]:
    """Return mean and 99th percentile of the copies that a step waits for, [n_windows, n] each.

    Parameters
    ----------
    windows : sequence of arrays
        Misses of each window.
    kept : int64 array [n, n_layers, n_devices]
        Resident experts.
    policy : int64 array [n]
    """
    policy = np.ascontiguousarray(policy)
    mean, tail = np.empty((2, len(windows), len(kept)))
    for w, misses in enumerate(windows):
        n_steps = misses.shape[-1]
        rank = max(0, int(np.ceil(0.99 * n_steps)) - 1)
        for begin in range(0, len(kept), _ROWS):
            some = slice(begin, begin + _ROWS)
            steps = np.empty((len(kept[some]), n_steps))
            waiting_steps(misses, kept[some], policy[some], steps, mean[w, some])
            tail[w, some] = np.partition(steps, rank, axis=1)[:, rank]
    return mean, tail


def joined(windows: Sequence[Misses], policy: int) -> Misses:
    """Return the misses under a policy, [n_layers, n_devices, n_capacities, n_steps].

    Windows have different lengths, so their steps are joined, not averaged.
    """
    if len(windows) == 1:
        return windows[0][policy]
    return np.concatenate([window[policy] for window in windows], axis=3)
