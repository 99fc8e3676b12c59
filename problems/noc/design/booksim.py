"""BookSim 2: a design as an anynet topology with a configuration, and a run read back.

BookSim takes no traffic matrix. What it does take is a rate that is the same for all nodes, and
destinations drawn by weights (its "hotspot" pattern). So the traffic of an application is matched
in its margins:

* what each PE sends: a PE is a router with several nodes, about in proportion to what it sends,
  all of which inject at the same rate;
* what each PE receives: the weights of the destinations, shared among the nodes of a PE.

The matrix that BookSim then sees is the independent one, sent[i] * received[j] / total. What it
lacks is who talks to whom. So the latency of an application is taken apart: hops and wires by the
model under the true matrix, and the wait in queues by BookSim, as the difference between a run at
the load of the application and a run at next to no load:

    latency = model without queues(true matrix) + BookSim(load) - BookSim(load / 100)

BookSim routes by the latency of links alone, the model by links and router stages. So that both
take the same ways (ties aside), the latency of a link in the file is that of the whole hop, and the
routers have BookSim's shortest pipeline, which adds about three cycles a hop to what BookSim
reports and cancels out of the formula above. Shortest-path routing on an irregular network is not
free of deadlock; near saturation BookSim may run into one.

The formats are those of BookSim 2 (N. Jiang et al., "A detailed and flexible cycle-accurate
network-on-chip simulator", ISPASS 2013).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from problems._arrays import Floats, Ints
from problems.noc.chip.traffic import check_traffic
from problems.noc.design.programs import find_program, run_program
from problems.noc.evaluation.metrics import sent_and_received

if TYPE_CHECKING:
    from problems.noc.design.design import Design

__all__ = ["BookSimResult", "matched_margins", "simulate_booksim", "write_booksim"]

BINARIES = ("booksim", "booksim2")
NODES_PER_ROUTER = 4
"""Nodes that a PE has on average, where traffic is matched: finer steps take longer to simulate."""

UNLOADED = 100.0
"""Part of the load at which a run counts as without queues."""


@dataclass(frozen=True, kw_only=True)
class BookSimResult:
    """What BookSim measured.

    Attributes
    ----------
    packet_latency : float
        Cycles, averaged over packets, at the load asked for, under the traffic that BookSim sees.
    zero_load : float
        The same at a hundredth of the load.
    hops : float
        Routers passed per packet.
    matched_latency : float or None
        Cycles under the true traffic: the model without queues, plus the difference of the two
        runs. None without traffic.
    """

    packet_latency: float
    zero_load: float
    hops: float
    matched_latency: float | None = None


def matched_margins(traffic: Floats, nodes: int) -> tuple[Ints, Ints, float]:
    """Return how BookSim is to imitate traffic.

    Parameters
    ----------
    traffic : float array [n, n]
        Flits per cycle from PE i to PE j.
    nodes : int
        Nodes to give to the PEs, at least n: each gets one or more.

    Returns
    -------
    nodes of each PE : int array [n]
    weight of each PE as a destination : int array [n]
        Of 10,000 in all, but for rounding.
    rate : float
        Flits that a node injects per cycle.
    """
    sent, received = sent_and_received(traffic)
    # Largest remainders, after one for everybody.
    share = sent / sent.sum() * max(nodes - sent.size, 0)
    counts = np.floor(share).astype(np.int64)
    short = max(nodes - sent.size, 0) - int(counts.sum())
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
) -> Path:
    """Write ``network.anynet`` and ``booksim.cfg`` and return the path of the latter.

    Parameters
    ----------
    design : Design
    folder : str or Path
        Made if need be. BookSim is to be started in it.
    traffic : float array-like [n_tiles, n_tiles], optional
        Flits per cycle from PE i to PE j; matched as this module says. Uniform by default.
    injection_rate : float, optional
        Flits that a node injects per cycle; by default 0.02, or what the traffic asks for.

    Raises
    ------
    ValueError
        The rate is not between 0 and 1, or the traffic is none of this platform.
    """
    folder = Path(folder)
    platform = design.platform
    n = platform.n_tiles
    counts = np.ones(n, dtype=np.int64)
    pattern, rate = "uniform", 0.02
    if traffic is not None:
        matrix = check_traffic(traffic, n)
        counts, weights, rate = matched_margins(matrix, NODES_PER_ROUTER * n)
        pattern = _hotspots(counts, weights)
        if injection_rate is None and rate > 1:
            raise ValueError(
                "The 'traffic' of to_booksim must be flits per cycle that BookSim's nodes can "
                f"inject: {counts.sum()} nodes, at most 1 each. Got {rate * counts.sum():.4g} "
                "flits per cycle in all instead; scale it down, or name an injection_rate."
            )
    rate = rate if injection_rate is None else injection_rate
    if not (isinstance(rate, (int, float, np.number)) and 0 < rate <= 1):
        raise ValueError(
            "The 'injection_rate' of to_booksim must be above 0 and at most 1 flit per cycle and "
            f"node. Got {rate!r} instead."
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "network.anynet").write_text(_anynet(design, counts), encoding="ascii")
    buffer = max(platform.buffer_flits // 4, 1)
    settings = {
        "topology": "anynet",
        "network_file": "network.anynet",
        "routing_function": "min",
        "traffic": pattern,
        "injection_rate": _decimal(rate),
        "injection_rate_uses_flits": "1",
        "packet_size": str(platform.packet_flits),
        "num_vcs": "4",
        "vc_buf_size": str(buffer),
        # The shortest pipeline: the stages are in the latency of the links.
        "routing_delay": "0",
        "vc_alloc_delay": "1",
        "sw_alloc_delay": "1",
        "st_final_delay": "1",
        "credit_delay": "1",
        "sim_type": "latency",
        "warmup_periods": "3",
        "sample_period": "10000",
        "sim_count": "1",
    }
    text = "".join(f"{name} = {value};\n" for name, value in settings.items())
    path = folder / "booksim.cfg"
    path.write_text(text, encoding="ascii")
    return path


def simulate_booksim(
    design: Design,
    folder: str | Path,
    *,
    traffic: ArrayLike | None = None,
    injection_rate: float | None = None,
    timeout_s: float = 600.0,
) -> BookSimResult:
    """Write the files, run BookSim on them at the load and at next to none, and read it back.

    Parameters
    ----------
    design, folder, traffic, injection_rate
        As in ``write_booksim``.
    timeout_s : float
        For each of the two runs.

    Raises
    ------
    FileNotFoundError
        There is no ``booksim`` on the PATH.
    RuntimeError
        BookSim failed, saturated or ran out of time; the message ends with what it said last.
    """
    binary = find_program("BookSim 2", BINARIES, "design.to_booksim(folder)")
    config = write_booksim(design, folder, traffic=traffic, injection_rate=injection_rate)
    loaded = config.read_text(encoding="ascii")
    rate = float(re.search(r"injection_rate = (\S+);", loaded)[1])  # type: ignore[index]
    idle = config.with_name("booksim_idle.cfg")
    idle.write_text(
        re.sub(r"injection_rate = \S+;", f"injection_rate = {_decimal(rate / UNLOADED)};", loaded),
        encoding="ascii",
    )
    latency, hops = _run(binary, config, timeout_s)
    zero_load, _ = _run(binary, idle, timeout_s)
    matched = None
    if traffic is not None:
        matched = _without_queues(design, np.asarray(traffic, dtype=np.float64))
        matched += latency - zero_load
    return BookSimResult(
        packet_latency=latency, zero_load=zero_load, hops=hops, matched_latency=matched
    )


def read_output(text: str) -> tuple[float, float]:
    """Return mean packet latency and mean hops from what BookSim printed.

    Raises
    ------
    RuntimeError
        The numbers are missing, or the network was saturated.
    """
    # A deadlock ends the same way, or not at all.
    if "Simulation unstable" in text:
        raise RuntimeError(
            "BookSim says that the network is saturated at this load. It printed last: "
            f"{text[-300:]!r}"
        )
    latency = re.findall(r"Packet latency average = ([0-9.eE+-]+)", text)
    hops = re.findall(r"Hops average = ([0-9.eE+-]+)", text)
    if not latency or not hops:
        raise RuntimeError(
            "BookSim must print 'Packet latency average' and 'Hops average'. It printed last: "
            f"{text[-300:]!r}"
        )
    return float(latency[-1]), float(hops[-1])


def _decimal(value: float) -> str:
    """Return a number in a form that BookSim does not take for an integer."""
    text = f"{value:.9g}"
    return text if set(text) & set(".e") else f"{text}.0"


def _run(binary: str, config: Path, timeout_s: float) -> tuple[float, float]:
    _, printed = run_program("BookSim", [binary, config.name], config.parent, timeout_s)
    return read_output(printed)


def _without_queues(design: Design, traffic: Floats) -> float:
    from problems.noc.problem import NoC3D

    problem = NoC3D(traffic, platform=design.platform, objectives=("mean",))
    row = problem.encode(design)
    cost = design.platform.tables.link_cost
    fixed = np.arange(len(design.platform.candidates), cost.size)
    hop = cost[np.concatenate((row[design.platform.n_tiles :], fixed))].astype(np.float64)
    crossing = float((problem.link_loads(row) * hop).sum())
    return crossing / sent_and_received(traffic)[0].sum() + design.platform.packet_flits - 1


def _anynet(design: Design, counts: Ints) -> str:
    """Return the topology: a line a router, its nodes, and its neighbors with the cycles of a hop.

    A link stands in the lines of both of its routers, since the cycles behind a neighbor hold for
    that direction only.
    """
    platform = design.platform
    tables = platform.tables
    first = np.concatenate(([0], np.cumsum(counts)))
    hop: dict[tuple[int, int], int] = {}
    index = platform.candidate_index(design.links)
    every = np.concatenate((index, np.arange(tables.n_candidates, tables.link_a.size)))
    for c in every.tolist():
        a, b = int(tables.link_a[c]), int(tables.link_b[c])
        hop[a, b] = hop[b, a] = int(tables.link_cost[c])
    near: list[list[str]] = [[] for _ in range(platform.n_tiles)]
    for (a, b), cycles in sorted(hop.items()):
        near[a].append(f"router {b} {cycles}")
    lines = []
    for tile, pe in enumerate(design.placement.tolist()):
        words = [f"router {tile}"]
        words += [f"node {node}" for node in range(first[pe], first[pe + 1])]
        words += near[tile]
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


def _hotspots(counts: Ints, weights: Ints) -> str:
    """Return the pattern: every node of a PE that receives, and its share of the weight."""
    nodes = np.repeat(np.arange(counts.size), counts)
    # One scale for all, so that dividing a weight among the nodes of a PE stays exact enough.
    share = np.rint(weights[nodes] * 100 / counts[nodes]).astype(np.int64)
    targets = np.flatnonzero(share > 0).tolist()
    listed = ",".join(map(str, targets))
    rates = ",".join(str(share[node]) for node in targets)
    return f"hotspot({{{{{listed}}},{{{rates}}}}})"
