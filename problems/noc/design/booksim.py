"""BookSim 2: a design as an anynet topology with a configuration, and the output of a run.

BookSim takes no traffic matrix. It takes one injection rate for all nodes, and destinations drawn
by weights (its "hotspot" pattern). So the export matches the margins of an application's traffic:

* sent: a PE is a router with several nodes, about in proportion to the traffic that it sends; all
  nodes inject at the same rate;
* received: the weights of the destinations, shared among the nodes of a PE.

BookSim then simulates the independent matrix, sent[i] * received[j] / total, which loses who talks
to whom. So the latency of an application has two parts: hops and wires come from the model under
the true matrix, and the wait in queues from BookSim:

    latency = model without queues(true matrix) + BookSim(load) - BookSim without queues

The last term is computed exactly; see ``exact_idle``. ``Design.simulate`` needs none of this: it
takes the true matrix.

BookSim routes by the latency of links alone, the model by links and router stages. For both to take
the same routes (except ties), the latency of a link in the file is that of the whole hop. The
routers have BookSim's shortest pipeline, which adds about three cycles per hop to BookSim's latency
and cancels out of the formula above. Shortest-path routing on an irregular network is not free of
deadlock, so BookSim may deadlock near saturation.

The formats are those of BookSim 2 (N. Jiang et al., "A detailed and flexible cycle-accurate
network-on-chip simulator", ISPASS 2013).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from moela.files.guard import brief
from moela.files.text import number_of
from moela.heartbeat.working import long_work
from problems._arrays import Floats, Ints
from problems._checks import check_choice, check_int, check_real, require, setting_error
from problems.noc.chip.traffic import check_traffic, sent_and_received
from problems.noc.design.deadlock import prove_deadlock_free
from problems.noc.design.programs import find_program, run_program
from problems.noc.design.rapidchiplet import (
    SETTINGS,
    fork_routing,
    matrix_nodes,
    node_traffic,
    write_fork_files,
)
from problems.noc.design.readme import (
    booksim_text,
    folder_of,
    networks_text,
    routing_text,
    write_readme,
)
from problems.noc.evaluation.routes import cycles_along, hop_matrix, paths_of
from problems.noc.simulation.kernel import ENDS, PER_ROUTER
from problems.noc.simulation.simulate import channel_depth, own_stalls

if TYPE_CHECKING:
    from problems.noc.design.design import Design

__all__ = ["BookSimResult", "matched_margins", "simulate_booksim", "write_booksim"]

BINARIES = ("booksim", "booksim2")
NODES_PER_ROUTER = 4
"""Nodes of a PE on average if traffic is matched; more match better but take longer to simulate."""

FEWEST_PACKETS = 10_000
"""Packets of each sampling period of BookSim."""

FEWEST_RUNS, MOST_RUNS = 3, 12
"""Runs with different seeds, for a standard error."""


class Idle(NamedTuple):
    """Means without waiting under the traffic that BookSim simulates."""

    latency: float  # cycles, as BookSim counts them
    hops: float  # routers per packet


@dataclass(frozen=True)
class BookSimResult:
    """Results of BookSim.

    Attributes
    ----------
    packet_latency : float
        Mean cycles per packet under the traffic that BookSim simulates, over all runs.
    zero_load : float
        The exact mean without any waiting under that traffic.
    hops : float
        Routers per packet.
    matched_latency : float or None
        Cycles under the true traffic, approximately: the model without queues plus BookSim's
        waiting under traffic with the same margins. None without traffic.
    standard_error : float
        Of ``packet_latency``, from runs with different seeds.
    distance : float or None
        Total-variation distance of the traffic that BookSim simulates from the true one, 0 to 1.
    runs : int
    """

    packet_latency: float
    zero_load: float
    hops: float
    matched_latency: float | None
    standard_error: float
    distance: float | None
    runs: int


def matched_margins(traffic: Floats, nodes: int) -> tuple[Ints, Ints, float]:
    """Return nodes, destination weights and injection rate with the margins of traffic [n, n].

    ``nodes`` (at least n) are shared among the PEs, one or more each: the first result is the
    number of nodes of each PE, int [n]. The second is the weight of each PE as a destination, int
    [n], 10,000 in all except for rounding. The rate is in flits per node and cycle.
    """
    sent, received = sent_and_received(traffic)
    # Largest remainders, after one node for each PE.
    free = nodes - sent.size
    share = sent / sent.sum() * free
    counts = np.floor(share).astype(np.int64)
    short = free - int(counts.sum())
    counts[np.argsort(-(share - counts), kind="stable")[:short]] += 1
    counts += 1
    weights = np.rint(received / received.sum() * 10_000).astype(np.int64)
    weights[(weights == 0) & (received > 0)] = 1
    return counts, weights, float(sent.sum() / counts.sum())


def write_booksim(
    design: Design,
    folder: str | Path,
    *,
    traffic: ArrayLike | None = None,
    injection_rate: float | None = None,
    seed: int = 0,
    match: str = "margins",
    baselines: Mapping[str, Design] | None = None,
) -> Path:
    """Write ``network.anynet`` and ``booksim.cfg`` and return the path of the latter.

    Parameters
    ----------
    design : Design
    folder : str or Path
        Created if missing. Start BookSim in it.
    traffic : float array-like [n_tiles, n_tiles], optional
        Flits per cycle from PE i to PE j; its margins are matched. Uniform by default.
    injection_rate : float, optional
        Flits that a node injects per cycle; by default 0.02, or the rate that matches the traffic.
    seed : int
        Of BookSim's random numbers.
    match : {"margins", "matrix"}
        "matrix" writes ``traffic.json`` and ``routes.json`` too, for the BookSim of RapidChiplet,
        which takes the matrix and the routes of the platform; see ``design.rapidchiplet``. Stock
        BookSim takes what each PE sends and receives in all.
    baselines : mapping from str to Design, optional
        Networks to compare with by name, such as those of ``NoC3D.beside_baselines``. Each gets a
        folder of its own, and the README says what runs in all of them should print.

    Raises
    ------
    ValueError
        The rate is not between 0 and 1, the traffic does not fit this platform, a matrix is to be
        matched without traffic, or the links do not take one flit per cycle.
    """
    check_choice("to_booksim", "match", match, ("margins", "matrix"))
    expected = '"margins" without traffic'
    require("to_booksim", "match", match, match == "margins" or traffic is not None, expected)
    folder = Path(folder)
    platform = design.platform
    slow = platform.physical.die_rate
    expected = "of links between dies that take a flit per cycle, as all channels of BookSim do"
    require("to_booksim", "design", f"{slow:g} flits per cycle", slow == 1.0, expected)
    capacity = platform.link_capacity
    expected = "of a platform with a link_capacity of 1, as that of all channels of BookSim"
    require("to_booksim", "design", f"{capacity:g} flits per cycle", capacity == 1.0, expected)
    n = platform.n_tiles
    counts = np.ones(n, dtype=np.int64)
    pattern, rate = "uniform", 0.02
    matrix: Floats = np.empty((0, 0))
    received = np.ones(n, dtype=np.int64)
    if traffic is not None:
        matrix = check_traffic(traffic, n)
        np.fill_diagonal(matrix, 0.0)
        counts, weights, rate = matched_margins(matrix, NODES_PER_ROUTER * n)
        if match == "matrix":
            counts, rate = matrix_nodes(matrix)
        pattern = _hotspots(counts, weights)
        if injection_rate is None and rate > 1:
            expected = (
                f"at most {counts.sum()} flits per cycle in all, one for each of BookSim's nodes "
                "(scale it down, or set injection_rate)"
            )
            raise setting_error("to_booksim", "traffic", expected, float(f"{matrix.sum():.4g}"))
    if injection_rate is not None:
        rate = check_real("to_booksim", "injection_rate", injection_rate, 0.0, 1.0, above=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "network.anynet").write_text(_anynet(design, counts), encoding="ascii")
    settings = {
        "topology": "anynet",
        "network_file": "network.anynet",
        "routing_function": "min",
        "traffic": pattern,
        "injection_rate": _decimal(rate),
        "injection_rate_uses_flits": "1",
        "packet_size": str(platform.packet_flits),
        "num_vcs": str(platform.virtual_channels),
        # By default, what the credit loop of the longest hop takes.
        "vc_buf_size": str(channel_depth(design)),
        # The shortest pipeline: the stages are in the latency of the links.
        "routing_delay": "0",
        "vc_alloc_delay": "1",
        "sw_alloc_delay": "1",
        "st_final_delay": "1",
        "credit_delay": "1",
        "sim_type": "latency",
        "warmup_periods": "3",
        "sample_period": str(max(10_000, _period(rate * counts.sum() / platform.packet_flits))),
        "sim_count": "1",
        "seed": str(check_int("to_booksim", "seed", seed, 0, 2**31 - 1)),
    }
    if match == "matrix":
        settings |= SETTINGS
        write_fork_files(design, folder, matrix, counts)
    text = "".join(f"{name} = {value};\n" for name, value in settings.items())
    path = folder / "booksim.cfg"
    path.write_text(text, encoding="ascii")

    def idle_of(one: Design) -> Idle:
        if match == "matrix":
            return idle_under(one, node_traffic(matrix, counts), fork_routing(one))
        return exact_idle(one, received if traffic is None else weights, counts)

    idle = idle_of(design)
    model, distance = idle.latency - PER_ROUTER * idle.hops - ENDS, None
    if traffic is not None:
        distance = margins_distance(matrix, counts, weights)
        if match == "matrix":
            distance = float(np.abs(node_traffic(matrix, counts) - matrix / matrix.sum()).sum() / 2)
        model = _without_queues(design, matrix)
    buffers = (channel_depth(design), platform.virtual_channels)
    proof = str(prove_deadlock_free(design, "booksim"))
    own = ""
    if platform.routing != "shortest":
        own = routing_text(platform.routing, str(prove_deadlock_free(design, traffic=traffic)))
    text = booksim_text(idle.latency, model, idle.hops, *buffers, distance, proof, own, match)
    if baselines:
        for name, network in baselines.items():
            write_booksim(
                network, folder / folder_of(name), traffic=traffic,
                injection_rate=injection_rate, seed=seed, match=match,
            )  # fmt: skip
        text += _beside_text({"this folder": design} | dict(baselines), idle_of, matrix)
    write_readme(folder, text)
    return path


@long_work("simulating a network by BookSim")
def simulate_booksim(
    design: Design,
    folder: str | Path,
    *,
    traffic: ArrayLike | None = None,
    injection_rate: float | None = None,
    seed: int = 0,
    standard_error: float = 0.3,
    timeout_s: float = 600.0,
) -> BookSimResult:
    """Write the files, run BookSim with several seeds, and read its output.

    The latency without waiting is computed exactly, not simulated.

    Parameters
    ----------
    design, folder, traffic, injection_rate
        As in ``write_booksim``.
    seed : int
        Of the first run; the next ones have the next seeds.
    standard_error : float
        Runs end once the mean over at least three has this standard error in cycles, or after
        twelve; the result says what was reached.
    timeout_s : float
        For each run.

    Raises
    ------
    FileNotFoundError
        There is no ``booksim`` on the PATH.
    RuntimeError
        BookSim failed, saturated or ran out of time; the message ends with its last output.
    """
    binary = find_program("BookSim 2", BINARIES, "design.to_booksim(folder)")
    wanted = check_real("simulate_booksim", "standard_error", standard_error, 0.0, above=True)
    latencies: list[float] = []
    hops: list[float] = []
    error = math.inf
    while len(latencies) < MOST_RUNS and (len(latencies) < FEWEST_RUNS or error > wanted):
        next_seed = seed + len(latencies)
        config = write_booksim(
            design, folder, traffic=traffic, injection_rate=injection_rate, seed=next_seed
        )
        _, text = run_program("BookSim", [binary, config.name], config.parent, timeout_s)
        latency, routers = read_output(text, config)
        latencies.append(latency)
        hops.append(routers)
        if len(latencies) > 1:
            error = float(np.std(latencies, ddof=1) / math.sqrt(len(latencies)))
    mean = float(np.mean(latencies))
    matched = distance = None
    n = design.platform.n_tiles
    counts = weights = np.ones(n, dtype=np.int64)
    if traffic is not None:
        matrix = check_traffic(traffic, n)
        np.fill_diagonal(matrix, 0.0)
        counts, weights, _ = matched_margins(matrix, NODES_PER_ROUTER * n)
        distance = margins_distance(matrix, counts, weights)
    idle = exact_idle(design, weights, counts)
    if traffic is not None:
        matched = _without_queues(design, matrix) + mean - idle.latency
    runs = len(latencies)
    routers = float(np.mean(hops))
    return BookSimResult(mean, idle.latency, routers, matched, error, distance, runs)


def _beside_text(
    designs: Mapping[str, Design], idle_of: Callable[[Design], Idle], matrix: Floats
) -> str:
    """Return the paragraph on other networks: what BookSim prints at no load, and the model."""
    cells = {}
    for name, one in designs.items():
        idle = idle_of(one)
        cells[name] = [str(len(one.planar_links)), f"{idle.latency:.2f}", f"{idle.hops:.3f}"]
        if matrix.size:
            cells[name].append(f"{_without_queues(one, matrix):.2f}")
    columns = ["planar links", "packet latency average", "hops average"]
    more = "Both averages are those at an injection rate near 0."
    if matrix.size:
        columns.append("model")
        more += (
            " The model's cycles are those in an empty\nnetwork, under the application's traffic."
        )
    return networks_text(columns, cells, more)


def exact_idle(design: Design, weights: Ints, counts: Ints) -> Idle:
    """Return the exact means of BookSim at no load, given its destinations and nodes per PE.

    A packet takes the cycles of its hops, three more in each router, three at the ends, one for
    each further flit, and those for which it waits for its own credits.
    """
    n = design.platform.n_tiles
    share = np.ones((n, n))  # BookSim's uniform pattern includes the node itself
    if not ((weights == 1).all() and (counts == 1).all()):
        share = np.outer(counts, weights).astype(np.float64)
    return idle_under(design, share / share.sum(), "booksim")


def idle_under(design: Design, share: Floats, routing: str) -> Idle:
    """Return the exact means at no load, given the share of each pair of PEs [n, n] and routes."""
    n = design.platform.n_tiles
    cost = hop_matrix(n, design.all_links(), design.hop_cycles())
    paths = paths_of(design, routing)
    share = share[np.ix_(design.placement, design.placement)]
    routers = paths.length.astype(np.float64)
    cycles = cycles_along(cost, paths) + PER_ROUTER * routers + own_stalls(design, routing)
    further = ENDS + design.platform.packet_flits - 1
    return Idle(float((share * cycles).sum()) + further, float((share * routers).sum()))


def margins_distance(matrix: Floats, counts: Ints, weights: Ints) -> float:
    """Return the total-variation distance of matched traffic from the true matrix [n, n]."""
    matched = np.outer(counts, weights).astype(np.float64)
    return float(np.abs(matched / matched.sum() - matrix / matrix.sum()).sum() / 2.0)


def _without_queues(design: Design, matrix: Floats) -> float:
    crossing = float((design.link_loads(matrix) * design.hop_cycles()).sum())
    on_tiles = matrix[np.ix_(design.placement, design.placement)]
    crossing += float((on_tiles * own_stalls(design, "model")).sum())
    return crossing / float(matrix.sum()) + design.platform.packet_flits - 1


def read_output(text: str, source: str | Path) -> tuple[float, float]:
    """Return mean packet latency and mean hops from the output of BookSim, or a RuntimeError.

    The error names the `source`, the configuration that BookSim was given.
    """
    values = []
    fault = ""
    for title in ("Packet latency average", "Hops average"):
        words = re.findall(rf"{title} = (\S{{1,40}})", text)
        value = number_of(words[-1]) if words else None
        if value is None or not 0.0 <= value < math.inf:
            fault = fault or f"must print '{title}' with a number >= 0, not {brief(words[-1:])}"
        else:
            values.append(value)
    # A deadlock ends the same way, or not at all.
    if "Simulation unstable" in text:
        fault = "says that the network is saturated at this load"
    if fault:
        raise RuntimeError(f"{source}: BookSim {fault}. It printed last: {text[-300:]!r}")
    latency, hops = values
    return latency, hops


def _period(packets_per_cycle: float) -> int:
    """Return cycles in which enough packets are created."""
    return min(math.ceil(FEWEST_PACKETS / packets_per_cycle), 10_000_000)


def _decimal(value: float) -> str:
    """Return a number in a form that BookSim does not take for an integer."""
    text = f"{value:.9g}"
    return text if set(text) & set(".e") else f"{text}.0"


def _anynet(design: Design, counts: Ints) -> str:
    """Return the topology: a line per router with its nodes, neighbors and cycles of a hop.

    A link stands in the lines of both of its routers, since the cycles after a neighbor hold for
    that direction only.
    """
    first = np.concatenate(([0], np.cumsum(counts)))
    hops = np.column_stack((design.all_links(), design.hop_cycles())).tolist()
    neighbors: list[list[str]] = [[] for _ in design.placement]
    for a, b, c in sorted(hops + [[b, a, c] for a, b, c in hops]):
        neighbors[a].append(f"router {b} {c}")
    lines = []
    for tile, pe in enumerate(design.placement.tolist()):
        nodes = [f"node {node}" for node in range(first[pe], first[pe + 1])]
        lines.append(" ".join([f"router {tile}", *nodes, *neighbors[tile]]) + "\n")
    return "".join(lines)


def _hotspots(counts: Ints, weights: Ints) -> str:
    """Return the pattern: every node of a PE that receives, with its share of the weight."""
    nodes = np.repeat(np.arange(counts.size), counts)
    # Scaled up, so that a weight divided among the nodes of a PE keeps two more digits.
    share = np.rint(weights[nodes] * 100 / counts[nodes]).astype(np.int64)
    targets = np.flatnonzero(share > 0).tolist()
    listed, rates = (",".join(map(str, values)) for values in (targets, share[targets]))
    return f"hotspot({{{{{listed}}},{{{rates}}}}})"
