"""Checks of a platform as a whole: types, vertical links, and whether it can be built."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from problems._checks import check_ints, require, setting_error
from problems.noc.chip.layout import Grid, components
from problems.noc.chip.tables import FAR

if TYPE_CHECKING:
    from problems.noc.chip.pe_type import PEType
    from problems.noc.chip.platform import Platform

__all__ = ["check_buildable", "check_types", "check_vertical_links"]


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
    links = []
    for pair in pairs:
        tiles = sorted(check_ints(owner, name, pair, 0))
        vertical = len(tiles) == 2 and tiles[1] == tiles[0] + layer < n
        require(owner, name, pair, vertical, expected)
        links.append((tiles[0], tiles[1]))
    require(owner, name, links, len(set(links)) == len(links), "free of repetitions")
    return tuple(sorted(links))


def check_buildable(platform: Platform) -> None:
    """Check that the links can connect the chip, and that the reference design is legal.

    Raises
    ------
    ValueError
        The platform cannot be built. The message names every reason that is known, and the
        numbers of the platform that matter.
    """
    n, planar, degree = platform.n_tiles, platform.n_planar_links, platform.max_degree
    fixed = platform.vertical_array
    budget = platform.n_vertical_links
    vertical = len(fixed) if budget is None else budget
    numbers = (
        f"{n} tiles, {planar} planar and {vertical} vertical links, max_degree {degree}, "
        f"max_length {platform.max_length}"
    )
    pieces = int(components(n, fixed).max()) + 1
    used = np.bincount(fixed.ravel(), minlength=n)
    ports = int(np.maximum(degree - used, 0).sum())
    chosen = platform.n_chosen
    n_candidates = platform.n_planar_candidates
    joining, kind = ("vertical links", "planar") if budget is None else ("fixed links", "chosen")
    apart = components(n, np.concatenate((fixed, platform.candidates))).any()
    faults = {
        f"tile {int(used.argmax())} alone has {used.max()} vertical links": used.max() > degree,
        f"joining the {pieces} pieces that the {joining} leave takes {pieces - 1} {kind} "
        "links or more": chosen < pieces - 1,
        f"routers have {ports} ports left for {kind} links, which need {2 * chosen}": 2 * chosen
        > ports,
        f"there are only {n_candidates} pairs of tiles that a planar link may join": planar
        > n_candidates,
        f"no set of {kind} links joins all tiles": apart,
    }
    if any(faults.values()):
        reasons = "; ".join(reason for reason, holds in faults.items() if holds)
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
        tile = int(wrong[0])
        got = f"{platform.pe_types[types[tile]].name} {placement[tile]} on tile {tile}"
        expected = "a placement of every PE where its type may sit"
        raise setting_error("Platform", "mesh_placement", expected, got)
    for setting in ("router_stages", "planar_delay", "vertical_delay"):
        value = getattr(platform, setting)
        require("Platform", setting, value, value < FAR, f"below {FAR} cycles")
    hops = platform.tables.link_cost
    # Neither a path over all tiles nor one hop more than "unreachable" may overflow 16 bits.
    most = min((FAR - 1) // (n - 1), np.iinfo(np.uint16).max - FAR)
    if hops.min() < 1 or hops.max() > most:
        raise ValueError(
            "The 'router_stages' and delays of Platform must make every hop take from 1 to "
            f"{most} cycles. Got hops of {hops.min()} to {hops.max()} instead; count in longer or "
            "shorter cycles."
        )
