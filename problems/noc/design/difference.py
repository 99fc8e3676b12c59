"""The differences between two designs in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from problems._arrays import Ints
    from problems.noc.design.design import Design

__all__ = ["describe_differences"]

MOST = 2
"""PEs and links that are named one by one; more of them are counted."""


def describe_differences(design: Design, other: Design) -> list[str]:
    """Return phrases on what a design has instead of another one of the same platform.

    Up to two PEs and up to two links are named; more of them are counted.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.noc import Design
    >>> from problems.noc.design.difference import describe_differences
    >>> mesh = Design.mesh()
    >>> placement = mesh.placement.copy()
    >>> placement[[0, 5]] = placement[[5, 0]]
    >>> describe_differences(Design(placement, mesh.links), mesh)
    ['PE 0 (CPU) at tile 0 instead of 5', 'PE 8 (LLC) at tile 5 instead of 0']
    """
    platform = design.platform
    tiles, others = np.argsort(design.placement), np.argsort(other.placement)
    moved = np.flatnonzero(tiles != others)
    found = [
        f"PE {pe} ({platform.pe_types[platform.pe_type[pe]].name}) at tile {tiles[pe]} instead of "
        f"{others[pe]}"
        for pe in moved.tolist()
    ]
    if len(moved) > MOST:
        found = [f"the tiles of {len(moved)} of {platform.n_tiles} PEs"]
    exchanged = _exchanged(design.planar_links, other.planar_links)
    exchanged += _exchanged(design.vertical_links, other.vertical_links)
    if len(exchanged) > MOST:
        return [*found, f"{len(exchanged)} of {platform.n_chosen} links"]
    return found + exchanged


def _exchanged(links: Ints, others: Ints) -> list[str]:
    """Return a phrase for each link that another design of as many links does not have."""
    own, theirs = ([f"{a}-{b}" for a, b in pairs.tolist()] for pairs in (links, others))
    new = [link for link in own if link not in theirs]
    old = [link for link in theirs if link not in own]
    return [f"link {a} instead of {b}" for a, b in zip(new, old, strict=True)]
