"""Metrics of chip architects beyond the five objectives of the paper.

They follow from the row of X and from the loads of its links in each direction.

============== =========================== ======================================================
metric         unit                        formula
============== =========================== ======================================================
packet_latency cycles                      mean over packets: hops, waits in queues, serialization
peak_load      flits/cycle                 largest load of a link in one direction; the traffic can
                                           grow by capacity / peak_load until that link saturates. A
                                           link between dies of a lower capacity counts by as much
                                           more
port_load      flits/cycle                 largest traffic of a PE into or out of the network, the
                                           same for every design; a port takes the link capacity
temperature    degrees Celsius             ambient + peak rise of the stack model [1]_, with R_j
                                           and R_b of ``platform.stack``
peak_temper    degrees Celsius             "peak_temperature": ambient + peak rise of the finite
ature                                      volumes, fitted to HotSpot
edp            energy unit * ns            energy times packet_latency
wire_length    tile pitches                sum over planar links, Euclidean
router_area    mm2                         crossbars and buffers of all routers
virtual_layers layers                      that keep the routes free of deadlock (LASH)
mean_hops      links                       mean over flits of the links on their routes
============== =========================== ======================================================

Metrics in physical units are in ``problems.noc.evaluation.physical``.

**Waiting.** See ``problems.noc.evaluation.latency``: queues of nodes, of channels that merge, and
waits for credits if the platform states the depth of its virtual channels, also those of a packet
longer than a channel for its own. All waits that two
packets cause each other count once, however many channels they share. With the routing "lash",
the waits are those of one layer that has all virtual channels; ``simulate`` divides the channels.
A packet whose ends are on different dies has the length that a link between dies gives it.

**Router area.** A crossbar of P ports of W wires is a square of side P W times the wire pitch, and
each port has ``port_flits`` flits of buffer (Balfour and Dally [4]_). The PE has a port too. The
platform sets the areas of a bit and of a wire; their defaults are our choice.

References
----------
.. [1] J. Cong, J. Wei, Y. Zhang, "A thermal-driven floorplanning algorithm for 3D ICs",
   ICCAD 2004.
.. [2] L. Kleinrock, "Queueing Systems, Volume 1: Theory", Wiley, 1975.
.. [3] W. J. Dally, B. Towles, "Principles and Practices of Interconnection Networks", Morgan
   Kaufmann, 2004.
.. [4] J. Balfour, W. J. Dally, "Design tradeoffs for tiled CMP on-chip networks", ICS 2006.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.chip.traffic import busiest_port, sent_and_received
from problems.noc.evaluation.deadlock import layers_of
from problems.noc.evaluation.latency import injection_wait
from problems.noc.evaluation.physical import (
    LOADED,
    PHYSICAL_UNITS,
    all_links,
    degrees,
    die_share,
    physical_metric,
    wire_length,
    without_noise,
)
from problems.noc.evaluation.routes import hop_matrix, paths_of_trees, shortest_trees
from problems.noc.evaluation.volumes import peak_rises, response_matrix

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = [
    "ALL_UNITS",
    "CAPACITY_BOUND",
    "EXTRA",
    "NEEDS_LOADS",
    "NEEDS_WAITS",
    "PER_APPLICATION",
    "UNITS",
    "end_waits",
    "extra_metric",
    "flit_sharing",
    "router_area",
    "second_moment",
    "temperature_rises",
]

UNITS = {
    "mean": "flits/cycle",
    "deviation": "flits/cycle",
    "latency": "flits",
    "energy": "energy units/cycle",
    "thermal": "K2",
    "packet_latency": "cycles",
    "peak_load": "flits/cycle",
    "port_load": "flits/cycle",
    "temperature": "degrees C",
    "peak_temperature": "degrees C",
    "edp": "energy units/cycle * ns",
    "wire_length": "tile pitches",
    "router_area": "mm2",
    "virtual_layers": "layers",
    "mean_hops": "links",
}
"""Every possible objective or constraint of any platform, with its unit."""

ALL_UNITS = UNITS | PHYSICAL_UNITS
"""The same, with those that need a platform with a technology."""

EXTRA = (
    "packet_latency",
    "peak_load",
    "port_load",
    "temperature",
    "peak_temperature",
    "edp",
    "wire_length",
    "router_area",
    "virtual_layers",
    *PHYSICAL_UNITS,
)
"""Metrics that this module computes; the kernel computes the others."""

NEEDS_LOADS = frozenset({"packet_latency", "peak_load", "edp", "peak_temperature"}) | LOADED
"""Metrics that need them; "peak_temperature" only if the platform states energies in joules."""

NEEDS_WAITS = frozenset({"packet_latency", "edp"})

PER_APPLICATION = frozenset(
    {
        "mean",
        "deviation",
        "latency",
        "energy",
        "packet_latency",
        "peak_load",
        "port_load",
        "edp",
        "mean_hops",
    }
    | LOADED
)
"""Metrics that depend on the traffic."""

CAPACITY_BOUND = frozenset({"packet_latency", "peak_load", "edp", "bisection_load"})
"""Metrics that mean little if a port has to take more than it can."""


def second_moment(platform: Platform) -> float:
    """Return E[S^2] / E[S] of the cycles S that a packet takes in a channel."""
    return platform.packet_flits / platform.link_capacity * (1.0 + platform.packet_cv**2)


def flit_sharing(platform: Platform) -> float:
    """Return how much longer packets wait where routers take their flits in turn."""
    flits = platform.packet_flits
    return max((2.0 - 2.0 / (flits * (flits + 1.0))) / (1.0 + platform.packet_cv**2), 1.0)


def end_waits(traffic: Floats, platform: Platform) -> float:
    """Return the mean wait of a packet at injection, in cycles.

    It depends on the traffic [n_tiles, n_tiles] in flits/cycle, not on the design.
    """
    sent, _ = sent_and_received(traffic)
    capacity = platform.link_capacity
    waits = injection_wait(sent / capacity, second_moment(platform))
    return float(capacity * waits / sent.sum())


def extra_metric(
    name: str,
    platform: Platform,
    rows: Ints,
    loads: Floats,
    waits: Floats,
    energy: Floats,
    traffic: Floats,
) -> Floats:
    """Return a metric of ``EXTRA`` for legal rows, [n, n_apps].

    The rows must be canonical, so that sums do not depend on the order of their links. The
    ``loads`` [n, n_apps, n_links, 2] are used only by the metrics of ``NEEDS_LOADS``. The
    ``waits`` [n, n_apps] of ``waits_batch`` only by those of ``NEEDS_WAITS``. The ``energy`` [n,
    n_apps] is the objective of that name, and ``traffic`` is [n_apps, n_tiles,
    n_tiles].
    """
    n_apps = len(traffic)
    if name == "port_load":
        return np.repeat([[busiest_port(t)[2] for t in traffic]], len(rows), axis=0)
    if name in PHYSICAL_UNITS:
        return physical_metric(name, platform, rows, loads, traffic)
    if name == "peak_load":
        return peak_loads(platform, rows, loads)
    if name == "packet_latency":
        return _packet_latency(platform, rows, loads, waits, traffic)
    if name == "edp":
        cycles = _packet_latency(platform, rows, loads, waits, traffic)
        return energy * cycles * (1e9 / platform.frequency)
    if name == "peak_temperature":
        return peak_temperatures(platform, rows, loads, traffic)
    if name == "temperature":
        peaks = temperature_rises(platform, rows[:, : platform.n_tiles]).max(axis=(1, 2))
        values = platform.stack.ambient + peaks
    elif name == "wire_length":
        values = wire_length(platform, rows)
    elif name == "virtual_layers":
        values = virtual_layers(platform, rows)
    else:
        values = router_area(platform, degrees(platform, rows))
    return np.repeat(values[:, None], n_apps, axis=1)


def peak_loads(platform: Platform, rows: Ints, loads: Floats) -> Floats:
    """Return the load of the busiest link and direction over its relative capacity, [n, n_apps].

    Parameters as in ``extra_metric``.
    """
    if platform.physical.die_rate < 1.0:
        rate = platform.physical.rate[all_links(platform, rows)]
        loads = loads / rate[:, None, :, None]
    return without_noise(loads.max(axis=(2, 3), initial=0.0))


def temperature_rises(platform: Platform, placement: Ints) -> Floats:
    """Return the rise over ambient of every tile for placements [n, n_tiles], in K.

    The result is [n, n_layers, n_stacks], with layer 0 next to the heat sink.
    """
    x, y, z = platform.grid
    power = platform.power[placement].reshape(-1, z, x * y)
    if platform.sink == "top":
        power = power[:, ::-1]
    r, base = platform.stack.layer_resistance(), platform.stack.base_resistance(x * y)
    resistance = (np.arange(z) + 1) * r + base
    return np.cumsum(power * resistance[:, None], axis=1)


def peak_temperatures(platform: Platform, rows: Ints, loads: Floats, traffic: Floats) -> Floats:
    """Return the temperature of the hottest tile in degrees Celsius, [n, n_apps].

    Parameters as in ``extra_metric``. The loads count only if the platform states ``energy_unit``
    or a technology.
    """
    n, ambient = platform.n_tiles, platform.stack.ambient
    response = response_matrix(platform)
    placement = np.ascontiguousarray(rows[:, :n])
    if not states_joules(platform):
        peaks = np.empty(len(rows))
        peak_rises(placement, platform.tables.power, np.ascontiguousarray(response.T), peaks)
        return np.repeat(ambient + peaks[:, None], len(traffic), axis=1)
    watts = platform.power[placement][:, None] + network_power(platform, rows, loads, traffic)
    peak: Floats = ambient + (watts @ response.T).max(axis=2)
    return peak


def states_joules(platform: Platform) -> bool:
    """Return whether the platform tells the joules of routers and links."""
    return platform.energy_unit > 0 or platform.technology is not None


def network_power(platform: Platform, rows: Ints, loads: Floats, traffic: Floats) -> Floats:
    """Return the power of routers and links on each tile in W, [n, n_apps, n_tiles].

    A link heats its two tiles alike. Parameters as in ``extra_metric``.
    """
    n, tables = platform.n_tiles, platform.tables
    n_apps, n_links = len(traffic), platform.n_links
    links = all_links(platform, rows)
    a, b = tables.link_a[links], tables.link_b[links]
    joules, of_links = platform.energy_unit, tables.link_energy
    of_routers = platform.router_energy * degrees(platform, rows)
    if platform.technology is not None:
        joules, of_links = 1e-12, platform.physical.link_energy
        of_routers = platform.physical.port_energy * (degrees(platform, rows) + 1.0)
    on_link = loads.sum(axis=3) * of_links[links][:, None] / 2.0
    sent = np.array([sent_and_received(t)[0] for t in traffic])
    through = sent[:, rows[:, :n]].transpose(1, 0, 2).copy()
    wires = np.zeros((len(rows), n_apps, n))
    row, app = np.ogrid[: len(rows), :n_apps]
    for k in range(n_links):
        for tile, entering in ((b[:, k, None], 0), (a[:, k, None], 1)):
            through[row, app, tile] += loads[:, :, k, entering]
            wires[row, app, tile] += on_link[:, :, k]
    power: Floats = (of_routers[:, None] * through + wires) * (joules * platform.frequency)
    return power


def router_area(platform: Platform, degree: Ints) -> Floats:
    """Return the area in mm2 of routers with ``degree`` links [n, n_tiles] and a port each, [n].

    Ports and their squares are counted as whole numbers, so that the order of the routers does not
    matter.
    """
    ports = degree + 1
    side = platform.flit_width * platform.wire_pitch
    buffer = platform.port_flits * platform.flit_width * platform.bit_area
    area: Floats = (ports**2).sum(axis=1) * side**2 + ports.sum(axis=1) * buffer
    return area


def virtual_layers(platform: Platform, rows: Ints) -> Floats:
    """Return the virtual layers that the routes of each design need, [n]."""
    if platform.routing in ("up_down", "dimension_order"):
        return np.ones(len(rows))
    n, tables = platform.n_tiles, platform.tables
    fixed = np.arange(len(platform.candidates), tables.link_a.size)
    values = np.empty(len(rows))
    for i, row in enumerate(rows):
        links = np.concatenate((row[n:], fixed))
        pairs = np.stack((tables.link_a[links], tables.link_b[links]), axis=1)
        cost = hop_matrix(n, pairs, tables.link_cost[links].astype(np.int64))
        values[i] = layers_of(paths_of_trees(shortest_trees(cost, row[:n], False)), cost)[0]
    return values


def _packet_latency(
    platform: Platform, rows: Ints, loads: Floats, waits: Floats, traffic: Floats
) -> Floats:
    tables = platform.tables
    cost = tables.link_cost.astype(np.float64)
    fixed = np.broadcast_to(cost[tables.n_candidates :], (len(rows), len(platform.vertical_array)))
    hop = np.concatenate((cost[rows[:, platform.n_tiles :]], fixed), axis=1)[:, None, :, None]
    crossing = (loads * hop).sum(axis=(2, 3)) + waits
    total = np.array([sent_and_received(t)[0].sum() for t in traffic])
    serial = (platform.packet_flits - 1) / platform.link_capacity
    rate = platform.physical.die_rate
    if rate == 1.0:
        return crossing / total + serial
    # The head spends a cycle more in the next router, for its virtual channel, than other flits.
    longer = max(serial / rate - 1.0, serial)
    share = die_share(platform, rows[:, : platform.n_tiles], traffic)
    return crossing / total + serial + share * (longer - serial)
