"""Files for HotSpot, finite volumes, and their calibration."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from problems.noc import Design, Platform, ThermalStack
from problems.noc.design.calibration import calibrate
from problems.noc.design.heat import steady_temperatures
from problems.noc.design.hotspot import read_steady, unit_names


def read_lcf(path):
    """Return the layers of a layer file, seven lines each."""
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) % 7 == 0
    return [lines[i : i + 7] for i in range(0, len(lines), 7)]


@pytest.mark.parametrize("sink", ["top", "bottom"])
def test_hotspot_files_have_every_tile_and_watt(tmp_path, sink):
    chip = replace(Platform.paper_4x4x4(), sink=sink, stack=ThermalStack(tile_pitch=1.5e-3))
    design = Design.mesh(chip)
    config = design.to_hotspot(tmp_path)
    header, watts = (
        line.split("\t") for line in (tmp_path / "power.ptrace").read_text().splitlines()
    )
    assert len(header) == len(set(header)) == 64
    layers = read_lcf(tmp_path / "stack.lcf")
    assert [int(layer[0]) for layer in layers] == list(range(8))
    assert {layer[1] for layer in layers} == {"Y"}
    assert [layer[2] for layer in layers] == ["Y", "N"] * 4
    assert [float(v) for v in layers[0][3:6]] == [1.75e6, 0.01, 0.00015]
    assert [float(v) for v in layers[1][3:6]] == [4e6, 0.25, 2e-5]
    seen = []
    for k, layer in enumerate(layers[::2]):
        # The first layer is the farthest from the sink.
        level = k if sink == "top" else 3 - k
        units = [line.split("\t") for line in (tmp_path / layer[6]).read_text().splitlines()]
        assert len(units) == 16
        seen += [unit[0] for unit in units]
        for tile, (name, width, height, left, bottom) in enumerate(units, start=16 * level):
            x, y, _ = chip.position(tile)
            assert (float(width), float(height)) == (1.5e-3, 1.5e-3)
            assert (float(left), float(bottom)) == pytest.approx((1.5e-3 * x, 1.5e-3 * y))
            pe = design.placement[tile]
            assert name == f"{chip.pe_types[chip.pe_type[pe]].name}{pe}_t{tile}"
            assert float(watts[header.index(name)]) == chip.power[pe]
    assert header == seen
    settings = dict(line.split("\t") for line in config.read_text().splitlines())
    assert float(settings["-ambient"]) == pytest.approx(318.15)
    assert settings["-grid_layer_file"] == "stack.lcf"
    assert float(settings["-s_sink"]) >= float(settings["-s_spreader"]) >= 4 * 1.5e-3
    assert int(settings["-grid_rows"]) == 64


HOTSPOT = """
import sys
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert open(words["-c"]).read().startswith("-t_chip")
assert open(words["-f"]).readline().count("\\t") == 4
header, watts = [line.split() for line in open(words["-p"])]
lines = [line.strip() for line in open(words["-grid_layer_file"]) if line.strip()]
with open(words["-steady_file"], "w") as out:
    for k in range(0, len(lines), 7):
        for unit in open(lines[k + 6]):
            name = unit.split()[0]
            value = 300.0 + 10 * float(watts[header.index(name)]) if lines[k + 2] == "Y" else 1.0
            out.write(f"layer_{lines[k]}_{name}\\t{value:.2f}\\n")
    out.write("hsink_GPU24_t1\\t1.00\\ninode_0\\t318.15\\n")
"""


def test_hotspot_is_run_where_it_is_on_the_path(design, tmp_path, install):
    install(tmp_path / "bin", "hotspot", HOTSPOT)
    temperatures = design.simulate_hotspot(tmp_path / "out")
    expected = 26.85 + 10 * design.platform.power[design.placement]
    np.testing.assert_allclose(temperatures, expected, atol=1e-9)
    install(tmp_path / "bin", "hotspot", "import sys; sys.exit('no floorplan')")
    with pytest.raises(RuntimeError, match=r"code 1 and no temperatures.*no floorplan"):
        design.simulate_hotspot(tmp_path / "out")
    steady = tmp_path / "steady.txt"
    steady.write_text("\n".join(f"layer_0_{n}\t300.0" for n in unit_names(design)[:-1]))
    with pytest.raises(ValueError, match=r"steady.txt: field 'unit .*_t63' must be a temp"):
        read_steady(design, steady)
    good = "".join(f"layer_0_{n}\t300.0\n" for n in unit_names(design))
    for line, words in (
        ("layer_0_x e+-", "field 'line 65' must be a unit and its temperature in kelvin"),
        ("300.0", "field 'line 65' must be a unit"),
        (good.splitlines()[3], "field 'line 65, unit .*_t3' must be one temperature. Got two"),
    ):
        steady.write_text(good + line)
        with pytest.raises(ValueError, match=words):
            read_steady(design, steady)
    steady.write_text(good + "layer_1_bond 299\nhsp_0 298\n")
    assert read_steady(design, steady).tolist() == pytest.approx([26.85] * 64)


@pytest.mark.skipif(not shutil.which("hotspot"), reason="no hotspot on the PATH")
def test_hotspot_itself_agrees_with_finite_volumes(design, tmp_path):
    temperatures = design.simulate_hotspot(tmp_path)
    slow = steady_temperatures(design)
    # On the shared designs the rise differs by up to 12.5 % (tests.benchmarks.noc_heat), which is
    # about 7 % of the temperature.
    assert temperatures.max() == pytest.approx(slow.max(), rel=0.1)


def test_finite_volumes_keep_their_energy_and_the_order_of_the_stack():
    chip = replace(Platform.paper_4x4x4(), stack=ThermalStack(sink_side=0.03))
    design = Design.mesh(chip)
    coarse, fine = (steady_temperatures(design, cells=c) for c in (1, 3))
    # Measured: 3.9 %, the error of one cell per tile.
    assert np.abs(coarse / fine - 1).max() < 0.05
    # All heat leaves through the sink: its mean surface is ambient + power * resistance, and
    # every tile is hotter than that.
    surface = 45 + chip.power.sum() * 0.03
    assert fine.min() > surface
    # Farther from the sink is hotter, on average.
    layers = fine.reshape(4, 16).mean(axis=1)
    assert (np.diff(layers) < 0).all()
    turned = Design.mesh(replace(chip, sink="bottom"))
    assert (np.diff(steady_temperatures(turned).reshape(4, 16).mean(axis=1)) > 0).all()


def test_a_single_column_of_heat_is_that_of_the_formula():
    # The chip is as wide as its sink, so that heat does not spread: resistances in series.
    side = 2e-3
    stack = ThermalStack(tile_pitch=side, spreader_side=side, sink_side=side,
                         convection_resistance=5.0)  # fmt: skip
    chip = Platform(
        grid=(1, 1, 2), pe_types={"A": {"count": 2, "power": [3.0, 1.0]}}, n_planar_links=0,
        stack=stack,
    )  # fmt: skip
    t = steady_temperatures(Design([0, 1], np.empty((0, 2), dtype=int), chip), sink_layers=40)
    area = side**2
    bond, die = 2e-5 * 0.25 / area, 1.5e-4 * 0.01 / area
    metal = (1e-3 + 6.9e-3) / 400 / area
    top = 45 + 4.0 * (5.0 + metal + bond + die / 2)
    below = top + 3.0 * (die / 2 + bond + die / 2)
    np.testing.assert_allclose(t, [below, top], rtol=1e-9)


def test_calibration_finds_the_factors_that_made_the_temperatures(problem):
    made = replace(problem.platform, stack=ThermalStack(layer_factor=0.7, spreading_factor=0.45))
    rng = np.random.default_rng(0)
    X = problem.operators()["sampling"]._do(problem, 8, random_state=rng)
    designs = [problem.decode(x) for x in X]
    temperatures = [Design(d.placement, d.links, made).temperatures() for d in designs]
    stack, error = calibrate(designs, temperatures)
    # The fit is exact, up to the stopping rule of the solver. Measured: 2e-12.
    assert error < 1e-6
    fitted = replace(problem.platform, stack=stack)
    for d, t in zip(designs, temperatures, strict=True):
        assert Design(d.placement, d.links, fitted).temperatures().max() == pytest.approx(t.max())
    stack, _ = calibrate(designs, temperatures, layer_factor=0.7)
    assert stack.layer_factor == 0.7
    assert stack.spreading_factor == pytest.approx(0.45, rel=1e-4)
    with pytest.raises(ValueError, match="'layer_factor' parameter of calibrate"):
        calibrate(designs, temperatures, layer_factor=0)
    with pytest.raises(ValueError, match="two designs or more of one platform"):
        calibrate(designs[:1], temperatures[:1])
    with pytest.raises(ValueError, match=r"'temperatures' parameter of calibrate .*design 1"):
        calibrate(designs[:2], [temperatures[0], temperatures[1][:60]])
