"""Links between dies in the flit-level simulation, and the packet model beside it."""

from dataclasses import replace

import numpy as np
import pytest

from problems.noc import Design, DieLink, NoC3D, Platform, chiplet_package
from problems.noc.evaluation.physical import die_share


def package(bandwidth, grid=(4, 4), **settings):
    """Return dies whose links take bandwidth / 16 flits per cycle."""
    link = DieLink(latency=2.0, energy=0.5, bandwidth=bandwidth)
    return chiplet_package(grid, link=link, max_length=1.0, **settings)


def run(design, traffic, **settings):
    return design.simulate(traffic, random_state=np.random.default_rng(1), **settings)


def one_flow(n, rate):
    traffic = np.zeros((n, n))
    traffic[0, n - 1] = rate
    return traffic


@pytest.mark.parametrize("bandwidth", [16.0, 8.0, 4.0])
def test_a_link_takes_no_more_flits_than_its_bandwidth(bandwidth):
    design = Design.mesh(package(bandwidth, (2, 1)))
    share = bandwidth / 16.0
    fits = run(design, one_flow(2, 0.9 * share))
    assert not fits.saturated
    assert fits.throughput == pytest.approx(0.9 * share, rel=0.05)
    assert fits.load == pytest.approx(0.9)
    if share < 1.0:
        assert run(design, one_flow(2, 1.1 * share)).saturated


@pytest.mark.parametrize("bandwidth", [16.0, 8.0, 4.0])
def test_packets_without_contention_take_their_serialization(bandwidth):
    design = Design.mesh(package(bandwidth, (2, 1)))
    result = run(design, one_flow(2, 0.001), standard_error=0.02)
    # A hop of three cycles and three more flits, 16 / bandwidth cycles apart.
    expected = {16.0: 6.0, 8.0: 8.0, 4.0: 14.0}[bandwidth]
    assert result.zero_load == expected
    assert result.packet_latency == pytest.approx(expected, abs=0.15)


def test_the_queue_at_a_narrow_link_is_within_those_of_theory():
    design = Design.mesh(package(8.0, (2, 1)))
    result = run(design, one_flow(2, 0.3), standard_error=0.05)
    # Packets of 8 cycles at a load of 0.6, in turn (Geo/D/1) or all at once (processor sharing);
    # flits of packets in different virtual channels alternate.
    wait = result.packet_latency - result.zero_load
    assert 0.6 * 7 / (2 * 0.4) < wait < 0.6 * 8 / 0.4
    problem = NoC3D(one_flow(2, 0.3), platform=design.platform, objectives=("packet_latency",))
    assert problem.evaluate(problem.mesh_row())[0] == pytest.approx(result.packet_latency, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "load", "error"),
    [
        ({"bandwidth": 8.0}, 0.02, 0.03),
        ({"bandwidth": 8.0}, 0.4, 0.08),
        ({"bandwidth": 8.0}, 0.7, 0.13),
        ({"bandwidth": 8.0, "grid": (2, 2), "routers": (2, 2)}, 0.4, 0.08),
    ],
)
def test_the_model_is_near_the_simulation(settings, load, error):
    chip = package(**settings)
    traffic = np.random.default_rng(0).random((16, 16)) * 0.01
    problem = NoC3D(traffic, platform=chip, objectives=("packet_latency", "peak_load"))
    row = problem.mesh_row()
    factor = load / problem.measure(row, ["peak_load"])["peak_load"][0]
    result = run(Design.mesh(chip), traffic, load=load, standard_error=0.1)
    model = problem.under(traffic * factor).evaluate(row)[0]
    assert model == pytest.approx(result.packet_latency, rel=error)


def test_the_share_between_dies_has_the_same_bits_in_every_batch():
    chip = replace(Platform.mesh_8x8(), die_size=(4, 8), die_link="ucie-standard")
    rng = np.random.default_rng(0)
    traffic = rng.random((1, 64, 64))
    placement = rng.permuted(np.tile(np.arange(64), (50, 1)), axis=1)
    shares = die_share(chip, placement, traffic)
    np.testing.assert_array_equal(
        shares, np.concatenate([die_share(chip, row[None], traffic) for row in placement])
    )
    between = chip.die[np.argsort(placement[0])]
    off = traffic[0] * ~np.eye(64, dtype=bool)
    assert shares[0, 0] == pytest.approx(
        off[between[:, None] != between[None]].sum() / off.sum(), rel=1e-12
    )
