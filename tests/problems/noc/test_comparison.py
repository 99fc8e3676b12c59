"""A design beside mesh, placed mesh, folded torus and express mesh."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from problems.noc import Design, NoC3D, Platform, chiplet_package
from problems.noc.baselines import express_mesh, folded_torus
from problems.noc.comparison import BASELINES, BaselineComparison, wires

DIES = chiplet_package((5, 4))
NAMES = ("packet_latency", "energy", "temperature", "port_load")


@pytest.fixture(scope="module")
def chip():
    return NoC3D.example("bfs", objectives=NAMES[:3], constraints={"port_load": 1})


@pytest.fixture(scope="module")
def design(chip):
    """Return a design whose wires are longer than the mesh's."""
    rng, row = np.random.default_rng(3), chip.mesh_row()
    for _ in range(30):
        row = chip.neighbors(row, 1, rng)[0]
    return chip.decode(row)


@pytest.fixture(scope="module")
def found(chip, design):
    return chip.beside_baselines(design, random_state=np.random.default_rng(1), n_eval=150)


def measured(problem, design, names=NAMES):
    own = NoC3D(problem.traffic, platform=design.platform, objectives=names)
    return {name: v[0] for name, v in own.measure(design.row()[None], names).items()}


def test_each_network_is_evaluated_on_its_own_platform(chip, design, found):
    assert tuple(found.networks) == BASELINES
    assert found.networks["mesh"] == Design.mesh(chip.platform)
    assert tuple(found.values) == NAMES
    for name, network in {"design": design, **found.networks}.items():
        expected = measured(chip, network)
        assert {metric: found.values[metric][name] for metric in NAMES} == expected
        loads = NoC3D(chip.traffic, platform=network.platform).link_loads(network.row())
        np.testing.assert_allclose(found.loads[name], loads)
    # Links are those of the regular networks, of as much wire as the design for the express mesh.
    torus, express = found.networks["folded torus"], found.networks["express mesh"]
    np.testing.assert_array_equal(torus.links, folded_torus(chip.platform).links)
    np.testing.assert_array_equal(
        express.links, express_mesh(chip.platform, wire_length=wires(design)).links
    )
    assert wires(design) - 3 < wires(express) <= wires(design)
    np.testing.assert_array_equal(found.networks["placed mesh"].links, Design.mesh().links)


def test_changes_are_those_beside_the_mesh_and_leave_out_what_all_share(chip, design, found):
    beside = chip.beside_mesh(design)
    for name in NAMES:
        assert found.changes[name]["mesh"] == pytest.approx(beside[name][2], nan_ok=True)
    ambient = chip.platform.stack.ambient
    ours, torus = (found.values["temperature"][k] for k in ("design", "folded torus"))
    change = 100 * ((ours - ambient) / (torus - ambient) - 1)
    assert found.changes["temperature"]["folded torus"] == pytest.approx(change)


def test_placements_are_better_than_that_of_the_mesh(chip, found):
    plain = {
        "placed mesh": Design.mesh(chip.platform),
        "folded torus": folded_torus(chip.platform),
    }
    for name, network in plain.items():
        before = measured(chip, network)
        ratios = [found.values[m][name] / before[m] for m in ("packet_latency", "energy")]
        assert math.prod(ratios) < 0.95
        assert found.values["temperature"][name] <= before["temperature"]


def test_the_same_seed_gives_the_same_networks_which_can_be_reused(chip, design, found):
    again = chip.beside_baselines(design, random_state=np.random.default_rng(1), n_eval=150)
    assert again.networks == found.networks
    assert again.to_dict() == found.to_dict()
    # Under other traffic without another search.
    other = NoC3D.example("gau", objectives=("mean",))
    reused = other.beside_baselines(design, ("energy",), reuse=found)
    assert reused.networks == found.networks
    assert reused.n_eval == 150
    assert reused.values["energy"]["folded torus"] == pytest.approx(
        measured(other, found.networks["folded torus"], ("energy",))["energy"]
    )


def test_networks_of_another_platform_are_not_reused(chip, found):
    for platform in (Platform.mesh_8x8(), replace(chip.platform, packet_flits=9)):
        other = NoC3D(chip.traffic, platform=platform, objectives=NAMES[:2])
        with pytest.raises(
            ValueError, match=r"'reuse' parameter .* on the platform of the problem"
        ):
            other.beside_baselines(other.mesh_row(), reuse=found)


def test_several_applications_count_relative_to_the_mesh(design):
    traffic = [NoC3D.example(name).traffic for name in ("bfs", "gau")]
    problem = NoC3D(traffic, objectives=("energy", "packet_latency"))
    rng = np.random.default_rng(1)
    found = problem.beside_baselines(design, random_state=rng, n_eval=5)
    assert found.values["energy"]["mesh"] == 1.0
    torus = found.networks["folded torus"]
    own = [NoC3D(t, platform=torus.platform, objectives=("energy",)) for t in traffic]
    mesh = [NoC3D(t, objectives=("energy",)) for t in traffic]
    ratios = [
        float(a.evaluate(torus.row())[0] / b.ref_point[0]) for a, b in zip(own, mesh, strict=True)
    ]
    assert found.values["energy"]["folded torus"] == pytest.approx(np.mean(ratios))


def test_networks_that_a_platform_does_not_allow_are_named():
    dies = chiplet_package((5, 4), max_length=1.5)
    problem = NoC3D(np.ones((20, 20)) / 100, platform=dies, objectives=("mean_hops",))
    found = problem.beside_baselines(problem.mesh_row(), random_state=np.random.default_rng(1))
    assert list(found.networks) == ["mesh", "express mesh"]
    assert found.missing == {
        "placed mesh": "the platform fixes the placement",
        "folded torus": "a max_degree of 4 and max_length of 1.5 does not allow it",
    }
    text = str(found)
    assert "No folded torus: a max_degree of 4" in text
    assert "evaluations each" not in text
    links = Design.mesh(Platform.mesh_8x8()).links
    mesh = replace(
        Platform.mesh_8x8(), planar_links=tuple(map(tuple, links.tolist())),
        routing="dimension_order",
    )  # fmt: skip
    problem = NoC3D(np.ones((64, 64)) / 1000, platform=mesh, objectives=("mean_hops",))
    found = problem.beside_baselines(
        problem.mesh_row(), random_state=np.random.default_rng(1), n_eval=3
    )
    assert list(found.networks) == ["mesh", "placed mesh"]


def test_a_comparison_survives_a_file(tmp_path, found):
    found.save(path := tmp_path / "baselines.json")
    loaded = BaselineComparison.load(path)
    assert loaded.to_dict() == found.to_dict()
    assert str(loaded) == str(found)
    assert loaded.networks == found.networks


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: d.update(format="moela-noc-baselines-0"), "'format' of a baseline comparison"),
        (lambda d: d.pop("values"), "'values'"),
        (lambda d: d["networks"].update(ring=d["design"]), "networks"),
        (lambda d: d["networks"].update(mesh=Design.mesh(DIES).to_dict()), "with the grid"),
        (lambda d: d["values"]["energy"].pop("mesh"), r"values\[energy\]"),
        (lambda d: d["values"]["energy"].update(mesh="1"), "a finite number"),
        (lambda d: d["loads"]["mesh"].pop(), "144 numbers"),
        (lambda d: d.update(missing={"mesh": "gone"}), "missing"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, found, damage, words):
    data = json.loads(json.dumps(found.to_dict()))
    damage(data)
    (tmp_path / "b.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=rf"b\.json: .*{words}"):
        BaselineComparison.load(tmp_path / "b.json")
