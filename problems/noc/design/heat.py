"""Steady temperatures by finite volumes: a reference for the stack model.

The chip and its package are those of ``to_hotspot``: for each layer of tiles a die with its power
and a bond, then spreader and sink, both wider than the chip, then air. Heat spreads sideways, which
it does not in the stack model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from problems._arrays import Floats
from problems._checks import check_int
from problems.noc.evaluation.volumes import layers_from_afar, steady_rises

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
    layers = layers_from_afar(platform)
    tiles = platform.power[design.placement].reshape(z, y, x)[layers]
    power = np.repeat(np.repeat(tiles, cells, axis=1), cells, axis=2) / cells**2
    width = platform.stack.tile_pitch / cells
    rises = steady_rises(power, width, platform.stack, sink_layers=sink_layers)
    means = rises.reshape(z, y, cells, x, cells).mean(axis=(2, 4))
    result = np.empty((z, y, x))
    result[layers] = means
    return platform.stack.ambient + result.ravel()
