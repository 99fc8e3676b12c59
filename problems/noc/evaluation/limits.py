"""Constraints by name, and the proof before a run that one of them cannot be met.

A bound is proved from the platform and the traffic alone, so it is not tight: a limit above it may
still be out of reach.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from problems._arrays import Floats
from problems.noc.evaluation.metrics import UNITS, end_waits, router_area, sent_and_received

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = ["check_constraints", "least_hops", "lower_bound", "refuse_unreachable"]


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
    limits: Mapping[str, float], platform: Platform, traffic: Floats, counted: Floats
) -> None:
    """Raise a ValueError that names every limit below what any design of the platform can reach.

    Parameters
    ----------
    limits : mapping
        As ``check_constraints`` returns it.
    platform : Platform
    traffic, counted : float array [n_apps, n_tiles, n_tiles]
        What ``lower_bound`` takes, of each application.
    """
    wrong = []
    for name, limit in limits.items():
        bound = max(
            lower_bound(name, platform, t, c) for t, c in zip(traffic, counted, strict=True)
        )
        # A design may reach the bound, but for rounding.
        if limit < bound - 1e-9 * abs(bound):
            wrong.append(f"{name} <= {limit:g}, where no design is below {bound:.4g} {UNITS[name]}")
    if wrong:
        raise ValueError(
            "The 'constraints' parameter of NoC3D must leave a design of the platform. "
            f"Got {'; '.join(wrong)} instead."
        )


def lower_bound(name: str, platform: Platform, traffic: Floats, counted: Floats) -> float:
    """Return a value that a metric of no design of the platform is below.

    Parameters
    ----------
    name : str
        A key of ``UNITS``.
    platform : Platform
    traffic : float array [n_tiles, n_tiles]
    counted : float array [n_tiles, n_tiles]
        The weight of the path delay of each flow in "latency".
    """
    tables = platform.tables
    sent, received = sent_and_received(traffic)
    total = float(sent.sum())
    hop = float(tables.link_cost.min())
    crossing = least_hops(traffic, platform.max_degree)
    # Every flow crosses a router or more with a port or more.
    energy = crossing * float(tables.link_energy.min()) + total * platform.router_energy
    latency = hop * crossing / total + (platform.packet_flits - 1) / platform.link_capacity
    latency += end_waits(traffic, platform)
    if name == "mean":
        return crossing / platform.n_links
    if name == "latency":
        return hop * least_hops(counted, platform.max_degree)
    if name == "energy":
        return energy
    if name == "packet_latency":
        return latency
    if name == "edp":
        return energy * latency * (1e9 / platform.frequency)
    if name == "peak_load":
        # What a PE sends or gets shares the links of its router; all traffic shares all links.
        ends = max(sent.max(), received.max())
        return float(max(ends / platform.max_degree, crossing / (2 * platform.n_links)))
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


def least_hops(traffic: Floats, degree: int) -> float:
    """Return traffic times hops that no network with routers of so many links is below.

    As in the Moore bound, a PE has at most ``degree`` others at one hop, ``degree - 1`` times as
    many at each next one; at best the heaviest of its flows go to the nearest.
    """
    n = len(traffic)
    flows = traffic - np.diag(np.diag(traffic))
    hops = np.empty(n - 1)
    hops[:degree] = 1
    done, ring, away = degree, degree, 1
    while done < n - 1:
        # A router of a single link leads no further; any number holds for what cannot be reached.
        ring, away = ring * max(degree - 1, 1), away + 1
        hops[done : done + ring] = away
        done += ring
    rows, columns = (-np.sort(-f, axis=1)[:, : n - 1] for f in (flows, flows.T))
    return float(max((rows * hops).sum(), (columns * hops).sum()))


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
