"""Packages of equal dies side by side."""

from __future__ import annotations

from problems._checks import check_int, check_ints, require
from problems.noc.chip.pe_type import PEType
from problems.noc.chip.platform import Platform
from problems.noc.chip.technology import DieLink, Technology

__all__ = ["chiplet_package"]


def chiplet_package(
    grid: tuple[int, int],
    *,
    max_degree: int = 4,
    max_length: float = 2.0,
    n_planar_links: int | None = None,
    link: DieLink | str | None = None,
    routers: tuple[int, int] = (1, 1),
    technology: Technology | str | None = None,
    frequency: float = 1e9,
    flit_width: int = 128,
) -> Platform:
    """Return a package of equal dies side by side, whose routers take one cycle.

    By default, a link takes no more cycles, so that routes have the fewest hops, as in the networks
    on interposers of NetSmith. PEs stay where they are; only links move.

    Parameters
    ----------
    grid : tuple of 2 int
        Dies along x and y.
    max_degree : int
        Links of a router.
    max_length : float
        Longest link in pitches of the routers, which are those of the dies if each has one.
    n_planar_links : int, optional
        By default as many as the ports allow.
    link : DieLink or str, optional
        Latency, energy and bandwidth of links between dies, or a preset: "ucie-standard" for an
        organic substrate, "ucie-advanced" for a silicon bridge or interposer, or
        "silicon-interposer", one that was measured. By default they are like any other link.
    routers : tuple of 2 int
        Routers of a die along x and y, each with a PE.
    technology : Technology or str, optional
        Of the dies, for metrics in physical units.
    frequency, flit_width : float, int
        Of ``Platform``. They tell how many flits per cycle the bandwidth of a link is.

    Returns
    -------
    Platform

    Raises
    ------
    ValueError
        The links cannot connect the dies, or a parameter is wrong.

    Examples
    --------
    >>> from problems.noc import chiplet_package
    >>> chiplet_package((5, 4)).n_planar_links
    40
    >>> package = chiplet_package((2, 2), routers=(2, 2), link="ucie-standard", flit_width=1024)
    >>> package.n_tiles, package.physical.die_rate  # 64 of 128 GB/s
    (16, 0.5)
    """
    owner, expected = "chiplet_package", "two integers of at least 1, along x and y"
    dies, tiles = check_ints(owner, "grid", grid, 1), check_ints(owner, "routers", routers, 1)
    require(owner, "grid", grid, len(dies) == 2, expected)
    require(owner, "routers", routers, len(tiles) == 2, expected)
    max_degree = check_int(owner, "max_degree", max_degree, 1)
    if n_planar_links is not None:
        n_planar_links = check_int(owner, "n_planar_links", n_planar_links, 0)
    x, y = dies[0] * tiles[0], dies[1] * tiles[1]
    n = x * y
    fewest = n - 1
    count = n * max_degree // 2 if n_planar_links is None else n_planar_links
    while True:
        try:
            return Platform(
                grid=(x, y, 1),
                pe_types=(PEType(name="die", count=n, power=1.0),),
                n_planar_links=count,
                max_degree=max_degree,
                max_length=max_length,
                router_stages=1,
                planar_delay=0.0,
                fixed_placement=True,
                die_size=None if link is None else (tiles[0], tiles[1]),
                die_link=DieLink.optional(link, "die_link"),
                technology=Technology.optional(technology, "technology"),
                frequency=frequency,
                flit_width=flit_width,
            )
        except ValueError:
            # Not all ports may find a partner within the longest link.
            if n_planar_links is not None or count <= fewest:
                raise
            count -= 1
