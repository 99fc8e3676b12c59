"""Physical figures of a network: energies, wire tracks, vias, and links between dies.

With a technology, the metrics of ``problems.noc.evaluation.physical`` are watts, picojoules, GB/s
and millimeters. The width of a flit, the clock, and the side of a tile are those of the platform:
``flit_width``, ``frequency``, and ``stack.tile_pitch``.

References
----------
.. [1] M. McKeown et al., "Power and Energy Characterization of an Open Source 25-Core Manycore
   Processor", HPCA 2018.
.. [2] W. J. Dally et al., "Hardware-Enabled Artificial Intelligence", Symposium on VLSI Circuits,
   2018.
.. [3] T. Fischer et al., "FlooNoC: A 645-Gb/s/link 0.15-pJ/B/hop Open-Source NoC With Wide Physical
   Links and End-to-End AXI4 Parallel Multistream Support", IEEE Transactions on VLSI Systems, 2025,
   arXiv 2409.17606.
.. [4] T. Krishna et al., "Breaking the On-Chip Latency Barrier Using SMART", HPCA 2013.
.. [5] P. Batra et al., "Three-Dimensional Wafer Stacking Using Cu TSV Integrated with 45 nm High
   Performance SOI-CMOS Embedded DRAM Technology", Journal of Low Power Electronics and
   Applications, 2014.
.. [6] D. Das Sharma et al., "Universal Chiplet Interconnect Express (UCIe): An Open Industry
   Standard for Innovations With Chiplets at Package Level", IEEE Transactions on Components,
   Packaging and Manufacturing Technology, 2022.
.. [7] M.-S. Lin et al., "A 7nm 4GHz Arm-core-based CoWoS Chiplet Design for High Performance
   Computing", Symposium on VLSI Circuits, 2019.
.. [8] S. W. Keckler et al., "GPUs and the Future of Parallel Computing", IEEE Micro, 2011.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from problems._checks import check_choice, check_int, check_real, setting_error
from problems.noc.chip.files import check_fields

__all__ = ["DIE_LINKS", "TECHNOLOGIES", "DieLink", "Technology"]

LARGEST = 1e12
"""Largest setting, so that all that is computed from them is finite."""


class _PlatformPart:
    """A frozen dataclass that is a field of a platform: from plain data, or by name."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Return a ready-made object by its name."""
        known = _presets(cls)
        return cls(**known[check_choice(cls.__name__, "preset", name, tuple(known))])

    @classmethod
    def optional(cls, value: object, name: str) -> Self | None:
        """Return an object from itself, the name of a preset, or plain data; None for None.

        Parameters
        ----------
        value : object
        name : str
            Of the platform's parameter, for errors.
        """
        if value is None or isinstance(value, cls):
            return value
        kind = cls.__name__
        known = _presets(cls)
        if isinstance(value, str):
            return cls(**known[check_choice("Platform", name, value, tuple(known))])
        if not isinstance(value, Mapping):
            expected = f"a {kind}, one of {', '.join(map(repr, known))}, or a JSON object"
            raise setting_error("Platform", name, expected, value)
        names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
        needed = {n for n in names if not hasattr(cls, n)}
        return cls(**check_fields(f"platform's {name}", value, needed, set(names)))


@dataclass(frozen=True, kw_only=True)
class Technology(_PlatformPart):
    """Physical figures of the wires, routers and through-silicon vias (TSVs) of a chip.

    Energies are per bit that moves, for random data, of which half of the bits change. The power
    of idle routers (clock, leakage) is not part of them.

    Parameters
    ----------
    router_energy : float
        pJ per bit and router, of a router with ``router_ports`` ports. It grows in proportion to
        the ports, the one of the PE included, as the wires of a crossbar do; this is our
        assumption, and that of the objective "energy".
    router_ports : int
    wire_energy : float
        pJ per bit and mm of a link within a layer.
    tsv_energy : float
        pJ per bit and vertical link; a quarter of C V^2 for random bits.
    wire_delay : float, optional
        ns per mm. The cycles of planar links then follow from it, rounded up, instead of from
        ``Platform.planar_delay``.
    repeater_spacing : float
        mm of wire between two repeaters.
    repeater_energy, repeater_delay : float
        pJ per bit and ns of a repeater, beside those of its wire; 0 where the figures of the wire
        include it, as published ones do.
    tracks_per_mm : float, optional
        Wires of links that may cross a mm of the edge between two tiles of a layer. Designs of more
        wires violate the limit of "wire_tracks". By default any number.
    tsv_pitch, tsv_keep_out : float
        um between two TSVs of a link, and around the array of its TSVs, where nothing else may sit.
        The defaults are our choice, for vias of 5 um.
    tsv_share : float
        Largest share of the area of a die for arrays of TSVs; more violates the limit of
        "tsv_area". The default is our choice.

    Raises
    ------
    ValueError
        A parameter is out of range.

    Examples
    --------
    >>> from problems.noc import Technology
    >>> Technology.preset("32nm").wire_energy
    0.108
    >>> fine = Technology(router_energy=0.05, wire_energy=0.1, tsv_energy=0.01)
    >>> fine.tsv_array_area(256)  # mm2 of the vias of a link of 128 bits in two directions
    0.0289
    """

    router_energy: float
    router_ports: int = 5
    wire_energy: float
    tsv_energy: float
    wire_delay: float | None = None
    repeater_spacing: float = 1.0
    repeater_energy: float = 0.0
    repeater_delay: float = 0.0
    tracks_per_mm: float | None = None
    tsv_pitch: float = 10.0
    tsv_keep_out: float = 5.0
    tsv_share: float = 0.1

    def __post_init__(self) -> None:
        clean: dict[str, float | int | None] = {}
        above = ("repeater_spacing", "tracks_per_mm", "tsv_pitch", "tsv_share")
        for name, value in vars(self).items():
            if name == "router_ports":
                clean[name] = check_int("Technology", name, value, 1, 2**20)
            elif value is not None or name not in ("wire_delay", "tracks_per_mm"):
                high = 1.0 if name == "tsv_share" else LARGEST
                positive = name in above
                low = 1 / LARGEST if positive else 0.0
                clean[name] = check_real("Technology", name, value, low, high)
        vars(self).update(clean)

    def tsv_array_area(self, wires: int) -> float:
        """Return mm2 of a square array of TSVs with the keep-out around it."""
        side = math.ceil(math.sqrt(wires)) * self.tsv_pitch + 2.0 * self.tsv_keep_out
        return side * side * 1e-6


@dataclass(frozen=True, kw_only=True)
class DieLink(_PlatformPart):
    """A link between two dies side by side, in one package.

    It has these figures beside those that its length has on a chip: the wires from the routers to
    the edges of their dies.

    Parameters
    ----------
    latency : float
        ns of both ends and the channel between them.
    energy : float
        pJ per bit of both ends and the channel.
    bandwidth : float
        GB/s in each direction. A link takes no more than ``Platform.link_capacity``, since a port
        of a router does not.

    Raises
    ------
    ValueError
        A parameter is out of range.

    Examples
    --------
    >>> from problems.noc import DieLink
    >>> DieLink.preset("ucie-standard")
    DieLink(latency=2.0, energy=0.6, bandwidth=64.0)
    """

    latency: float
    energy: float
    bandwidth: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            low = 1 / LARGEST if name == "bandwidth" else 0.0
            vars(self)[name] = check_real("DieLink", name, value, low, LARGEST)


TECHNOLOGIES: dict[str, dict[str, float]] = {
    # Piton, 32 nm SOI at 1 V, measured [1]_: 11.16 pJ a hop for a flit of 64 bits of which half
    # change, 3.58 pJ if none do, hops of 1.05 to 1.14 mm. The split is ours: what does not depend
    # on the data is the router, the rest is wire (0.108 pJ a bit and mm; [8]_ has 0.121 in 40 nm).
    # The delay is that of repeated wires in 45 nm, 11 mm in 1 ns with a repeater in each mm [4]_.
    # The TSV has 40 fF [5]_. The tracks are ours: half of those of a layer of 0.45 um pitch.
    "32nm": {
        "router_energy": 0.056,
        "wire_energy": 0.108,
        "tsv_energy": 0.01,
        "wire_delay": 1.0 / 11.0,
        "tracks_per_mm": 1111.0,
    },
    # 0.15 pJ a byte and hop in 12 nm at 0.8 V, after layout [3]_, all of it counted as router, and
    # 20 to 40 fJ a bit and mm in 16 nm [2]_. Delay and TSV as above, at 0.8 V; no limit of tracks.
    "12nm": {
        "router_energy": 0.019,
        "wire_energy": 0.03,
        "tsv_energy": 0.0064,
        "wire_delay": 1.0 / 11.0,
    },
}
"""Settings of `Technology` by name."""

DIE_LINKS: dict[str, dict[str, float]] = {
    # UCIe on an organic substrate and on a silicon bridge or interposer [6]_: a module of 16 and
    # of 64 lanes at 32 GT/s. Energies are the targets of the standard above 16 GT/s; below they are
    # 0.5 and 0.25 pJ a bit. The latency is that of both ends.
    "ucie-standard": {"latency": 2.0, "energy": 0.6, "bandwidth": 64.0},
    "ucie-advanced": {"latency": 2.0, "energy": 0.3, "bandwidth": 256.0},
    # Measured on a silicon interposer [7]_: 0.56 pJ a bit, 320 GB/s in all. That half of them go
    # each way, and the latency, are our assumptions.
    "silicon-interposer": {"latency": 2.0, "energy": 0.56, "bandwidth": 160.0},
}
"""Settings of `DieLink` by name."""


def _presets(kind: type) -> Mapping[str, Mapping[str, float]]:
    return TECHNOLOGIES if kind is Technology else DIE_LINKS
