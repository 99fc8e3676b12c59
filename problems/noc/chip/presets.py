"""Ready-made platforms: the chip of the paper, a flat mesh, and two larger stacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from problems.noc.chip.pe_type import PEType
from problems.noc.chip.stack import ThermalStack

__all__ = ["PRESETS", "cube_10x10x10", "mesh_8x8", "paper_4x4x4", "stack_8x8x4"]

# The spreading factors are fitted like that of ThermalStack, on designs of 8 x 8 and 8 x 8 x 4;
# that of 10 x 10 x 10 is taken over.

# Kinds of a 4 x 4 block of a layer, as in the mesh of the paper: LLCs in the corners, two CPUs.
BLOCK = ("LGGL", "GCCG", "GGGG", "LGGL")
# Eight tiles in a row where the layer is no multiple of the block; the same shares.
ROW = "CGLGGLGG"


def paper_4x4x4() -> dict[str, Any]:
    """Return the settings of the chip of the MOELA paper."""
    kinds = [BLOCK[tile % 16 // 4][tile % 4] for tile in range(64)]
    interior = {21, 22, 25, 26, 37, 38, 41, 42}
    allowed = [tile for tile in range(64) if tile not in interior]
    return _settings((4, 4, 4), kinds, allowed)


def mesh_8x8() -> dict[str, Any]:
    """Return the settings of a flat chip of 8 x 8 tiles."""
    return _settings((8, 8, 1), _blocks(8, 8, 1)) | {"stack": ThermalStack(spreading_factor=0.17)}


def stack_8x8x4() -> dict[str, Any]:
    """Return the settings of a chip of four layers of 8 x 8 tiles."""
    return _settings((8, 8, 4), _blocks(8, 8, 4)) | {"stack": ThermalStack(spreading_factor=0.14)}


def cube_10x10x10() -> dict[str, Any]:
    """Return the settings of a chip of ten layers of 10 x 10 tiles."""
    kinds = [ROW[tile % 8] for tile in range(1000)]
    return _settings((10, 10, 10), kinds) | {"stack": ThermalStack(spreading_factor=0.14)}


PRESETS: dict[str, Callable[[], dict[str, Any]]] = {
    "4x4x4": paper_4x4x4,
    "8x8": mesh_8x8,
    "8x8x4": stack_8x8x4,
    "10x10x10": cube_10x10x10,
}
"""Name -> settings of a platform."""


def _blocks(x: int, y: int, z: int) -> list[str]:
    return [BLOCK[row % 4][column % 4] for _ in range(z) for row in range(y) for column in range(x)]


def _settings(
    grid: tuple[int, int, int], kinds: Sequence[str], llc_tiles: Sequence[int] | None = None
) -> dict[str, Any]:
    """Return settings with as many planar links as a mesh has, and the powers of the paper's code.

    ``kinds`` holds the first letter of the type on each tile of the reference design.
    """
    x, y, z = grid
    cpus, llcs, gpus = (kinds.count(letter) for letter in "CLG")
    ids = {"C": iter(range(cpus)), "L": iter(range(cpus, cpus + llcs))}
    ids["G"] = iter(range(cpus + llcs, len(kinds)))
    return {
        "grid": grid,
        "pe_types": (
            # PE 0 runs the main thread.
            PEType(name="CPU", count=cpus, power=(1.5, *[1.0] * (cpus - 1))),
            PEType(name="LLC", count=llcs, power=1.5, allowed_tiles=llc_tiles),
            PEType(name="GPU", count=gpus, power=6.0),
        ),
        "n_planar_links": z * ((x - 1) * y + x * (y - 1)),
        "mesh_placement": tuple(next(ids[letter]) for letter in kinds),
    }
