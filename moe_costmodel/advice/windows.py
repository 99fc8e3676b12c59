"""Gains of placements on windows of traffic, and intervals of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from scipy.stats import t as student

from moe_costmodel._arrays import Floats
from moe_costmodel.objectives import Predicted
from moe_costmodel.placement.placement import Placement

__all__ = [
    "MOST_WINDOWS",
    "busiest_counts",
    "busiest_loads",
    "cross_validated",
    "gain_on",
    "interval_of",
    "window_slices",
]

MOST_WINDOWS = 8
FEWEST_STEPS = 8
"""Steps from which a half of a trace is cut into windows."""
_TAIL = 0.05
_MODEL_ERROR = 0.15
"""Part of a gain by which drawn drift may be wrong, since layers do not drift independently. On
half of the layers of DeepSeek-V3, the low end then held in 27 to 30 of 30 pairs of workloads."""


def busiest_loads(placement: Placement, loads: Floats) -> Floats:
    """Return the tokens of the busiest device, summed over layers, (n_steps,).

    Layers run one after another and wait for their busiest device, so a step of the experts takes
    a time that grows with this sum. Each copy of an expert takes an equal part of its tokens.
    """
    per_device = placement.device_loads(loads)
    return np.asarray(per_device.max(axis=2).sum(axis=1), dtype=np.float64)


def busiest_counts(placement: Placement, counts: Floats) -> Floats:
    """Return the same sums if whole tokens go to copies that are chosen at random, (n_steps,).

    SGLang chooses the copy so with ``--ep-dispatch-algorithm dynamic``. Equal parts, as in
    `busiest_loads`, would promise a gain even if an expert has a single token, which no two copies
    can share.
    """
    held, copies = placement.on_device(), placement.copies
    per_device = np.matmul(counts.transpose(1, 0, 2), held * (copies == 1)[:, :, None])
    per_device = per_device.transpose(1, 0, 2)
    layer, expert = np.nonzero(copies > 1)
    if len(layer):
        generator, steps = np.random.default_rng(0), np.arange(len(counts))[:, None]
        left = np.rint(counts[:, layer, expert]).astype(np.int64)
        up_to, n = held[layer, expert].cumsum(axis=1), copies[layer, expert]
        for rank in range(int(n.max())):
            at = np.flatnonzero(n > rank)
            taken = generator.binomial(left[:, at], 1.0 / (n[at] - rank))
            left[:, at] -= taken
            device = (up_to[at] <= rank).sum(axis=1)
            np.add.at(per_device, (steps, layer[at], device), taken)
    return np.asarray(per_device.max(axis=2).sum(axis=1), dtype=np.float64)


def gain_on(new: Floats, running: Floats) -> float:
    """Return the share by which the sum of some loads of the busiest device is lower."""
    total = float(running.sum())
    return 1.0 - float(new.sum()) / total if total > 0 else 0.0


def window_slices(n_steps: int, most: int = MOST_WINDOWS) -> list[slice]:
    """Cut steps into windows of equal length, by default at most eight."""
    n = min(most, n_steps // 2)
    ends = np.linspace(0, n_steps, n + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(ends)]


def cross_validated(
    loads: Floats, fit: Callable[[Floats], Placement], running: Placement
) -> Floats:
    """Return the gain of a placement in each window, fitted on the other half, (n_windows,).

    Windows of the later half are scored with what the earlier half fits, and the other way round.
    """
    windows = window_slices(len(loads))
    middle = windows[len(windows) // 2].start
    gains = []
    now = busiest_counts(running, loads)
    early, late = fit(loads[:middle]), fit(loads[middle:])
    for window in windows:
        placement = late if window.start < middle else early
        gains.append(gain_on(busiest_counts(placement, loads[window]), now[window]))
    return np.array(gains)


def interval_of(gains: Floats, *, of_mean: bool = False) -> Predicted:
    """Return the mean of windows' gains, with the 90 % interval of a window to come.

    Parameters
    ----------
    gains : ndarray of shape (n_windows,)
    of_mean : bool
        Return the interval of the mean in place of that of one more window.
    """
    mean, n = float(gains.mean()), len(gains)
    if n < 2:
        return Predicted(mean, -1.0, 1.0)
    spread = float(gains.std(ddof=1)) * float(student.ppf(1.0 - _TAIL, n - 1))
    spread *= np.sqrt(1.0 / n) if of_mean else np.sqrt(1.0 + 1.0 / n)
    return Predicted(mean, mean - spread, mean + spread)


def quantiles_of(gains: Sequence[float] | Floats) -> Predicted:
    """Return the mean of drawn gains, with their 90 % interval and the error of the drift model."""
    values = np.asarray(gains, dtype=np.float64)
    low, high = np.quantile(values, [_TAIL, 1.0 - _TAIL])
    mean = float(values.mean())
    error = _MODEL_ERROR * abs(mean)
    return Predicted(mean, min(float(low), mean) - error, max(float(high), mean) + error)
