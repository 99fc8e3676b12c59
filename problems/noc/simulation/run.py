"""Runs the flit-level simulation until a standard error is reached."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.evaluation.routes import Paths, cycles_along
from problems.noc.evaluation.stalls import stalls_along
from problems.noc.simulation.kernel import (
    DEADLOCKED,
    RUNNING,
    SATURATED,
    Channels,
    State,
    run_cycles,
)

__all__ = ["Batches", "cycles_alone", "network_of", "new_state"]

MOST_PACKETS = 1 << 16
"""Packets that may be in queues and in the network; a saturated network fills any number."""

MOST_WAITING = 60
"""Packets per node, on average, that wait in the queues of nodes only if the load is too high."""

QUIET = 10
"""Cycles after which flits that do not move wait for each other, if nothing is to arrive."""

FEWEST, MOST_BATCHES = 20, 80
"""Batches for a standard error; beyond the larger number, pairs of them are joined."""

WARM_UP, BATCH_CYCLES = 4000, 500


def network_of(
    cost: Ints,
    paths: Paths,
    traffic: Floats,
    flits: Sequence[int],
    shares: Sequence[float],
    layer: Ints,
    n_vc: int,
    rate: Floats | None = None,
    depth: int | None = None,
) -> Channels:
    """Return the network of a design for the kernel.

    Parameters
    ----------
    cost : int array [n, n]
        Cycles of the hop from tile to tile, 0 where there is no link.
    paths : Paths
        Between tiles.
    traffic : float array [n, n]
        Flits per cycle from tile to tile; the diagonal does not count.
    flits, shares : sequences [n_classes]
        Length of the packets of each class, and their shares among all packets.
    layer : int array [n, n]
        Virtual layer of each path; layers have virtual channels by their traffic.
    n_vc : int
        Virtual channels of a port, at least as many as layers.
    rate : float array [n, n], optional
        Flits per cycle from tile to tile, at most 1; by default 1.
    depth : int, optional
        Flits of a virtual channel, for the cycles without waiting; by default that of packets.
    """
    n, n_layers = len(cost), int(layer.max()) + 1
    source, target = np.nonzero(cost)
    channel = np.full((n, n), -1, dtype=np.int64)
    channel[source, target] = np.arange(source.size)
    n_channels = source.size
    # Every channel has one in the other direction, so inputs and outputs are equally many.
    entering = [np.flatnonzero(target == v) for v in range(n)]
    leaving = [np.flatnonzero(source == v) for v in range(n)]
    most = max(map(len, entering)) + 1
    inputs = np.zeros((n, most), dtype=np.int64)
    place = np.zeros(n_channels + n, dtype=np.int64)
    out_place = np.zeros(n_channels + n, dtype=np.int64)
    for v in range(n):
        ports = [*entering[v].tolist(), n_channels + v]
        inputs[v, : len(ports)] = ports
        place[ports] = np.arange(len(ports))
        out_place[[*leaving[v].tolist(), n_channels + v]] = np.arange(len(ports))
    # Each step of a path becomes the channel to the next tile; the last one, the terminal.
    tiles = paths.tiles
    path = np.empty_like(tiles)
    path[:-1] = channel[tiles[:-1], tiles[1:]]
    idle = np.zeros((len(flits), path.size))
    idle[:, paths.start] = cycles_alone(cost, paths, flits, rate, depth)
    ends = (paths.start + paths.length - 1).ravel()
    path[ends] = n_channels + tiles[ends]
    gap = np.ones(n_channels + n)
    if rate is not None:
        gap[:n_channels] = 1.0 / rate[source, target]
    flows = traffic * ~np.eye(n, dtype=bool)
    sent = flows.sum(axis=1)
    chosen, below, first = [], [], [0]
    for v in range(n):
        to = np.flatnonzero(flows[v])
        chosen.append(to)
        below.append(np.cumsum(flows[v, to]) / max(sent[v], 1e-300))
        first.append(first[-1] + to.size)
    lengths = np.asarray(flits, dtype=np.int64)
    share = np.asarray(shares, dtype=np.float64) / np.sum(shares)
    rate = np.minimum(sent / (lengths @ share), 1.0)
    return Channels(
        delay=cost[source, target],
        gap=gap,
        target=target.astype(np.int64),
        inputs=inputs,
        n_inputs=np.array([len(e) + 1 for e in entering], dtype=np.int64),
        place=place,
        out_place=out_place,
        path=path,
        start=np.ascontiguousarray(paths.start),
        idle=idle,
        first=np.array(first, dtype=np.int64),
        chosen=np.concatenate(chosen).astype(np.int64),
        below=np.concatenate(below),
        rate=rate,
        flits=lengths,
        classes=np.cumsum(share),
        layer=layer,
        first_vc=_shares(np.bincount(layer.ravel(), flows.ravel(), n_layers), n_vc),
    )


def cycles_alone(
    cost: Ints,
    paths: Paths,
    flits: Sequence[int],
    rate: Floats | None = None,
    depth: int | None = None,
) -> Floats:
    """Return the cycles of a packet of each class in an empty network, [n_classes, n, n].

    A packet that is longer than the ``depth`` of a virtual channel waits for its own credits.
    """
    hops = cycles_along(cost, paths)
    gap: Floats | float = 1.0
    after: Ints | int = 0
    if rate is not None and rate.min() < 1.0:
        gap, after = slowest_gaps(rate, paths)
    longer = [np.maximum((size - 1) * (gap - 1.0) - after, 0.0) for size in flits]
    if depth is not None:
        stalls = [stalls_along(paths, cost, size, depth, rate) for size in flits]
        longer = [more + stall for more, stall in zip(longer, stalls, strict=True)]
    return np.array([hops + size - 1.0 + more for size, more in zip(flits, longer, strict=True)])


def slowest_gaps(rate: Floats, paths: Paths) -> tuple[Floats, Ints]:
    """Return the cycles between two flits at the slowest link of each path, and the routers after.

    In each router after the last slow link the head loses a cycle for its virtual channel, which
    other flits do not, so that they catch up. Both are [n, n]; without slow links 1 and 0.
    """
    gaps, after = np.ones_like(rate), np.zeros(rate.shape, dtype=np.int64)
    for s, t in np.argwhere(paths.length > 1):
        tiles = paths.tiles[paths.start[s, t] : paths.start[s, t] + paths.length[s, t]]
        along = rate[tiles[:-1], tiles[1:]]
        if along.min() < 1.0:
            gaps[s, t] = 1.0 / along.min()
            after[s, t] = along.size - int(np.flatnonzero(along < 1.0)[-1])
    return gaps, after


def _shares(traffic: Floats | Ints, n_vc: int) -> Ints:
    """Return the first virtual channel of each layer [n_layers + 1]; each has one at least."""
    counts = np.ones(traffic.size, dtype=np.int64)
    for _ in range(n_vc - traffic.size):
        counts[int((traffic / counts).argmax())] += 1
    return np.concatenate(([0], np.cumsum(counts)))


def new_state(net: Channels, n_vc: int, depth: int, rng: np.random.Generator) -> State:
    """Return the state of an empty network before its first cycle."""
    n, n_ports, most = net.rate.size, net.place.size, net.inputs.shape[1]
    horizon = int(net.delay.max(initial=0)) + 8

    def zeros(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
        return np.zeros(shape, dtype=np.int32)

    link = np.arange(1, MOST_PACKETS + 1, dtype=np.int32)
    link[-1] = -1
    first = np.full(n, np.iinfo(np.int64).max, dtype=np.int64)
    sends = net.rate > 0
    first[sends] = rng.geometric(net.rate[sends])
    return State(
        clock=np.zeros(6, dtype=np.int64),
        buffer=zeros(n_ports, n_vc, depth),
        begin=zeros(n_ports, n_vc),
        held=zeros(n_ports, n_vc),
        filled=zeros(n_ports),
        resident=zeros(n),
        out=zeros(n_ports, n_vc),
        out_vc=zeros(n_ports, n_vc) - 1,
        since=np.zeros((n_ports, n_vc), dtype=np.int64),
        owner=zeros(n_ports, n_vc),
        credit=zeros(n_ports + n, n_vc) + depth,
        grant_vc=zeros(n_ports, n_vc),
        accept_vc=zeros(n_ports, n_vc),
        grant=zeros(n, most),
        accept=zeros(n_ports),
        turn=zeros(n_ports),
        wheel=zeros(horizon, n_ports),
        wheel_port=zeros(horizon, n_ports),
        wheel_count=zeros(horizon),
        back=zeros(horizon, 2 * n_ports),
        back_count=zeros(horizon),
        next_packet=first,
        queue_first=zeros(n) - 1,
        queue_last=zeros(n) - 1,
        sent=zeros(n),
        source_vc=zeros(n) - 1,
        last_vc=zeros(n) - 1,
        link=link,
        born=np.zeros(MOST_PACKETS, dtype=np.int64),
        hop=zeros(MOST_PACKETS),
        begun=zeros(MOST_PACKETS),
        kind=zeros(MOST_PACKETS),
        layer=zeros(MOST_PACKETS),
        asking=zeros(most * n_vc),
        wish=zeros(most, most),
        granted=zeros(most),
        ready=np.zeros(n_ports),
        carried=np.zeros(n_ports, dtype=np.int64),
    )


class Batches:
    """Runs the simulation in batches of cycles, which give the standard error of the mean.

    Parameters
    ----------
    net, state
        Of ``network_of`` and ``new_state``.
    rng : numpy Generator

    Attributes
    ----------
    totals : float array [n_classes, 3]
        Packets, their cycles, and those that they would take without waiting, after the warm-up.
    cycles : int
        After the warm-up.
    """

    def __init__(self, net: Channels, state: State, rng: np.random.Generator) -> None:
        self.net, self.state, self.rng = net, state, rng
        self.totals: Floats = np.zeros((net.flits.size, 3))
        self.cycles = 0
        self._size = BATCH_CYCLES
        self._batches: list[Floats] = []

    def run(self, standard_error: float, max_cycles: int) -> int:
        """Simulate until the standard error or the last cycle; return the status of the kernel."""
        totals = np.zeros_like(self.totals)
        status = run_cycles(self.net, self.state, WARM_UP, self.rng, totals, 0)
        while status == RUNNING and self.cycles < max_cycles:
            totals = np.zeros_like(self.totals)
            status = run_cycles(self.net, self.state, self._size, self.rng, totals, 0)
            if self.state.clock[2] > MOST_WAITING * self.net.rate.size:
                status = DEADLOCKED if self._stuck() else SATURATED
            self.totals += totals
            self.cycles += self._size
            self._batches.append(totals.sum(axis=0))
            if len(self._batches) >= FEWEST and self.standard_error() <= standard_error:
                break
            if len(self._batches) == MOST_BATCHES:
                # Longer batches are less correlated.
                pairs = np.array(self._batches).reshape(-1, 2, 3).sum(axis=1)
                self._batches = list(pairs)
                self._size *= 2
        return status

    def _stuck(self) -> bool:
        """Return whether flits are in the network, nothing is under way, and nothing moves."""
        state, t = self.state, int(self.state.clock[0])
        under_way = int(state.wheel_count.sum() + state.back_count.sum())
        waits = t - int(state.clock[3]) > QUIET and float(state.ready.max()) <= t
        return bool(state.clock[5] > 0 and not under_way and waits)

    def standard_error(self) -> float:
        """Return the standard error of the mean wait in cycles."""
        packets, cycles, idle = np.array(self._batches).T
        n = len(packets)
        if n < 2 or packets.sum() == 0:
            return float("inf")
        waits = cycles - idle
        residual = waits - waits.sum() / packets.sum() * packets
        return float(np.sqrt((residual**2).sum() / (n - 1) / n) / packets.mean())
