"""Physical units at the command line, in files of designs and in exports."""

import json
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from moela.cli import main
from problems.noc import Design, NoC3D, Platform, Technology, chiplet_package

NARROW = {"router_energy": 0.05, "wire_energy": 0.1, "tsv_energy": 0.02}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("units")
    chip = Platform(
        grid=(3, 3, 2),
        pe_types={"CPU": {"count": 6, "power": 1.0}, "LLC": {"count": 12, "power": 1.5}},
        n_planar_links=24,
    )
    chip.save(folder / "p.json")
    traffic = np.random.default_rng(0).random((18, 18)) * 0.01
    np.savetxt(folder / "t.csv", traffic, delimiter=",")
    (folder / "own.json").write_text(json.dumps(NARROW | {"tracks_per_mm": 90.0}))
    return folder


@pytest.fixture(scope="module")
def run(files):
    out = files / "out"
    words = ["run", "noc", "--platform", files / "p.json", "--technology", "32nm", "--evals", 200,
             "--traffic", files / "t.csv", "--scale", 1, "--out", out, "--objectives", "power",
             "packet_latency", "--constraint", "wire_tracks<=1100"]  # fmt: skip
    assert main(list(map(str, words))) == 0
    return out


def test_a_run_writes_its_best_design_in_physical_units(files, run):
    design = Design.load(run / "best.json")
    assert design.platform.technology == Technology.preset("32nm")
    traffic = np.loadtxt(files / "t.csv", delimiter=",")
    figures = json.loads(json.dumps(design.physical(traffic).to_dict()))
    assert json.loads((run / "best.json").read_text())["physical"] == figures
    record = json.loads((run / "run.json").read_text())
    assert record["physical"] == figures
    assert record["best"]["objectives"]["power"] == pytest.approx(figures["power_w"])
    assert figures["wire_tracks"] <= 1100


def test_the_console_tells_them(files, run, capsys):
    words = ["show", run / "best.json", "--traffic", files / "t.csv", "--scale", 1]
    assert main(list(map(str, words))) == 0
    text = capsys.readouterr().out
    for word in (
        "bisection ",
        "wire tracks ",
        " mm2 between layers 0 and 1",
        "power",
        "flit_energy",
    ):
        assert word in text
    # Another technology, by file, for the same design.
    words = ["show", run / "best.json", "--technology", files / "own.json", "--json"]
    assert main(list(map(str, words))) == 0
    shown = json.loads(capsys.readouterr().out)["design"]["platform"]["technology"]
    assert shown["tracks_per_mm"] == 90.0


def test_a_run_that_exceeds_a_limit_says_where(files, tmp_path, capsys):
    words = ["run", "noc", "--platform", files / "p.json", "--technology", files / "own.json",
             "--traffic", files / "t.csv", "--scale", 1, "--evals", 20, "--out", tmp_path / "o",
             "--objectives", "power", "packet_latency", "--constraint", "link_length<=96.5",
             "--constraint", "wire_tracks<=257", "--constraint", "packet_latency<=17"]  # fmt: skip
    assert main([*map(str, words), "--baseline-evals", "5"]) == 0
    said = capsys.readouterr()
    error = said.err
    assert "Closest came: " in error
    assert "it needs more wires or TSVs than the technology has" in said.out
    assert "wire tracks " in error
    assert "in layer " in error


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, ["--technology must be a JSON file or one of", "'12nm'", "'3nm'"]),
        (NARROW | {"wire_energy": -1}, ["t.json", "'wire_energy' parameter of Technology"]),
        (NARROW | {"wires": 1}, ["t.json", "no field 'wires'"]),
        ([1], ["t.json", "'technology' parameter of Platform"]),
    ],
)
def test_a_wrong_technology_is_one_line(content, expected, tmp_path, assert_rejected):
    path = tmp_path / "t.json"
    if content is not None:
        path.write_text(json.dumps(content))
    name = "3nm" if content is None else path
    assert_rejected(["run", "noc", "--technology", name, "--out", tmp_path / "out"], *expected)


def test_links_have_physical_columns_in_graphml(tmp_path):
    package = chiplet_package(
        (2, 2), routers=(2, 2), link="ucie-standard", flit_width=1024, technology="12nm"
    )
    design = Design.mesh(package)
    design.to_graphml(tmp_path / "noc.graphml")
    graph = nx.read_graphml(tmp_path / "noc.graphml", node_type=int)
    for a, b, edge in graph.edges(data=True):
        between = package.die[a] != package.die[b]
        assert edge["bandwidth_gb_s"] == (64.0 if between else 128.0)
        assert edge["length_mm"] == pytest.approx(4.0 * edge["length"])
        bits = 0.03 * edge["length_mm"] + 0.6 * between
        assert edge["energy_pj"] == pytest.approx(1024 * bits)
    plain = Design.mesh(replace(package, technology=None, die_size=None, die_link=None))
    plain.to_graphml(tmp_path / "plain.graphml")
    assert "length_mm" not in (tmp_path / "plain.graphml").read_text()


def test_booksim_gets_no_links_that_it_cannot_have(tmp_path):
    narrow = chiplet_package((2, 2), link="ucie-standard", flit_width=1024)
    with pytest.raises(ValueError, match=r"take a flit per cycle.*Got '0\.5 flits per cycle'"):
        Design.mesh(narrow).to_booksim(tmp_path)
    Design.mesh(chiplet_package((2, 2), link="ucie-advanced")).to_booksim(tmp_path)
    assert (tmp_path / "booksim.cfg").exists()


@pytest.mark.parametrize("match", ["margins", "matrix"])
def test_booksim_gets_no_links_of_another_capacity(tmp_path, match):
    wide = Design.mesh(replace(Platform.paper_4x4x4(), link_capacity=2.0))
    traffic = np.full((64, 64), 1e-3)
    message = r"'design' parameter of to_booksim .*link_capacity of 1.*Got '2 flits per cycle'"
    with pytest.raises(ValueError, match=message):
        wide.to_booksim(tmp_path / "out", traffic=traffic, match=match)
    assert not (tmp_path / "out").exists()


def test_heat_counts_the_power_of_the_technology():
    traffic = np.random.default_rng(0).random((64, 64)) * 0.05
    chip = Platform.paper_4x4x4()
    cool, warm = (
        NoC3D(traffic, platform=platform, objectives=("peak_temperature",))
        for platform in (chip, replace(chip, technology="32nm"))
    )
    row = cool.mesh_row()
    watts = Design.mesh(warm.platform).physical(traffic).power_w
    rise = warm.evaluate(row)[0] - cool.evaluate(row)[0]
    # Between nothing and all of it on one tile, whose response is below 1 K/W.
    assert 0.0 < rise < watts
