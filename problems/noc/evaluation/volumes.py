"""Steady heat of chip and package by finite volumes, and the matrix of its response to power.

For each layer of tiles there is a die with its power and a bond, then spreader and sink, both wider
than the chip, then air. Heat spreads sideways, which it does not in the stack model. The equations
are linear, so the rise of every tile is a matrix [n_tiles, n_tiles] times the power of the tiles,
and the matrix follows from the platform alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from problems._arrays import Bools, Floats, Ints
from problems.noc.chip.jit import compiled
from problems.noc.chip.layout import Grid
from problems.noc.chip.stack import ThermalStack

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = [
    "layers_from_afar",
    "peak_rises",
    "response_matrix",
    "steady_rises",
    "swapped_peaks",
    "volume_response",
]

CELLS = 2
"""Cells per tile along x and along y for the response; eight change the peak by less than 1 %."""


def layers_from_afar(platform: Platform) -> list[int]:
    """Return the layers of tiles, the one farthest from the heat sink first."""
    layers = list(range(platform.grid[2]))
    return layers if platform.sink == "top" else layers[::-1]


def response_matrix(platform: Platform) -> Floats:
    """Return the rise of each tile in K per watt of each tile, [n_tiles, n_tiles]; read-only.

    It is ``volume_response`` times ``stack.response_factor``, less ``stack.package_offset``, both
    fitted to HotSpot.
    """
    stack = platform.stack
    return _fitted_response(platform.grid, stack, platform.sink)


@lru_cache(maxsize=8)
def _fitted_response(grid: Grid, stack: ThermalStack, sink: str) -> Floats:
    volumes = volume_response(grid, stack, sink)
    fitted: Floats = stack.response_factor * volumes - stack.package_offset
    fitted.flags.writeable = False
    return fitted


def volume_response(grid: Grid, stack: ThermalStack, sink: str) -> Floats:
    """Return the rise of each tile by finite volumes, in K per watt of each, [n_tiles, n_tiles].

    Tiles count as in ``Platform``; the rise of a tile is the mean over its die.
    """
    x, y, z = grid
    n = x * y * z
    from_afar = np.arange(z) if sink == "top" else np.arange(z)[::-1]
    tiles = (from_afar[:, None] * x * y + np.arange(x * y)).reshape(z, y, x)
    cells = np.repeat(np.repeat(tiles, CELLS, axis=1), CELLS, axis=2)
    power = (cells[None] == np.arange(n)[:, None, None, None]) / CELLS**2
    rises = _solve(power, stack.tile_pitch / CELLS, stack, 3)
    means = rises.reshape(n, z, y, CELLS, x, CELLS).mean(axis=(3, 5))
    response = np.empty((n, n))
    response[tiles.ravel()] = means.reshape(n, n).T
    return response


@compiled
def peak_rises(placement: Ints, power: Floats, response: Floats, out: Floats) -> None:
    """Fill ``out`` [n] with the rise of the hottest tile under the power of each PE, in K.

    ``placement`` is [n, n_tiles]; ``response`` as ``response_matrix`` returns it, transposed.
    """
    n = response.shape[0]
    rise = np.empty(n)
    for i in range(placement.shape[0]):
        rise[:] = 0.0
        for source in range(n):
            watts = power[placement[i, source]]
            if watts != 0.0:
                for tile in range(n):
                    rise[tile] += watts * response[source, tile]
        peak = rise[0]
        for tile in range(1, n):
            peak = max(peak, rise[tile])
        out[i] = peak


@compiled
def swapped_peaks(
    placement: Ints, swaps: Ints, power: Floats, response: Floats, out: Floats
) -> None:
    """Fill ``out`` [n] with the peak rise after each swap of the PEs on two tiles, [n, 2], in K.

    ``placement`` [n_tiles] is the design before; every swap starts from it. ``response`` is
    transposed, as in ``peak_rises``.
    """
    n = response.shape[0]
    rise = np.zeros(n)
    for source in range(n):
        for tile in range(n):
            rise[tile] += power[placement[source]] * response[source, tile]
    for i in range(swaps.shape[0]):
        a, b = swaps[i, 0], swaps[i, 1]
        more = power[placement[b]] - power[placement[a]]
        peak = -np.inf
        for tile in range(n):
            peak = max(peak, rise[tile] + more * (response[a, tile] - response[b, tile]))
        out[i] = peak


def steady_rises(
    power: Floats, width: float, stack: ThermalStack, *, sink_layers: int = 3
) -> Floats:
    """Return the rise over ambient of square cells of the dies in K, [n_dies, rows, columns].

    ``power`` [n_dies, rows, columns] holds the watts of each cell, the die farthest from the heat
    sink first. Cells are ``width`` m wide; the sink has ``sink_layers`` cells along z. Tile pitch
    and factors of the stack are not used.
    """
    return _solve(power[None], width, stack, sink_layers)[0]


def _solve(power: Floats, width: float, stack: ThermalStack, sink_layers: int) -> Floats:
    """Return the rises for several powers, both [n, n_dies, rows, columns], as ``steady_rises``."""
    # Half of the package's import time, for few users.
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import splu

    n_dies, n_y, n_x = power.shape[1:]
    spreader = max(stack.spreader_side, n_x * width, n_y * width)
    sink = max(stack.sink_side, spreader)
    dx, chip_x, spread_x = _widths(n_x, width, spreader, sink)
    dy, chip_y, spread_y = _widths(n_y, width, spreader, sink)
    dz = [stack.silicon_thickness, stack.bond_thickness] * n_dies
    dz += [stack.spreader_thickness] + [stack.sink_thickness / sink_layers] * sink_layers
    shape = (len(dz), dy.size, dx.size)
    on_chip = np.ix_(np.flatnonzero(chip_y), np.flatnonzero(chip_x))
    conductivity, heat = np.zeros(shape), np.zeros((len(power), *shape))
    for die in range(n_dies):
        conductivity[2 * die][on_chip] = 1.0 / stack.silicon_resistivity
        conductivity[2 * die + 1][on_chip] = 1.0 / stack.bond_resistivity
        heat[:, 2 * die][:, *on_chip] = power[:, die]
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
    solve = splu(matrix).solve
    rises = np.zeros(heat.shape)
    for i, watts in enumerate(heat.reshape(len(heat), -1)):
        rises[i].ravel()[used] = solve(watts[used])
    dies: Floats = rises[:, : 2 * n_dies : 2][:, :, chip_y][:, :, :, chip_x]
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
