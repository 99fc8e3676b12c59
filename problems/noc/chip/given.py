"""Platforms that callers give: the default one, and whether one leaves something to decide."""

from __future__ import annotations

from problems._checks import require
from problems.noc.chip.platform import Platform

__all__ = ["movable", "platform_of"]


def platform_of(value: Platform | None, owner: str) -> Platform:
    """Return a platform, by default that of the paper, or raise if the value is no platform."""
    platform = Platform.paper_4x4x4() if value is None else value
    require(owner, "platform", platform, isinstance(platform, Platform), "a Platform")
    return platform


def movable(platform: Platform) -> Platform:
    """Return the platform, or raise a ValueError if it leaves a search nothing to decide."""
    if not (platform.fixed_placement and platform.n_chosen == len(platform.candidates)):
        return platform
    links = "its 'planar_links' are as many as 'n_planar_links'"
    if platform.planar_links is None:
        links = f"each design has all {platform.n_links} links that the platform allows"
    raise ValueError(
        f"Nothing is left to decide on this platform: its 'fixed_placement' is True, and {links}. "
        "Free the links or the placement; NoC3D.evaluate and NoC3D.measure take its only design, "
        "problem.mesh_row()."
    )
