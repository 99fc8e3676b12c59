"""Checks of a platform's settings, each with an error that names the setting or the numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .kernel import FAR
from .layout import n_components

if TYPE_CHECKING:
    from .platform import Platform

__all__ = [
    "check_constants",
    "check_links",
    "check_reference",
    "check_types",
    "integer",
    "number",
    "require",
]


def check_types(platform: Platform) -> None:
    """Check the grid and that the types fill it, and put both into plain tuples."""
    grid = platform.grid
    require(
        isinstance(grid, (tuple, list))
        and len(grid) == 3
        and all(isinstance(g, (int, np.integer)) and g >= 1 for g in grid)
        and math.prod(grid) >= 2,
        "grid",
        "Platform",
        "three integers >= 1 that make at least 2 tiles",
        grid,
    )
    object.__setattr__(platform, "grid", tuple(int(g) for g in grid))
    kinds = tuple(platform.pe_types)
    require(
        len(kinds) > 0 and all(hasattr(k, "allowed_tiles") for k in kinds),
        "pe_types",
        "Platform",
        "a sequence of PEType",
        platform.pe_types,
    )
    object.__setattr__(platform, "pe_types", kinds)
    names = [k.name for k in kinds]
    require(len(set(names)) == len(names), "pe_types", "Platform", "named differently", names)
    total = sum(k.count for k in kinds)
    if total != platform.n_tiles:
        counts = " + ".join(f"{k.count} {k.name}" for k in kinds)
        raise ValueError(
            f"The 'pe_types' parameter of Platform must fill the {platform.n_tiles} tiles of grid "
            f"{platform.grid} (add a type of power 0 for empty tiles). "
            f"Got {counts} = {total} instead."
        )
    for kind in kinds:
        if kind.allowed_tiles is not None:
            beyond = [t for t in kind.allowed_tiles if t >= platform.n_tiles]
            require(
                not beyond,
                "allowed_tiles",
                f"PEType {kind.name}",
                f"tiles below {platform.n_tiles}",
                beyond,
            )
            if len(kind.allowed_tiles) < kind.count:
                raise ValueError(
                    f"The 'allowed_tiles' parameter of PEType {kind.name} must have room for its "
                    f"{kind.count} PEs. Got {len(kind.allowed_tiles)} tiles instead."
                )


def check_links(platform: Platform) -> None:
    """Check the settings of the links, and list the vertical ones."""
    object.__setattr__(
        platform,
        "n_planar_links",
        integer(platform.n_planar_links, "n_planar_links", "Platform", 0),
    )
    object.__setattr__(
        platform, "max_degree", integer(platform.max_degree, "max_degree", "Platform", 1)
    )
    if platform.max_length is not None:
        number(platform.max_length, "max_length", 1.0)
    x, y, _ = platform.grid
    layer, n = x * y, platform.n_tiles
    pairs = platform.vertical_links
    if pairs is None:
        pairs = tuple((t, t + layer) for t in range(n - layer))
    try:
        pairs = tuple((min(a, b), max(a, b)) for a, b in ((int(p), int(q)) for p, q in pairs))
    except (TypeError, ValueError):
        raise ValueError(
            "The 'vertical_links' parameter of Platform must be a sequence of tile pairs. "
            f"Got {platform.vertical_links!r} instead."
        ) from None
    for a, b in pairs:
        if a < 0 or b != a + layer or b >= n:
            raise ValueError(
                "The 'vertical_links' parameter of Platform must join tiles one above the other "
                f"in neighbouring layers of grid {platform.grid} (b = a + {layer} < {n}). "
                f"Got ({a}, {b}) instead."
            )
    require(
        len(set(pairs)) == len(pairs), "vertical_links", "Platform", "free of repetitions", pairs
    )
    object.__setattr__(platform, "vertical_links", tuple(sorted(pairs)))


def check_constants(platform: Platform) -> None:
    """Check delays, energies, the thermal constants and the reference placement."""
    object.__setattr__(
        platform,
        "router_stages",
        integer(platform.router_stages, "router_stages", "Platform", 0),
    )
    for name in (
        "planar_delay",
        "vertical_delay",
        "router_energy",
        "planar_energy",
        "vertical_energy",
        "layer_resistance",
        "base_resistance",
    ):
        object.__setattr__(platform, name, number(getattr(platform, name), name, 0.0))
    require(
        platform.sink in ("top", "bottom"), "sink", "Platform", "'top' or 'bottom'", platform.sink
    )
    for name in ("core_type", "cache_type"):
        require(
            isinstance(getattr(platform, name), str),
            name,
            "Platform",
            "a string",
            getattr(platform, name),
        )
    if platform.mesh_placement is not None:
        placement = tuple(int(p) for p in platform.mesh_placement)
        require(
            sorted(placement) == list(range(platform.n_tiles)),
            "mesh_placement",
            "Platform",
            f"every PE id from 0 to {platform.n_tiles - 1} once",
            placement,
        )
        object.__setattr__(platform, "mesh_placement", placement)


def check_reference(platform: Platform) -> None:
    """Check that the links can connect the chip and that the reference design is legal."""
    n, planar, degree = platform.n_tiles, platform.n_planar_links, platform.max_degree
    vertical = np.array(platform.vertical_links, dtype=np.int64).reshape(-1, 2)
    numbers = (
        f"{n} tiles, {planar} planar and {len(vertical)} vertical links, max_degree {degree}, "
        f"max_length {platform.max_length}"
    )
    pillars = n_components(n, vertical)
    used = np.bincount(vertical.ravel(), minlength=n)
    ports = int(np.maximum(degree - used, 0).sum())
    reasons = []
    if used.max() > degree:
        reasons.append(f"tile {int(used.argmax())} alone has {used.max()} vertical links")
    if planar < pillars - 1:
        reasons.append(
            f"joining the {pillars} pieces that the vertical links leave takes at least "
            f"{pillars - 1} planar links"
        )
    if 2 * planar > ports:
        reasons.append(f"routers have {ports} ports left for planar links, which need {2 * planar}")
    if planar > len(platform.candidates):
        reasons.append(f"only {len(platform.candidates)} tile pairs may be joined")
    if n_components(n, np.concatenate((vertical, platform.candidates))) > 1:
        reasons.append("no set of planar links joins all tiles with these vertical links")
    if reasons:
        raise ValueError(
            f"The links of Platform must be able to connect it. Got {numbers} instead: "
            f"{'; '.join(reasons)}."
        )
    try:
        placement, _ = platform.mesh
    except ValueError as error:
        raise ValueError(f"{error} Platform: {numbers}.") from error
    wrong = np.flatnonzero(~platform.allowed[platform.pe_type[placement], np.arange(n)])
    if wrong.size:
        tile = int(wrong[0])
        raise ValueError(
            "The 'mesh_placement' parameter of Platform must put every PE where its type may sit. "
            f"Got PE {placement[tile]} ({platform.pe_types[platform.pe_type[placement[tile]]].name}"
            f") on tile {tile} instead."
        )
    if platform.tables.link_cost.min(initial=1) < 1:
        raise ValueError(
            "The 'router_stages' and delays of Platform must make every hop take at least a cycle. "
            "Got a hop of 0 instead."
        )
    longest = (n - 1) * int(platform.tables.link_cost.max(initial=0))
    if longest >= FAR:
        raise ValueError(
            f"The delays of Platform must keep every path below {FAR} cycles. Got up to "
            f"{longest} instead; choose a longer cycle."
        )


def require(ok: bool, name: str, owner: str, expected: str, got: object) -> None:
    """Raise a ValueError that names the parameter unless ``ok``."""
    if not ok:
        raise ValueError(
            f"The {name!r} parameter of {owner} must be {expected}. Got {got!r} instead."
        )


def integer(value: object, name: str, owner: str, least: int) -> int:
    """Return an integer parameter, or raise a ValueError."""
    ok = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    require(ok and int(value) >= least, name, owner, f"an integer >= {least}", value)  # type: ignore[call-overload]
    return int(value)  # type: ignore[call-overload]


def number(value: object, name: str, least: float) -> float:
    """Return a finite parameter of Platform as a float, or raise a ValueError."""
    ok = isinstance(value, (int, float, np.number)) and math.isfinite(float(value))
    ok = ok and float(value) >= least  # type: ignore[arg-type]
    require(ok, name, "Platform", f"a finite number >= {least}", value)
    return float(value)  # type: ignore[arg-type]
