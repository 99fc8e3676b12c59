"""Packages of equal dies side by side, whose links are the only choice."""

from __future__ import annotations

from problems.noc.chip.pe_type import PEType
from problems.noc.chip.platform import Platform

__all__ = ["chiplet_package"]


def chiplet_package(
    grid: tuple[int, int],
    *,
    max_degree: int = 4,
    max_length: float = 2.0,
    n_planar_links: int | None = None,
) -> Platform:
    """Return a package of equal dies side by side, each with a router of one cycle.

    A link takes no more cycles, so that routes have the fewest hops, as in the networks on
    interposers of NetSmith. PEs stay where they are; only links move.

    Parameters
    ----------
    grid : tuple of 2 int
        Dies along x and y.
    max_degree : int
        Links of a router.
    max_length : float
        Longest link in pitches of the dies.
    n_planar_links : int, optional
        By default as many as the ports allow.

    Returns
    -------
    Platform

    Raises
    ------
    ValueError
        The links cannot connect the dies.

    Examples
    --------
    >>> from problems.noc import chiplet_package
    >>> chiplet_package((5, 4)).n_planar_links
    40
    """
    n = grid[0] * grid[1]
    fewest = n - 1
    count = n * max_degree // 2 if n_planar_links is None else n_planar_links
    while True:
        try:
            return Platform(
                grid=(*grid, 1),
                pe_types=(PEType(name="die", count=n, power=1.0),),
                n_planar_links=count,
                max_degree=max_degree,
                max_length=max_length,
                router_stages=1,
                planar_delay=0.0,
                fixed_placement=True,
            )
        except ValueError:
            # Not all ports may find a partner within the longest link.
            if n_planar_links is not None or count <= fewest:
                raise
            count -= 1
