"""Packet latency of a design by flit-level simulation, at one load or over a range of loads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from moela.heartbeat.working import long_work
from problems._arrays import Floats
from problems._checks import (
    check_int,
    check_random_state,
    check_real,
    require,
    setting_error,
)
from problems.noc.chip.traffic import busiest_port, check_traffic
from problems.noc.evaluation.deadlock import layers_of
from problems.noc.evaluation.latency import CREDIT_CYCLES
from problems.noc.evaluation.routes import Paths, hop_matrix, paths_of, routing_name
from problems.noc.evaluation.stalls import stalls_along
from problems.noc.simulation.kernel import DEADLOCKED, ENDS, PER_ROUTER, RUNNING, SATURATED
from problems.noc.simulation.run import Batches, cycles_alone, network_of, new_state

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from problems.noc.chip.platform import Platform
    from problems.noc.design.design import Design

__all__ = [
    "CONTROL_AND_DATA",
    "LoadSweep",
    "SimulationResult",
    "channel_depth",
    "own_stalls",
    "simulate_design",
    "sweep_loads",
]

CONTROL_AND_DATA: dict[str, tuple[int, float]] = {"control": (1, 0.5), "data": (9, 0.5)}
"""Message classes of a cache protocol: flits, and share of the packets."""

DEFAULT_LOADS = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)

SWEEP_CYCLES = 40_000
"""Cycles of one point of a sweep; close to saturation, a small error would take too many."""

SLOWDOWN = 3.0
"""A network counts as saturated where packets take this many times their unloaded latency."""


@dataclass(frozen=True)
class SimulationResult:
    """Results of a flit-level simulation.

    Attributes
    ----------
    packet_latency : float
        Mean cycles from creation to arrival of the last flit, as the model counts them: the stages
        of routers are in the cycles of a hop. It is the exact mean without waiting plus the mean
        wait of the simulated packets. Infinite if the network is saturated or deadlocked.
    standard_error : float
        Of that mean, from batches of cycles.
    hops : float
        Routers per packet, exact.
    zero_load : float
        Exact mean in an empty network, in which a packet longer than a virtual channel still waits
        for its own credits.
    load : float
        Flits per cycle of the busiest channel or port, over what it takes.
    throughput : float
        Flits per cycle that arrived in all.
    packets, cycles : int
        Packets and cycles that count, after the warm-up.
    by_class : dict
        Mean latency of each message class.
    saturated, deadlocked : bool
        The queues of the nodes grow without end. If it is because all flits in the network wait for
        each other, the network is deadlocked, else saturated.
    channel_flits : int
        Depth of the virtual channels that were simulated.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.noc import Design
    >>> result = Design.mesh().simulate(load=0.3, random_state=np.random.default_rng(1))
    >>> result.saturated, result.standard_error <= 0.3
    (False, True)
    """

    packet_latency: float
    standard_error: float
    hops: float
    zero_load: float
    load: float
    throughput: float
    packets: int
    cycles: int
    by_class: dict[str, float]
    saturated: bool
    deadlocked: bool
    channel_flits: int

    @property
    def booksim_latency(self) -> float:
        """Latency as BookSim prints it for an exported design: with three more cycles a router."""
        return self.packet_latency + PER_ROUTER * self.hops + ENDS


@long_work("simulating a design")
def simulate_design(
    design: Design,
    traffic: ArrayLike | None = None,
    *,
    load: float | None = None,
    random_state: np.random.Generator | None = None,
    standard_error: float = 0.3,
    classes: Mapping[str, tuple[int, float]] | None = None,
    max_cycles: int = 200_000,
    routing: str = "model",
) -> SimulationResult:
    """Simulate a design flit by flit until the latency has a standard error.

    Each node creates packets with a fixed probability a cycle. Routers have the platform's virtual
    channels, credits, and round-robin allocators; see ``problems.noc.simulation.kernel``.

    Parameters
    ----------
    design : Design
    traffic : float array-like [n_tiles, n_tiles], optional
        Flits per cycle from PE i to PE j; by default uniform.
    load : float, optional
        Scales the traffic so that the busiest channel or port has this load, with the routes that
        are simulated.
    random_state : numpy Generator
        Required.
    standard_error : float
        In cycles.
    classes : mapping from name to (int, float), optional
        Flits of the packets of each message class, and their share of the packets, such as
        ``CONTROL_AND_DATA``. By default all packets have ``platform.packet_flits``.
    max_cycles : int
        After which the simulation ends with the standard error that it has.
    routing : str
        One of ``problems.noc.evaluation.routes.ROUTINGS``; by default the platform's. The layers of
        "lash" have virtual channels of their own.

    Returns
    -------
    SimulationResult

    Raises
    ------
    ValueError
        A parameter is wrong, the platform's links do not take one flit per cycle, or layered
        routing needs more layers than there are virtual channels.
    """
    owner, platform = "simulate", design.platform
    rng = check_random_state(owner, random_state)
    error = check_real(owner, "standard_error", standard_error, 0.0, above=True)
    most = check_int(owner, "max_cycles", max_cycles, 1000)
    capacity = platform.link_capacity
    require(owner, "platform", capacity, capacity == 1.0, "one with a link_capacity of 1")
    n = platform.n_tiles
    matrix = np.ones((n, n)) if traffic is None else check_traffic(traffic, n)
    matrix = matrix * ~np.eye(n, dtype=bool)
    paths = paths_of(design, routing, owner)
    same = routing_name(design, routing) == routing_name(design, "model")
    busiest = _busiest(design, matrix, None if same else paths)
    if traffic is None and load is None:
        load = 0.1
    if load is not None:
        load = check_real(owner, "load", load, 0.0, 10.0, above=True)
        matrix, busiest = matrix * (load / busiest), load
    if classes is None:
        classes = {"packet": (platform.packet_flits, 1.0)}
    names, flits, shares = _check_classes(classes)
    cost = hop_matrix(n, design.all_links(), design.hop_cycles())
    by_tile = matrix[np.ix_(design.placement, design.placement)]
    layer = np.zeros((n, n), dtype=np.int64)
    if routing == "lash" or (routing == "model" and platform.routing == "lash"):
        n_layers, layer = layers_of(paths, cost, weight=by_tile)
        expected = f"at least {n_layers} for as many virtual layers of the design"
        n_vc = platform.virtual_channels
        require(owner, "platform.virtual_channels", n_vc, n_layers <= n_vc, expected)
    rate = _rates(platform)
    n_vc, depth = platform.virtual_channels, channel_depth(design)
    net = network_of(cost, paths, by_tile, flits, shares, layer, n_vc, rate, depth)
    state = new_state(net, platform.virtual_channels, depth, rng)
    batches = Batches(net, state, rng)
    status = batches.run(error, most)
    zeros = (cycles_alone(cost, paths, flits, rate, depth) * by_tile).sum(
        axis=(1, 2)
    ) / by_tile.sum()
    zero = float(np.dot(shares, zeros) / np.sum(shares))
    counts, cycles, without = batches.totals.T
    # The packets that were drawn have other paths than the traffic on average, so only their waits
    # are taken from the simulation.
    waits = cycles - without
    done = status == RUNNING and counts.sum() > 0
    return SimulationResult(
        packet_latency=zero + float(waits.sum() / counts.sum()) if done else math.inf,
        standard_error=batches.standard_error() if done else math.inf,
        hops=float((by_tile * paths.length).sum() / by_tile.sum()),
        zero_load=zero,
        load=float(busiest),
        throughput=float(np.dot(counts, flits) / max(batches.cycles, 1)),
        packets=int(counts.sum()),
        cycles=batches.cycles,
        by_class={
            name: float(idle + w / k) if done and k else math.nan
            for name, idle, w, k in zip(names, zeros, waits, counts, strict=True)
        },
        saturated=status == SATURATED,
        deadlocked=status == DEADLOCKED,
        channel_flits=depth,
    )


def channel_depth(design: Design) -> int:
    """Return the flits of a virtual channel: the platform's, or enough for the longest hop.

    Enough is what the credit loop takes, twice the hop plus five cycles.
    """
    stated = design.platform.channel_flits
    loop = 2 * int(design.hop_cycles().max()) + CREDIT_CYCLES
    return max(loop, design.platform.packet_flits) if stated is None else stated


def own_stalls(design: Design, routing: str) -> Floats:
    """Return the cycles that a single packet waits for its own credits between tiles, [n, n]."""
    platform = design.platform
    cost = hop_matrix(platform.n_tiles, design.all_links(), design.hop_cycles())
    sizes = (platform.packet_flits, channel_depth(design))
    return stalls_along(paths_of(design, routing), cost, *sizes)


def _busiest(design: Design, matrix: Floats, paths: Paths | None) -> float:
    """Return the flits per cycle of the busiest channel or port.

    ``paths`` are those of packets, or None for the routes by which designs are evaluated.
    """
    rate = _rates(design.platform)
    if paths is None:
        rate = rate[tuple(design.all_links().T)][:, None]
        loads = design.channel_loads(matrix)
    else:
        loads = _loads_along(paths, matrix[np.ix_(design.placement, design.placement)])
    return float(max((loads / rate).max(initial=0.0), busiest_port(matrix)[2]))


def _loads_along(paths: Paths, traffic: Floats) -> Floats:
    """Return the load of the channel from tile to tile, given the traffic of both, [n, n]."""
    order = np.argsort(paths.start, axis=None)
    length = paths.length.ravel()[order]
    flow = np.repeat(traffic.ravel()[order], length)
    flow[np.cumsum(length) - 1] = 0.0  # no channel leaves the end of a path
    loads = np.zeros_like(traffic)
    np.add.at(loads, (paths.tiles[:-1], paths.tiles[1:]), flow[:-1])
    return loads


def _rates(platform: Platform) -> Floats:
    """Return the flits per cycle of a link between two tiles, [n_tiles, n_tiles]."""
    between = platform.die[:, None] != platform.die[None, :]
    return np.where(between, platform.physical.die_rate, 1.0)


def _check_classes(
    classes: Mapping[str, tuple[int, float]],
) -> tuple[list[str], list[int], list[float]]:
    expected = "a mapping from names to (flits, share of the packets), such as CONTROL_AND_DATA"
    if not isinstance(classes, Mapping) or not classes:
        raise setting_error("simulate", "classes", expected, classes)
    flits, shares = [], []
    for name, value in classes.items():
        if not isinstance(value, Sequence) or len(value) != 2:
            raise setting_error("simulate", "classes", expected, classes)
        flits.append(check_int("simulate", f"classes[{name!r}][0]", value[0], 1, 10_000))
        share = check_real("simulate", f"classes[{name!r}][1]", value[1], 0.0, above=True)
        shares.append(share)
    return list(classes), flits, shares


@dataclass(frozen=True)
class LoadSweep:
    """Latency of a design over a range of loads.

    Attributes
    ----------
    loads : float array [n]
        Load of the busiest channel or port at each point.
    results : list of SimulationResult
    saturation : float
        Load at which packets take three times their unloaded latency, by interpolation, or the
        first load without an end; NaN if no load of the sweep is that high.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.noc import Design
    >>> sweep = Design.mesh().load_sweep(loads=[0.2, 0.5], random_state=np.random.default_rng(0))
    >>> len(sweep.results)
    2
    """

    loads: Floats
    results: list[SimulationResult]
    saturation: float

    @property
    def latencies(self) -> Floats:
        """Mean packet latency at each load, infinite beyond saturation, [n]."""
        return np.array([result.packet_latency for result in self.results])

    def plot(self) -> Figure:
        """Draw latency over load, with the standard errors and the saturation."""
        # Drawing is rare, and matplotlib takes long to import.
        from moela.notebook.style import COLORS, SMALL, dress, new_figure

        figure = new_figure()
        axes = figure.subplots()
        dress(axes, "load of the busiest channel or port", "packet latency (cycles)")
        done = np.isfinite(self.latencies)
        errors = np.array([result.standard_error for result in self.results])
        axes.errorbar(
            self.loads[done], self.latencies[done], errors[done], marker="o", ms=7, lw=2, capsize=4,
            color=COLORS[0], label="simulated",
        )  # fmt: skip
        if self.results:
            axes.axhline(
                self.results[0].zero_load, ls=":", lw=2, color="0.4", label="without waiting"
            )
        if math.isfinite(self.saturation):
            axes.axvline(self.saturation, ls="--", lw=2, color=COLORS[1], label="saturation")
        axes.legend(fontsize=SMALL, framealpha=0.85, edgecolor="none")
        return figure


def sweep_loads(
    design: Design,
    traffic: ArrayLike | None = None,
    *,
    loads: Sequence[float] = DEFAULT_LOADS,
    random_state: np.random.Generator | None = None,
    standard_error: float = 0.5,
    classes: Mapping[str, tuple[int, float]] | None = None,
) -> LoadSweep:
    """Simulate a design at ascending loads up to saturation.

    Parameters
    ----------
    design, traffic, random_state, standard_error, classes
        As in ``Design.simulate``.
    loads : sequence of float
        Loads of the busiest channel or port; the sweep ends after the first one that saturates.

    Returns
    -------
    LoadSweep
    """
    rng = check_random_state("load_sweep", random_state)
    listed = list(loads) if isinstance(loads, Iterable) else []
    expected = "a sequence of numbers above 0, at least one"
    if not listed:
        raise setting_error("load_sweep", "loads", expected, loads)
    results: list[SimulationResult] = []
    for load in sorted(check_real("load_sweep", "loads", x, 0.0, 10.0, above=True) for x in listed):
        results.append(
            simulate_design(
                design,
                traffic,
                load=load,
                random_state=rng,
                standard_error=standard_error,
                classes=classes,
                max_cycles=SWEEP_CYCLES,
            )
        )
        if not math.isfinite(results[-1].packet_latency):
            break
    at = np.array([result.load for result in results])
    return LoadSweep(at, results, _saturation(at, results))


def _saturation(loads: Floats, results: Sequence[SimulationResult]) -> float:
    slow = [r.packet_latency / r.zero_load for r in results]
    for k, value in enumerate(slow):
        if value < SLOWDOWN:
            continue
        if k == 0 or not math.isfinite(value):
            return float(loads[k])
        share = (SLOWDOWN - slow[k - 1]) / (value - slow[k - 1])
        return float(loads[k - 1] + share * (loads[k] - loads[k - 1]))
    return math.nan
