"""HotSpot 6: a design as floorplans, layers, power and configuration, and its temperatures.

The stack is that of ``platform.stack``: a die of silicon and a bond for each layer of tiles.
HotSpot numbers layers from the one farthest from the heat sink. The formats are those of HotSpot 6
with its grid model (R. Zhang, M. R. Stan, K. Skadron, University of Virginia, CS-2015-04, 2015).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela.files.guard import brief, invalid_file
from moela.files.text import lines_of, number_of, read_text
from moela.heartbeat.working import long_work
from problems._arrays import Floats
from problems.noc.design.programs import find_program, run_program
from problems.noc.design.readme import folder_of, hotspot_text, networks_text, write_readme
from problems.noc.evaluation.volumes import layers_from_afar, response_matrix

if TYPE_CHECKING:
    from problems.noc.design.design import Design

__all__ = ["simulate_hotspot", "write_hotspot"]

KELVIN = 273.15


def write_hotspot(
    design: Design, folder: str | Path, *, baselines: Mapping[str, Design] | None = None
) -> Path:
    """Write ``layer*.flp``, ``stack.lcf`` and ``power.ptrace``; return ``hotspot.config``.

    Parameters
    ----------
    design : Design
    folder : str or Path
        Created if missing. Start HotSpot in it as ``hotspot -c hotspot.config
        -f layer0.flp -p power.ptrace -grid_layer_file stack.lcf -model_type grid
        -steady_file steady.txt``.
    baselines : mapping from str to Design, optional
        Networks to compare with, as in ``write_booksim``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    platform = design.platform
    x, y, _ = platform.grid
    stack = platform.stack
    names = unit_names(design)
    pitch = stack.tile_pitch
    layers, header, watts = [], [], []
    die = (stack.silicon_heat, stack.silicon_resistivity, stack.silicon_thickness)
    bond = (stack.bond_heat, stack.bond_resistivity, stack.bond_thickness)
    for position, layer in enumerate(layers_from_afar(platform)):
        tiles = range(layer * x * y, (layer + 1) * x * y)
        file = f"layer{layer}.flp"
        places = ((names[t], (pitch, pitch, t % x * pitch, t // x % y * pitch)) for t in tiles)
        units = ("\t".join((name, *map(_text, place))) + "\n" for name, place in places)
        (folder / file).write_text("".join(units), encoding="ascii")
        for number, power, material in ((2 * position, "Y", die), (2 * position + 1, "N", bond)):
            layers.append("\n".join((str(number), "Y", power, *map(_text, material), file)) + "\n")
        header += [names[t] for t in tiles]
        watts += [_text(platform.power[design.placement[t]]) for t in tiles]
    (folder / "stack.lcf").write_text("\n".join(layers), encoding="ascii")
    power = "\t".join(header) + "\n" + "\t".join(watts) + "\n"
    (folder / "power.ptrace").write_text(power, encoding="ascii")
    spreader = max(stack.spreader_side, max(x, y) * pitch)
    settings = {
        "t_chip": stack.silicon_thickness,
        "k_chip": 1.0 / stack.silicon_resistivity,
        "p_chip": stack.silicon_heat,
        "t_interface": stack.bond_thickness,
        "k_interface": 1.0 / stack.bond_resistivity,
        "p_interface": stack.bond_heat,
        "s_spreader": spreader,
        "t_spreader": stack.spreader_thickness,
        "k_spreader": stack.metal_conductivity,
        "s_sink": max(stack.sink_side, spreader),
        "t_sink": stack.sink_thickness,
        "k_sink": stack.metal_conductivity,
        "r_convec": stack.convection_resistance,
        "ambient": stack.ambient + KELVIN,
        "init_temp": stack.ambient + KELVIN,
        "grid_rows": _cells(y),
        "grid_cols": _cells(x),
    }
    text = "".join(f"-{name}\t{_text(value)}\n" for name, value in settings.items())
    text += "-model_type\tgrid\n-grid_layer_file\tstack.lcf\n"
    config = folder / "hotspot.config"
    config.write_text(text, encoding="ascii")
    hottest, peak = _hottest(design)
    text = hotspot_text(peak, hottest, float(platform.power.sum()))
    if baselines:
        for name, network in baselines.items():
            write_hotspot(network, folder / folder_of(name))
        cells = {}
        for name, network in ({"this folder": design} | dict(baselines)).items():
            tile, degrees = _hottest(network)
            cells[name] = [tile, f"{degrees:.1f} ({degrees + KELVIN:.1f})"]
        more = "HotSpot knows no links, so only the placement of PEs makes a difference."
        text += networks_text(["hottest tile", "degrees Celsius (K)"], cells, more)
    write_readme(folder, text)
    return config


def _hottest(design: Design) -> tuple[str, float]:
    """Return the name of the hottest tile by the model, and its degrees Celsius."""
    platform = design.platform
    rises = response_matrix(platform) @ platform.power[design.placement]
    tile = int(rises.argmax())
    return unit_names(design)[tile], platform.stack.ambient + float(rises[tile])


@long_work("simulating temperatures by HotSpot")
def simulate_hotspot(design: Design, folder: str | Path, *, timeout_s: float = 600.0) -> Floats:
    """Run HotSpot on the files of ``write_hotspot``; return degrees Celsius of tiles, [n_tiles].

    Raises
    ------
    FileNotFoundError
        There is no ``hotspot`` on the PATH.
    RuntimeError
        HotSpot failed or ran out of time; the message ends with its last output.
    """
    binary = find_program("HotSpot", ("hotspot",), "design.to_hotspot(folder)")
    config = write_hotspot(design, folder)
    steady = config.with_name("steady.txt")
    steady.unlink(missing_ok=True)
    # HotSpot 6 requires a floorplan, although the layer file overrides it.
    words = [binary, "-c", config.name, "-f", "layer0.flp", "-p", "power.ptrace"]
    words += ["-grid_layer_file", "stack.lcf", "-model_type", "grid", "-steady_file", steady.name]
    code, printed = run_program("HotSpot", words, config.parent, timeout_s)
    if code != 0 or not steady.exists():
        raise RuntimeError(
            f"HotSpot ended with code {code} and {'' if steady.exists() else 'no '}temperatures. "
            f"It printed last: {printed[-300:]!r}"
        )
    return read_steady(design, steady)


def read_steady(design: Design, path: str | Path) -> Floats:
    """Return degrees Celsius of each tile from a steady-state file of HotSpot, [n_tiles].

    A ValueError names file and unit of a tile without a temperature.
    """
    names = unit_names(design)
    units = set(names)
    celsius: dict[str, float] = {}
    for number, line in lines_of(read_text(path)):
        words = line.split(None, 2)
        if not words:
            continue
        kelvin = number_of(words[1]) if len(words) == 2 else None
        if kelvin is None or not 0.0 < kelvin < math.inf:
            expected = "a unit and its temperature in kelvin"
            raise invalid_file(path, brief(line.strip()), expected, f"line {number}")
        match = re.fullmatch(r"layer_([0-9]{1,9})_(\S+)", words[0])
        layer, unit = (int(match[1]), match[2]) if match else (0, words[0])
        # Dies have even numbers, bonds odd ones; further units are of the package.
        if layer % 2 or unit not in units:
            continue
        if unit in celsius:
            raise invalid_file(path, "two", "one temperature", f"line {number}, unit {unit}")
        celsius[unit] = kelvin - KELVIN
    missing = next((name for name in names if name not in celsius), None)
    if missing is not None:
        raise invalid_file(path, "none", "a temperature", f"unit {missing}")
    return np.array([celsius[name] for name in names])


def unit_names(design: Design) -> list[str]:
    """Return the name of each tile in HotSpot's files: type, PE, tile."""
    kinds = design.platform.pe_types
    safe = [re.sub(r"\W", "_", kind.name) for kind in kinds]
    types = design.platform.pe_type
    return [f"{safe[types[pe]]}{pe}_t{t}" for t, pe in enumerate(design.placement.tolist())]


def _text(value: float) -> str:
    return f"{value:.9g}"


def _cells(tiles: int) -> int:
    """Return grid cells for tiles in a row: a power of two, at least 64 and eight per tile."""
    return max(64, 1 << (8 * tiles - 1).bit_length())
