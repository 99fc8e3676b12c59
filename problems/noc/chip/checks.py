"""Checks of a platform as a whole: types, vertical links, and whether it can be built."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sized
from typing import TYPE_CHECKING

import numpy as np

from moela.files.guard import FACTOR_VARIABLE, MIB, limit_of
from problems._checks import check_ints, require, setting_error
from problems.noc.chip.layout import Grid, components, link_candidates
from problems.noc.chip.tables import FAR

if TYPE_CHECKING:
    from problems.noc.chip.pe_type import PEType
    from problems.noc.chip.platform import Platform

__all__ = [
    "check_buildable",
    "check_dies",
    "check_memory",
    "check_planar_links",
    "check_technology",
    "check_types",
    "check_vertical_links",
]

# Measured while the reference design is made, for a flat chip and a tower.
_BYTES_PER_LINK, _BYTES_PER_PAIR = 180, 25


def check_memory(grid: object, pe_types: object) -> None:
    """Check before anything is made that the platform of a file takes no more than an array may.

    A file of a hundred bytes can describe a chip of a billion tiles.
    """
    axes = check_ints("Platform", "grid", grid, 1)
    if len(axes) != 3:
        return  # the platform names the fault
    layer, n = axes[0] * axes[1], math.prod(axes)
    kinds = len(pe_types) if isinstance(pe_types, Sized) else 1
    size = _BYTES_PER_LINK * axes[2] * (layer * (layer - 1) // 2) + _BYTES_PER_PAIR * n * n
    limit = limit_of("arrays")
    expected = (
        f"small enough to be made in {limit // MIB:,} MiB (the environment variable "
        f"{FACTOR_VARIABLE} multiplies this limit)"
    )
    require("Platform", "grid", list(axes), size + kinds * n <= limit, expected)


def check_types(kinds: tuple[PEType, ...], grid: Grid) -> None:
    """Check that the types of PE fill the grid and have room on it."""
    n = math.prod(grid)
    names = [kind.name for kind in kinds]
    require("Platform", "pe_types", names, len(set(names)) == len(names), "of different names")
    counts = {kind.name: kind.count for kind in kinds}
    expected = f"{n} PEs in all, one per tile of grid {grid} (a type of power 0 makes empty tiles)"
    require("Platform", "pe_types", counts, sum(counts.values()) == n, expected)
    for kind in kinds:
        if kind.allowed_tiles is not None:
            owner, highest = f"PEType {kind.name}", max(kind.allowed_tiles, default=0)
            require(owner, "allowed_tiles", highest, highest < n, f"tiles below {n}")
            roomy = len(kind.allowed_tiles) >= kind.count
            expected = f"at least as many tiles as PEs, {kind.count}"
            require(owner, "allowed_tiles", list(kind.allowed_tiles), roomy, expected)


def check_vertical_links(pairs: object, grid: Grid) -> tuple[tuple[int, int], ...]:
    """Return the vertical links, lower tile first and ascending; None stands for all of them."""
    n = math.prod(grid)
    layer = grid[0] * grid[1]
    if pairs is None:
        return tuple((tile, tile + layer) for tile in range(n - layer))
    owner, name = "Platform", "vertical_links"
    if not isinstance(pairs, Iterable):
        raise setting_error(owner, name, "a sequence of tile pairs", pairs)
    expected = (
        f"pairs of tiles one above the other in neighboring layers of grid {grid} "
        f"(second = first + {layer} < {n})"
    )
    few = not isinstance(pairs, Sized) or len(pairs) <= n
    require(owner, name, pairs, few, f"at most {n - layer} pairs")
    links = []
    for pair in pairs:
        tiles = sorted(check_ints(owner, name, pair, 0))
        vertical = len(tiles) == 2 and tiles[1] == tiles[0] + layer < n
        require(owner, name, pair, vertical, expected)
        links.append((tiles[0], tiles[1]))
    require(owner, name, links, len(set(links)) == len(links), "free of repetitions")
    return tuple(sorted(links))


def check_planar_links(pairs: object, grid: Grid, longest: object) -> tuple[tuple[int, int], ...]:
    """Return the planar links, smaller tile first and ascending."""
    owner, name = "Platform", "planar_links"
    if not isinstance(pairs, Iterable):
        raise setting_error(owner, name, "a sequence of tile pairs", pairs)
    limit = float(longest) if isinstance(longest, int | float) else None
    known = set(map(tuple, link_candidates(grid, limit).tolist()))
    reach = "" if limit is None else f", at most {limit:g} pitches apart"
    links = []
    for pair in pairs:
        tiles = tuple(sorted(check_ints(owner, name, pair, 0)))
        require(owner, name, pair, tiles in known, f"pairs of tiles of one layer{reach}")
        links.append((tiles[0], tiles[1]))
    require(owner, name, len(links), len(set(links)) == len(links), "free of repetitions")
    return tuple(sorted(links))


def check_dies(size: object, link: object, grid: Grid) -> tuple[int, int] | None:
    """Return the tiles of a die along x and y; it goes with a link between dies."""
    if size is None:
        expected = "given with a die_size, the tiles of a die along x and y"
        require("Platform", "die_link", link, link is None, expected)
        return None
    require("Platform", "die_size", size, link is not None, "given with a die_link")
    axes = check_ints("Platform", "die_size", size, 1)
    fits = len(axes) == 2 and grid[0] % axes[0] == 0 and grid[1] % axes[1] == 0
    expected = f"two integers that divide the {grid[0]} x {grid[1]} tiles of the grid"
    require("Platform", "die_size", size, fits, expected)
    return axes[0], axes[1]


def check_technology(platform: Platform) -> None:
    """Check that the technology of a platform fits its tiles and its unit of energy."""
    technology = platform.technology
    if technology is None:
        return
    expected = "0 for a platform with a technology, which states energies in pJ"
    require("Platform", "energy_unit", platform.energy_unit, platform.energy_unit == 0, expected)
    array = technology.tsv_array_area(2 * platform.flit_width)
    tile = (platform.stack.tile_pitch * 1e3) ** 2
    expected = (
        f"such that the {array:.3g} mm2 of the TSVs of a link fit on a tile of {tile:.3g} mm2"
    )
    fits = array <= tile or platform.grid[2] == 1
    require("Platform", "technology", technology, fits, expected)


def check_buildable(platform: Platform) -> None:
    """Check that the links can connect the chip, and that the reference design is legal.

    A ValueError names every known reason why not, and the numbers of the platform that matter.
    """
    n, planar, degree = platform.n_tiles, platform.n_planar_links, platform.max_degree
    fixed = platform.vertical_array
    numbers = (
        f"{n} tiles, {planar} planar and {platform.n_links - planar} vertical links, "
        f"max_degree {degree}, max_length {platform.max_length}"
    )
    pieces = int(components(n, fixed).max()) + 1
    used = np.bincount(fixed.ravel(), minlength=n)
    ports = int(np.maximum(degree - used, 0).sum())
    most, ends = platform.n_planar_candidates, 2 * platform.n_chosen
    joining, kind = ("fixed", "chosen") if platform.n_vertical_links else ("vertical", "planar")
    apart = components(n, np.concatenate((fixed, platform.candidates))).any()
    faults = (
        (used.max() > degree, f"tile {used.argmax()} alone has {used.max()} vertical links"),
        (
            platform.n_chosen < pieces - 1,
            f"joining the {pieces} pieces that the {joining} links leave takes {pieces - 1} {kind} "
            "links or more",
        ),
        (ends > ports, f"routers have {ports} ports left for {kind} links, which need {ends}"),
        (planar > most, f"there are only {most} pairs of tiles that a planar link may join"),
        (apart, f"no set of {kind} links joins all tiles"),
    )
    reasons = "; ".join(reason for holds, reason in faults if holds)
    if reasons:
        raise ValueError(
            f"The links of Platform must be able to connect it. Got {numbers} instead: {reasons}."
        )
    try:
        placement, _ = platform.mesh
    except ValueError as error:
        raise ValueError(f"{error} Platform: {numbers}.") from error
    types = platform.pe_type[placement]
    wrong = np.flatnonzero(~platform.allowed[types, np.arange(n)])
    if wrong.size:
        tile = wrong[0]
        got = f"{platform.pe_types[types[tile]].name} {placement[tile]} on tile {tile}"
        expected = "a placement of every PE where its type may sit"
        raise setting_error("Platform", "mesh_placement", expected, got)
    if platform.routing == "dimension_order":
        full = platform.n_chosen == most == _neighbors(platform)
        full = full and platform.candidate_lengths.max(initial=1.0) == 1.0
        full = full and platform.n_links - planar == n - n // platform.grid[2]
        expected = (
            "of a platform whose links are all those between neighboring tiles (max_length=1 and "
            f"n_planar_links={_neighbors(platform)}, all vertical_links), or another routing"
        )
        require("Platform", "routing", platform.routing, full, expected)
    for setting in ("router_stages", "planar_delay", "vertical_delay"):
        value = getattr(platform, setting)
        require("Platform", setting, value, value < FAR, f"below {FAR} cycles")
    hops = platform.tables.link_cost
    # Neither a path over all tiles nor one hop more than "unreachable" may overflow 16 bits.
    most = min((FAR - 1) // (n - 1), np.iinfo(np.uint16).max - FAR)
    if hops.min() < 1 or hops.max() > most:
        raise ValueError(
            "The 'router_stages' of Platform, its delays, and those of its technology and die_link "
            f"must make every hop take from 1 to {most} cycles. Got hops of {hops.min()} to "
            f"{hops.max()} instead; count in longer or shorter cycles."
        )


def _neighbors(platform: Platform) -> int:
    """Return the number of pairs of neighboring tiles within layers."""
    x, y, z = platform.grid
    return z * ((x - 1) * y + x * (y - 1))
