"""Technologies and links between dies: presets, files, checks, and what they change."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from problems.noc import Design, DieLink, NoC3D, PEType, Platform, Technology, chiplet_package
from problems.noc.chip.technology import DIE_LINKS, TECHNOLOGIES

PLAIN = Technology(router_energy=0.05, wire_energy=0.1, tsv_energy=0.02)


def chip(**changes):
    settings = {
        "grid": (4, 4, 1),
        "pe_types": (PEType(name="die", count=16, power=1.0),),
        "n_planar_links": 24,
        "max_length": 2.0,
    }
    return Platform(**(settings | changes))


@pytest.mark.parametrize("name", [*TECHNOLOGIES])
def test_a_platform_takes_a_technology_by_name_as_an_object_and_as_data(name, tmp_path):
    by_name = chip(technology=name)
    assert by_name == chip(technology=Technology.preset(name))
    data = by_name.to_dict()
    assert set(data["technology"]) == {f.name for f in fields(Technology)}
    by_name.save(tmp_path / "chip.json")
    assert Platform.load(tmp_path / "chip.json") == by_name
    assert Platform.from_dict({**data, "technology": name}) == by_name
    assert hash(by_name) == hash(Platform.from_dict(json.loads(json.dumps(data))))


@pytest.mark.parametrize("name", [*DIE_LINKS])
def test_links_between_dies_take_a_preset(name, tmp_path):
    package = chip(die_size=(2, 2), die_link=name)
    assert package.die_link == DieLink.preset(name)
    package.save(tmp_path / "package.json")
    assert Platform.load(tmp_path / "package.json") == package


def test_unset_they_change_neither_files_nor_signatures_nor_tables():
    assert {"technology", "die_size", "die_link"}.isdisjoint(chip().to_dict())
    problem = NoC3D(np.ones((16, 16)) * 0.01, platform=chip(), objectives=("energy",))
    other = NoC3D(np.ones((16, 16)) * 0.01, platform=chip(technology=PLAIN), objectives=("energy",))
    assert problem.version != other.version
    # A technology alone does not touch the numbers of the paper.
    for name, value in zip(type(chip().tables)._fields, chip().tables, strict=True):
        np.testing.assert_array_equal(value, getattr(chip(technology=PLAIN).tables, name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"technology": "7nm"}, "'technology' parameter of Platform must be one of '32nm'"),
        ({"technology": {"router_energy": 1}}, "must have the fields 'tsv_energy', 'wire_energy'"),
        ({"technology": {"wire_energi": 1}}, "no field 'wire_energi'. Did you mean 'wire_energy'"),
        ({"technology": "32nm", "energy_unit": 1e-9}, "'energy_unit' parameter of Platform"),
        ({"die_link": "ucie-standard"}, "'die_link' parameter of Platform must be given with"),
        ({"die_size": (3, 2), "die_link": "ucie-standard"}, "divide the 4 x 4 tiles"),
        (
            {"die_size": (2, 2), "die_link": {"latency": 1, "energy": 1, "bandwidth": 0}},
            "'bandwidth' parameter of DieLink",
        ),
    ],
)
def test_wrong_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        chip(**changes)


@pytest.mark.parametrize("name", [f.name for f in fields(Technology)])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "1", True])
def test_every_field_of_a_technology_is_checked(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of Technology"):
        replace(PLAIN, **{name: value})


def test_vias_of_a_link_must_fit_on_a_tile():
    small = {"grid": (2, 2, 4), "stack": {"tile_pitch": 1e-4}, "flit_width": 128}
    with pytest.raises(
        ValueError, match=r"0\.0289 mm2 of the TSVs of a link fit on a tile of 0\.01"
    ):
        chip(**small, technology=PLAIN)
    assert chip(**small, technology=replace(PLAIN, tsv_pitch=2.0, tsv_keep_out=1.0)).technology


def test_the_delay_of_wires_gives_the_cycles_of_links():
    # 4 mm at 0.2 ns a mm and 2 GHz are 1.6 cycles, 8 mm are 3.2.
    timed = chip(technology=replace(PLAIN, wire_delay=0.2), frequency=2e9)
    cycles = timed.tables.link_cost[: timed.n_planar_candidates] - timed.router_stages
    lengths = timed.candidate_lengths
    assert set(cycles[lengths == 1.0]) == {2}
    assert set(cycles[lengths == 2.0]) == {4}
    # Four mm of wire have three repeaters of 0.1 ns.
    slower = replace(PLAIN, wire_delay=0.2, repeater_delay=0.1)
    cost = chip(technology=slower, frequency=2e9).tables.link_cost
    assert set(cost[: len(lengths)][lengths == 1.0]) == {timed.router_stages + 3}


def test_dies_are_counted_and_their_links_cost_more():
    package = chip(die_size=(2, 2), die_link=DieLink(latency=1.5, energy=0.5, bandwidth=8.0))
    assert package.die.reshape(4, 4).tolist() == [
        [0, 0, 1, 1],
        [0, 0, 1, 1],
        [2, 2, 3, 3],
        [2, 2, 3, 3],
    ]
    plain = chip()
    a, b = plain.candidates.T
    between = package.die[a] != package.die[b]
    assert 0 < between.sum() < len(between)
    # 1.5 ns at 1 GHz are two cycles; 0.5 pJ a bit are 0.064 nJ for 128 bits.
    cost, before = package.tables.link_cost.astype(int), plain.tables.link_cost.astype(int)
    np.testing.assert_array_equal(cost - before, 2 * between)
    more = package.tables.link_energy - plain.tables.link_energy
    np.testing.assert_allclose(more, 0.064 * between, atol=1e-12)
    # 8 GB/s are half of 128 bits at 1 GHz.
    np.testing.assert_array_equal(package.physical.rate, np.where(between, 0.5, 1.0))
    stated = replace(package, energy_unit=1e-12).tables.link_energy - plain.tables.link_energy
    np.testing.assert_allclose(stated, 64.0 * between, atol=1e-9)


def test_packages_have_presets_of_substrate_and_interposer():
    substrate = chiplet_package((4, 4), link="ucie-standard", flit_width=1024)
    bridge = chiplet_package((4, 4), link="ucie-advanced", flit_width=1024)
    assert substrate.physical.die_rate == 0.5
    assert bridge.physical.die_rate == 1.0
    # 0.3 pJ a bit more, for 1,024 bits, in nJ.
    more = substrate.tables.link_energy - bridge.tables.link_energy
    np.testing.assert_allclose(more, 0.3072)
    # A router of one cycle, and 2 ns at 1 GHz.
    assert set(substrate.tables.link_cost.tolist()) == {3}
    two = chiplet_package((2, 2), routers=(2, 2), link="ucie-standard", max_length=1.0)
    assert two.grid == (4, 4, 1)
    assert set(two.tables.link_cost.tolist()) == {1, 3}
    assert Design.mesh(two).platform.fixed_placement
    with pytest.raises(ValueError, match="die_link"):
        chiplet_package((4, 4), link="wire")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grid": (2,)}, r"'grid' parameter of chiplet_package must be two integers.* Got \(2,\)"),
        ({"routers": (1, 1, 1)}, "'routers' parameter of chiplet_package must be two integers"),
        (
            {"n_planar_links": 3.5},
            "'n_planar_links' parameter of chiplet_package must be an integer",
        ),
    ],
)
def test_wrong_settings_of_a_package_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        chiplet_package(**{"grid": (2, 2)} | settings)
