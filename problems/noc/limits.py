"""Constraints by name, and the proof before a run that one of them cannot be met.

A bound is proved from the platform and the traffic alone, so it is not tight: a limit above it may
still be out of reach.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .metrics import UNITS, end_waits, router_area, sent_and_received
from .tables import Floats

if TYPE_CHECKING:
    from .platform import Platform

__all__ = ["check_constraints", "lower_bound", "refuse_unreachable"]


def check_constraints(constraints: Mapping[str, float] | None) -> dict[str, float]:
    """Return constraints as a new dict from metric to its largest value allowed.

    Raises
    ------
    ValueError
        A metric is unknown or a limit is not a finite number.
    """
    if constraints is None:
        return {}
    expected = f"a mapping from names among {tuple(UNITS)} to the largest value allowed"
    limits: dict[str, float] = {}
    entries: Any = constraints.items() if isinstance(constraints, Mapping) else [(constraints, 0)]
    for name, limit in entries:
        number = isinstance(limit, (int, float, np.number)) and not isinstance(limit, bool)
        if not isinstance(name, str) or name not in UNITS or not number or not math.isfinite(limit):
            raise ValueError(
                f"The 'constraints' parameter of NoC3D must be {expected}. "
                f"Got {constraints!r} instead."
            )
        limits[name] = float(limit)
    return limits


def refuse_unreachable(
    limits: Mapping[str, float], platform: Platform, traffic: Floats, latency_weight: float
) -> None:
    """Raise a ValueError that names every limit below what any design of the platform can reach."""
    wrong = []
    for name, limit in limits.items():
        bound = max(lower_bound(name, platform, t, latency_weight) for t in traffic)
        if limit < bound:
            wrong.append(f"{name} <= {limit:g}, where no design is below {bound:.4g} {UNITS[name]}")
    if wrong:
        raise ValueError(
            "The 'constraints' parameter of NoC3D must leave a design of the platform. "
            f"Got {'; '.join(wrong)} instead."
        )


def lower_bound(
    name: str, platform: Platform, traffic: Floats, latency_weight: float = 0.0
) -> float:
    """Return a value that a metric of no design of the platform is below.

    Parameters
    ----------
    name : str
        A key of ``UNITS``.
    platform : Platform
    traffic : float array [n_tiles, n_tiles]
    latency_weight : float
        Sum of the weights of the flows that count for "latency".
    """
    tables = platform.tables
    sent, received = sent_and_received(traffic)
    total = float(sent.sum())
    hop = float(tables.link_cost.min())
    # Every flow crosses a link or more, and a router or more with a port or more.
    energy = total * (float(tables.link_energy.min()) + platform.router_energy)
    latency = hop + (platform.packet_flits - 1) / platform.link_capacity
    latency += end_waits(traffic, platform)
    if name == "mean":
        return total / platform.n_links
    if name == "latency":
        return latency_weight * hop
    if name == "energy":
        return energy
    if name == "packet_latency":
        return latency
    if name == "edp":
        return energy * latency * (1e9 / platform.frequency)
    if name == "peak_load":
        # What a PE sends or gets shares the links of its router; all traffic shares all links.
        ends = max(sent.max(), received.max())
        return float(max(ends / platform.max_degree, total / (2 * platform.n_links)))
    if name == "temperature":
        return platform.stack.ambient + _coolest(platform)
    if name == "wire_length":
        lengths = np.sort(platform.candidate_lengths[: platform.n_planar_candidates])
        return float(lengths[: platform.n_planar_links].sum())
    if name == "router_area":
        # Convex in the ports, so least where they are spread evenly.
        low, more = divmod(2 * platform.n_links, platform.n_tiles)
        degree = np.full(platform.n_tiles, low)
        degree[:more] += 1
        return float(router_area(platform, degree).sum())
    return 0.0


def _coolest(platform: Platform) -> float:
    """Return a rise in K that the hottest stack of no design is below.

    The hottest stack is no cooler than the mean over stacks, which is least where the hottest PEs
    sit next to the sink.
    """
    x, y, z = platform.grid
    r, base = platform.stack.layer_resistance(), platform.stack.base_resistance(x * y)
    power = np.sort(platform.power)[::-1].reshape(z, x * y)
    mean = float((power.sum(axis=1) * ((np.arange(z) + 1) * r + base)).sum() / (x * y))
    return max(mean, float(power.max()) * (r + base))
