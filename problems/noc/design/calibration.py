"""Fits the two factors of the stack model to temperatures of HotSpot or of a finer model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from moela.heartbeat.working import long_work
from problems._arrays import Floats
from problems._checks import check_real, setting_error
from problems.noc.chip.stack import ThermalStack
from problems.noc.evaluation.metrics import temperature_rises

if TYPE_CHECKING:
    from problems.noc.design.design import Design

__all__ = ["calibrate"]


@long_work("calibrating by a simulator")
def calibrate(
    designs: Sequence[Design],
    temperatures: Sequence[ArrayLike],
    *,
    layer_factor: float | None = None,
) -> tuple[ThermalStack, float]:
    """Return the platform's stack with the factors that fit peak temperatures best.

    Designs that are hot in the same layer hardly separate the two factors. The spreading factors of
    the ready-made platforms were fitted with ``layer_factor`` kept at 1.

    Parameters
    ----------
    designs : sequence of Design
        Designs of one platform; the temperatures of their stacks should differ.
    temperatures : sequence of float array [n_tiles]
        Degrees Celsius of the tiles of each design, from ``design.simulate_hotspot(folder)`` or
        ``problems.noc.steady_temperatures(design)``.
    layer_factor : float, optional
        Keeps this factor fixed and fits the other one only.

    Returns
    -------
    stack : ThermalStack
        With the factors fitted by least squares of the relative error of the peak rise. Use it as
        ``dataclasses.replace(platform, stack=stack)``.
    error : float
        Mean absolute value of that relative error.

    Raises
    ------
    ValueError
        The designs are fewer than two or of several platforms, the temperatures do not fit them,
        or ``layer_factor`` is not above 0.

    Examples
    --------
    >>> from problems.noc import Design, calibrate, steady_temperatures
    >>> mesh = Design.mesh()
    >>> other = Design(mesh.placement[::-1], mesh.links)
    >>> temperatures = [steady_temperatures(mesh), steady_temperatures(other)]
    >>> stack, error = calibrate([mesh, other], temperatures, layer_factor=1.0)
    >>> stack.layer_factor
    1.0
    """
    # Half of the package's import time, for few users.
    from scipy.optimize import least_squares

    platforms = {design.platform for design in designs}
    if len(designs) < 2 or len(platforms) != 1 or len(temperatures) != len(designs):
        raise ValueError(
            "calibrate must get two designs or more of one platform, and the temperatures of each. "
            f"Got {len(designs)} designs of {len(platforms)} platforms and {len(temperatures)} "
            "temperature arrays instead."
        )
    platform = designs[0].platform
    if layer_factor is not None:
        layer_factor = check_real("calibrate", "layer_factor", layer_factor, 1e-6)
    plain = replace(platform.stack, layer_factor=1.0, spreading_factor=0.5)
    values = [np.asarray(t, dtype=np.float64) for t in temperatures]
    for i, t in enumerate(values):
        if t.shape != (platform.n_tiles,) or not np.isfinite(t).all() or t.max() <= plain.ambient:
            expected = (
                f"{platform.n_tiles} finite numbers for each design, some above the ambient "
                f"{plain.ambient:g} (see design {i})"
            )
            got = t.max() if t.shape == (platform.n_tiles,) else t.shape
            raise setting_error("calibrate", "temperatures", expected, got)
    peaks = np.array([t.max() for t in values]) - plain.ambient
    placements = np.stack([design.placement for design in designs])

    def stack_of(factors: ArrayLike) -> ThermalStack:
        spread, *layer = np.asarray(factors).tolist()
        kept = layer[0] if layer_factor is None else layer_factor
        return replace(plain, layer_factor=kept, spreading_factor=spread)

    def error(factors: ArrayLike) -> Floats:
        fitted = stack_of(factors)
        rises = temperature_rises(replace(platform, stack=fitted), placements)
        relative: Floats = rises.max(axis=(1, 2)) / peaks - 1.0
        return relative

    start = (0.5, 1.0) if layer_factor is None else (0.5,)
    fit = least_squares(error, start, bounds=(1e-6, np.inf))
    return stack_of(fit.x), float(np.abs(fit.fun).mean())
