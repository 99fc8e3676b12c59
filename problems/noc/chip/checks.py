"""Checks of a platform's settings, each with an error that names the setting and the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from problems.noc.chip.layout import n_components
from problems.noc.chip.tables import FAR

if TYPE_CHECKING:
    from problems.noc.chip.pe_type import PEType
    from problems.noc.chip.platform import Platform

__all__ = [
    "check_budget",
    "check_buildable",
    "check_types",
    "integer",
    "integers",
    "number",
    "require",
    "verticals",
]

Grid = tuple[int, int, int]


def require(ok: bool, name: str, owner: str, expected: str, got: object) -> None:
    """Raise a ValueError that names the parameter unless ``ok``."""
    if not ok:
        raise ValueError(
            f"The {name!r} parameter of {owner} must be {expected}. Got {got!r} instead."
        )


def integer(value: Any, name: str, owner: str, least: int) -> int:
    """Return an integer parameter, or raise a ValueError."""
    ok = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    require(ok and value >= least, name, owner, f"an integer >= {least}", value)
    return int(value)


def integers(values: Any, name: str, owner: str, least: int) -> tuple[int, ...]:
    """Return a parameter that is a sequence of integers, or raise a ValueError."""
    expected = f"a sequence of integers >= {least}"
    require(
        isinstance(values, Iterable) and not isinstance(values, str), name, owner, expected, values
    )
    return tuple(integer(value, name, owner, least) for value in values)


def number(value: Any, name: str, owner: str, least: float = 0.0) -> float:
    """Return a finite number as a float, or raise a ValueError."""
    ok = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    ok = ok and math.isfinite(value) and value >= least
    require(ok, name, owner, f"a finite number >= {least:g}", value)
    return float(value)


def check_types(kinds: tuple[PEType, ...], grid: Grid) -> None:
    """Check that the types of PE fill the grid and have room on it."""
    n = math.prod(grid)
    names = [kind.name for kind in kinds]
    require(len(set(names)) == len(names), "pe_types", "Platform", "of different names", names)
    total = sum(kind.count for kind in kinds)
    if total != n:
        counts = " + ".join(f"{kind.count} {kind.name}" for kind in kinds) or "none"
        raise ValueError(
            f"The 'pe_types' parameter of Platform must fill the {n} tiles of grid {grid} (add a "
            f"type of power 0 for empty tiles). Got {counts} = {total} instead."
        )
    for kind in kinds:
        tiles = kind.allowed_tiles
        if tiles is None:
            continue
        owner = f"PEType {kind.name}"
        require(
            max(tiles, default=0) < n,
            "allowed_tiles",
            owner,
            f"tiles below {n}",
            max(tiles, default=0),
        )
        if len(tiles) < kind.count:
            raise ValueError(
                f"The 'allowed_tiles' parameter of {owner} must have room for its {kind.count} "
                f"PEs. Got {len(tiles)} tiles instead."
            )


def verticals(pairs: Any, grid: Grid) -> tuple[tuple[int, int], ...]:
    """Return the vertical links, lower tile first and ascending; None stands for all of them."""
    n = math.prod(grid)
    layer = grid[0] * grid[1]
    if pairs is None:
        return tuple((tile, tile + layer) for tile in range(n - layer))
    name, owner = "vertical_links", "Platform"
    require(isinstance(pairs, Iterable), name, owner, "a sequence of tile pairs", pairs)
    links = []
    for pair in pairs:
        tiles = sorted(integers(pair, name, owner, 0))
        require(
            len(tiles) == 2 and tiles[1] == tiles[0] + layer and tiles[1] < n,
            name,
            owner,
            f"pairs of tiles one above the other in neighboring layers of grid {grid} "
            f"(second = first + {layer} < {n})",
            pair,
        )
        links.append((tiles[0], tiles[1]))
    require(len(set(links)) == len(links), name, owner, "free of repetitions", links)
    return tuple(sorted(links))


def check_budget(value: Any, sites: int, layers: int) -> int:
    """Return the TSV budget, or raise a ValueError where it cannot be kept."""
    budget = integer(value, "n_vertical_links", "Platform", 0)
    require(
        layers - 1 <= budget <= sites,
        "n_vertical_links",
        "Platform",
        f"from {layers - 1}, one between each two of {layers} layers, to {sites}, the number of "
        "vertical_links",
        value,
    )
    return budget


def check_buildable(platform: Platform) -> None:
    """Check that the links can connect the chip, and that the reference design is legal.

    Raises
    ------
    ValueError
        With all numbers of the platform that matter, and every reason that is known.
    """
    n, planar, degree = platform.n_tiles, platform.n_planar_links, platform.max_degree
    fixed = platform.vertical_array
    budget = platform.n_vertical_links
    vertical = len(fixed) if budget is None else budget
    numbers = (
        f"{n} tiles, {planar} planar and {vertical} vertical links, max_degree {degree}, "
        f"max_length {platform.max_length}"
    )
    pieces = n_components(n, fixed)
    used = np.bincount(fixed.ravel(), minlength=n)
    ports = int(np.maximum(degree - used, 0).sum())
    chosen = platform.n_chosen
    n_candidates = platform.n_planar_candidates
    joining, kind = ("vertical links", "planar") if budget is None else ("fixed links", "chosen")
    reasons = {
        f"tile {int(used.argmax())} alone has {used.max()} vertical links": used.max() > degree,
        f"joining the {pieces} pieces that the {joining} leave takes {pieces - 1} {kind} "
        "links or more": chosen < pieces - 1,
        f"routers have {ports} ports left for {kind} links, which need {2 * chosen}": 2 * chosen
        > ports,
        f"there are only {n_candidates} pairs of tiles that a planar link may join": planar
        > n_candidates,
        f"no set of {kind} links joins all tiles": n_components(
            n, np.concatenate((fixed, platform.candidates))
        )
        > 1,
    }
    found = [reason for reason, holds in reasons.items() if holds]
    if found:
        raise ValueError(
            f"The links of Platform must be able to connect it. Got {numbers} instead: "
            f"{'; '.join(found)}."
        )
    try:
        placement, _ = platform.mesh
    except ValueError as error:
        raise ValueError(f"{error} Platform: {numbers}.") from error
    wrong = np.flatnonzero(~platform.allowed[platform.pe_type[placement], np.arange(n)])
    if wrong.size:
        tile = int(wrong[0])
        name = platform.pe_types[platform.pe_type[placement[tile]]].name
        raise ValueError(
            "The 'mesh_placement' parameter of Platform must put every PE where its type may sit. "
            f"Got {name} {placement[tile]} on tile {tile} instead."
        )
    for setting in ("router_stages", "planar_delay", "vertical_delay"):
        value = getattr(platform, setting)
        require(value < FAR, setting, "Platform", f"below {FAR} cycles", value)
    hops = platform.tables.link_cost
    if hops.min() < 1:
        raise ValueError(
            "The 'router_stages' and delays of Platform must make every hop take a cycle or more. "
            "Got a hop of 0 instead."
        )
    # Neither a path over all tiles nor one hop more than "unreachable" may overflow 16 bits.
    most = min((FAR - 1) // (n - 1), np.iinfo(np.uint16).max - FAR)
    if hops.max() > most:
        raise ValueError(
            f"The 'router_stages' and delays of Platform must keep every hop at {most} cycles or "
            f"less. Got hops of up to {hops.max()} instead; count in longer cycles."
        )
