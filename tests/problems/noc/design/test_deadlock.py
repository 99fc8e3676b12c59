"""Virtual layers of routes, against networkx and by the paths themselves."""

import itertools
import json
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from problems.noc import Design, NoC3D, Platform
from problems.noc.evaluation.routes import paths_of

CHIP = Platform(
    grid=(3, 3, 2),
    pe_types={"CPU": {"count": 8, "power": 2.0}, "LLC": {"count": 10, "power": 1.0}},
    n_planar_links=24,
)


@pytest.fixture(scope="module")
def designs():
    problem = NoC3D(np.ones((18, 18)), platform=CHIP, objectives=("mean",))
    X = problem.operators()["sampling"]._do(problem, 4, random_state=np.random.default_rng(5))
    return [problem.decode(x) for x in X]


def all_paths(design, routing):
    paths = paths_of(design, routing)
    for s, t in np.ndindex(paths.start.shape):
        first = paths.start[s, t]
        yield s, t, paths.tiles[first : first + paths.length[s, t]].tolist()


@pytest.mark.parametrize("routing", ["model", "booksim", "up_down"])
def test_every_layer_is_proven(designs, routing):
    for design in designs:
        proof = design.deadlock_proof(routing)
        assert proof.free
        place = {tuple(pair): k for k, pair in enumerate(proof.channels.tolist())}
        graphs = [nx.DiGraph() for _ in range(proof.n_layers)]
        for s, t, path in all_paths(design, routing):
            assert (path[0], path[-1]) == (s, t)
            along = [place[pair] for pair in itertools.pairwise(path)]
            layer = proof.layer[s, t]
            graphs[layer].add_edges_from(itertools.pairwise(along))
            assert (np.diff(proof.order[layer][along]) > 0).all()
        assert all(nx.is_directed_acyclic_graph(graph) for graph in graphs)


def test_up_down_needs_no_layers_and_takes_longer(designs):
    for design in designs:
        shortest, tree = design.deadlock_proof("model"), design.deadlock_proof("up_down")
        assert tree.n_layers == 1
        assert tree.hop_cycles >= shortest.hop_cycles


def test_routes_of_booksim_are_shortest(designs):
    for design in designs:
        cycles = [design.deadlock_proof(r).hop_cycles for r in ("model", "booksim")]
        assert cycles[0] == pytest.approx(cycles[1], rel=1e-12)


def test_dimension_order_is_for_meshes(designs):
    proof = Design.mesh(CHIP).deadlock_proof("dimension_order")
    assert proof.free
    assert proof.n_layers == 1
    assert "free of deadlock in one virtual layer: all paths take channels in one" in str(proof)
    with pytest.raises(ValueError, match=r"no link between tiles 0 and 3.* Got 'dimension_order'"):
        designs[3].deadlock_proof("dimension_order")


def test_layers_are_a_metric_and_a_limit(designs):
    problem = NoC3D(np.ones((18, 18)), platform=CHIP, constraints={"virtual_layers": 1})
    rows = np.array([problem.encode(design) for design in designs])
    layers = problem.measure(rows, ["virtual_layers"])["virtual_layers"]
    assert layers.tolist() == [d.deadlock_proof().n_layers for d in designs]
    G = problem.evaluate(rows, return_values_of=["G"])
    np.testing.assert_array_equal(G[:, 0], layers - 1)


def test_an_export_names_the_proof(designs, tmp_path):
    designs[0].to_booksim(tmp_path)
    text = (tmp_path / "README.txt").read_text()
    assert str(designs[0].deadlock_proof("booksim")) in text
    # Without load the latency of the file is exact.
    assert "Packet latency average" in text


def test_files_of_a_network_name_the_routing_and_its_proof(designs, tmp_path):
    chip = replace(CHIP, routing="up_down")
    design = Design(designs[1].placement, designs[1].links, chip)
    design.to_graphml(tmp_path / "design.graphml")
    graph = nx.read_graphml(tmp_path / "design.graphml")
    assert graph.graph["routing"] == "up_down"
    assert graph.graph["deadlock"] == str(design.deadlock_proof())
    design.to_booksim(tmp_path)
    text = (tmp_path / "README.txt").read_text()
    assert f"The platform's routing is 'up_down'. {design.deadlock_proof()}" in text
    assert "Stock BookSim takes shortest paths instead" in text


@pytest.mark.parametrize("routing", ["shortest", "up_down", "lash"])
def test_the_fork_of_booksim_gets_matrix_and_routes(designs, tmp_path, routing):
    chip = replace(CHIP, routing=routing)
    design = Design(designs[2].placement, designs[2].links, chip)
    traffic = np.random.default_rng(3).exponential(0.01, (18, 18))
    traffic[4] = 0.0  # a PE that only receives
    design.to_booksim(tmp_path, traffic=traffic, match="matrix")
    weights = np.array(json.loads((tmp_path / "traffic.json").read_text()))
    network = [line.split() for line in (tmp_path / "network.anynet").read_text().splitlines()]
    owner = {}
    ports = []
    for words in network:
        tile = int(words[1])
        nodes = [int(words[k + 1]) for k, word in enumerate(words) if word == "node"]
        others = [int(words[k + 1]) for k, word in enumerate(words) if k and word == "router"]
        owner |= dict.fromkeys(nodes, tile)
        ports.append([*nodes, *(~t for t in sorted(others))])
    assert weights.shape == (len(owner), len(owner))
    # The shares of receivers among the packets of a sender are those of the application.
    source = next(node for node, tile in owner.items() if design.placement[tile] == 7)
    by_pe = np.zeros(18)
    for node, weight in enumerate(weights[source]):
        by_pe[design.placement[owner[node]]] += weight
    wanted = np.where(np.arange(18) == 7, 0.0, traffic[7])
    np.testing.assert_allclose(by_pe, wanted / wanted.sum(), atol=1e-6)
    assert not weights[next(n for n, t in owner.items() if design.placement[t] == 4)].any()
    tables = json.loads((tmp_path / "routes.json").read_text())
    paths = paths_of(design, "booksim" if routing != "up_down" else "model")
    for s, t in itertools.product(range(18), range(18)):
        node = next(k for k, tile in owner.items() if tile == t)
        router, entry, seen = s, 0, [s]
        while (port := ports[router][tables[router][str(node)][str(entry)]]) < 0:
            entry = ports[~port].index(~router)
            router = ~port
            seen.append(router)
        assert port == node
        first = paths.start[s, t]
        assert seen == paths.tiles[first : first + paths.length[s, t]].tolist()
    assert "total-variation distance of 0.0" in (tmp_path / "README.txt").read_text()
    with pytest.raises(ValueError, match=r"'match' .* without traffic"):
        design.to_booksim(tmp_path, match="matrix")
