"""Fit the two factors of the stack model to temperatures that HotSpot or a finer model gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .metrics import temperature_rises
from .stack import ThermalStack

if TYPE_CHECKING:
    from .design import Design

__all__ = ["calibrate"]


def calibrate(
    designs: Sequence[Design], temperatures: Sequence[ArrayLike]
) -> tuple[ThermalStack, float]:
    """Return the platform's stack with factors that fit peak temperatures best.

    Parameters
    ----------
    designs : sequence of Design
        Of one platform; they should differ in how hot their stacks are.
    temperatures : sequence of float array [n_tiles]
        Degrees Celsius of each, as ``design.simulate_hotspot(folder)`` or
        ``problems.noc.heat.steady_temperatures(design)`` give them.

    Returns
    -------
    stack : ThermalStack
        With ``layer_factor`` and ``spreading_factor`` fitted by least squares of the relative error
        of the peak rise. Use it as ``dataclasses.replace(platform, stack=stack)``.
    error : float
        Mean of that relative error, absolute.

    Raises
    ------
    ValueError
        There are fewer than two designs, or of several platforms, or the temperatures do not fit.
    """
    # Half of the package's import time, for what few need.
    from scipy.optimize import least_squares

    platforms = {design.platform for design in designs}
    if len(designs) < 2 or len(platforms) != 1 or len(temperatures) != len(designs):
        raise ValueError(
            "calibrate must get two designs or more of one platform, and the temperatures of each. "
            f"Got {len(designs)} designs of {len(platforms)} platforms and {len(temperatures)} "
            "temperature arrays instead."
        )
    platform = designs[0].platform
    plain = replace(platform.stack, layer_factor=1.0, spreading_factor=0.5)
    values = [np.asarray(t, dtype=np.float64) for t in temperatures]
    for i, t in enumerate(values):
        if t.shape != (platform.n_tiles,) or not np.isfinite(t).all() or t.max() <= plain.ambient:
            raise ValueError(
                f"The 'temperatures' of calibrate must be {platform.n_tiles} finite numbers for "
                f"each design, some above the ambient {plain.ambient:g}. Got shape {t.shape}, "
                f"at most {t.max(initial=-np.inf):g}, for design {i} instead."
            )
    peaks = np.array([t.max() for t in values]) - plain.ambient
    placements = np.stack([design.placement for design in designs])

    def error(factors: ArrayLike) -> np.ndarray:
        layer, spread = np.asarray(factors).tolist()
        fitted = replace(plain, layer_factor=layer, spreading_factor=spread)
        rises = temperature_rises(replace(platform, stack=fitted), placements)
        return rises.max(axis=(1, 2)) / peaks - 1.0

    found = least_squares(error, (1.0, 0.5), bounds=([1e-6, 1e-6], [np.inf, np.inf]))
    layer, spread = found.x.tolist()
    stack = replace(plain, layer_factor=layer, spreading_factor=spread)
    return stack, float(np.abs(found.fun).mean())
