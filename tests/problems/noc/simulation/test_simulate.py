"""The flit-level simulation, against exact results and the packet model."""

from dataclasses import replace

import numpy as np
import pytest

from problems.noc import CONTROL_AND_DATA, Design, NoC3D, Platform
from problems.noc.evaluation.routes import paths_of

CHIP = Platform(
    grid=(3, 3, 1),
    pe_types={"CPU": {"count": 4, "power": 2.0}, "LLC": {"count": 5, "power": 1.0}},
    n_planar_links=12,
)


@pytest.fixture
def mesh():
    return Design.mesh(CHIP)


def run(design, traffic=None, seed=0, **settings):
    return design.simulate(traffic, random_state=np.random.default_rng(seed), **settings)


def one_flow(rate):
    traffic = np.zeros((9, 9))
    traffic[0, 8] = rate
    return traffic


@pytest.mark.parametrize("routing", ["model", "booksim"])
def test_packets_without_contention_take_the_cycles_of_their_hops(mesh, routing):
    result = run(mesh, one_flow(0.02), routing=routing, standard_error=0.02)
    # Four hops of 6 cycles, then three more flits; a packet meets the one before in 1 % of cases.
    assert result.zero_load == 27.0
    assert result.packet_latency == pytest.approx(27.03, abs=0.1)
    assert result.hops == 5.0
    assert result.booksim_latency == pytest.approx(27 + 3 * 5 + 3, abs=0.15)


def test_the_queue_of_a_single_sender_is_that_of_theory(mesh):
    result = run(mesh, one_flow(0.6), standard_error=0.05)
    # Geo/D/1: 0.6 * 3 / (2 * 0.4); four standard errors, for batches are correlated.
    assert result.packet_latency - 27.0 == pytest.approx(2.25, abs=0.2)


def test_the_model_is_that_of_the_simulation():
    problem = NoC3D.example("hotspot", objectives=("packet_latency",))
    x = problem.operators()["sampling"]._do(problem, 3, random_state=np.random.default_rng(1))[2]
    design = problem.decode(x)
    result = run(design, problem.traffic, load=0.6, standard_error=0.4)
    factor = 0.6 / max(design.channel_loads(problem.traffic).max(),
                       problem.measure(x, ["port_load"])["port_load"][0])  # fmt: skip
    model = problem.under(problem.traffic * factor).evaluate(x)[0]
    # Within 2 % on the designs that BookSim simulated; noise adds 1 %.
    assert model == pytest.approx(result.packet_latency, rel=0.03)


@pytest.mark.parametrize("routing", ["booksim", "up_down", "dimension_order"])
def test_the_load_is_that_of_the_simulated_routes(routing):
    base = replace(CHIP, max_length=1.0)
    design, traffic = Design.mesh(base), np.random.default_rng(2).random((9, 9))
    result = run(design, traffic, load=0.4, routing=routing, standard_error=0.05)
    paths, load = paths_of(design, routing), np.zeros((9, 9))
    by_tile = traffic[np.ix_(design.placement, design.placement)] * ~np.eye(9, dtype=bool)
    for (s, t), flow in np.ndenumerate(by_tile):
        path = paths.tiles[paths.start[s, t] :][: paths.length[s, t]]
        np.add.at(load, (path[:-1], path[1:]), flow)
    busiest = max(load.max(), by_tile.sum(axis=0).max(), by_tile.sum(axis=1).max())
    assert result.load == 0.4
    assert result.throughput == pytest.approx(0.4 / busiest * by_tile.sum(), rel=0.03)
    if routing != "booksim":
        own = Design.mesh(replace(base, routing=routing))
        own = run(own, traffic, load=0.4, standard_error=0.05)
        assert own.packet_latency == pytest.approx(result.packet_latency, rel=1e-9)


def test_only_waits_are_sampled(mesh):
    # Few packets hardly wait. Means over their paths would vary with the pairs that are drawn.
    results = [run(mesh, load=0.05, max_cycles=2000, seed=seed) for seed in range(8)]
    spread = np.std([result.packet_latency for result in results], ddof=1)
    place = np.stack(np.divmod(np.arange(9), 3), axis=1)
    links = np.abs(place[:, None] - place).sum(axis=2)
    cycles = 6 * links[links > 0].std()
    packets = np.mean([result.packets for result in results])
    assert spread < 0.5 * cycles / np.sqrt(packets)
    hops = [result.hops for result in results]
    np.testing.assert_allclose(hops, 1 + links[links > 0].mean())
    mixed = run(mesh, load=0.05, classes=CONTROL_AND_DATA, standard_error=0.05)
    assert np.mean(list(mixed.by_class.values())) == pytest.approx(mixed.packet_latency, abs=0.1)


def test_all_that_is_offered_arrives(mesh):
    traffic = np.random.default_rng(3).random((9, 9)) * 0.02
    np.fill_diagonal(traffic, 0.0)
    result = run(mesh, traffic, standard_error=0.02)
    assert result.throughput == pytest.approx(traffic.sum(), rel=0.05)


def test_short_buffers_throttle_a_flow(mesh):
    # A loop of 17 cycles lets 4 flits of one channel pass.
    short = replace(CHIP, virtual_channels=1, channel_flits=4)
    throttled = run(Design.mesh(short), one_flow(0.3))
    assert throttled.saturated
    assert throttled.packet_latency == np.inf
    assert not run(mesh, one_flow(0.3)).saturated


def test_classes_have_their_own_latency(mesh):
    result = run(mesh, load=0.2, classes=CONTROL_AND_DATA)
    assert set(result.by_class) == {"control", "data"}
    assert result.by_class["data"] > result.by_class["control"] + 7


def test_the_same_seed_gives_the_same_result(mesh):
    assert run(mesh, load=0.4, seed=5) == run(mesh, load=0.4, seed=5)
    assert run(mesh, load=0.4, seed=5) != run(mesh, load=0.4, seed=6)


def test_a_sweep_ends_at_saturation(mesh):
    rng = np.random.default_rng(0)
    sweep = mesh.load_sweep(one_flow(0.1), loads=[0.2, 0.6, 1.2, 1.5], random_state=rng)
    assert len(sweep.results) == 3
    assert 0.6 < sweep.saturation <= 1.2
    assert sweep.latencies[-1] == np.inf
    assert sweep.plot().axes[0].get_ylabel() == "packet latency (cycles)"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"load": 0}, "'load' parameter of simulate"),
        ({"classes": {"a": 3}}, "'classes' parameter of simulate"),
        ({"routing": "xy"}, "'routing' parameter of simulate"),
        ({"standard_error": 0.0}, "'standard_error' parameter"),
    ],
)
def test_wrong_parameters_are_named(mesh, settings, message):
    with pytest.raises(ValueError, match=message):
        run(mesh, **settings)


@pytest.mark.parametrize("seed", [0, 1])  # the queues are full before or after 2,000 still cycles
def test_a_ring_whose_packets_wait_for_each_other_is_deadlocked(seed):
    ring = Platform(
        grid=(8, 1, 1), pe_types={"A": {"count": 8, "power": 1.0}}, n_planar_links=8,
        planar_links=((0, 7), *((i, i + 1) for i in range(7))), virtual_channels=1,
        channel_flits=8, router_stages=1,
    )  # fmt: skip
    traffic = 0.2 * np.roll(np.eye(8), 2, axis=1)
    result = run(Design.mesh(ring), traffic, seed=seed)
    assert result.deadlocked
    assert not result.saturated
    assert result.packet_latency == np.inf
    layers = Design.mesh(replace(ring, routing="lash", virtual_channels=2))
    assert not run(layers, traffic, seed=seed).deadlocked
