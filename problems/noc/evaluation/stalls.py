"""Packets that are longer than a virtual channel is deep, and wait for credits on their own.

A flit needs a place in the channel behind the next hop. If a packet of S flits is longer than the
depth D of a channel, flit i waits for the place of flit i - D. With g(k, i) for the cycle in which
flit i leaves router k over a hop of c(k) cycles,

    g(k, i) = max(g(k - 1, i) + c(k - 1) + 2, g(k, i - 1) + gap(k), g(k + 1, i - D) + c(k) + 2),

one cycle later for the head, which asks for a channel first. A place is free again after a loop of
2 c + 5 cycles behind the head and of 2 c + 4 behind other flits. The queue of the node comes before
the first router and a terminal after the last one; both have channels of the same depth. The
recursion is that of the flit-level simulation for one packet in an empty network (W. J. Dally,
B. Towles, "Principles and Practices of Interconnection Networks", 2004, section 16.3 on credits).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.chip.jit import compiled, inlined
from problems.noc.evaluation.routes import Paths, hop_matrix, paths_between

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = ["Held", "held_channels", "least_stall", "nothing_held", "stalls_along", "waits_alone"]

AHEAD = 2
"""Cycles beside the hop from a router's switch to the next buffer, and for the credit back."""

TERMINAL = 6
"""Cycles of the credit loop of a terminal."""


class Held(NamedTuple):
    """Times for which single packets hold channels and nodes, and their own waits for credits."""

    channel: Floats  # [n, n_apps, n_tiles, ports] mean cycles at each output; last, at the node
    spread: Floats  # [n, n_apps, n_tiles] E[B^2] / E[B] of the cycles B at the node
    stall: Floats  # [n, n_apps] flits per cycle times cycles that packets take longer


def waits_alone(platform: Platform) -> bool:
    """Return whether a packet may wait for its own credits: channels are shorter than packets."""
    return platform.channel_flits is not None and platform.channel_flits < platform.packet_flits


def nothing_held(n_rows: int, n_apps: int) -> Held:
    """Return empty arrays: packets fit into channels."""
    return Held(np.empty((0, 0, 0, 0)), np.empty((0, 0, 0)), np.zeros((n_rows, n_apps)))


@inlined
def pass_flits(cost: Floats, gap: Floats, hops: int, flits: int, depth: int, leave: Floats) -> None:
    """Fill ``leave`` [hops + 2, flits] with the cycles in which the flits of a packet leave.

    The first row is the node, the last one the terminal. ``cost`` [hops] holds the cycles of the
    hops, ``gap`` [hops + 2] the cycles between flits.
    """
    last = hops + 1
    for i in range(flits):
        for k in range(hops + 2):
            time = 0.0
            if k > 0:
                time = leave[k - 1, i] + AHEAD + (cost[k - 2] if k > 1 else 0.0)
                if i == 0:
                    time += 1.0
            if i > 0:
                time = max(time, leave[k, i - 1] + gap[k])
            if i >= depth and k == last:
                time = max(time, leave[k, i - depth] + TERMINAL)
            elif i >= depth:
                back = AHEAD + (cost[k - 1] if k > 0 else 0.0)
                time = max(time, leave[k + 1, i - depth] + back)
            leave[k, i] = time


@compiled
def cross_alone(
    start: Ints,
    length: Ints,
    tiles: Ints,
    cycles: Ints,
    gaps: Floats,
    end_gap: float,
    flits: int,
    depth: int,
    flows: Floats,
    stall: Floats,
    busy: Floats,
    held: Floats,
) -> None:
    """Send a packet over each path of an empty network.

    Fills ``stall`` [n, n] with the cycles by which it takes longer than through deep channels and
    ``busy`` [n, n] with the cycles that it takes from the node. Fills ``held`` [n_apps, n, n] with
    the mean cycles that packets hold the channel from tile to tile under ``flows`` [n_apps, n, n].
    Paths without any flow are skipped unless ``flows`` is empty.
    """
    n, n_apps = len(cycles), len(flows)
    most = length.max() + 1
    leave, cost, gap = np.empty((most, flits)), np.empty(most), np.empty(most)
    load = np.zeros_like(held)
    stall[:], busy[:], held[:] = 0.0, 0.0, 0.0
    for s in range(n):
        for t in range(n):
            total = 0.0
            for app in range(n_apps):
                total += flows[app, s, t]
            if n_apps > 0 and (s == t or total == 0.0):
                continue
            hops, first = length[s, t] - 1, start[s, t]
            gap[0] = gap[hops + 1] = end_gap
            slow = False
            for k in range(hops):
                u, v = tiles[first + k], tiles[first + k + 1]
                cost[k], gap[k + 1] = cycles[u, v], gaps[u, v]
                slow = slow or gaps[u, v] > end_gap
            deep = (flits - 1) * end_gap
            if slow:
                pass_flits(cost, gap, hops, flits, flits, leave)
                deep = leave[hops + 1, flits - 1] - leave[hops + 1, 0]
            pass_flits(cost, gap, hops, flits, depth, leave)
            stall[s, t] = leave[hops + 1, flits - 1] - leave[hops + 1, 0] - deep
            busy[s, t] = leave[0, flits - 1] - leave[0, 0] + end_gap
            for k in range(hops):
                u, v = tiles[first + k], tiles[first + k + 1]
                taken = leave[k + 1, flits - 1] - leave[k + 1, 0] + gap[k + 1]
                for app in range(n_apps):
                    held[app, u, v] += flows[app, s, t] * taken
                    load[app, u, v] += flows[app, s, t]
    for app in range(n_apps):
        for u in range(n):
            for v in range(n):
                if load[app, u, v] > 0.0:
                    held[app, u, v] /= load[app, u, v]


@compiled
def by_ports(
    flows: Floats,
    stall: Floats,
    busy: Floats,
    held: Floats,
    tile: Ints,
    wiring: Ints,
    channel: Floats,
    spread: Floats,
    longer: Floats,
) -> None:
    """Fill the arrays of ``Held`` for one row from those of ``cross_alone``.

    ``tile`` [n] is the tile of each router of ``wiring`` [n, ports - 1, 3].
    """
    n_apps, n, ports = channel.shape
    for app in range(n_apps):
        longer[app] = 0.0
        for u in range(n):
            s = tile[u]
            for k in range(ports - 1):
                if wiring[u, k, 2] > 0:
                    channel[app, u, k] = held[app, s, tile[wiring[u, k, 0]]]
            flow, first, second = 0.0, 0.0, 0.0
            for t in range(n):
                flow += flows[app, s, t]
                first += flows[app, s, t] * busy[s, t]
                second += flows[app, s, t] * busy[s, t] ** 2
                longer[app] += flows[app, s, t] * stall[s, t]
            if flow > 0.0:
                channel[app, u, ports - 1] = first / flow
                spread[app, u] = second / first


def stalls_along(
    paths: Paths, cost: Ints, flits: int, depth: int, rate: Floats | None = None
) -> Floats:
    """Return the cycles by which a packet alone waits for its own credits, [n, n].

    ``cost`` [n, n] is that of ``hop_matrix``, ``rate`` [n, n] the flits per cycle of each link, by
    default 1.
    """
    n = len(cost)
    stall, busy = np.zeros((n, n)), np.empty((n, n))
    if depth < flits:
        gaps = np.ones((n, n)) if rate is None else 1.0 / rate
        none = np.empty((0, n, n))
        cross_alone(*paths, cost, gaps, 1.0, flits, depth, none, stall, busy, none)
    return stall


def least_stall(platform: Platform) -> float:
    """Return a lower bound of the cycles that a packet waits for its own credits on any path.

    After the last hop, flits catch up with the head by at most the cycle of its channel.
    """
    flits, depth = platform.packet_flits, platform.channel_flits
    if depth is None or depth >= flits:
        return 0.0
    gap = 1.0 / platform.link_capacity
    loop = 2.0 * float(platform.tables.link_cost.min()) + 2 * AHEAD
    groups, rest = divmod(flits - 1, depth)
    return max(groups * loop + rest * gap - (flits - 1) * gap, 0.0)


def held_channels(
    platform: Platform, rows: Ints, traffic: Floats, wirings: Ints, by_pe: bool
) -> Held:
    """Return for how long packets hold channels, under each application.

    Parameters
    ----------
    platform : Platform
        With ``channel_flits`` below ``packet_flits``.
    rows : int array [n, n_var]
    traffic : float array [n_apps, n_tiles, n_tiles]
    wirings : int array [n, n_tiles, ports - 1, 3]
        As in ``waits_batch``.
    by_pe : bool
        Whether routers of ``wirings`` count by their PEs, else by tiles.
    """
    n, n_apps = platform.n_tiles, len(traffic)
    tables, flits, depth = platform.tables, platform.packet_flits, platform.channel_flits
    assert depth is not None, "waits_alone comes first"
    fixed = np.arange(len(platform.candidates), tables.link_a.size)
    between = platform.die[:, None] != platform.die[None, :]
    end_gap = 1.0 / platform.link_capacity
    gaps = np.where(between, end_gap / platform.physical.die_rate, end_gap)
    flows = traffic * ~np.eye(n, dtype=bool)
    found = Held(
        np.ones((len(rows), n_apps, n, wirings.shape[2] + 1)),
        np.ones((len(rows), n_apps, n)),
        np.zeros((len(rows), n_apps)),
    )
    stall, busy, held = np.empty((n, n)), np.empty((n, n)), np.empty((n_apps, n, n))
    for i, row in enumerate(rows):
        placement, links = row[:n], np.concatenate((row[n:], fixed))
        pairs = np.stack((tables.link_a[links], tables.link_b[links]), axis=1)
        cost = hop_matrix(n, pairs, tables.link_cost[links].astype(np.int64))
        paths = paths_between(platform.routing, cost, placement, platform.grid)
        by_tile = np.ascontiguousarray(flows[:, placement[:, None], placement])
        filled = (stall, busy, held)
        cross_alone(*paths, cost, gaps, end_gap, flits, depth, by_tile, *filled)
        tile = np.argsort(placement) if by_pe else np.arange(n)
        ports = (found.channel[i], found.spread[i], found.stall[i])
        by_ports(by_tile, *filled, tile, wirings[i], *ports)
    return found
