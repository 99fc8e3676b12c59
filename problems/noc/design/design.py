"""A NoC design: the tile of each PE, and the tile pairs that the links join."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from moela.files.guard import brief
from moela.notebook import html
from problems._arrays import Floats, Ints
from problems.noc.chip.files import JSONFile, check_fields, check_whole_list
from problems.noc.chip.given import platform_of
from problems.noc.chip.layout import link_lengths
from problems.noc.chip.platform import Platform
from problems.noc.chip.traffic import check_traffic
from problems.noc.design import booksim, exchange, hotspot
from problems.noc.design.deadlock import prove_deadlock_free
from problems.noc.design.physical import physical_figures
from problems.noc.design.rules import broken_rule, whole_numbers
from problems.noc.evaluation.evaluation import NoCEvaluation
from problems.noc.evaluation.metrics import temperature_rises
from problems.noc.simulation.simulate import simulate_design, sweep_loads

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Design"]

FORMAT = "moela-noc-design-1"


class Design(JSONFile):
    """A legal design of a platform.

    Parameters
    ----------
    placement : int array-like [n_tiles]
        PE id on each tile.
    links : int array-like [n_chosen, 2]
        Tile pairs of the planar links, in any order and direction. With a TSV budget, also those
        of the vertical links of the design; otherwise the vertical links are the platform's.
    platform : Platform, optional
        By default the 4 x 4 x 4 chip of the paper.

    Attributes
    ----------
    placement : int64 array [n_tiles]
    links : int64 array [n_chosen, 2]
        Smaller tile first; planar ones ascending, then vertical ones ascending.
    platform : Platform

    Raises
    ------
    ValueError
        A rule is broken; the message names the rule and the place.

    Examples
    --------
    >>> from problems.noc import Design
    >>> mesh = Design.mesh()
    >>> len(mesh.placement), len(mesh.planar_links), len(mesh.vertical_links)
    (64, 96, 48)
    >>> Design.from_dict(mesh.to_dict()) == mesh
    True
    """

    def __init__(
        self, placement: ArrayLike, links: ArrayLike, platform: Platform | None = None
    ) -> None:
        self.platform = platform_of(platform, "Design")
        tiles = whole_numbers(placement, "The 'placement' of a Design")
        pairs = whole_numbers(links, "The 'links' of a Design")
        if pairs.shape == (0,):
            # The second axis is lost in JSON and in an empty list.
            pairs = pairs.reshape(0, 2)
        broken = broken_rule(self.platform, tiles, pairs)
        if broken:
            raise ValueError(f"A Design breaks a rule: {broken} instead.")
        chosen = np.sort(self.platform.candidate_index(pairs))
        self.placement: Ints = tiles
        self.links: Ints = self.platform.candidates[chosen]
        self.placement.flags.writeable = False
        self.links.flags.writeable = False

    @classmethod
    def mesh(cls, platform: Platform | None = None) -> Design:
        """Return the reference design of a platform: the mesh."""
        platform = platform_of(platform, "Design.mesh")
        placement, links = platform.mesh
        return cls(placement, platform.candidates[links], platform)

    def all_links(self) -> Ints:
        """Return planar and vertical links, [n_links, 2]."""
        return np.concatenate((self.links, self.platform.vertical_array))

    @property
    def planar_links(self) -> Ints:
        """The links inside layers, [n_planar_links, 2]."""
        return self.links[: self.platform.n_planar_links]

    @property
    def vertical_links(self) -> Ints:
        """The links between layers, chosen or fixed, [n_vertical, 2]."""
        return self.all_links()[self.platform.n_planar_links :]

    def plot(
        self, loads: ArrayLike | None = None, *, temperature: bool | ArrayLike = False
    ) -> Figure:
        """Draw the layers side by side, with PEs colored by type.

        `loads` [n_links] color the links, and dots in the corners of tiles, which are the vertical
        links to the layer above. ``temperature=True`` colors the tiles by temperature instead of
        type; temperatures [n_tiles] in degrees Celsius, such as HotSpot's, are taken as well.
        """
        # Drawing is rare, and matplotlib takes long to import.
        from problems.noc.design.drawing import draw_layers

        return draw_layers(self, loads, temperature=temperature)

    def temperatures(self) -> Floats:
        """Return degrees Celsius of each tile by the stack model of "temperature", [n_tiles]."""
        rises = temperature_rises(self.platform, self.placement[None])[0]
        # Levels count from the sink, tiles from the bottom.
        layers = rises[::-1] if self.platform.sink == "top" else rises
        values: Floats = self.platform.stack.ambient + layers.ravel()
        return values

    def row(self) -> Ints:
        """Return the design as a canonical row of X, [n_var]."""
        return np.concatenate((self.placement, self.platform.candidate_index(self.links)))

    def hop_cycles(self) -> Ints:
        """Return the cycles of a hop over each link of ``all_links()``, [n_links]."""
        costs = self.platform.tables.link_cost.astype(np.int64)
        chosen = costs[self.platform.candidate_index(self.links)]
        return np.concatenate((chosen, costs[len(self.platform.candidates) :]))

    def link_loads(self, traffic: ArrayLike) -> Floats:
        """Return the load of each link of ``all_links()``, both directions together, [n_links].

        The traffic [n_tiles, n_tiles] is in flits per cycle from PE i to PE j.
        """
        loads: Floats = self.channel_loads(traffic).sum(axis=-1)
        return loads

    def channel_loads(self, traffic: ArrayLike) -> Floats:
        """Return the load of each link of ``all_links()`` by direction, [n_links, 2].

        The first direction is from the tile with the smaller index to the other. The traffic
        [n_tiles, n_tiles] is in flits per cycle from PE i to PE j.
        """
        flows = check_traffic(traffic, self.platform.n_tiles)
        evaluation = NoCEvaluation(self.platform, flows[None], "published", "mean")
        result = evaluation.run(self.row()[None], with_loads=True)
        assert result is not None, "A design keeps all rules."
        return result[1][0, 0]

    # Methods that stand in the module of their file format.
    to_booksim = booksim.write_booksim
    simulate_booksim = booksim.simulate_booksim
    deadlock_proof = prove_deadlock_free
    simulate = simulate_design
    load_sweep = sweep_loads
    physical = physical_figures
    to_hotspot = hotspot.write_hotspot
    simulate_hotspot = hotspot.simulate_hotspot
    to_csv = exchange.write_csv
    to_graphml = exchange.write_graphml

    @classmethod
    def from_csv(
        cls, placement: str | Path, links: str | Path, platform: Platform | None = None
    ) -> Design:
        """Read placement and links from two files, as `to_csv` writes them.

        The placement is one line of PE ids, one for each tile. The links file holds tile pairs in
        any order and direction, with or without the vertical links that every design has, or a
        square adjacency matrix. A ValueError names file and place of a wrong entry.
        """
        platform = platform_of(platform, "Design.from_csv")
        tiles, pairs = exchange.read_csv(placement, links, platform)
        try:
            return cls(tiles, pairs, platform)
        except ValueError as error:
            raise ValueError(f"{placement}, {links}: {error}") from error

    def to_dict(self) -> dict[str, object]:
        """Return the design, with its platform, as plain JSON data."""
        return {
            "format": FORMAT,
            "platform": self.platform.to_dict(),
            "placement": self.placement.tolist(),
            "links": self.links.tolist(),
        }

    @classmethod
    def from_dict(cls, data: object) -> Design:
        """Make a design from the result of ``to_dict``; ValueError names the fault."""
        values = check_fields("design", data, {"format"})
        got = values["format"]
        if got != FORMAT:
            raise ValueError(
                f"The 'format' of a design must be {FORMAT!r}. Got {brief(got)} instead."
            )
        check_fields("design", values, {"platform", "placement", "links"})
        if not isinstance(platform := values["platform"], Mapping):
            raise ValueError(
                f"The 'platform' of a design must be a JSON object. Got {brief(platform)} instead."
            )
        check_whole_list("a Design", "placement", values["placement"])
        check_whole_list("a Design", "links", values["links"], 2)
        return cls(values["placement"], values["links"], Platform.from_dict(platform))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Design):
            return NotImplemented
        return (
            self.platform == other.platform
            and np.array_equal(self.placement, other.placement)
            and np.array_equal(self.links, other.links)
        )

    def __hash__(self) -> int:
        return hash((self.platform, self.placement.tobytes(), self.links.tobytes()))

    def __repr__(self) -> str:
        x, y, z = self.platform.grid
        return f"Design({x}x{y}x{z}, {len(self.planar_links)} planar links)"

    def _repr_html_(self) -> str:
        return html.paragraph(repr(self)) + html.picture(self.plot(), repr(self))

    def __str__(self) -> str:
        platform, planar = self.platform, self.planar_links
        x, y, _ = platform.grid
        lengths = np.ceil(np.round(link_lengths(platform.grid, planar), 9)).astype(int)
        each = zip(*np.unique(lengths, return_counts=True), strict=True)
        counts = ", ".join(f"{count} of length {length}" for length, count in each)
        degree = np.bincount(self.all_links().ravel(), minlength=platform.n_tiles)
        ports = f"{degree.min()} to {degree.max()} links per router"
        lines = [f"{self!r}: {counts or 'none'} (rounded up); {ports}"]
        if platform.technology is not None:
            lines += str(self.physical()).splitlines()
        cells = [f"{platform.pe_types[platform.pe_type[p]].name}{p}" for p in self.placement]
        width = max(map(len, cells)) + 1
        layer = planar[:, 0] // (x * y)
        for start in range(0, platform.n_tiles, x):
            if start % (x * y) == 0:
                level = start // (x * y)
                lines.append(f"layer {level}, {int((layer == level).sum())} planar links")
            line = "".join(cell.ljust(width) for cell in cells[start : start + x])
            lines.append("  " + line.rstrip())
        return "\n".join(lines)
