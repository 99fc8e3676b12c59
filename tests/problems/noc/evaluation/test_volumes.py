"""The response of the chip to power, against the solution of the finite volumes."""

import numpy as np
import pytest

from problems.noc import Design, NoC3D, Platform, ThermalStack, steady_temperatures
from problems.noc.evaluation.volumes import (
    volume_response,
)

CHIP = Platform(
    grid=(3, 2, 2),
    pe_types={"CPU": {"count": 4, "power": [3.0, 2.0, 1.0, 0.5]}, "LLC": {"count": 8, "power": 1}},
    n_planar_links=14,
    stack=ThermalStack(response_factor=1.0, package_offset=0.0),
)


@pytest.fixture(scope="module")
def rows():
    problem = NoC3D(np.eye(12)[::-1] * 1e-3, platform=CHIP, objectives=("mean",))
    return problem.operators()["sampling"]._do(problem, 6, random_state=np.random.default_rng(2))


@pytest.mark.parametrize("sink", ["top", "bottom"])
def test_response_gives_the_temperatures_of_the_volumes(sink):
    from dataclasses import replace

    chip = replace(CHIP, sink=sink)
    design = Design.mesh(chip)
    rises = volume_response(chip.grid, chip.stack, sink) @ chip.power[design.placement]
    # Both solve the same equations, one with the power of all tiles at once.
    np.testing.assert_allclose(chip.stack.ambient + rises, steady_temperatures(design), rtol=1e-11)


def test_peak_temperature_is_that_of_the_volumes(rows):
    problem = NoC3D(np.eye(12)[::-1] * 1e-3, platform=CHIP, objectives=("peak_temperature",))
    peaks = problem.evaluate(rows)[:, 0]
    slow = [steady_temperatures(problem.decode(x)).max() for x in rows]
    np.testing.assert_allclose(peaks, slow, rtol=1e-11)


def test_routers_and_links_heat_the_chip_where_the_platform_states_their_power(rows):
    from dataclasses import replace

    traffic = np.full((12, 12), 0.01)
    chip = replace(CHIP, energy_unit=1e-9, frequency=1e9)
    names = ("peak_temperature", "energy")
    with_power = NoC3D(traffic, platform=chip, objectives=names).evaluate(rows)
    without = NoC3D(traffic, platform=CHIP, objectives=names).evaluate(rows)
    assert (with_power[:, 0] > without[:, 0]).all()


def test_network_power_adds_up_to_the_energy(rows):
    from dataclasses import replace

    from problems.noc.evaluation.metrics import network_power

    traffic = np.random.default_rng(1).random((12, 12)) * 0.01
    chip = replace(CHIP, energy_unit=2e-9, frequency=1e9)
    problem = NoC3D(traffic, platform=chip, objectives=("energy",))
    loads = problem.channel_loads(rows)
    power = network_power(chip, rows, loads, problem.traffic[None])
    # energy is per cycle; 1e9 cycles a second at 2e-9 J a unit.
    np.testing.assert_allclose(power.sum(axis=2)[:, 0], 2.0 * problem.evaluate(rows)[:, 0])
