"""One NoC design: where the PEs sit and which tiles the planar links join."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from problems.noc.chip.files import read_json, write_json
from problems.noc.chip.layout import link_lengths
from problems.noc.chip.platform import Platform
from problems.noc.design.booksim import BookSimResult, simulate_booksim, write_booksim
from problems.noc.design.exchange import graphml, read_csv, write_csv
from problems.noc.design.hotspot import simulate_hotspot, write_hotspot
from problems.noc.design.rules import broken_rule, whole_numbers
from problems.noc.evaluation.metrics import temperature_rises

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Design"]

FORMAT = "moela-noc-design-1"


class Design:
    """A legal design of a platform.

    Parameters
    ----------
    placement : int array-like [n_tiles]
        PE id on each tile.
    links : int array-like [n_chosen, 2]
        Tile pairs of the planar links, in any order and direction. The vertical links are the
        platform's, but with a TSV budget those that the design has are named here too.
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
        self.platform = Platform.paper_4x4x4() if platform is None else platform
        place = whole_numbers(placement, "The 'placement' of a Design")
        pairs = whole_numbers(links, "The 'links' of a Design")
        if pairs.size == 0:
            # JSON and an empty list don't tell the second axis.
            pairs = pairs.reshape(0, 2)
        broken = broken_rule(self.platform, place, pairs)
        if broken:
            raise ValueError(f"A Design breaks a rule: {broken} instead.")
        chosen = np.sort(self.platform.candidate_index(pairs))
        self.placement: NDArray[np.int64] = place
        self.links: NDArray[np.int64] = self.platform.candidates[chosen]
        self.placement.flags.writeable = False
        self.links.flags.writeable = False

    @classmethod
    def mesh(cls, platform: Platform | None = None) -> Design:
        """Return the reference design of a platform: the mesh."""
        platform = Platform.paper_4x4x4() if platform is None else platform
        placement, links = platform.mesh
        return cls(placement, platform.candidates[links], platform)

    def all_links(self) -> NDArray[np.int64]:
        """Return planar and vertical links, [n_links, 2]."""
        return np.concatenate((self.links, self.platform.vertical_array))

    @property
    def planar_links(self) -> NDArray[np.int64]:
        """The links inside layers, [n_planar_links, 2]."""
        return self.links[: self.platform.n_planar_links]

    @property
    def vertical_links(self) -> NDArray[np.int64]:
        """The links between layers, chosen or fixed, [n_vertical, 2]."""
        return self.all_links()[self.platform.n_planar_links :]

    def plot(
        self,
        loads: ArrayLike | None = None,
        *,
        temperature: bool | ArrayLike = False,
    ) -> Figure:
        """Draw the layers side by side; see ``problems.noc.design.drawing.draw_layers``."""
        # Drawing is rare, and matplotlib takes long to import.
        from problems.noc.design.drawing import draw_layers

        return draw_layers(self, loads, temperature=temperature)

    def temperatures(self) -> NDArray[np.float64]:
        """Return degrees Celsius of each tile by the stack model of "temperature", [n_tiles]."""
        rises = temperature_rises(self.platform, self.placement[None])[0]
        # Levels count from the sink, tiles from the bottom.
        layers = rises[::-1] if self.platform.sink == "top" else rises
        values: NDArray[np.float64] = self.platform.stack.ambient + layers.ravel()
        return values

    def to_booksim(
        self,
        folder: str | Path,
        *,
        traffic: ArrayLike | None = None,
        injection_rate: float | None = None,
    ) -> Path:
        """Write BookSim's input into a folder; see ``design.booksim.write_booksim``."""
        return write_booksim(self, folder, traffic=traffic, injection_rate=injection_rate)

    def simulate_booksim(
        self,
        folder: str | Path,
        *,
        traffic: ArrayLike | None = None,
        injection_rate: float | None = None,
        timeout_s: float = 600.0,
    ) -> BookSimResult:
        """Run BookSim, where it is on the PATH; see ``design.booksim.simulate_booksim``."""
        return simulate_booksim(
            self, folder, traffic=traffic, injection_rate=injection_rate, timeout_s=timeout_s
        )

    def to_hotspot(self, folder: str | Path) -> Path:
        """Write HotSpot's input into a folder; see ``design.hotspot.write_hotspot``."""
        return write_hotspot(self, folder)

    def simulate_hotspot(
        self, folder: str | Path, *, timeout_s: float = 600.0
    ) -> NDArray[np.float64]:
        """Run HotSpot, where it is on the PATH; see ``design.hotspot.simulate_hotspot``."""
        return simulate_hotspot(self, folder, timeout_s=timeout_s)

    def to_csv(self, placement: str | Path, links: str | Path) -> None:
        """Write placement and links as the released code has them; see ``exchange.write_csv``."""
        write_csv(self, placement, links)

    @classmethod
    def from_csv(
        cls, placement: str | Path, links: str | Path, platform: Platform | None = None
    ) -> Design:
        """Read placement and links from two files; see ``design.exchange.read_csv``."""
        platform = Platform.paper_4x4x4() if platform is None else platform
        tiles, pairs = read_csv(placement, links, platform)
        try:
            return cls(tiles, pairs, platform)
        except ValueError as error:
            raise ValueError(f"{placement}, {links}: {error}") from error

    def to_graphml(self, path: str | Path, loads: ArrayLike | None = None) -> None:
        """Write the network as GraphML; see ``problems.noc.design.exchange.graphml``."""
        Path(path).write_text(graphml(self, loads), encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """Return the design, with its platform, as plain JSON data."""
        return {
            "format": FORMAT,
            "platform": self.platform.to_dict(),
            "placement": self.placement.tolist(),
            "links": self.links.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Design:
        """Make a design from what ``to_dict`` returned; ValueError says what is wrong with it."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            got = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise ValueError(
                f"A design must be a JSON object with 'format': {FORMAT!r}. Got {got!r} instead."
            )
        missing = sorted({"platform", "placement", "links"} - set(data))
        if missing:
            raise ValueError(
                f"A design must have platform, placement and links. Got no {missing} instead."
            )
        return cls(data["placement"], data["links"], Platform.from_dict(data["platform"]))

    def save(self, path: str | Path) -> None:
        """Write the design, with its platform, as JSON."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Design:
        """Read a design from JSON; a ValueError names the file and what is wrong with it."""
        return read_json(path, cls.from_dict)

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

    def __str__(self) -> str:
        x, y, z = self.platform.grid
        lengths = np.ceil(np.round(link_lengths(self.platform.grid, self.planar_links), 9)).astype(
            int
        )
        counts = ", ".join(
            f"{count} of length {length}"
            for length, count in enumerate(np.bincount(lengths).tolist())
            if count
        )
        degree = np.bincount(self.all_links().ravel(), minlength=self.platform.n_tiles)
        lines = [
            f"{self!r}: {counts or 'none'} (rounded up); "
            f"{degree.min()} to {degree.max()} links per router"
        ]
        kinds = [self.platform.pe_types[k].name for k in self.platform.pe_type[self.placement]]
        cells = [f"{k}{p}" for k, p in zip(kinds, self.placement.tolist(), strict=True)]
        width = max(map(len, cells)) + 1
        layer = self.planar_links[:, 0] // (x * y)
        for level in range(z):
            lines.append(f"layer {level}, {int((layer == level).sum())} planar links")
            for row in range(y):
                start = level * x * y + row * x
                line = "".join(cell.ljust(width) for cell in cells[start : start + x])
                lines.append("  " + line.rstrip())
        return "\n".join(lines)
