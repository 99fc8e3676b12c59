"""Steady temperatures by finite volumes: a reference for the stack model.

The chip and its package are those that ``to_hotspot`` describes: per layer of tiles a die with its
power and a bond, then spreader and sink, both wider than the chip, then air. Unlike in the stack
model, heat spreads sideways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .hotspot import layers_from_afar
from .tables import Floats

if TYPE_CHECKING:
    from .design import Design

__all__ = ["steady_temperatures"]


def steady_temperatures(design: Design, *, cells: int = 2, sink_layers: int = 3) -> Floats:
    """Return degrees Celsius of each tile, averaged over its die, [n_tiles].

    Parameters
    ----------
    design : Design
    cells : int
        Cells of a tile along x and along y.
    sink_layers : int
        Cells of the sink along z.

    Raises
    ------
    ValueError
        A number is below 1.
    """
    # Half of the package's import time, for what few need.
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import spsolve

    if cells < 1 or sink_layers < 1:
        raise ValueError(
            "The 'cells' and 'sink_layers' of steady_temperatures must be >= 1. "
            f"Got {cells} and {sink_layers} instead."
        )
    platform = design.platform
    x, y, z = platform.grid
    stack = platform.stack
    pitch = stack.tile_pitch
    spreader = max(stack.spreader_side, x * pitch, y * pitch)
    sink = max(stack.sink_side, spreader)
    dx, chip_x, spread_x = _widths(x * pitch, x * cells, spreader, sink)
    dy, chip_y, spread_y = _widths(y * pitch, y * cells, spreader, sink)

    silicon, bond = 1.0 / stack.silicon_resistivity, 1.0 / stack.bond_resistivity
    dz = [stack.silicon_thickness, stack.bond_thickness] * z
    dz += [stack.spreader_thickness] + [stack.sink_thickness / sink_layers] * sink_layers
    shape = (len(dz), dy.size, dx.size)
    conductivity = np.zeros(shape)
    on_chip = np.ix_(np.flatnonzero(chip_y), np.flatnonzero(chip_x))
    power = np.zeros(shape)
    for position, layer in enumerate(layers_from_afar(design)):
        conductivity[2 * position][on_chip] = silicon
        conductivity[2 * position + 1][on_chip] = bond
        watts = platform.power[design.placement[layer * x * y : (layer + 1) * x * y]]
        per_cell = np.repeat(np.repeat(watts.reshape(y, x), cells, axis=0), cells, axis=1)
        power[2 * position][on_chip] = per_cell / cells**2
    metal = stack.metal_conductivity
    conductivity[2 * z][np.ix_(np.flatnonzero(spread_y), np.flatnonzero(spread_x))] = metal
    conductivity[2 * z + 1 :] = metal

    size = np.broadcast_arrays(np.array(dz)[:, None, None], dy[None, :, None], dx[None, None, :])
    index = np.arange(conductivity.size).reshape(shape)
    rows, columns, values = [], [], []
    diagonal = np.zeros(shape)
    for axis in range(3):
        area = size[(axis + 1) % 3] * size[(axis + 2) % 3]
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        k = conductivity
        both = (k[low] > 0) & (k[high] > 0)
        resistance = size[axis][low][both] / (2 * k[low][both])
        resistance += size[axis][high][both] / (2 * k[high][both])
        conductance = area[low][both] / resistance
        a, b = index[low][both], index[high][both]
        rows += [a, b]
        columns += [b, a]
        values += [-conductance, -conductance]
        np.add.at(diagonal.ravel(), a, conductance)
        np.add.at(diagonal.ravel(), b, conductance)
    top = dy[:, None] * dx[None, :]
    out = top / (stack.convection_resistance * top.sum())
    half = dz[-1] / (2 * metal * top)
    diagonal[-1] += 1.0 / (1.0 / out + half)

    used = np.flatnonzero(conductivity.ravel() > 0)
    new = np.full(conductivity.size, -1)
    new[used] = np.arange(used.size)
    rows.append(used)
    columns.append(used)
    values.append(diagonal.ravel()[used])
    matrix = coo_array(
        (np.concatenate(values), (new[np.concatenate(rows)], new[np.concatenate(columns)])),
        shape=(used.size, used.size),
    ).tocsc()
    rise = np.zeros(conductivity.size)
    rise[used] = spsolve(matrix, power.ravel()[used])
    rises = rise.reshape(shape)
    tiles = np.empty(platform.n_tiles)
    for position, layer in enumerate(layers_from_afar(design)):
        die = rises[2 * position][on_chip].reshape(y, cells, x, cells).mean(axis=(1, 3))
        tiles[layer * x * y : (layer + 1) * x * y] = die.ravel()
    return stack.ambient + tiles


def _widths(
    chip: float, n_chip: int, spreader: float, sink: float
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return cell widths along one axis, and which cells belong to chip and to spreader."""
    inner = np.full(n_chip, chip / n_chip)
    rim = _graded((spreader - chip) / 2, inner[0])
    edge = _graded((sink - spreader) / 2, rim[-1] if rim.size else inner[0])
    widths = np.concatenate((edge[::-1], rim[::-1], inner, rim, edge))
    place = np.arange(widths.size)
    outside = edge.size + rim.size
    chip_cells = (place >= outside) & (place < outside + n_chip)
    spreader_cells = (place >= edge.size) & (place < widths.size - edge.size)
    return widths, chip_cells, spreader_cells


def _graded(length: float, first: float) -> Floats:
    """Return cell widths that fill a length, each about 1.5 times the one before."""
    if length < 1e-9:
        return np.empty(0)
    count = max(int(np.ceil(np.log1p(0.5 * length / first) / np.log(1.5))), 1)
    widths = 1.5 ** np.arange(count)
    return widths * (length / widths.sum())
