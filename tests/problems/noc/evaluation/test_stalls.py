"""Packets longer than a virtual channel, against the flit-level simulation."""

from dataclasses import replace

import numpy as np
import pytest

from problems.noc import DieLink, NoC3D, Platform, chiplet_package
from problems.noc.chip.traffic import busiest_port
from problems.noc.evaluation.limits import lower_bounds, shared_part


def row_of(n, **settings):
    """Return a row of routers."""
    return Platform(
        grid=(n, 1, 1), pe_types={"A": {"count": n, "power": 1.0}}, n_planar_links=n - 1,
        max_degree=2, planar_links=tuple((i, i + 1) for i in range(n - 1)), **settings,
    )  # fmt: skip


def one_flow(n, rate):
    traffic = np.zeros((n, n))
    traffic[0, n - 1] = rate
    return traffic


def model_and_simulation(platform, traffic, **settings):
    problem = NoC3D(traffic, platform=platform, objectives=("packet_latency",))
    x = problem.mesh_row()
    rng = np.random.default_rng(0)
    result = problem.decode(x).simulate(traffic, random_state=rng, **settings)
    return problem.evaluate(x)[0], result


@pytest.mark.parametrize(
    ("n", "flits", "depth", "stages", "expected"),
    [
        (2, 5, 4, 5, 22.0),  # flit 5 leaves 17 cycles after the head and catches up by one
        (3, 9, 4, 4, 38.0),
        (5, 14, 3, 4, 77.0),
        (5, 13, 7, 2, 27.0),
        (2, 14, 1, 3, 160.0),
        (4, 10, 9, 2, 19.0),  # a channel as deep as the loop
    ],
)
def test_a_single_packet_takes_the_cycles_of_its_credits(n, flits, depth, stages, expected):
    platform = row_of(n, packet_flits=flits, channel_flits=depth, router_stages=stages)
    # Packets so rare that hardly any meets another one.
    _, result = model_and_simulation(platform, one_flow(n, 1e-4 * flits), max_cycles=40_000)
    model, _ = model_and_simulation(platform, one_flow(n, 1e-9), max_cycles=1000)
    assert result.zero_load == expected
    assert result.packet_latency == pytest.approx(expected, rel=0.02)
    assert model == pytest.approx(expected, abs=1e-3)


def test_slow_links_count():
    link = DieLink(latency=2.0, energy=0.5, bandwidth=8.0)  # a flit every other cycle
    package = chiplet_package((2, 1), link=link, max_length=1.0)
    package = replace(package, packet_flits=6, channel_flits=2)
    _, result = model_and_simulation(package, one_flow(2, 5e-4))
    model, _ = model_and_simulation(package, one_flow(2, 1e-9), max_cycles=1000)
    # A hop of three cycles and two loops of ten; the last flit two cycles behind the fifth.
    assert result.zero_load == 25.0
    assert result.packet_latency == pytest.approx(25.0, rel=0.02)
    assert model == pytest.approx(25.0, abs=1e-3)


@pytest.mark.parametrize("routing", ["shortest", "up_down", "dimension_order"])
def test_all_routes_count_their_own_hops(routing):
    chip = Platform(
        grid=(3, 3, 1), pe_types={"A": {"count": 9, "power": 1.0}}, n_planar_links=12,
        max_length=1.0, packet_flits=6, channel_flits=2, routing=routing,
    )  # fmt: skip
    traffic = 1e-7 * np.random.default_rng(0).random((9, 9))
    problem = NoC3D(traffic, platform=chip, objectives=("packet_latency",))
    x = problem.mesh_row()
    result = problem.decode(x).simulate(
        traffic, load=0.001, random_state=np.random.default_rng(0), max_cycles=1000
    )
    assert problem.evaluate(x)[0] == pytest.approx(result.zero_load, abs=1e-3)


# Flits, depth, virtual channels, router stages, load; one error allowed for all.
@pytest.mark.parametrize(
    ("flits", "depth", "channels", "stages", "load"),
    [
        (5, 4, 4, 3, 0.05),
        (5, 4, 4, 3, 0.4),
        (9, 4, 4, 3, 0.2),
        (8, 2, 4, 3, 0.1),
        (6, 3, 2, 2, 0.2),
    ],
)
def test_the_model_under_load_is_near_the_simulation(flits, depth, channels, stages, load):
    chip = replace(
        Platform.paper_4x4x4(), packet_flits=flits, channel_flits=depth, router_stages=stages,
        virtual_channels=channels,
    )  # fmt: skip
    problem = NoC3D.example("bfs", platform=chip, objectives=("packet_latency",))
    x = problem.mesh_row()
    design, traffic = problem.decode(x), problem.traffic.reshape(64, 64)
    busiest = max(design.channel_loads(traffic).max(), busiest_port(traffic)[2])
    scaled = traffic * (load / busiest)
    result = design.simulate(scaled, random_state=np.random.default_rng(0), max_cycles=8000)
    assert problem.under(scaled).evaluate(x)[0] == pytest.approx(result.packet_latency, rel=0.03)


def test_more_than_the_credits_let_through_is_saturated():
    # One channel of four flits in a loop of 16 or 17 cycles carries 0.25 flits per cycle at most.
    platform = row_of(2, packet_flits=5, channel_flits=4, virtual_channels=1, router_stages=5)
    low, result = model_and_simulation(platform, one_flow(2, 0.1))
    assert low == pytest.approx(result.packet_latency, rel=0.05)
    high, result = model_and_simulation(platform, one_flow(2, 0.4))
    assert result.saturated
    assert high > 5 * low
    values = [
        NoC3D(one_flow(2, load), platform=platform, objectives=("packet_latency",))
        for load in np.linspace(0.01, 0.9, 40)
    ]
    latency = [problem.evaluate(problem.mesh_row())[0] for problem in values]
    assert np.isfinite(latency).all()
    assert (np.diff(latency) > 0).all()


def test_a_feedback_of_waits_stays_finite_and_grows_with_the_load():
    chip = replace(Platform.paper_4x4x4(), packet_flits=5, channel_flits=4, virtual_channels=1)
    problem = NoC3D.example("bfs", platform=chip, objectives=("packet_latency",))
    x = problem.operators()["sampling"]._do(problem, 2, random_state=np.random.default_rng(3))[1]
    traffic = problem.traffic / busiest_port(problem.traffic.reshape(64, 64))[2]
    latency = [problem.under(traffic * load).evaluate(x)[0] for load in np.linspace(0.01, 0.9, 30)]
    assert (np.diff(latency) > 0).all()
    assert latency[-1] < 1e6


def test_the_bound_holds_and_batches_agree_with_single_rows():
    chip = replace(Platform.paper_4x4x4(), packet_flits=7, channel_flits=2)
    problem = NoC3D.example("bfs", platform=chip, objectives=("packet_latency", "edp"))
    X = problem.operators()["sampling"]._do(problem, 4, random_state=np.random.default_rng(1))
    values = problem.evaluate(X)
    np.testing.assert_array_equal(values, [problem.evaluate(x) for x in X])
    traffic = problem.traffic.reshape(64, 64)
    bound = lower_bounds(chip, traffic, traffic)["packet_latency"]
    deep = lower_bounds(replace(chip, channel_flits=None), traffic, traffic)["packet_latency"]
    # Three groups of two flits, at least a loop apart.
    assert bound > deep + 10
    assert shared_part("packet_latency", chip, traffic) < bound
    assert (values[:, 0] >= bound).all()
    single = row_of(2, packet_flits=7, channel_flits=2)
    alone = NoC3D(one_flow(2, 1e-9), platform=single, objectives=("packet_latency",))
    least = lower_bounds(single, one_flow(2, 1e-9), one_flow(2, 1e-9))["packet_latency"]
    assert least == pytest.approx(alone.evaluate(alone.mesh_row())[0], abs=1e-6)
