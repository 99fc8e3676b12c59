"""Steady temperatures by finite volumes: a reference for the stack model.

The chip and its package are those of ``to_hotspot``: for each layer of tiles a die with its power
and a bond, then spreader and sink, both wider than the chip, then air. Heat spreads sideways, which
it does not in the stack model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from problems._arrays import Bools, Floats
from problems._checks import check_int
from problems.noc.chip.stack import ThermalStack
from problems.noc.design.hotspot import layers_from_afar

if TYPE_CHECKING:
    from problems.noc.design.design import Design

__all__ = ["steady_rises", "steady_temperatures"]


def steady_temperatures(design: Design, *, cells: int = 2, sink_layers: int = 3) -> Floats:
    """Return degrees Celsius of each tile, averaged over its die, [n_tiles].

    Parameters
    ----------
    design : Design
    cells : int
        Cells per tile along x and along y.
    sink_layers : int
        Cells of the sink along z.

    Returns
    -------
    float array [n_tiles]

    Raises
    ------
    ValueError
        `cells` or `sink_layers` is below 1.

    Examples
    --------
    >>> from problems.noc import Design, steady_temperatures
    >>> steady_temperatures(Design.mesh()).shape
    (64,)
    """
    cells = check_int("steady_temperatures", "cells", cells, 1)
    sink_layers = check_int("steady_temperatures", "sink_layers", sink_layers, 1)
    platform = design.platform
    x, y, z = platform.grid
    layers = layers_from_afar(design)
    tiles = platform.power[design.placement].reshape(z, y, x)[layers]
    power = np.repeat(np.repeat(tiles, cells, axis=1), cells, axis=2) / cells**2
    width = platform.stack.tile_pitch / cells
    rises = steady_rises(power, width, platform.stack, sink_layers=sink_layers)
    means = rises.reshape(z, y, cells, x, cells).mean(axis=(2, 4))
    result = np.empty((z, y, x))
    result[layers] = means
    return platform.stack.ambient + result.ravel()


def steady_rises(
    power: Floats, width: float, stack: ThermalStack, *, sink_layers: int = 3
) -> Floats:
    """Return the rise over ambient of square cells of the dies in K, [n_dies, rows, columns].

    ``power`` [n_dies, rows, columns] holds the watts of each cell, the die farthest from the heat
    sink first. Cells are ``width`` m wide; the sink has ``sink_layers`` cells along z. Tile pitch
    and factors of the stack are not used.
    """
    # Half of the package's import time, for few users.
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import spsolve

    n_dies, n_y, n_x = power.shape
    spreader = max(stack.spreader_side, n_x * width, n_y * width)
    sink = max(stack.sink_side, spreader)
    dx, chip_x, spread_x = _widths(n_x, width, spreader, sink)
    dy, chip_y, spread_y = _widths(n_y, width, spreader, sink)
    dz = [stack.silicon_thickness, stack.bond_thickness] * n_dies
    dz += [stack.spreader_thickness] + [stack.sink_thickness / sink_layers] * sink_layers
    shape = (len(dz), dy.size, dx.size)
    on_chip = np.ix_(np.flatnonzero(chip_y), np.flatnonzero(chip_x))
    conductivity, heat = np.zeros(shape), np.zeros(shape)
    for die in range(n_dies):
        conductivity[2 * die][on_chip] = 1.0 / stack.silicon_resistivity
        conductivity[2 * die + 1][on_chip] = 1.0 / stack.bond_resistivity
        heat[2 * die][on_chip] = power[die]
    metal = stack.metal_conductivity
    on_spreader = np.ix_(np.flatnonzero(spread_y), np.flatnonzero(spread_x))
    conductivity[2 * n_dies][on_spreader] = metal
    conductivity[2 * n_dies + 1 :] = metal

    size = np.broadcast_arrays(np.array(dz)[:, None, None], dy[None, :, None], dx[None, None, :])
    index = np.arange(conductivity.size).reshape(shape)
    k = conductivity.ravel()
    rows, columns, values = [], [], []
    diagonal = np.zeros(k.size)
    for axis in range(3):
        area = size[(axis + 1) % 3] * size[(axis + 2) % 3]
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        both = (conductivity[low] > 0) & (conductivity[high] > 0)
        a, b = index[low][both], index[high][both]
        length = size[axis].ravel()
        conductance = area.ravel()[a] / (length[a] / (2 * k[a]) + length[b] / (2 * k[b]))
        rows += [a, b]
        columns += [b, a]
        values += [-conductance, -conductance]
        np.add.at(diagonal, a, conductance)
        np.add.at(diagonal, b, conductance)
    top = dy[:, None] * dx[None, :]
    to_air = stack.convection_resistance * top.sum() / top + dz[-1] / (2 * metal * top)
    diagonal[index[-1].ravel()] += 1.0 / to_air.ravel()

    used = np.flatnonzero(k > 0)
    new = np.full(k.size, -1)
    new[used] = np.arange(used.size)
    rows.append(used)
    columns.append(used)
    values.append(diagonal[used])
    matrix = coo_array(
        (np.concatenate(values), (new[np.concatenate(rows)], new[np.concatenate(columns)])),
        shape=(used.size, used.size),
    ).tocsc()
    rise = np.zeros(k.size)
    rise[used] = spsolve(matrix, heat.ravel()[used])
    dies: Floats = rise.reshape(shape)[: 2 * n_dies : 2][:, chip_y][:, :, chip_x]
    return dies


def _widths(n_chip: int, width: float, spreader: float, sink: float) -> tuple[Floats, Bools, Bools]:
    """Return cell widths along one axis, and which cells belong to chip and to spreader."""
    inner = np.full(n_chip, width)
    rim = _graded((spreader - n_chip * width) / 2, width)
    edge = _graded((sink - spreader) / 2, rim[-1] if rim.size else width)
    widths = np.concatenate((edge[::-1], rim[::-1], inner, rim, edge))
    place = np.minimum(np.arange(widths.size), np.arange(widths.size)[::-1])
    return widths, place >= edge.size + rim.size, place >= edge.size


def _graded(length: float, first: float) -> Floats:
    """Return cell widths that fill a length, each about 1.5 times the one before."""
    if length < 1e-9:
        return np.empty(0)
    count = max(int(np.ceil(np.log1p(0.5 * length / first) / np.log(1.5))), 1)
    widths = 1.5 ** np.arange(count)
    return widths * (length / widths.sum())
