"""Fit the two factors of the stack model to temperatures that HotSpot or a finer model gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from problems.noc.chip.checks import number
from problems.noc.chip.stack import ThermalStack
from problems.noc.evaluation.metrics import temperature_rises

if TYPE_CHECKING:
    from problems.noc.design.design import Design

__all__ = ["calibrate"]


def calibrate(
    designs: Sequence[Design],
    temperatures: Sequence[ArrayLike],
    *,
    layer_factor: float | None = None,
) -> tuple[ThermalStack, float]:
    """Return the platform's stack with factors that fit peak temperatures best.

    The two factors can hardly be told apart by designs that are hot in the same layer. The factors
    that ship with the platforms were fitted with ``layer_factor`` kept at 1.

    Parameters
    ----------
    designs : sequence of Design
        Of one platform; they should differ in how hot their stacks are.
    temperatures : sequence of float array [n_tiles]
        Degrees Celsius of each, as ``design.simulate_hotspot(folder)`` or
        ``problems.noc.steady_temperatures(design)`` give them.
    layer_factor : float, optional
        Keep this one, and fit the other factor only.

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
        There are fewer than two designs, or of several platforms, or the temperatures do not fit,
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
    if layer_factor is not None:
        layer_factor = number(layer_factor, "layer_factor", "calibrate", 1e-6)
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

    def stack_of(factors: ArrayLike) -> ThermalStack:
        spread, *layer = np.asarray(factors).tolist()
        kept = layer[0] if layer_factor is None else layer_factor
        return replace(plain, layer_factor=kept, spreading_factor=spread)

    def error(factors: ArrayLike) -> np.ndarray:
        fitted = stack_of(factors)
        rises = temperature_rises(replace(platform, stack=fitted), placements)
        return rises.max(axis=(1, 2)) / peaks - 1.0

    start = (0.5, 1.0) if layer_factor is None else (0.5,)
    found = least_squares(error, start, bounds=(1e-6, np.inf))
    return stack_of(found.x), float(np.abs(found.fun).mean())
