"""What a chip is made of: grid, processing elements, links, and the constants of its models.

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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import read_json, write_json
from .layout import link_candidates, link_lengths, mesh_links, mesh_placement
from .platform_checks import (
    check_buildable,
    check_types,
    integer,
    integers,
    number,
    require,
    verticals,
)
from .tables import Tables

__all__ = ["PEType", "Platform"]

CONSTANTS = (
    "planar_delay",
    "vertical_delay",
    "router_energy",
    "planar_energy",
    "vertical_energy",
    "layer_resistance",
    "base_resistance",
)


@dataclass(frozen=True, kw_only=True)
class PEType:
    """One kind of processing element (PE).

    Parameters
    ----------
    name : str
        Such as "CPU".
    count : int
        How many the chip has; ids are given type by type, in the order of the platform's types.
    power : float or sequence of float
        Watts of each PE of the type, one number for all or one per PE.
    allowed_tiles : sequence of int, optional
        Tiles where a PE of the type may sit; everywhere by default.
    """

    name: str
    count: int
    power: tuple[float, ...]
    allowed_tiles: tuple[int, ...] | None = None

    def __init__(
        self,
        *,
        name: str,
        count: int,
        power: float | Sequence[float],
        allowed_tiles: Sequence[int] | None = None,
    ) -> None:
        require(isinstance(name, str) and name != "", "name", "PEType", "a non-empty string", name)
        owner = f"PEType {name}"
        count = integer(count, "count", owner, 1)
        several = isinstance(power, (Sequence, np.ndarray)) and not isinstance(power, str)
        powers = tuple(
            number(watts, "power", owner)
            for watts in (power if several else [power] * count)  # type: ignore[union-attr]
        )
        require(
            len(powers) == count,
            "power",
            owner,
            f"one number for all or one for each of {count} PEs",
            power,
        )
        tiles = None
        if allowed_tiles is not None:
            tiles = tuple(sorted(set(integers(allowed_tiles, "allowed_tiles", owner, 0))))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "count", count)
        object.__setattr__(self, "power", powers)
        object.__setattr__(self, "allowed_tiles", tiles)


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A 2D or 3D manycore chip as data, checked when it is made.

    Tiles are numbered ``x_size * y_size * z + x_size * y + x``. PE ids run through the types in
    their order. Energies are per unit of traffic, in the unit of the released MOELA code.

    Parameters
    ----------
    grid : tuple of 3 int
        Tiles along x, y and z; z = 1 is a 2D chip.
    pe_types : sequence of PEType
        Their counts must add up to the number of tiles (a type of power 0 makes empty tiles).
    n_planar_links : int
        Links inside layers that every design has, of any length up to ``max_length``.
    vertical_links : sequence of (int, int), optional
        Tile pairs, one above the other, that through-silicon vias join in every design; by default
        all of them.
    max_degree : int
        Most links that a router may have, the vertical ones included.
    max_length : float, optional
        Longest planar link, Euclidean, in tile pitches; by default without limit.
    router_stages : int
        Cycles a router takes.
    planar_delay : float
        Cycles of a planar link per tile pitch; the link's total is rounded up.
    vertical_delay : float
        Cycles of a vertical link, rounded up.
    router_energy : float
        Per router port and unit of traffic.
    planar_energy : float
        Per tile pitch and unit of traffic; the length is rounded up.
    vertical_energy : float
        Per vertical link and unit of traffic.
    layer_resistance, base_resistance : float
        K/W, R_j and R_b of the thermal model [3]_. The paper does not give its values: these are
        ours.
    sink : {"top", "bottom"}
        The layer next to the heat sink: the last or the first.
    core_type, cache_type : str
        The two types between which latency is measured.
    mesh_placement : sequence of int, optional
        PE id on each tile of the reference design; by default a legal one is made up.

    Raises
    ------
    ValueError
        A setting is out of range, or the settings contradict each other; the message names the
        numbers.
    """

    grid: tuple[int, int, int]
    pe_types: tuple[PEType, ...]
    n_planar_links: int
    vertical_links: tuple[tuple[int, int], ...] | None = None
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

    def __post_init__(self) -> None:
        clean: dict[str, Any] = {
            name: number(getattr(self, name), name, "Platform") for name in CONSTANTS
        }
        grid = integers(self.grid, "grid", "Platform", 1)
        require(
            len(grid) == 3 and math.prod(grid) >= 2,
            "grid",
            "Platform",
            "three integers >= 1 that make two tiles or more",
            self.grid,
        )
        clean["grid"] = grid
        kinds = self.pe_types
        require(
            isinstance(kinds, Sequence) and all(isinstance(kind, PEType) for kind in kinds),
            "pe_types",
            "Platform",
            "a sequence of PEType",
            kinds,
        )
        clean["pe_types"] = tuple(kinds)
        for name, least in (("n_planar_links", 0), ("max_degree", 1), ("router_stages", 0)):
            clean[name] = integer(getattr(self, name), name, "Platform", least)
        if self.max_length is not None:
            clean["max_length"] = number(self.max_length, "max_length", "Platform", 1.0)
        clean["vertical_links"] = verticals(self.vertical_links, (grid[0], grid[1], grid[2]))
        if self.mesh_placement is not None:
            placement = integers(self.mesh_placement, "mesh_placement", "Platform", 0)
            clean["mesh_placement"] = placement
            n = math.prod(grid)
            require(
                sorted(placement) == list(range(n)),
                "mesh_placement",
                "Platform",
                f"every PE id from 0 to {n - 1} once",
                placement,
            )
        require(self.sink in ("top", "bottom"), "sink", "Platform", "'top' or 'bottom'", self.sink)
        for name, value in clean.items():
            object.__setattr__(self, name, value)
        check_types(self.pe_types, self.grid)
        # The reference design is made here, so that a chip that cannot be built fails when it is
        # described and not when a run starts.
        check_buildable(self)

    @classmethod
    def paper_4x4x4(cls) -> Platform:
        """Return the chip of the MOELA paper: 8 CPUs, 16 LLCs and 40 GPUs on 4 x 4 x 4 tiles.

        144 links, 48 of them vertical; routers of at most 8 ports; no last-level cache on the
        eight interior tiles. Powers are those of the released code (PE 0 runs the main thread).
        """
        interior = {21, 22, 25, 26, 37, 38, 41, 42}
        placement = [-1] * 64
        cpu, llc, gpu = iter(range(8)), iter(range(8, 24)), iter(range(24, 64))
        for tile in range(64):
            place = tile % 16
            source = cpu if place in (5, 6) else llc if place in (0, 3, 12, 15) else gpu
            placement[tile] = next(source)
        return cls(
            grid=(4, 4, 4),
            pe_types=(
                PEType(name="CPU", count=8, power=(1.5, *[1.0] * 7)),
                PEType(
                    name="LLC",
                    count=16,
                    power=1.5,
                    allowed_tiles=[t for t in range(64) if t not in interior],
                ),
                PEType(name="GPU", count=40, power=6.0),
            ),
            n_planar_links=96,
            mesh_placement=tuple(placement),
        )

    @property
    def n_tiles(self) -> int:
        """Number of tiles, which is the number of PEs."""
        return math.prod(self.grid)

    @property
    def n_links(self) -> int:
        """Number of links of every design, planar and vertical."""
        return self.n_planar_links + len(self.vertical_links or ())

    def position(self, tile: int) -> tuple[int, int, int]:
        """Return (x, y, z) of a tile."""
        x, y, _ = self.grid
        return tile % x, tile // x % y, tile // (x * y)

    @cached_property
    def candidates(self) -> NDArray[np.int64]:
        """Tile pairs a < b that a planar link may join, in ascending order, [n_candidates, 2]."""
        return link_candidates(self.grid, self.max_length)

    @cached_property
    def vertical_array(self) -> NDArray[np.int64]:
        """The vertical links as an array, [n_vertical, 2]."""
        return np.array(self.vertical_links, dtype=np.int64).reshape(-1, 2)

    @cached_property
    def candidate_lengths(self) -> NDArray[np.float64]:
        """Euclidean length of each candidate in tile pitches, [n_candidates]."""
        return link_lengths(self.grid, self.candidates)

    @cached_property
    def pe_type(self) -> NDArray[np.int64]:
        """Index of the type of each PE, [n_tiles]."""
        return np.repeat(np.arange(len(self.pe_types)), [t.count for t in self.pe_types])

    @cached_property
    def power(self) -> NDArray[np.float64]:
        """Watts of each PE, [n_tiles]."""
        return np.array([p for t in self.pe_types for p in t.power])

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """Whether a type may sit on a tile, [n_types, n_tiles]."""
        allowed = np.ones((len(self.pe_types), self.n_tiles), dtype=bool)
        for i, kind in enumerate(self.pe_types):
            if kind.allowed_tiles is not None:
                allowed[i] = False
                allowed[i, list(kind.allowed_tiles)] = True
        return allowed

    @cached_property
    def mesh(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Placement [n_tiles] and candidate indices [n_planar_links] of the reference design."""
        if self.mesh_placement is not None:
            placement = np.array(self.mesh_placement, dtype=np.int64)
        else:
            placement = mesh_placement(self.pe_type, self.allowed)
        return placement, mesh_links(
            self.grid, self.candidates, self.vertical_array, self.n_planar_links, self.max_degree
        )

    @cached_property
    def tables(self) -> Tables:
        """All that the compiled functions need, as arrays."""
        return Tables.of(self)

    def pes_of(self, name: str) -> range:
        """Return the ids of the PEs of a type; empty where the platform has no such type."""
        start = 0
        for kind in self.pe_types:
            if kind.name == name:
                return range(start, start + kind.count)
            start += kind.count
        return range(0)

    def to_dict(self) -> dict[str, Any]:
        """Return the platform as plain JSON data."""
        data: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Platform:
        """Make a platform from what ``to_dict`` returned; ValueError names an unknown field."""
        if not isinstance(data, Mapping):
            raise ValueError(
                f"A platform must be a JSON object. Got {type(data).__name__} instead."
            )
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(data) - known)
        missing = sorted({"grid", "pe_types", "n_planar_links"} - set(data))
        if unknown or missing:
            raise ValueError(
                f"A platform must have the fields {sorted(known)}. "
                f"Got unknown {unknown}, missing {missing} instead."
            )
        settings = dict(data)
        kinds = settings["pe_types"]
        require(
            isinstance(kinds, list)
            and all(isinstance(k, Mapping) and {"name", "count", "power"} <= set(k) for k in kinds)
            and all(set(k) <= {f.name for f in fields(PEType)} for k in kinds),
            "pe_types",
            "Platform",
            "a list of objects with name, count, power and, if need be, allowed_tiles",
            kinds,
        )
        settings["pe_types"] = tuple(PEType(**kind) for kind in kinds)
        return cls(**settings)

    def save(self, path: str | Path) -> None:
        """Write the platform as JSON."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Platform:
        """Read a platform from JSON; a ValueError names the file and what is wrong with it."""
        return read_json(path, cls.from_dict)
