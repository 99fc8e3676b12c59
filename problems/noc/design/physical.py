"""A design in physical units: watts, picojoules, GB/s, millimeters, and its limits by place."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from problems._arrays import Floats
from problems._checks import setting_error
from problems.noc.chip.traffic import check_traffic
from problems.noc.evaluation.physical import (
    LOADED,
    bisections,
    layer_cuts,
    physical_metric,
    track_limit,
    tsv_areas,
    tsv_limit,
    wire_millimeters,
)

if TYPE_CHECKING:
    from problems.noc.design.design import Design

__all__ = ["PhysicalFigures", "describe_limits", "physical_figures"]


@dataclass(frozen=True, kw_only=True)
class PhysicalFigures:
    """Figures of a design in physical units; see ``problems.noc.evaluation.physical``.

    Attributes
    ----------
    power_w, flit_energy_pj : float or None
        Power of routers and links, and mean energy of a flit; None without traffic.
    peak_bandwidth_gb_s : float or None
        Largest traffic of a link in one direction; None without traffic.
    bisection_load : float or None
        Share of the bandwidth across the middle of the chip that the traffic takes; None without.
    bisection_gb_s : float
        Bandwidth across the middle of the chip in one direction, the least of its cuts.
    bisection_at : str
        The cut of this least bandwidth.
    link_gb_s, die_link_gb_s : float
        Bandwidth of a link in each direction: within a die, and between dies (None for one die).
    link_length_mm, longest_link_mm : float
        Sum and maximum over the planar links.
    n_repeaters : int
        Of all wires of planar links.
    wire_tracks, wire_tracks_limit : float
        Wires per tile edge at the most crowded cut through a layer, and how many may be there; the
        limit is None without one.
    wire_tracks_at : str
        The layer and place of this cut.
    n_tsvs : int
        Wires of all vertical links.
    tsv_area_mm2, tsv_area_limit_mm2 : float
        Arrays of TSVs with their keep-out in the die that has most, and how much it may have.
    tsv_area_at : str
        The layers that they join; empty for a flat chip.
    n_die_links : int
        Links between dies side by side.

    Examples
    --------
    >>> from problems.noc import Design, Platform
    >>> from dataclasses import replace
    >>> chip = replace(Platform.paper_4x4x4(), technology="32nm")
    >>> figures = Design.mesh(chip).physical()
    >>> figures.link_length_mm, figures.link_gb_s, figures.wire_tracks
    (384.0, 16.0, 256.0)
    """

    power_w: float | None
    flit_energy_pj: float | None
    peak_bandwidth_gb_s: float | None
    bisection_load: float | None
    bisection_gb_s: float
    bisection_at: str
    link_gb_s: float
    die_link_gb_s: float | None
    link_length_mm: float
    longest_link_mm: float
    n_repeaters: int
    wire_tracks: float
    wire_tracks_limit: float | None
    wire_tracks_at: str
    n_tsvs: int
    tsv_area_mm2: float
    tsv_area_limit_mm2: float
    tsv_area_at: str
    n_die_links: int

    def to_dict(self) -> dict[str, object]:
        """Return the figures as plain JSON data, with their units in the names."""
        return asdict(self)

    def __str__(self) -> str:
        lines = []
        if self.power_w is not None:
            lines.append(
                f"power {self.power_w:.4g} W, {self.flit_energy_pj:.4g} pJ a flit; busiest link "
                f"{self.peak_bandwidth_gb_s:.4g} of {self.link_gb_s:.4g} GB/s"
            )
        text = f"bisection {self.bisection_gb_s:.4g} GB/s {self.bisection_at}"
        if self.bisection_load is not None:
            text += f", at most {100 * self.bisection_load:.3g} % used in the middle"
        lines.append(text)
        lines.append(
            f"wires {self.link_length_mm:.4g} mm, the longest link {self.longest_link_mm:.3g} mm, "
            f"{self.n_repeaters} repeaters"
        )
        lines += self.limits()
        if self.die_link_gb_s is not None:
            lines.append(f"{self.n_die_links} links between dies of {self.die_link_gb_s:.4g} GB/s")
        return "\n".join(lines)

    def limits(self) -> list[str]:
        """Return a line for each figure that has a limit, with its place and excess."""
        lines = []
        if self.wire_tracks_at:
            used, most = self.wire_tracks, self.wire_tracks_limit
            text = f"wire tracks {used:g} per tile edge in {self.wire_tracks_at}"
            lines.append(text + ("" if most is None else _against(used, most, "")))
        if self.tsv_area_at:
            text = f"{self.n_tsvs} TSVs, {self.tsv_area_mm2:.4g} mm2 {self.tsv_area_at}"
            lines.append(text + _against(self.tsv_area_mm2, self.tsv_area_limit_mm2, " mm2"))
        return lines


def physical_figures(design: Design, traffic: ArrayLike | None = None) -> PhysicalFigures:
    """Return a design's figures in W, pJ, GB/s and mm.

    Parameters
    ----------
    design : Design
        Its platform must state a technology.
    traffic : float array-like [n_tiles, n_tiles], optional
        Flits per cycle from PE i to PE j; without it, figures that depend on traffic are None.

    Returns
    -------
    PhysicalFigures

    Raises
    ------
    ValueError
        The platform has no technology, or the traffic does not fit it.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import numpy as np
    >>> from problems.noc import Design, Platform
    >>> chip = replace(Platform.paper_4x4x4(), technology="32nm")
    >>> round(Design.mesh(chip).physical(np.full((64, 64), 1e-4)).power_w, 4)
    0.0733
    """
    platform = design.platform
    if platform.technology is None:
        expected = 'of a platform with a technology, such as replace(platform, technology="32nm")'
        raise setting_error("physical", "design", expected, "one without technology")
    row, physical = design.row()[None], platform.physical
    flows: Floats = np.zeros((0, platform.n_tiles, platform.n_tiles))
    loads: Floats = np.zeros((1, 0, platform.n_links, 2))
    if traffic is not None:
        flows = check_traffic(traffic, platform.n_tiles)[None]
        loads = design.channel_loads(flows[0])[None, None]
    by_load: dict[str, float | None] = dict.fromkeys(LOADED)
    if traffic is not None:
        for name in LOADED:
            by_load[name] = float(physical_metric(name, platform, row, loads, flows)[0, 0])
    _, widths, places = bisections(platform, row, loads)
    least = int(widths[:, 0].argmin())
    cuts, at = layer_cuts(platform, row)
    crowded = int(cuts[0].argmax()) if cuts.size else -1
    areas = tsv_areas(platform, row)[0]
    most = int(areas.argmax()) if areas.size else -1
    die = platform.die[design.all_links()]
    lengths = physical.length[row[0, platform.n_tiles :]]
    several = platform.die_link is not None
    return PhysicalFigures(
        power_w=by_load["power"],
        flit_energy_pj=by_load["flit_energy"],
        peak_bandwidth_gb_s=by_load["peak_bandwidth"],
        bisection_load=by_load["bisection_load"],
        bisection_gb_s=float(widths[least, 0]),
        bisection_at=places[least],
        link_gb_s=physical.gigabytes * platform.link_capacity,
        die_link_gb_s=(
            physical.gigabytes * platform.link_capacity * physical.die_rate if several else None
        ),
        link_length_mm=float(wire_millimeters(platform, row)[0]),
        longest_link_mm=float(lengths.max(initial=0.0)),
        n_repeaters=int(physical.repeaters[row[0, platform.n_tiles :]].sum()),
        wire_tracks=float(cuts[0, crowded]) if cuts.size else 0.0,
        wire_tracks_limit=track_limit(platform),
        wire_tracks_at=at[crowded] if cuts.size else "",
        n_tsvs=2 * platform.flit_width * len(design.vertical_links),
        tsv_area_mm2=float(areas[most]) if areas.size else 0.0,
        tsv_area_limit_mm2=tsv_limit(platform),
        tsv_area_at=f"between layers {most} and {most + 1}" if areas.size else "",
        n_die_links=int((die[:, 0] != die[:, 1]).sum()),
    )


def describe_limits(design: Design) -> str:
    """Return where a design comes close to the limits of its technology; empty without one."""
    return "" if design.platform.technology is None else "; ".join(design.physical().limits())


def _against(used: float, most: float, unit: str) -> str:
    beyond = f", {100.0 * (used / most - 1.0):.3g} % too many" if used > most else ""
    return f" of {most:.4g}{unit}{beyond}"
