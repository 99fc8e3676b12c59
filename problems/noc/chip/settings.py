"""The settings of a platform, each checked and in the form in which the platform keeps it."""

from __future__ import annotations

import math
from collections.abc import Sized
from dataclasses import fields
from typing import TYPE_CHECKING

from problems._checks import check_choice, check_int, check_ints, check_real, require
from problems.noc.chip.checks import (
    check_dies,
    check_planar_links,
    check_types,
    check_vertical_links,
)
from problems.noc.chip.pe_type import LARGEST, pe_types_of
from problems.noc.chip.stack import ThermalStack
from problems.noc.chip.tables import FAR
from problems.noc.chip.technology import DieLink, Technology

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = ["checked_settings"]

# Numbers must be at least 0, but these integers at least 1, and these floats at least 1 / LARGEST.
AT_LEAST_ONE = ("max_degree", "flit_width", "packet_flits", "buffer_flits", "virtual_channels")
LARGEST_INT = 2**31 - 1
PLATFORM_ROUTINGS = ("shortest", "dimension_order", "up_down", "lash")
POSITIVE = ("frequency", "link_capacity", "bit_area", "wire_pitch")


def checked_settings(platform: Platform) -> dict[str, object]:
    """Return the settings of a platform that are kept in another form than they were given.

    A ValueError names the first setting that is out of range or contradicts another one.
    """
    clean = _plain_settings(platform)
    axes = check_ints("Platform", "grid", platform.grid, 1)
    n = math.prod(axes)
    # A path over more tiles takes more cycles than are counted.
    expected = f"three integers of at least 1 that make two to {FAR} tiles"
    require("Platform", "grid", platform.grid, len(axes) == 3 and 2 <= n <= FAR, expected)
    clean["grid"] = grid = (axes[0], axes[1], axes[2])
    clean["pe_types"] = pe_types = pe_types_of(platform.pe_types)
    clean["stack"] = ThermalStack.of(platform.stack)
    clean["technology"] = Technology.optional(platform.technology, "technology")
    clean["die_link"] = DieLink.optional(platform.die_link, "die_link")
    clean["die_size"] = check_dies(platform.die_size, platform.die_link, grid)
    clean["vertical_links"] = sites = check_vertical_links(platform.vertical_links, grid)
    if platform.planar_links is not None:
        longest = clean.get("max_length", platform.max_length)
        clean["planar_links"] = check_planar_links(platform.planar_links, grid, longest)
    if platform.n_vertical_links is not None:
        low, high = grid[2] - 1, len(sites)
        budget = check_int("Platform", "n_vertical_links", platform.n_vertical_links, low, high)
        # All of them is no choice.
        clean["n_vertical_links"] = None if budget == high else budget
    if platform.mesh_placement is not None:
        clean["mesh_placement"] = _placement(platform.mesh_placement, n)
    check_choice("Platform", "sink", platform.sink, ("top", "bottom"))
    check_choice("Platform", "routing", platform.routing, PLATFORM_ROUTINGS)
    check_types(pe_types, grid)
    return clean


def _plain_settings(platform: Platform) -> dict[str, object]:
    """Return the settings that are one number each; those that are a flag or a text are checked."""
    clean: dict[str, object] = {}
    for name, kind in ((f.name, f.type) for f in fields(platform)):
        value = getattr(platform, name)
        if kind == "int":
            low = int(name in AT_LEAST_ONE)
            clean[name] = check_int("Platform", name, value, low, LARGEST_INT)
        elif kind == "float":
            low_ = 1.0 / LARGEST if name in POSITIVE else 0.0
            clean[name] = check_real("Platform", name, value, low_, LARGEST)
        elif kind == "bool":
            require("Platform", name, value, isinstance(value, bool), "True or False")
        elif kind == "str":
            require("Platform", name, value, isinstance(value, str), "a text")
    if platform.channel_flits is not None:
        given_flits = platform.channel_flits
        clean["channel_flits"] = check_int("Platform", "channel_flits", given_flits, 1, 2**20)
    if platform.max_length is not None:
        clean["max_length"] = check_real("Platform", "max_length", platform.max_length, 1.0)
    return clean


def _placement(given: object, n: int) -> tuple[int, ...]:
    expected = f"every PE id from 0 to {n - 1} once"
    short = not isinstance(given, Sized) or len(given) == n
    require("Platform", "mesh_placement", given, short, expected)
    placement = check_ints("Platform", "mesh_placement", given, 0)
    complete = sorted(placement) == list(range(n))
    require("Platform", "mesh_placement", placement, complete, expected)
    return placement
