"""Routing of the platform: evaluation, simulation and proofs follow it, against explicit paths."""

from dataclasses import replace

import numpy as np
import pytest

from problems.noc import Design, NoC3D, Platform
from problems.noc.evaluation.routes import cycles_along, hop_matrix, paths_of

CHIP = Platform(
    grid=(3, 3, 2),
    pe_types={"CPU": {"count": 8, "power": 2.0}, "LLC": {"count": 10, "power": 1.0}},
    n_planar_links=24,
)
PLATFORMS = {
    "shortest": CHIP,
    "lash": replace(CHIP, routing="lash"),
    "up_down": replace(CHIP, routing="up_down"),
    "dimension_order": replace(CHIP, routing="dimension_order", max_length=1.0),
}


def designs(routing, **settings):
    """Return a problem under random traffic and some of its rows."""
    traffic = np.random.default_rng(2).exponential(0.01, (18, 18))
    problem = NoC3D(traffic, platform=PLATFORMS[routing], **settings)
    X = problem.operators()["sampling"]._do(problem, 5, random_state=np.random.default_rng(5))
    return problem, X


def loads_of_paths(design, traffic, routing):
    """Return channel loads and mean cycles of hops by following every path."""
    n = design.platform.n_tiles
    paths = paths_of(design, routing)
    load = np.zeros((n, n))
    for s, t in np.ndindex(n, n):
        first = paths.start[s, t]
        path = paths.tiles[first : first + paths.length[s, t]]
        assert (path[0], path[-1]) == (s, t)
        if s != t:
            np.add.at(
                load, (path[:-1], path[1:]), traffic[design.placement[s], design.placement[t]]
            )
    a, b = design.all_links().T
    return np.stack((load[a, b], load[b, a]), axis=1), paths


@pytest.mark.parametrize("model", ["published", "released"])
@pytest.mark.parametrize("routing", PLATFORMS)
def test_evaluation_follows_the_routes(routing, model):
    problem, X = designs(routing, model=model)
    F = problem.evaluate(X, return_values_of=["F"])
    platform = problem.platform
    for x, values in zip(X, F, strict=True):
        design = problem.decode(x)
        loads, paths = loads_of_paths(design, problem.traffic, "model")
        np.testing.assert_allclose(design.channel_loads(problem.traffic), loads, rtol=1e-12)
        both = loads.sum(axis=1)
        squares = ((both - both.mean()) ** 2).sum()
        squares /= len(both) if model == "published" else 1
        cost = hop_matrix(18, design.all_links(), design.hop_cycles())
        delay = cycles_along(cost, paths)
        place = np.argsort(design.placement)
        source, target, weight = problem._evaluation.flows
        latency = (weight[0] * delay[place[source], place[target]]).sum()
        np.testing.assert_allclose(values[:3], [both.mean(), np.sqrt(squares), latency], rtol=1e-12)
        index = np.concatenate((x[18:], len(platform.candidates) + np.arange(9)))
        energy = (both * platform.tables.link_energy[index]).sum()
        degree = np.bincount(design.all_links().ravel(), minlength=18)
        flows = problem.traffic[np.ix_(design.placement, design.placement)]
        for s, t in np.ndindex(18, 18):
            if s != t:
                path = paths.tiles[paths.start[s, t] :][: paths.length[s, t]]
                routers = path[1:2] if model == "released" else path
                energy += flows[s, t] * platform.router_energy * degree[routers].sum()
        assert values[3] == pytest.approx(energy, rel=1e-12)


@pytest.mark.parametrize("routing", PLATFORMS)
def test_packet_latency_without_load_is_that_of_the_routes(routing):
    problem, X = designs(routing)
    quiet = problem.under(problem.traffic * 1e-9)
    for x in X[:3]:
        design = problem.decode(x)
        zero = design.simulate(
            problem.traffic, random_state=np.random.default_rng(0), max_cycles=1000
        ).zero_load
        assert quiet.measure(x, ["packet_latency"])["packet_latency"] == pytest.approx(zero)


@pytest.mark.parametrize("routing", ["lash", "up_down", "dimension_order"])
def test_routes_are_proven_free_of_deadlock(routing):
    problem, X = designs(routing)
    for x in X:
        proof = problem.decode(x).deadlock_proof(traffic=problem.traffic)
        assert proof.free
        assert proof.routing == routing
        layers = problem.measure(x, ["virtual_layers"])["virtual_layers"]
        assert proof.n_layers == layers
        assert routing == "lash" or layers == 1


def test_layered_routing_limits_the_layers_to_the_virtual_channels():
    problem, X = designs("lash", objectives=3)
    assert problem.constraints == {"virtual_layers": 4.0}
    layers = problem.measure(X, ["virtual_layers"])["virtual_layers"]
    G = problem.evaluate(X, return_values_of=["G"])
    np.testing.assert_allclose(G[:, 0], layers / 4 - 1)
    with pytest.raises(ValueError, match=r"at most 4 virtual layers, one for each virtual channel"):
        designs("lash", constraints={"virtual_layers": 5})


def test_layers_share_the_virtual_channels_in_a_simulation():
    # Shortest paths on a ring need two layers; each then has one of two virtual channels.
    ring = Platform(
        grid=(4, 2, 1),
        pe_types={"CPU": {"count": 4, "power": 1.0}, "LLC": {"count": 4, "power": 1.0}},
        n_planar_links=8,
        planar_links=[(0, 1), (1, 2), (2, 3), (3, 7), (6, 7), (5, 6), (4, 5), (0, 4)],
        channel_flits=4,
        packet_flits=16,
        virtual_channels=2,
        router_stages=1,
    )
    design = Design.mesh(ring)
    proof = design.deadlock_proof("lash")
    assert (proof.free, proof.n_layers) == (True, 2)
    runs = {
        routing: design.simulate(
            load=0.2, random_state=np.random.default_rng(1), routing=routing, max_cycles=20_000
        )
        for routing in ("shortest", "lash")
    }
    assert runs["shortest"].zero_load == runs["lash"].zero_load
    # 40.5 and 49.8 cycles, with a standard error of 0.3.
    assert runs["lash"].packet_latency - runs["shortest"].packet_latency > 5
    with pytest.raises(ValueError, match=r"at least 2 for as many virtual layers"):
        Design.mesh(replace(ring, virtual_channels=1)).simulate(
            random_state=np.random.default_rng(1), routing="lash"
        )


def test_links_of_a_platform_may_be_fixed():
    problem, X = designs("dimension_order")
    assert problem.platform.fixed_links
    neighbors = problem.neighbors(X[1], 40, np.random.default_rng(3))
    np.testing.assert_array_equal(neighbors[:, 18:], np.broadcast_to(X[1, 18:], (40, 24)))
    assert len(np.unique(neighbors, axis=0)) == 40
    with pytest.raises(ValueError, match=r"links are all those between neighboring tiles"):
        replace(CHIP, routing="dimension_order")
    with pytest.raises(ValueError, match=r"'planar_links' .* pairs of tiles of one layer"):
        replace(CHIP, planar_links=[(0, 9)])
