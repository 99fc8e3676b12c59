"""Metrics of a network under the traffic of recorded steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.evaluation.evaluation import NoCEvaluation
from problems.noc.evaluation.metrics import ALL_UNITS as NOC_UNITS
from problems.noc.evaluation.metrics import PER_APPLICATION

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = ["UNITS", "step_metrics"]

UNITS = {"p99_latency": "cycles"} | NOC_UNITS | {"latency": "cycles"}
"""Every possible objective or constraint, with its unit.

"latency" is that of all packets here, the "packet_latency" of the network.
"""

QUANTILE = 0.99

_SAME = {"latency": "packet_latency"}


def step_metrics(
    platform: Platform, steps: Floats, network: Ints, names: Sequence[str]
) -> Floats | None:
    """Return metrics of a network under the steps of a window, [n_names]; None if it is illegal.

    "p99_latency" is the 99th percentile of the mean packet latencies of the steps; steps without
    traffic have none. All others are those under the mean traffic.

    Parameters
    ----------
    platform : Platform
    steps : float array [n_steps, n_tiles, n_tiles]
        Flits per cycle from PE to PE.
    network : int array [n_network]
        Row of ``NoC3D``.
    names : sequence of str
        Of :data:`UNITS`.
    """
    plain = [_SAME.get(name, name) for name in names if name != "p99_latency"]
    values: dict[str, float] = {}
    row = network[None]
    if plain:
        mean = steps.mean(axis=0, keepdims=True)
        idle = not mean.any()
        # Metrics of the network alone are those under any traffic.
        found = NoCEvaluation(platform, mean + idle, "published", "mean").values(row, plain)
        if found is None:
            return None
        values = dict(zip(plain, found[0, 0].tolist(), strict=True))
        if idle:
            values |= dict.fromkeys(PER_APPLICATION & set(plain), 0.0)
    if "p99_latency" in names:
        busy = np.ascontiguousarray(steps[steps.any(axis=(1, 2))])
        latency = np.zeros(len(steps))
        if len(busy):
            each = NoCEvaluation(platform, busy, "published", "mean")
            found = each.values(row, ["packet_latency"])
            if found is None:
                return None
            latency[: len(busy)] = found[0, :, 0]
        rank = max(math.ceil(QUANTILE * len(steps)) - 1, 0)
        values["p99_latency"] = float(np.sort(latency)[rank])
    return np.array([values[_SAME.get(name, name)] for name in names])
