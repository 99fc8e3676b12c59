"""Constraints by name, and lower bounds that show before a run that a limit cannot be met.

A bound follows from the platform and the traffic alone, so it is not tight: a limit above it may
still be out of reach.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from problems._arrays import Floats
from problems._checks import require, setting_error
from problems.noc.chip.traffic import busiest_port, sent_and_received
from problems.noc.evaluation.metrics import ALL_UNITS, end_waits, router_area
from problems.noc.evaluation.physical import (
    check_has_technology,
    physical_limits,
    physical_minimum,
)
from problems.noc.evaluation.stalls import least_stall

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = [
    "check_constraints",
    "least_hops",
    "lower_bounds",
    "refuse_unreachable",
    "shared_part",
    "with_platform_limits",
]


def check_constraints(
    constraints: Mapping[str, float] | None, platform: Platform
) -> dict[str, float]:
    """Return constraints as a new dict; ValueError for unknown metrics or limits not finite.

    The platform adds its own limits, see ``with_platform_limits``.
    """
    constraints = {} if constraints is None else constraints
    expected = f"a mapping from names among {tuple(ALL_UNITS)} to the largest value allowed"
    require("NoC3D", "constraints", constraints, isinstance(constraints, Mapping), expected)
    for name, limit in constraints.items():
        number = isinstance(limit, int | float | np.number) and not isinstance(limit, bool)
        if name not in ALL_UNITS:
            raise setting_error("NoC3D", "constraints", expected, name, ALL_UNITS)
        if not number or not math.isfinite(limit):
            raise setting_error("NoC3D", "constraints", expected, constraints)
    limits = {name: float(limit) for name, limit in constraints.items()}
    return with_platform_limits(limits, platform, "NoC3D")


def with_platform_limits(
    limits: Mapping[str, float], platform: Platform, owner: str
) -> dict[str, float]:
    """Return limits with those of the platform; a ValueError names one that is less strict.

    Layered routing limits "virtual_layers", since each takes a virtual channel of its own. A
    technology limits "wire_tracks" and "tsv_area", if some design of the platform could exceed
    them.
    """
    found = dict(limits)
    check_has_technology(owner, found, platform)
    if platform.routing == "lash":
        most = float(platform.virtual_channels)
        given = found.setdefault("virtual_layers", most)
        expected = f"at most {most:g} virtual layers, one for each virtual channel of the platform"
        require(owner, "constraints", given, given <= most, expected)
    for name, limit in physical_limits(platform).items():
        given = found.setdefault(name, limit)
        expected = f"at most {limit:g} {ALL_UNITS[name]}, the {name} of the technology"
        require(owner, "constraints", given, given <= limit, expected)
    return found


def refuse_unreachable(
    limits: Mapping[str, float], platform: Platform, traffic: Floats, counted: Floats
) -> None:
    """Raise a ValueError that names every limit that no design of the platform can reach.

    ``traffic`` and ``counted`` [n_apps, n_tiles, n_tiles] are as in ``lower_bounds``.
    """
    if not limits:
        return
    unreachable = []
    bounds = [lower_bounds(platform, *app) for app in zip(traffic, counted, strict=True)]
    for name, limit in limits.items():
        bound = max(one[name] for one in bounds)
        # A design may reach the bound, except for rounding.
        if limit < bound - 1e-9 * abs(bound):
            text = f"{name} is at least {bound:.4g} {ALL_UNITS[name]} in every design"
            if limit == physical_limits(platform).get(name):
                text += ", more than the technology of the platform allows"
            if name == "port_load":
                pe, verb, _ = busiest_port(max(traffic, key=lambda t: busiest_port(t)[2]))
                text = f"PE {pe} {verb} {bound:.4g} {ALL_UNITS[name]} in every design"
            unreachable.append(text)
    if unreachable:
        expected = f"within reach of the platform ({'; '.join(unreachable)})"
        raise setting_error("NoC3D", "constraints", expected, dict(limits))


def lower_bounds(platform: Platform, traffic: Floats, counted: Floats) -> dict[str, float]:
    """Return a lower bound of each metric over all designs of the platform.

    ``traffic`` and ``counted`` are [n_tiles, n_tiles]; ``counted`` holds the weight of the path
    delay of each flow in "latency".
    """
    n, n_links, cap = platform.n_tiles, platform.n_links, platform.max_degree
    sent, received = sent_and_received(traffic)
    total, hop = float(sent.sum()), float(platform.tables.link_cost.min())
    crossing = least_hops(traffic, cap)
    # Every flow crosses at least one router with at least one port.
    energy = crossing * float(platform.tables.link_energy.min()) + total * platform.router_energy
    latency = hop * crossing / total + (platform.packet_flits - 1) / platform.link_capacity
    latency += end_waits(traffic, platform) + least_stall(platform)
    # The traffic of a PE shares the links of its router; all traffic shares all links.
    peak_load = max(sent.max() / cap, received.max() / cap, crossing / (2 * n_links))
    lengths = np.sort(platform.candidate_lengths[: platform.n_planar_candidates])
    # The area is convex in the ports, so it is least if they are spread evenly.
    degree = np.full(n, 2 * n_links // n)
    degree[: 2 * n_links % n] += 1
    return {
        "mean": crossing / n_links,
        "deviation": 0.0,
        "latency": hop * least_hops(counted, cap),
        "energy": energy,
        "thermal": 0.0,
        "packet_latency": latency,
        "peak_load": float(peak_load),
        "port_load": busiest_port(traffic)[2],
        "temperature": platform.stack.ambient + _coolest(platform),
        "peak_temperature": platform.stack.ambient,
        "edp": energy * latency * (1e9 / platform.frequency),
        "wire_length": float(lengths[: platform.n_planar_links].sum()),
        "virtual_layers": 1.0,
        "mean_hops": crossing / total,
        "router_area": float(router_area(platform, degree[None])[0]),
    } | physical_minimum(platform, crossing, total, float(peak_load))


def shared_part(name: str, platform: Platform, traffic: Floats) -> float:
    """Return the part of a metric that every design has alike.

    For packets these are their waits in the queues of the PEs, their length, and the least wait for
    their own credits, for temperatures the ambient; 0 for others.
    """
    if name == "packet_latency":
        serial = (platform.packet_flits - 1) / platform.link_capacity
        return serial + end_waits(traffic, platform) + least_stall(platform)
    return platform.stack.ambient if name in ("temperature", "peak_temperature") else 0.0


def least_hops(traffic: Floats, degree: int) -> float:
    """Return a lower bound of traffic times hops if each router has at most ``degree`` links.

    As in the Moore bound, a PE has at most ``degree`` others at one hop, and ``degree - 1`` times
    as many at each further hop; at best the heaviest of its flows go to the nearest PEs.
    """
    n = len(traffic)
    flows = traffic - np.diag(np.diag(traffic))
    hops = np.empty(n - 1)
    hops[:degree] = 1
    reached, ring, distance = degree, degree, 1
    while reached < n - 1:
        # A router of a single link leads no further; any distance is right for unreachable PEs.
        ring, distance = ring * max(degree - 1, 1), distance + 1
        hops[reached : reached + ring] = distance
        reached += ring
    rows, columns = (-np.sort(-f, axis=1)[:, : n - 1] for f in (flows, flows.T))
    return float(max((rows * hops).sum(), (columns * hops).sum()))


def _coolest(platform: Platform) -> float:
    """Return a lower bound of the rise of the hottest stack, in K.

    The hottest stack is at least as hot as the mean over stacks, which is least if the hottest PEs
    sit next to the sink.
    """
    x, y, z = platform.grid
    r, base = platform.stack.layer_resistance(), platform.stack.base_resistance(x * y)
    power = np.sort(platform.power)[::-1].reshape(z, x * y)
    mean = float((power.sum(axis=1) * ((np.arange(z) + 1) * r + base)).sum() / (x * y))
    return max(mean, float(power.max()) * (r + base))
