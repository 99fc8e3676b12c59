"""Slow, independent versions of the models and rules, written from the formulas only."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest

from problems.noc import NoC3D
from tests.problems.noc.packets import routes


def position(platform, tile):
    x, y, _ = platform.grid
    return tile % x, tile // x % y, tile // (x * y)


def link_energy(platform, a, b):
    (*here, low), (*there, high) = position(platform, a), position(platform, b)
    if low != high:
        return platform.vertical_energy
    return platform.planar_energy * math.ceil(math.dist(here, there) - 1e-9)


def slow_objectives(design, traffic, model):
    """Return all five objectives of a design, in plain Python."""
    platform, placement = design.platform, design.placement.tolist()
    graph, paths = routes(design)
    kind = {}
    watts = {}
    for pe_type in platform.pe_types:
        for power in pe_type.power:
            watts[len(kind)] = power
            kind[len(kind)] = pe_type.name
    load = {frozenset(edge): 0.0 for edge in graph.edges}
    latency = energy = 0.0
    for path in paths.values():
        i, j = placement[path[0]], placement[path[-1]]
        flow = traffic[i, j]
        hops = list(itertools.pairwise(path))
        delay = sum(graph[a][b]["cost"] for a, b in hops)
        wires = sum(link_energy(platform, a, b) for a, b in hops)
        for hop in hops:
            load[frozenset(hop)] += flow
        roles = {kind[i], kind[j]}
        if model == "released":
            routers = path[1:2]
            if roles <= {"CPU", "LLC"}:
                latency += flow * delay
        else:
            routers = path
            if roles == {"CPU", "LLC"}:
                n_pairs = sum(k == "CPU" for k in kind.values()) * sum(
                    k == "LLC" for k in kind.values()
                )
                latency += flow * delay / n_pairs
        ports = sum(graph.degree[t] for t in routers)
        energy += flow * (wires + ports * platform.router_energy)
    loads = np.array(list(load.values()))
    mean = loads.sum() / len(loads)
    squares = ((loads - mean) ** 2).sum()
    deviation = math.sqrt(squares if model == "released" else squares / len(loads))
    return [mean, deviation, latency, energy, slow_thermal(platform, watts, placement, model)]


def slow_thermal(platform, watts, placement, model):
    x, y, z = platform.grid
    levels = range(z) if platform.sink == "bottom" else range(z - 1, -1, -1)
    stacks = [[watts[placement[level * x * y + s]] for level in levels] for s in range(x * y)]
    if model == "released":
        return sum(
            int(sum(p * platform.layer_resistance * (k + 1) for k, p in enumerate(stack)))
            for stack in stacks
        )
    r, base = platform.layer_resistance, platform.base_resistance
    rise = np.array(
        [
            [
                sum(stack[i] * r * (i + 1) for i in range(k + 1)) + base * sum(stack[: k + 1])
                for k in range(z)
            ]
            for stack in stacks
        ]
    )
    return rise.max() * (rise.max(axis=0) - rise.min(axis=0)).max()


def broken_rules(platform, placement, pairs):
    """Return the rules that a design breaks; empty for a legal design."""
    n = math.prod(platform.grid)
    x, y, _ = platform.grid
    broken = []
    if sorted(placement) != list(range(n)):
        return ["each PE once"]
    first = 0
    for kind in platform.pe_types:
        tiles = [t for t in range(n) if first <= placement[t] < first + kind.count]
        if kind.allowed_tiles is not None and not set(tiles) <= set(kind.allowed_tiles):
            broken.append("allowed tiles")
        first += kind.count
    links = {frozenset(map(int, pair)) for pair in pairs}
    if len(links) != platform.n_planar_links or len(pairs) != platform.n_planar_links:
        broken.append("number of links")
    if any(len(pair) != 2 or len({t // (x * y) for t in pair}) != 1 for pair in links):
        broken.append("within a layer")
    if platform.max_length is not None and any(
        math.dist(*(position(platform, t) for t in pair)) > platform.max_length for pair in links
    ):
        broken.append("length")
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(tuple(pair) for pair in links)
    graph.add_edges_from(platform.vertical_links)
    if max(d for _, d in graph.degree) > platform.max_degree:
        broken.append("degree")
    if not nx.is_connected(graph):
        broken.append("connected")
    return broken


@pytest.fixture(scope="module")
def problem():
    """Return the paper's chip under synthetic traffic; some modules override this fixture."""
    return NoC3D.example("bfs")


@pytest.fixture(scope="module")
def rows(problem):
    """Return 30 designs: the mesh, then shuffled PEs, moved links, and both in turn."""
    sampling = problem.operators()["sampling"]
    return sampling.do(problem, 30, random_state=np.random.default_rng(3)).get("X")


@pytest.fixture(scope="session")
def slow():
    """Return the slow evaluation."""
    return slow_objectives


@pytest.fixture(scope="session")
def rules():
    """Return the slow legality check."""
    return broken_rules


@pytest.fixture(scope="session")
def noc_data(shared_data):
    """Return the folder of real traffic and stored designs."""
    return shared_data / "noc"
