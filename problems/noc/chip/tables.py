"""A platform as flat arrays for compiled functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from problems._arrays import Bools, Floats, Ints
from problems.noc.chip.layout import length_parts, link_lengths, positions

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform
    from problems.noc.chip.technology import Technology

__all__ = ["FAR", "PhysicalTables", "Seeds", "Tables", "Words"]

FAR = 60_000
"""Distance of an unreachable node; every real path cost is below it."""

RELEASED_UNIT = 1e-9
"""Joules of the default energies of a platform, as we read the constants of the released code."""

Words = NDArray[np.uint16]
Seeds = NDArray[np.uint64]


class Tables(NamedTuple):
    """Arrays of one platform; links are the candidates, then the vertical links of every design."""

    n_planar: int  # planar links of a design
    max_degree: int
    n_chosen: int  # links that a design chooses: planar, then, with a TSV budget, vertical ones
    n_candidates: int
    n_planar_candidates: int  # they come first
    link_a: Ints  # [n_candidates + n_vertical] the first tile of each link
    link_b: Ints  # [same] the second
    link_cost: Words  # [same] cycles of one hop over the link, including the router
    link_energy: Floats  # [same] energy per unit of traffic
    vertical_degree: Ints  # [n_tiles] vertical links that each tile has in every design
    pe_type: Ints  # [n_tiles] type of each PE
    type_count: Ints  # [n_types] PEs of each type
    allowed: Bools  # [n_types, n_tiles] whether a type may sit on a tile
    power: Floats  # [n_tiles] watts of each PE
    stack: Ints  # [n_tiles] stack (x, y) of each tile
    level: Ints  # [n_tiles] layer of each tile counted from the heat sink, 0 first
    place: Ints  # [n_tiles, 3] x, y, z of each tile
    router_energy: float
    layer_resistance: float
    base_resistance: float

    @classmethod
    def of(cls, platform: Platform) -> Tables:
        """Return the tables of a platform."""
        x, y, z = platform.grid
        place = positions(platform.grid)
        layer = np.ascontiguousarray(place[:, 2])
        links = np.concatenate((platform.candidates, platform.vertical_array))
        planar = np.arange(len(links)) < platform.n_planar_candidates
        length = link_lengths(platform.grid, links)
        # Rounded first, since ceil(2.0000000000000004) is 3.
        delay = np.ceil(np.round(length * platform.planar_delay, 9))
        technology = platform.technology
        if technology is not None and technology.wire_delay is not None:
            delay = np.ceil(np.round(_wire_cycles(platform, technology, length), 9))
        vertical_delay = np.ceil(platform.vertical_delay)
        cost = platform.router_stages + np.where(planar, delay, vertical_delay)
        energy = np.where(
            planar, platform.planar_energy * np.ceil(np.round(length, 9)), platform.vertical_energy
        )
        if platform.die_link is not None:
            between = platform.die[links[:, 0]] != platform.die[links[:, 1]]
            cycles = platform.die_link.latency * 1e-9 * platform.frequency
            cost += between * np.ceil(round(cycles, 9))
            joules = platform.die_link.energy * 1e-12 * platform.flit_width
            energy += between * joules / (platform.energy_unit or RELEASED_UNIT)
        return cls(
            n_planar=platform.n_planar_links,
            max_degree=platform.max_degree,
            n_chosen=platform.n_chosen,
            n_candidates=len(platform.candidates),
            n_planar_candidates=platform.n_planar_candidates,
            link_a=np.ascontiguousarray(links[:, 0]),
            link_b=np.ascontiguousarray(links[:, 1]),
            link_cost=np.minimum(cost, np.iinfo(np.uint16).max).astype(np.uint16),
            link_energy=energy,
            vertical_degree=np.bincount(
                platform.vertical_array.ravel(), minlength=platform.n_tiles
            ),
            # Copies: compiled code would be compiled again for arrays that are read-only.
            pe_type=platform.pe_type.copy(),
            type_count=np.array([kind.count for kind in platform.pe_types], dtype=np.int64),
            allowed=platform.allowed.copy(),
            power=platform.power.copy(),
            stack=np.arange(platform.n_tiles) % (x * y),
            level=z - 1 - layer if platform.sink == "top" else layer,
            place=place,
            router_energy=platform.router_energy,
            layer_resistance=platform.layer_resistance,
            base_resistance=platform.base_resistance,
        )


class PhysicalTables(NamedTuple):
    """Physical figures of the links in the order of `Tables`; energies are 0 without technology."""

    gigabytes: float  # GB/s of one flit per cycle
    die_rate: float  # flits per cycle of a link between dies, over those of other links
    rate: Floats  # [n_links] flits per cycle of each link, over those of a link within a die
    length: Floats  # [n_links] mm within a layer; 0 for vertical links
    times: Ints  # [n_links] the length of each link in tile pitches is this times its root
    root: Ints  # [n_links] position of its root in `roots`
    roots: Floats  # [n_roots] ascending
    repeaters: Floats  # [n_links] of all wires of both directions
    link_energy: Floats  # [n_links] pJ of a flit
    port_energy: float  # pJ of a flit in a router, for each port

    @classmethod
    def of(cls, platform: Platform) -> PhysicalTables:
        """Return the figures of a platform."""
        links = np.concatenate((platform.candidates, platform.vertical_array))
        planar = np.arange(len(links)) < platform.n_planar_candidates
        bits, die_link, technology = platform.flit_width, platform.die_link, platform.technology
        gigabytes = bits * platform.frequency / 8e9
        between = platform.die[links[:, 0]] != platform.die[links[:, 1]]
        die_rate = 1.0
        if die_link is not None:
            # A port of a router takes no more than the capacity of the other links.
            die_rate = min(1.0, die_link.bandwidth / gigabytes / platform.link_capacity)
        length = planar * link_lengths(platform.grid, links) * platform.stack.tile_pitch * 1e3
        times, radicand = length_parts(platform.grid, links)
        radicands, root = np.unique(radicand, return_inverse=True)
        repeaters, energy, port = np.zeros(len(links)), np.zeros(len(links)), 0.0
        if technology is not None:
            counts = wire_repeaters(technology, length)
            repeaters = 2.0 * bits * counts
            energy = technology.wire_energy * length + technology.repeater_energy * counts
            energy = np.where(planar, energy, technology.tsv_energy)
            energy = bits * (energy + between * (die_link.energy if die_link else 0.0))
            port = bits * technology.router_energy / technology.router_ports
        rate = np.where(between, die_rate, 1.0)
        return cls(
            gigabytes, die_rate, rate, length, times, root.astype(np.int64), np.sqrt(radicands),
            repeaters, energy, port,
        )  # fmt: skip


def wire_repeaters(technology: Technology, length: Floats) -> Floats:
    """Return the repeaters of wires of some mm: one after each spacing that is not the end."""
    counts = np.ceil(np.round(length / technology.repeater_spacing, 9)) - 1
    repeaters: Floats = np.maximum(counts, 0.0)
    return repeaters


def _wire_cycles(platform: Platform, technology: Technology, length: Floats) -> Floats:
    """Return the cycles of wires of some tile pitches, not rounded."""
    assert technology.wire_delay is not None
    mm = length * platform.stack.tile_pitch * 1e3
    delay = technology.wire_delay * mm
    delay += technology.repeater_delay * wire_repeaters(technology, mm)
    cycles: Floats = delay * 1e-9 * platform.frequency
    return cycles
