"""The platform: grid, processing elements, links, and the constants of the models of a chip.

References
----------
.. [1] B. K. Joardar et al., "Learning-Based Application-Agnostic 3D NoC Design for Heterogeneous
   Manycore Systems", IEEE Transactions on Computers, 2018.
.. [2] S. Qi et al., "MOELA: A Multi-Objective Evolutionary/Learning Design Space Exploration
   Framework for 3D Heterogeneous Manycore Platforms", DATE 2023, arXiv 2303.06169.
.. [3] J. Cong, J. Wei, Y. Zhang, "A thermal-driven floorplanning algorithm for 3D ICs",
   ICCAD 2004.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property

import numpy as np

from problems._arrays import Bools, Floats, Ints
from problems._checks import check_choice, check_int
from problems.noc.chip.checks import check_buildable, check_memory, check_technology
from problems.noc.chip.files import JSONFile, check_fields
from problems.noc.chip.layout import (
    Grid,
    frozen,
    link_candidates,
    link_lengths,
    mesh_links,
    mesh_placement,
    mesh_verticals,
    positions,
)
from problems.noc.chip.pe_type import PEType
from problems.noc.chip.presets import PRESETS, preset_settings
from problems.noc.chip.settings import checked_settings
from problems.noc.chip.stack import ThermalStack
from problems.noc.chip.tables import PhysicalTables, Tables
from problems.noc.chip.technology import DieLink, Technology

__all__ = ["PEType", "Platform"]


@dataclass(frozen=True, kw_only=True)
class Platform(JSONFile):
    """A 2D or 3D manycore chip as data, checked when it is made. Its arrays are read-only.

    Tiles are numbered ``x_size * y_size * z + x_size * y + x``. PE ids run through the types in
    their order. Energies are per unit of traffic, in the unit of the released MOELA code.

    Parameters
    ----------
    grid : tuple of 3 int
        Tiles along x, y and z; z = 1 is a 2D chip.
    pe_types : sequence of PEType, or mapping
        Their counts must add up to the number of tiles (a type of power 0 makes empty tiles). Also
        as ``{"CPU": {"count": 8, "power": 1.0, "allowed_tiles": [...]}, ...}``.
    n_planar_links : int
        Links inside layers that every design has, of any length up to ``max_length``.
    vertical_links : sequence of (int, int), optional
        Tile pairs, one above the other, that through-silicon vias (TSVs) join in every design; by
        default all of them.
    n_vertical_links : int, optional
        The TSV budget: how many of ``vertical_links`` a design has, at least one between each two
        layers. The design then chooses them, as it chooses its planar links. By default every
        design has all of them.
    max_degree : int
        Largest number of links of a router, including the vertical ones.
    max_length : float, optional
        Longest planar link, Euclidean, in tile pitches; by default without limit.
    router_stages : int
        Cycles in a router.
    planar_delay, vertical_delay : float
        Cycles of a planar link per tile pitch, and of a vertical link; each link is rounded up.
    router_energy, planar_energy, vertical_energy : float
        Per unit of traffic and router port, tile pitch (the length rounded up), vertical link.
    layer_resistance, base_resistance : float
        R_j and R_b, in K/W, of the thermal model of Cong et al. (ICCAD 2004) in the "thermal"
        objective. The paper does not give its values, so the defaults are our choice. The
        "temperature" objective takes both from ``stack``.
    stack : ThermalStack
        Dies and package, for "temperature" and for HotSpot.
    frequency : float
        Clock of the network, in Hz.
    flit_width, packet_flits : int
        Bits of a flit, and mean length of a packet in flits.
    packet_cv : float
        Coefficient of variation of the packet length; 0 if all are equally long.
    link_capacity : float
        Flits that a link takes per cycle and direction. Traffic is in flits per cycle: divide a
        traffic file by the cycles of its trace.
    buffer_flits : int
        Flits that the buffers of a router port hold, for its area; if ``channel_flits`` is stated,
        ``virtual_channels`` times that.
    virtual_channels : int
        Virtual channels of a router port.
    channel_flits : int, optional
        Flits that the buffer of a virtual channel holds. By default it covers the credit loop,
        twice the hop plus five cycles, so that no packet waits for credits alone.
    energy_unit : float
        Joules of one unit of energy. The power of routers and links, spread over their tiles, then
        counts in "peak_temperature"; by default it is not stated and does not.
    bit_area, wire_pitch : float
        For the router area: mm2 of a buffered bit, mm between two wires of the crossbar.
    planar_links : sequence of (int, int), optional
        Tile pairs that planar links may join; by default all within ``max_length``. If there are
        no more of them than ``n_planar_links``, only PEs move.
    fixed_placement : bool
        Whether operators leave all PEs where the reference design has them, as for a network of
        equal dies.
    routing : {"shortest", "dimension_order", "up_down", "lash"}
        Routes of packets, which all metrics, simulations and exports follow. "shortest" routes
        may deadlock. "lash" divides them among virtual layers without cycles, at most one for each
        virtual channel: problems limit "virtual_layers" then. "up_down" routes first go towards
        the root of a tree, then away from it. "dimension_order" is for meshes: a platform whose
        links are all those between neighboring tiles. See ``problems.noc.evaluation.routes``.
    technology : Technology or str, optional
        Physical figures of routers, wires and vias, for metrics in W, pJ, GB/s and mm; or the name
        of a preset, such as "32nm".
    die_size : tuple of 2 int, optional
        Tiles along x and y of each of equal dies side by side; goes with ``die_link``.
    die_link : DieLink or str, optional
        What links between these dies take, or the name of a preset, such as "ucie-standard". Its
        energy counts in "energy" in units of ``energy_unit``, or, where that is 0, of 1 nJ, in
        which 0.22 pJ a bit make the default ``vertical_energy``.
    sink : {"top", "bottom"}
        The layer next to the heat sink: the last or the first.
    core_type, cache_type : str
        The two types whose traffic counts for latency.
    mesh_placement : sequence of int, optional
        PE id on each tile of the reference design; by default a legal placement is computed.

    Raises
    ------
    ValueError
        A setting is out of range, or the settings contradict each other.

    Examples
    --------
    >>> from problems.noc import Platform
    >>> chip = Platform.paper_4x4x4()
    >>> chip.n_tiles, chip.n_links
    (64, 144)
    >>> flat = Platform(
    ...     grid=(2, 2, 1),
    ...     pe_types={"CPU": {"count": 2, "power": 2.0}, "LLC": {"count": 2, "power": 1.0}},
    ...     n_planar_links=4,
    ... )
    >>> flat.position(3)
    (1, 1, 0)
    """

    grid: Grid
    pe_types: tuple[PEType, ...]
    n_planar_links: int
    vertical_links: tuple[tuple[int, int], ...] | None = None
    n_vertical_links: int | None = None
    max_degree: int = 8
    max_length: float | None = None
    router_stages: int = 5
    planar_delay: float = 1.0
    vertical_delay: float = 1.0
    router_energy: float = 1e-3 * 2.25 * 4.57
    planar_energy: float = 1e-3 * 7.44 * 4.57
    vertical_energy: float = 1e-3 * 0.22 * 128
    layer_resistance: float = 10.0
    base_resistance: float = 10.0
    sink: str = "top"
    core_type: str = "CPU"
    cache_type: str = "LLC"
    mesh_placement: tuple[int, ...] | None = None
    # From here on, fields were added later, like n_vertical_links.
    stack: ThermalStack = field(default_factory=ThermalStack)
    frequency: float = 1e9
    flit_width: int = 128
    packet_flits: int = 4
    packet_cv: float = 0.0
    link_capacity: float = 1.0
    buffer_flits: int = 16
    bit_area: float = 1e-6
    wire_pitch: float = 2e-4
    energy_unit: float = 0.0
    virtual_channels: int = 4
    channel_flits: int | None = None
    routing: str = "shortest"
    planar_links: tuple[tuple[int, int], ...] | None = None
    fixed_placement: bool = False
    technology: Technology | None = None
    die_size: tuple[int, int] | None = None
    die_link: DieLink | None = None

    def __post_init__(self) -> None:
        vars(self).update(checked_settings(self))
        check_technology(self)
        # This computes the reference design, so that a chip that cannot be built fails when it is
        # described and not when a run starts.
        check_buildable(self)

    @classmethod
    def paper_4x4x4(cls) -> Platform:
        """Return the chip of the MOELA paper: 8 CPUs, 16 LLCs and 40 GPUs on 4 x 4 x 4 tiles.

        It has 144 links, 48 of them vertical, routers with at most 8 ports, and no last-level cache
        on the eight interior tiles.
        """
        return cls.preset("4x4x4")

    @classmethod
    def mesh_8x8(cls) -> Platform:
        """Return a flat chip of 8 x 8 tiles with the PEs of the paper's chip and 112 links."""
        return cls.preset("8x8")

    @classmethod
    def stack_8x8x4(cls) -> Platform:
        """Return a chip of 8 x 8 x 4 tiles: 32 CPUs, 64 LLCs and 160 GPUs, 640 links."""
        return cls.preset("8x8x4")

    @classmethod
    def cube_10x10x10(cls) -> Platform:
        """Return a chip of 10 x 10 x 10 tiles: 125 CPUs, 250 LLCs, 625 GPUs, 2,700 links."""
        return cls.preset("10x10x10")

    @classmethod
    def preset(cls, name: str) -> Platform:
        """Return a ready-made platform: "4x4x4", "8x8", "8x8x4" or "10x10x10"."""
        return cls(**preset_settings(check_choice("preset", "name", name, tuple(PRESETS))))

    @property
    def n_tiles(self) -> int:
        """Number of tiles, which is the number of PEs."""
        return math.prod(self.grid)

    @property
    def n_links(self) -> int:
        """Number of links of every design, planar and vertical."""
        return self.n_chosen + len(self.vertical_array)

    @property
    def n_chosen(self) -> int:
        """Number of links that a design chooses: the planar ones and, with a budget, the TSVs."""
        return self.n_planar_links + (self.n_vertical_links or 0)

    def position(self, tile: int) -> tuple[int, int, int]:
        """Return (x, y, z) of a tile."""
        tile = check_int("Platform.position", "tile", tile, 0, self.n_tiles - 1)
        x, y, _ = self.grid
        return tile % x, tile // x % y, tile // (x * y)

    @cached_property
    def candidates(self) -> Ints:
        """Tile pairs a < b that a design may choose to join, [n_candidates, 2].

        The planar ones in ascending order, then, with a TSV budget, the vertical ones.
        """
        n_chosen = None if self.n_vertical_links else 0
        planar = link_candidates(self.grid, self.max_length)
        if self.planar_links is not None:
            planar = np.array(self.planar_links, dtype=np.int64).reshape(-1, 2)
        return frozen(np.concatenate((planar, self._vertical_sites[:n_chosen])))

    @cached_property
    def n_planar_candidates(self) -> int:
        """Number of the planar candidates."""
        return len(self.candidates) - len(self._vertical_sites) + len(self.vertical_array)

    @cached_property
    def vertical_array(self) -> Ints:
        """The vertical links that every design has, [n_vertical, 2]; none with a TSV budget."""
        return self._vertical_sites[: None if self.n_vertical_links is None else 0]

    @cached_property
    def _vertical_sites(self) -> Ints:
        return frozen(np.array(self.vertical_links, dtype=np.int64).reshape(-1, 2))

    @cached_property
    def candidate_lengths(self) -> Floats:
        """Euclidean length of each candidate in tile pitches, [n_candidates]."""
        return frozen(link_lengths(self.grid, self.candidates))

    def candidate_index(self, pairs: Ints) -> Ints:
        """Return the index of each tile pair [n, 2] among the candidates, -1 for other pairs."""
        weights = np.array([self.n_tiles, 1])
        # No pair has code -1, which stands for no candidate.
        codes = np.append(self.candidates @ weights, -1)
        wanted = np.sort(pairs, axis=1) @ weights
        order = np.argsort(codes)
        index = order[np.minimum(np.searchsorted(codes, wanted, sorter=order), len(codes) - 1)]
        return np.where(codes[index] == wanted, index, -1)

    @cached_property
    def pe_type(self) -> Ints:
        """Index of the type of each PE, [n_tiles]."""
        return frozen(np.repeat(np.arange(len(self.pe_types)), [t.count for t in self.pe_types]))

    @cached_property
    def power(self) -> Floats:
        """Watts of each PE, [n_tiles]."""
        return frozen(np.array([p for t in self.pe_types for p in t.power]))

    @cached_property
    def allowed(self) -> Bools:
        """True if a PE of the type may sit on the tile, [n_types, n_tiles]."""
        tiles = np.arange(self.n_tiles)
        sets = (tiles if t.allowed_tiles is None else t.allowed_tiles for t in self.pe_types)
        return frozen(np.stack([np.isin(tiles, allowed) for allowed in sets]))

    @cached_property
    def mesh(self) -> tuple[Ints, Ints]:
        """Placement [n_tiles] and candidate indices [n_chosen] of the reference design."""
        if self.mesh_placement is not None:
            placement = np.array(self.mesh_placement, dtype=np.int64)
        else:
            placement = mesh_placement(self.pe_type, self.allowed)
        n_planar = self.n_planar_candidates
        chosen = np.empty(0, dtype=np.int64)
        if self.n_vertical_links is not None:
            sites = self._vertical_sites
            chosen = n_planar + mesh_verticals(self.grid, sites, self.n_vertical_links)
        vertical = np.concatenate((self.vertical_array, self.candidates[chosen]))
        candidates, n_links = self.candidates[:n_planar], self.n_planar_links
        planar = mesh_links(self.grid, candidates, vertical, n_links, self.max_degree)
        return frozen(placement), frozen(np.concatenate((planar, chosen)))

    @cached_property
    def die(self) -> Ints:
        """Die of each tile, counted along x, then y, [n_tiles]; stacked tiles are of one die."""
        place = positions(self.grid)
        if self.die_size is None:
            return frozen(np.zeros(self.n_tiles, dtype=np.int64))
        x, y = self.die_size
        return frozen(place[:, 0] // x + place[:, 1] // y * (self.grid[0] // x))

    @property
    def port_flits(self) -> int:
        """Flits that the buffers of a router port hold."""
        if self.channel_flits is None:
            return self.buffer_flits
        return self.virtual_channels * self.channel_flits

    @property
    def fixed_links(self) -> bool:
        """Whether every design has all links that can be, so that only PEs can move."""
        return self.n_chosen == len(self.candidates)

    @property
    def fixed_part(self) -> int:
        """Part that no move changes: 0 for nothing, 1 for links, 2 for placement, 3 for both."""
        return self.fixed_links + 2 * self.fixed_placement

    @cached_property
    def tables(self) -> Tables:
        """The platform as arrays for compiled functions."""
        return Tables.of(self)

    @cached_property
    def physical(self) -> PhysicalTables:
        """Capacities, lengths and energies of the links."""
        return PhysicalTables.of(self)

    def pes_of(self, name: str) -> range:
        """Return the ids of the PEs of a type; empty if the platform has no such type."""
        start = 0
        for kind in self.pe_types:
            if kind.name == name:
                return range(start, start + kind.count)
            start += kind.count
        return range(0)

    def to_dict(self) -> dict[str, object]:
        """Return the platform as plain JSON data."""
        data: dict[str, object] = json.loads(json.dumps(asdict(self)))
        # Later fields only if they are not at their default, so that files and versions of earlier
        # designs stay valid.
        names = [f.name for f in fields(self)]
        for name in ("n_vertical_links", *names[names.index("stack") :]):
            default = ThermalStack() if name == "stack" else getattr(Platform, name)
            if getattr(self, name) == default:
                del data[name]
        if isinstance(stack := data.get("stack"), dict):
            for name in ("response_factor", "package_offset"):
                if stack[name] == getattr(ThermalStack, name):
                    del stack[name]
        return data

    @classmethod
    def from_dict(cls, data: object) -> Platform:
        """Make a platform from the result of ``to_dict``; ValueError names an unknown field."""
        known = {f.name for f in fields(cls)}
        values = check_fields("platform", data, {"grid", "pe_types", "n_planar_links"}, known)
        check_memory(values["grid"], values["pe_types"])
        return cls(**values)
