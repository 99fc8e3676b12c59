"""Regular networks, their placements, and moves on platforms with hardly any free port."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from problems.noc import Design, NoC3D, Platform, chiplet_package
from problems.noc.baselines import express_mesh, folded_torus, optimize_placement

DIES = chiplet_package((5, 4))


def graph_of(design):
    graph = nx.Graph()
    graph.add_edges_from(design.all_links().tolist())
    return graph


def mean_hops(design):
    n = design.platform.n_tiles
    problem = NoC3D(np.ones((n, n)), platform=design.platform, objectives=("mean_hops",))
    return float(problem.evaluate(problem.encode(design))[0])


def test_a_folded_torus_is_a_torus_of_short_links():
    design = folded_torus(DIES)
    assert nx.is_isomorphic(graph_of(design), nx.grid_2d_graph(5, 4, periodic=True))
    assert design.platform.candidate_lengths.max() == 2.0
    assert mean_hops(design) == pytest.approx(nx.average_shortest_path_length(graph_of(design)))
    with pytest.raises(ValueError, match=r"max_degree of 4 and a max_length of 2 or more"):
        folded_torus(chiplet_package((5, 4), max_length=1.5))


def test_an_express_mesh_keeps_to_wires_and_ports():
    chip = Platform.paper_4x4x4()
    design = express_mesh(chip, wire_length=130)
    lengths = design.platform.candidate_lengths
    assert lengths.sum() == 130
    assert set(lengths) == {1.0, 2.0}
    assert np.bincount(design.all_links().ravel()).max() <= chip.max_degree
    # Of as many links as the platform has, it is a design of the platform.
    assert express_mesh(chip, wire_length=96) == Design.mesh(chip)
    with pytest.raises(ValueError, match=r"'wire_length' .* at least 96"):
        express_mesh(chip, wire_length=95)


def test_placements_are_optimized_and_links_stay():
    problem = NoC3D.example("hotspot", objectives=("edp",))
    design = folded_torus(problem.platform)
    rng = np.random.default_rng(1)
    best = optimize_placement(design, problem.traffic, random_state=rng, n_eval=150)
    np.testing.assert_array_equal(best.links, design.links)
    fixed = NoC3D(problem.traffic, platform=design.platform, objectives=("edp",))
    before, after = fixed.evaluate(np.stack([fixed.encode(d) for d in (design, best)]))
    assert after < 0.8 * before


def test_a_package_of_chiplets_uses_all_ports():
    assert DIES.n_planar_links == 40
    assert DIES.tables.link_cost.max() == 1
    with pytest.raises(ValueError, match=r"no set of planar links joins all tiles|connect"):
        chiplet_package((5, 4), n_planar_links=18)


def test_where_ports_are_scarce_moves_exchange_ends():
    problem = NoC3D(np.ones((20, 20)), platform=DIES, objectives=("mean_hops",))
    rng = np.random.default_rng(4)
    X = problem.operators()["sampling"]._do(problem, 6, random_state=rng)
    start = problem.mesh_row()
    degrees = [np.bincount(problem.decode(x).links.ravel(), minlength=20) for x in X]
    exchanged = 0
    for x, degree in zip(X, degrees, strict=True):
        for y in problem.neighbors(x, 12, rng):
            problem.check(y)
            np.testing.assert_array_equal(y[:20], start[:20])
            assert (np.diff(y[20:]) > 0).all()
            other = np.bincount(problem.decode(y).links.ravel(), minlength=20)
            exchanged += (other == degree).all() and len(set(y[20:]) - set(x[20:])) == 2
    assert exchanged >= 10
    mutants = problem.operators()["mutation"]._do(problem, X, random_state=rng)
    problem.check(mutants)
    np.testing.assert_array_equal(mutants[:, :20], X[:, :20])


@pytest.mark.parametrize("routing", ["shortest", "dimension_order"])
def test_a_search_with_nothing_to_decide_is_refused(routing):
    links = tuple(map(tuple, Design.mesh(Platform.mesh_8x8()).links.tolist()))
    platform = replace(
        Platform.mesh_8x8(), planar_links=links, fixed_placement=True, routing=routing
    )
    problem = NoC3D(np.ones((64, 64)), platform=platform, objectives=("mean_hops",))
    # Its only design has values.
    row = problem.mesh_row()
    assert problem.evaluate(row)[0] == pytest.approx(16 / 3)
    rng = np.random.default_rng(1)
    words = r"Nothing is left to decide .* 'fixed_placement' is True, .* 'planar_links'"
    calls = (
        lambda: problem.neighbors(row, 3, rng),
        lambda: problem.operators()["sampling"]._do(problem, 3, random_state=rng),
        lambda: problem.operators()["mutation"]._do(problem, row[None], random_state=rng),
        lambda: problem.operators()["crossover"]._do(
            problem, np.stack((row, row))[:, None], random_state=rng
        ),
    )
    for call in calls:
        with pytest.raises(ValueError, match=words):
            call()
