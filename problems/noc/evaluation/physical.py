"""Metrics in physical units, of platforms that state a technology.

=============== =================== ==============================================================
metric          unit                formula
=============== =================== ==============================================================
power           W                   energy of all flits in routers and links, per second
flit_energy     pJ                  mean energy of a flit from source to destination
peak_bandwidth  GB/s                largest traffic of a link in one direction
bisection_load  share of capacity   traffic that crosses the middle of the chip in one direction,
                                    over the bandwidth of the links there; the largest over the
                                    cuts across x, y and z that halve the tiles (for an odd
                                    number, the cuts on both sides of the middle)
link_length     mm                  sum over planar links, Euclidean
repeaters       repeaters           of all wires of planar links
wire_tracks     wires per tile edge wires of the links that cross a straight cut through a layer,
                                    over the tiles along the cut; the largest over all cuts
tsvs            TSVs                wires of all vertical links
tsv_area        mm2                 arrays of TSVs with their keep-out, in the die that has most
=============== =================== ==============================================================

A link has ``flit_width`` wires in each direction, and a vertical link as many TSVs, in one array.

**Energy.** A flit takes, in each router on its way, the energy of a port times the router's ports
(its links and the PE), and the energy of each link: of a wire by its length in mm, of a TSV, and,
between dies, that of the link between dies besides. A PE's traffic to itself takes nothing.

**Tracks.** No way to lay the wires needs fewer of them at a cut, so a design beyond the limit
cannot be wired; the wires of a design within it may still be hard to lay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from problems._arrays import Floats, Ints
from problems._checks import require
from problems.noc.chip.jit import compiled
from problems.noc.chip.traffic import sent_and_received

if TYPE_CHECKING:
    from collections.abc import Collection

    from problems.noc.chip.platform import Platform

__all__ = [
    "LOADED",
    "PHYSICAL_UNITS",
    "all_links",
    "bisections",
    "check_has_technology",
    "degrees",
    "die_share",
    "layer_cuts",
    "physical_limits",
    "physical_metric",
    "physical_minimum",
    "tsv_areas",
    "wire_length",
    "wire_millimeters",
    "without_noise",
]

PHYSICAL_UNITS = {
    "power": "W",
    "flit_energy": "pJ",
    "peak_bandwidth": "GB/s",
    "bisection_load": "of capacity",
    "link_length": "mm",
    "repeaters": "repeaters",
    "wire_tracks": "wires per tile edge",
    "tsvs": "TSVs",
    "tsv_area": "mm2",
}
"""Metrics that need ``Platform.technology``, with their units."""

LOADED = frozenset({"power", "flit_energy", "peak_bandwidth", "bisection_load"})
"""Those that depend on the traffic."""

AXES = ("x", "y", "z")


def check_has_technology(owner: str, names: Collection[str], platform: Platform) -> None:
    """Raise a ValueError for physical metrics of a platform without technology."""
    wanted = [name for name in names if name in PHYSICAL_UNITS]
    expected = (
        f'one with a technology, such as Platform(technology="32nm"), for {", ".join(wanted)}'
    )
    got = "a Platform without technology"
    require(owner, "platform", got, not wanted or platform.technology is not None, expected)


def degrees(platform: Platform, rows: Ints) -> Ints:
    """Return the links of each router, [n, n_tiles], of rows of X [n, n_var]."""
    n, tables = platform.n_tiles, platform.tables
    chosen = rows[:, n:]
    ends = np.concatenate((tables.link_a[chosen], tables.link_b[chosen]), axis=1)
    offset = np.arange(len(rows))[:, None] * n
    counts = np.bincount((ends + offset).ravel(), minlength=len(rows) * n).reshape(-1, n)
    return counts + tables.vertical_degree


def all_links(platform: Platform, rows: Ints) -> Ints:
    """Return the links of each row in the order of the loads, as indices of the tables, [n, m]."""
    fixed = np.arange(len(platform.candidates), platform.tables.link_a.size)
    return np.concatenate((rows[:, platform.n_tiles :], np.tile(fixed, (len(rows), 1))), axis=1)


def physical_metric(
    name: str, platform: Platform, rows: Ints, loads: Floats, traffic: Floats
) -> Floats:
    """Return a metric of ``PHYSICAL_UNITS`` for legal rows, [n, n_apps].

    Parameters
    ----------
    name : str
    platform : Platform
    rows : int array [n, n_var]
    loads : float array [n, n_apps, n_links, 2]
        By direction; used by the metrics of ``LOADED`` only.
    traffic : float array [n_apps, n_tiles, n_tiles]
    """
    if name in ("power", "flit_energy"):
        energy = cycle_energy(platform, rows, loads, traffic)
        if name == "power":
            return energy * (platform.frequency * 1e-12)
        result: Floats = energy / np.array([sent_and_received(t)[0].sum() for t in traffic])
        return result
    if name == "peak_bandwidth":
        return without_noise(loads.max(axis=(2, 3), initial=0.0)) * platform.physical.gigabytes
    if name == "bisection_load":
        return without_noise(bisections(platform, rows, loads)[0].max(axis=0))
    if name == "link_length":
        values = wire_millimeters(platform, rows)
    elif name == "repeaters":
        values = platform.physical.repeaters[rows[:, platform.n_tiles :]].sum(axis=1)
    elif name == "wire_tracks":
        values = layer_cuts(platform, rows)[0].max(axis=1, initial=0.0)
    else:
        arrays = tsv_areas(platform, rows)
        values = arrays.max(axis=1, initial=0.0)
        if name == "tsvs":
            values = np.full(len(rows), 2.0 * platform.flit_width * n_vertical(platform))
    return np.repeat(values[:, None].astype(np.float64), len(traffic), axis=1)


def wire_length(platform: Platform, rows: Ints) -> Floats:
    """Return the length of the planar links of each row in tile pitches, [n].

    Lengths of the same square root add up exactly. So designs of the same length of wire have the
    same value to the last bit, and none of them dominates another by rounding.
    """
    planar = rows[:, platform.n_tiles : platform.n_tiles + platform.n_planar_links]
    physical, n_roots = platform.physical, platform.physical.roots.size
    place = physical.root[planar] + np.arange(len(rows))[:, None] * n_roots
    times = physical.times[planar].ravel()
    sums = np.bincount(place.ravel(), times, minlength=len(rows) * n_roots)
    lengths: Floats = (sums.reshape(len(rows), n_roots) * physical.roots).sum(axis=1)
    return lengths


def wire_millimeters(platform: Platform, rows: Ints) -> Floats:
    """Return the length of the planar links of each row in mm, [n]."""
    return wire_length(platform, rows) * (platform.stack.tile_pitch * 1e3)


def without_noise(values: Floats) -> Floats:
    """Return values rounded to 40 bits, which are 12 digits.

    A load is a sum of flows, in an order that the routes determine. Two designs whose links carry
    the same flows differ in the last bits only, and have the same value once rounded.
    """
    mantissa, exponent = np.frexp(values)
    rounded: Floats = np.ldexp(np.rint(np.ldexp(mantissa, 40)), exponent - 40)
    return rounded


def cycle_energy(platform: Platform, rows: Ints, loads: Floats, traffic: Floats) -> Floats:
    """Return the energy of all flits of a cycle in pJ, [n, n_apps]; parameters as above."""
    tables, physical = platform.tables, platform.physical
    sent = np.array([sent_and_received(t)[0] for t in traffic])
    energy = np.empty((len(rows), len(traffic)))
    links = all_links(platform, rows)
    ports = degrees(platform, rows) + 1
    ends = (tables.link_a, tables.link_b, physical.link_energy)
    sum_energy(rows, links, ports, loads, sent, *ends, physical.port_energy, energy)
    return energy


@compiled
def sum_energy(
    rows: Ints,
    links: Ints,
    ports: Ints,
    loads: Floats,
    sent: Floats,
    link_a: Ints,
    link_b: Ints,
    link_energy: Floats,
    port_energy: float,
    out: Floats,
) -> None:
    """Fill ``out`` [n, n_apps] with the energy of the flits of a cycle.

    A flit pays the router that it enters, and the first one, which it does not enter by a link.
    """
    for p in range(out.shape[0]):
        for app in range(out.shape[1]):
            total = 0.0
            for tile in range(ports.shape[1]):
                total += port_energy * ports[p, tile] * sent[app, rows[p, tile]]
            for k in range(links.shape[1]):
                c = links[p, k]
                ahead = link_energy[c] + port_energy * ports[p, link_b[c]]
                back = link_energy[c] + port_energy * ports[p, link_a[c]]
                total += loads[p, app, k, 0] * ahead + loads[p, app, k, 1] * back
            out[p, app] = total


def n_vertical(platform: Platform) -> int:
    """Return the number of vertical links of every design."""
    return platform.n_links - platform.n_planar_links


def middles(size: int) -> list[int]:
    """Return the cuts in the middle of tiles in a row; cut k is before tile k."""
    return sorted({size // 2, (size + 1) // 2}) if size > 1 else []


def bisections(platform: Platform, rows: Ints, loads: Floats) -> tuple[Floats, Floats, list[str]]:
    """Return the cuts in the middle of the chip.

    Parameters
    ----------
    platform : Platform
    rows : int array [n, n_var]
    loads : float array [n, n_apps, n_links, 2]

    Returns
    -------
    tuple
        Of each cut: its load as a share of the capacity in the busier direction, [n_cuts, n,
        n_apps], its bandwidth in one direction in GB/s, [n_cuts, n], and its place.
    """
    links, tables = all_links(platform, rows), platform.tables
    rate = platform.physical.rate * platform.link_capacity
    cuts = [(axis, k) for axis, size in enumerate(platform.grid) for k in middles(size)]
    shares, capacity = np.zeros((len(cuts), *loads.shape[:2])), np.zeros((len(cuts), len(rows)))
    for i, (axis, cut) in enumerate(cuts):
        beyond = tables.place[:, axis] >= cut
        ends = beyond[tables.link_b].astype(np.int64) - beyond[tables.link_a]
        cross_middle(links, ends, rate, loads, capacity[i], shares[i])
    names = [f"between {AXES[axis]} = {cut - 1} and {cut}" for axis, cut in cuts]
    return shares, capacity * platform.physical.gigabytes, names


@compiled
def cross_middle(
    links: Ints, ends: Ints, rate: Floats, loads: Floats, capacity: Floats, shares: Floats
) -> None:
    """Fill in the capacity across a cut in one direction [n], and the share used [n, n_apps].

    ``ends`` [n_candidates] is 1 for a link whose second tile alone is beyond the cut, -1 for one
    whose first tile alone is, else 0.
    """
    for p in range(links.shape[0]):
        for k in range(links.shape[1]):
            if ends[links[p, k]] != 0:
                capacity[p] += rate[links[p, k]]
        for app in range(loads.shape[1]):
            forth, back = 0.0, 0.0
            for k in range(links.shape[1]):
                end = ends[links[p, k]]
                if end != 0:
                    first = 0 if end > 0 else 1
                    forth += loads[p, app, k, first]
                    back += loads[p, app, k, 1 - first]
            shares[p, app] = max(forth, back) / capacity[p]


def layer_cuts(platform: Platform, rows: Ints) -> tuple[Floats, list[str]]:
    """Return the wires per tile edge of all straight cuts through layers, [n, n_cuts], by place."""
    x, y, z = platform.grid
    tables, n = platform.tables, platform.n_tiles
    planar = np.ascontiguousarray(rows[:, n : n + platform.n_planar_links])
    crossing = np.zeros((len(rows), z, x + y - 2), dtype=np.int64)
    count_crossings(planar, tables.link_a, tables.link_b, tables.place, x, crossing)
    wires = 2.0 * platform.flit_width / np.repeat((y, x), (x - 1, y - 1))
    names = [
        f"layer {level} between {axis} = {k} and {k + 1}"
        for level in range(z)
        for axis, size in (("x", x), ("y", y))
        for k in range(size - 1)
    ]
    return (crossing * wires).reshape(len(rows), -1), names


@compiled
def count_crossings(
    planar: Ints, link_a: Ints, link_b: Ints, place: Ints, x: int, out: Ints
) -> None:
    """Add to ``out`` [n, n_layers, x + y - 2] the links that cross each cut, those across x first.

    ``x`` is the number of tiles along x.
    """
    for p in range(planar.shape[0]):
        for k in range(planar.shape[1]):
            a, b = place[link_a[planar[p, k]]], place[link_b[planar[p, k]]]
            for cut in range(min(a[0], b[0]), max(a[0], b[0])):
                out[p, a[2], cut] += 1
            for cut in range(min(a[1], b[1]), max(a[1], b[1])):
                out[p, a[2], x - 1 + cut] += 1


def tsv_areas(platform: Platform, rows: Ints) -> Floats:
    """Return the mm2 of the arrays of TSVs between each two layers, [n, n_layers - 1]."""
    z = platform.grid[2]
    technology = platform.technology
    assert technology is not None, "check_has_technology comes first"
    links = all_links(platform, rows)[:, platform.n_planar_links :]
    level = platform.tables.place[platform.tables.link_a[links], 2]
    row = np.arange(len(rows))[:, None] * (z - 1)
    counts = np.bincount((level + row).ravel(), minlength=len(rows) * (z - 1))
    array = technology.tsv_array_area(2 * platform.flit_width)
    areas: Floats = counts.astype(np.float64).reshape(len(rows), z - 1)
    return array * areas


def physical_limits(platform: Platform) -> dict[str, float]:
    """Return the limits of the technology that some design could exceed, by metric."""
    technology = platform.technology
    if technology is None:
        return {}
    x, y, z = platform.grid
    limits = {}
    wires = 2 * platform.flit_width
    tracks = track_limit(platform)
    if tracks is not None:
        # At most all planar links cross a cut, and as many as the routers on its smaller side take.
        most = max(
            (
                min(platform.n_planar_links, size // 2 * edges * platform.max_degree) / edges
                for size, edges in ((x, y), (y, x))
                if size > 1
            ),
            default=0,
        )
        if most * wires > tracks:
            limits["wire_tracks"] = tracks
    sites = min(x * y, n_vertical(platform)) if z > 1 else 0
    area = tsv_limit(platform)
    if sites * technology.tsv_array_area(wires) > area:
        limits["tsv_area"] = area
    return limits


def track_limit(platform: Platform) -> float | None:
    """Return the wires of links that may cross the edge between two tiles; None for any number."""
    technology = platform.technology
    if technology is None or technology.tracks_per_mm is None:
        return None
    return float(np.floor(round(technology.tracks_per_mm * platform.stack.tile_pitch * 1e3, 6)))


def tsv_limit(platform: Platform) -> float:
    """Return the mm2 of a layer that arrays of TSVs may take."""
    technology = platform.technology
    assert technology is not None, "check_has_technology comes first"
    x, y, _ = platform.grid
    return technology.tsv_share * x * y * (platform.stack.tile_pitch * 1e3) ** 2


def die_share(platform: Platform, placement: Ints, traffic: Floats) -> Floats:
    """Return the share of the traffic between different dies, [n, n_apps].

    Parameters
    ----------
    platform : Platform
    placement : int array [n, n_tiles]
        PE on each tile.
    traffic : float array [n_apps, n_tiles, n_tiles]
    """
    home = np.empty_like(placement)
    np.put_along_axis(home, placement, np.broadcast_to(platform.die, placement.shape), axis=1)
    flows = np.require(traffic * ~np.eye(platform.n_tiles, dtype=bool), requirements=["C", "W"])
    crossing = np.empty((len(placement), len(traffic)))
    sum_crossing(home, flows, crossing)
    share: Floats = crossing / flows.sum(axis=(1, 2))
    return share


@compiled
def sum_crossing(die: Ints, flows: Floats, out: Floats) -> None:
    """Fill ``out`` [n, n_apps] with the traffic between PEs on different dies.

    ``die`` is [n, n_tiles], by PE. A loop, since the bits of a product of matrices depend on how
    many designs are in the batch.
    """
    n = die.shape[1]
    for p in range(out.shape[0]):
        for app in range(out.shape[1]):
            total = 0.0
            for i in range(n):
                for j in range(n):
                    if die[p, i] != die[p, j]:
                        total += flows[app, i, j]
            out[p, app] = total


def physical_minimum(
    platform: Platform, crossing: float, total: float, peak: float
) -> dict[str, float]:
    """Return lower bounds of the physical metrics over all designs.

    Parameters
    ----------
    platform : Platform
    crossing : float
        Least traffic times links.
    total : float
        Traffic of all PEs, flits per cycle.
    peak : float
        Least traffic of the busiest link.
    """
    if platform.technology is None:
        return {}
    physical = platform.physical
    n = platform.n_planar_candidates
    # A router has a link and its PE at least.
    energy = crossing * (float(physical.link_energy.min()) + 2.0 * physical.port_energy)
    energy += total * 2.0 * physical.port_energy
    layers, sites = platform.grid[2] - 1, n_vertical(platform)
    # Every planar link crosses a cut at least.
    x, y, z = platform.grid
    edges = z * ((x - 1) * y + x * (y - 1))
    tracks = 2.0 * platform.flit_width * platform.n_planar_links / max(edges, 1)
    area = platform.technology.tsv_array_area(2 * platform.flit_width)
    return {
        "power": energy * platform.frequency * 1e-12,
        "flit_energy": energy / total,
        "peak_bandwidth": peak * physical.gigabytes,
        "bisection_load": 0.0,
        "link_length": float(np.sort(physical.length[:n])[: platform.n_planar_links].sum()),
        "repeaters": float(np.sort(physical.repeaters[:n])[: platform.n_planar_links].sum()),
        "wire_tracks": tracks,
        "tsvs": 2.0 * platform.flit_width * sites,
        "tsv_area": area * -(-sites // layers) if layers else 0.0,
    }
