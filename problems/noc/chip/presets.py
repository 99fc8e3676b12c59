"""Ready-made platforms: the chip of the paper, a flat mesh, and two larger stacks."""

from __future__ import annotations

from typing import TypedDict

from problems.noc.chip.layout import Grid
from problems.noc.chip.pe_type import PEType
from problems.noc.chip.stack import ThermalStack

__all__ = ["PRESETS", "PlatformSettings", "preset_settings"]

PRESETS: dict[str, tuple[Grid, float]] = {
    "4x4x4": ((4, 4, 4), ThermalStack.spreading_factor),
    "8x8": ((8, 8, 1), 0.17),
    "8x8x4": ((8, 8, 4), 0.14),
    "10x10x10": ((10, 10, 10), 0.14),
}
"""Name -> grid and spreading factor.

The factors of 8 x 8 and 8 x 8 x 4 are fitted to designs of these chips, as the default of
`ThermalStack` is to those of 4 x 4 x 4; that of 10 x 10 x 10 is a copy of the one before.
"""

# Types on a 4 x 4 block of a layer, as in the mesh of the paper: LLCs in the corners, two CPUs.
BLOCK = ("LGGL", "GCCG", "GGGG", "LGGL")
# Types of eight tiles in a row, in the same shares, if the layer is no multiple of the block.
ROW = "CGLGGLGG"


class PlatformSettings(TypedDict):
    """The parameters of `Platform` that a preset sets."""

    grid: Grid
    pe_types: tuple[PEType, ...]
    n_planar_links: int
    mesh_placement: tuple[int, ...]
    stack: ThermalStack


def preset_settings(name: str) -> PlatformSettings:
    """Return settings with the planar links of a mesh, and the powers of the paper's code."""
    grid, spreading_factor = PRESETS[name]
    x, y, z = grid
    tiles = range(x * y * z)
    types = [ROW[t % 8] for t in tiles]
    if x % 4 == y % 4 == 0:
        types = [BLOCK[t // x % y % 4][t % x % 4] for t in tiles]
    cpus, llcs, gpus = (types.count(letter) for letter in "CLG")
    ids = {
        "C": iter(range(cpus)),
        "L": iter(range(cpus, cpus + llcs)),
        "G": iter(range(cpus + llcs, len(types))),
    }
    # The released code keeps last-level caches off the eight tiles in the middle.
    middle = {21, 22, 25, 26, 37, 38, 41, 42}
    llc_tiles = [t for t in range(64) if t not in middle] if name == "4x4x4" else None
    return {
        "grid": grid,
        "pe_types": (
            # PE 0 runs the main thread.
            PEType(name="CPU", count=cpus, power=(1.5, *[1.0] * (cpus - 1))),
            PEType(name="LLC", count=llcs, power=1.5, allowed_tiles=llc_tiles),
            PEType(name="GPU", count=gpus, power=6.0),
        ),
        "n_planar_links": z * ((x - 1) * y + x * (y - 1)),
        "mesh_placement": tuple(next(ids[letter]) for letter in types),
        "stack": ThermalStack(spreading_factor=spreading_factor),
    }
