"""Metrics in physical units, by hand and against a slow check along every path."""

import itertools
import math
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from problems.noc import Design, DieLink, NoC3D, Platform, Technology, chiplet_package
from problems.noc.evaluation.limits import lower_bounds
from problems.noc.evaluation.metrics import network_power
from problems.noc.evaluation.physical import PHYSICAL_UNITS, physical_limits

TECHNOLOGY = Technology(
    router_energy=0.05,
    router_ports=5,
    wire_energy=0.1,
    tsv_energy=0.02,
    repeater_spacing=0.5,
    tracks_per_mm=400.0,
)

CUBE = Platform(
    grid=(2, 2, 2),
    pe_types={"CPU": {"count": 4, "power": 1.0}, "LLC": {"count": 4, "power": 1.0}},
    n_planar_links=8,
    technology=TECHNOLOGY,
    flit_width=100,
    frequency=2e9,
    stack={"tile_pitch": 2e-3},
)


def measured(platform, traffic, row=None):
    problem = NoC3D(traffic, platform=platform, objectives=("energy",))
    row = problem.mesh_row() if row is None else row
    return {name: float(v[0]) for name, v in problem.measure(row[None]).items()}


def one_flow(source, target, rate=0.3):
    traffic = np.zeros((8, 8))
    traffic[source, target] = rate
    return traffic


def test_a_cube_by_hand():
    # PE 0 to PE 1 is a wire of 2 mm between two routers, each of three links and a PE. A bit takes
    # 0.05 * 4 / 5 pJ in each router and 0.1 * 2 pJ in the wire: 0.28 pJ, 28 pJ for 100 bits.
    found = measured(CUBE, one_flow(0, 1))
    assert found["flit_energy"] == pytest.approx(28.0)
    # 0.3 flits in each of 2e9 cycles.
    assert found["power"] == pytest.approx(0.3 * 2e9 * 28e-12)
    # A flit per cycle is 25 GB/s.
    assert found["peak_bandwidth"] == pytest.approx(7.5)
    # Four links of a flit per cycle cross the middle; the flow takes 0.3 of one.
    assert found["bisection_load"] == pytest.approx(0.3 / 4)
    # Eight wires of 2 mm; three repeaters, at 0.5, 1 and 1.5 mm, in each of 200 wires of a link.
    assert found["link_length"] == pytest.approx(16.0)
    assert found["repeaters"] == 8 * 3 * 200
    # Two links of 200 wires cross a cut along two tiles.
    assert found["wire_tracks"] == 200.0
    # Four links of 200 vias; 15 of 10 um a side, and 5 um on both ends: 160 um.
    assert found["tsvs"] == 800.0
    assert found["tsv_area"] == pytest.approx(4 * 0.16**2)


def test_vertical_and_longer_paths_by_hand():
    assert measured(CUBE, one_flow(0, 4))["flit_energy"] == pytest.approx(100 * (0.08 + 0.02))
    # Three routers, two wires and a via: 0.16, 0.4 and 0.02 pJ a bit.
    assert measured(CUBE, one_flow(0, 7))["flit_energy"] == pytest.approx(58.0)
    # The traffic of a PE to itself takes nothing.
    own = one_flow(0, 1) + 5.0 * np.eye(8)
    assert measured(CUBE, own)["flit_energy"] == pytest.approx(28.0)


def test_repeaters_may_cost_beside_their_wires():
    costly = replace(TECHNOLOGY, repeater_energy=0.01)
    found = measured(replace(CUBE, technology=costly), one_flow(0, 1))
    assert found["flit_energy"] == pytest.approx(28.0 + 100 * 3 * 0.01)


@pytest.fixture(scope="module")
def walk():
    """Return a problem, and designs of a random walk on a chip that leaves links much room."""
    platform = replace(Platform.paper_4x4x4(), technology="32nm")
    problem = NoC3D.example("bfs", platform=platform, objectives=3)
    rng, row = np.random.default_rng(0), problem.mesh_row()
    rows = [row]
    for _ in range(600):
        row = problem.canonical(problem.neighbors(row, 1, rng)[0])
        rows.append(row)
    return problem, np.stack(rows)


@pytest.mark.parametrize("name", ["wire_length", "link_length", "router_area"])
def test_designs_of_the_same_links_or_routers_have_the_same_sum_to_the_last_bit(walk, name):
    differ_by_more_than_noise(*walk, name)


@pytest.mark.parametrize("name", ["peak_load", "peak_bandwidth", "bisection_load"])
def test_designs_whose_links_carry_the_same_flows_have_the_same_load_to_the_last_bit(walk, name):
    differ_by_more_than_noise(*walk, name)


def test_networks_of_as_many_hops_under_uniform_traffic_have_the_same_mean(walk):
    problem, rows = walk
    differ_by_more_than_noise(problem.under(np.full((64, 64), 0.01)), rows, "mean_hops")


def differ_by_more_than_noise(problem, rows, name):
    found = problem.measure(rows, [name])[name]
    assert len(np.unique(found)) < len(rows) - 20
    assert (np.diff(np.unique(found)) > 1e-12 * found.max()).all()


def test_the_design_says_the_same_with_its_places():
    figures = Design.mesh(CUBE).physical(one_flow(0, 1))
    found = measured(CUBE, one_flow(0, 1))
    for name, value in {
        "power_w": "power",
        "flit_energy_pj": "flit_energy",
        "peak_bandwidth_gb_s": "peak_bandwidth",
        "bisection_load": "bisection_load",
        "link_length_mm": "link_length",
        "n_repeaters": "repeaters",
        "wire_tracks": "wire_tracks",
        "n_tsvs": "tsvs",
        "tsv_area_mm2": "tsv_area",
    }.items():
        assert getattr(figures, name) == pytest.approx(found[value]), name
    assert figures.bisection_gb_s == 100.0
    assert figures.longest_link_mm == 2.0
    assert figures.wire_tracks_limit == 800.0
    assert figures.wire_tracks_at == "layer 0 between x = 0 and 1"
    assert figures.tsv_area_limit_mm2 == pytest.approx(0.1 * 4 * 4.0)
    assert figures.tsv_area_at == "between layers 0 and 1"
    assert set(figures.to_dict()) >= {"power_w", "link_length_mm", "bisection_gb_s"}
    assert "0.0168 W" in str(figures)
    assert "of 800" in str(Design.mesh(CUBE))
    assert Design.mesh(CUBE).physical().power_w is None
    with pytest.raises(ValueError, match="technology"):
        Design.mesh().physical()


# ------------------------------------------------------------------------------- the slow check


def slow(platform, traffic, row):
    """Return all metrics along every path, in plain Python."""
    technology, bits = platform.technology, platform.flit_width
    pitch = platform.stack.tile_pitch * 1e3
    n = platform.n_tiles
    placement, chosen = row[:n], row[n:]
    pairs = [tuple(p) for p in platform.candidates[chosen].tolist()]
    pairs += [tuple(p) for p in platform.vertical_array.tolist()]
    graph, length, repeaters = nx.Graph(), 0.0, 0
    for a, b in pairs:
        pa, pb = platform.position(a), platform.position(b)
        mm = math.dist(pa, pb) * pitch
        cost, energy, rate = platform.router_stages, technology.tsv_energy, 1.0
        if pa[2] == pb[2]:
            cost += math.ceil(mm / pitch * platform.planar_delay - 1e-9)
            energy = technology.wire_energy * mm
            length += mm
            repeaters += 2 * bits * max(math.ceil(mm / technology.repeater_spacing - 1e-9) - 1, 0)
        else:
            cost += math.ceil(platform.vertical_delay)
        if platform.die_link is not None and platform.die[a] != platform.die[b]:
            link = platform.die_link
            cost += math.ceil(link.latency * platform.frequency * 1e-9 - 1e-9)
            energy += link.energy
            rate = min(1.0, link.bandwidth * 8e9 / bits / platform.frequency)
        graph.add_edge(a, b, cost=cost, energy=energy * bits, rate=rate)
    load = {}
    total = energy = 0.0
    for s in graph:
        cost = nx.single_source_dijkstra_path_length(graph, s, weight="cost")
        for t in graph:
            if s == t:
                continue
            path = [t]
            while path[0] != s:
                here = path[0]
                before = [v for v in graph[here] if cost[v] + graph[v][here]["cost"] == cost[here]]
                path.insert(0, min(before, key=lambda v: placement[v]))
            flow = traffic[placement[s], placement[t]]
            total += flow
            for v in path:
                ports = graph.degree[v] + 1
                energy += flow * bits * technology.router_energy * ports / technology.router_ports
            for a, b in itertools.pairwise(path):
                load[a, b] = load.get((a, b), 0.0) + flow
                energy += flow * graph[a][b]["energy"]
    gigabytes = bits * platform.frequency / 8e9
    shares = []
    for axis in range(3):
        size = platform.grid[axis]
        for cut in {size // 2, -(-size // 2)} if size > 1 else ():
            for forth in (True, False):
                across, width = 0.0, 0.0
                for a, b in pairs:
                    low, high = sorted((a, b), key=lambda v: platform.position(v)[axis])
                    if platform.position(low)[axis] < cut <= platform.position(high)[axis]:
                        width += graph[a][b]["rate"]
                        across += load.get((low, high) if forth else (high, low), 0.0)
                shares.append(across / width)
    x, y, z = platform.grid
    crowded = [0.0]
    for level in range(z):
        for axis, size, edges in ((0, x, y), (1, y, x)):
            for cut in range(1, size):
                ends = [
                    sorted((platform.position(a)[axis], platform.position(b)[axis]))
                    for a, b in pairs
                    if platform.position(a)[2] == platform.position(b)[2] == level
                ]
                crossing = sum(low < cut <= high for low, high in ends)
                crowded.append(2 * bits * crossing / edges)
    side = math.ceil(math.sqrt(2 * bits)) * technology.tsv_pitch + 2 * technology.tsv_keep_out
    between = [
        sum(platform.position(a)[2] == level != platform.position(b)[2] for a, b in pairs)
        for level in range(z)
    ]
    return {
        "power": energy * platform.frequency * 1e-12,
        "flit_energy": energy / total,
        "peak_bandwidth": max(load.values()) * gigabytes,
        "bisection_load": max(shares),
        "link_length": length,
        "repeaters": repeaters,
        "wire_tracks": max(crowded),
        "tsvs": 2 * bits * sum(between),
        "tsv_area": max(between) * side**2 * 1e-6,
    }


KINDS = {"CPU": {"count": 6, "power": 1.0}, "LLC": {"count": 12, "power": 1.0}}
TOWER = Platform(
    grid=(3, 2, 3),
    pe_types=KINDS,
    n_planar_links=20,
    n_vertical_links=7,
    technology=TECHNOLOGY,
    flit_width=64,
)
DIES = Platform(
    grid=(6, 3, 1),
    pe_types=KINDS,
    n_planar_links=34,
    max_length=3.0,
    technology="32nm",
    die_size=(2, 3),
    die_link=DieLink(latency=2.0, energy=0.6, bandwidth=6.0),
)


@pytest.mark.parametrize("platform", [TOWER, DIES], ids=["tower", "dies"])
def test_every_metric_agrees_with_the_slow_check(platform):
    platform = replace(platform, technology=replace(platform.technology, wire_delay=None))
    traffic = np.random.default_rng(0).random((18, 18)) * 0.01
    problem = NoC3D(traffic, platform=platform, objectives=("power", "flit_energy"))
    sampling = problem.operators()["sampling"]
    rows = problem.canonical(sampling._do(problem, 6, random_state=np.random.default_rng(1)))
    found = problem.measure(rows, list(PHYSICAL_UNITS))
    for i, row in enumerate(rows):
        for name, value in slow(platform, traffic, row).items():
            assert found[name][i] == pytest.approx(value, rel=1e-9), name
    # The heat of the tiles is the same power.
    loads = problem.channel_loads(rows)
    heat = network_power(platform, rows, loads, traffic[None]).sum(axis=2)[:, 0]
    np.testing.assert_allclose(heat, found["power"])
    # Bounds that refuse limits are below every design.
    flows = traffic * ~np.eye(18, dtype=bool)
    bounds = lower_bounds(platform, flows, np.zeros_like(flows))
    for name in PHYSICAL_UNITS:
        assert bounds[name] <= found[name].min() * (1 + 1e-9), name


# ---------------------------------------------------------------------------------------- limits


def test_physical_metrics_need_a_technology():
    problem = NoC3D(np.ones((8, 8)) * 0.01, platform=replace(CUBE, technology=None))
    assert PHYSICAL_UNITS.keys().isdisjoint(problem.metric_names)
    plain = problem.platform
    for settings in ({"objectives": ("power",)}, {"constraints": {"wire_tracks": 1e4}}):
        with pytest.raises(ValueError, match=r'Platform\(technology="32nm"\)'):
            NoC3D(np.ones((8, 8)) * 0.01, platform=plain, **settings)
    with pytest.raises(ValueError, match="names"):
        problem.measure(problem.mesh_row(), ["power"])


def flat(tracks, **changes):
    return Platform(
        grid=(4, 4, 1),
        pe_types={"PE": {"count": 16, "power": 1.0}},
        n_planar_links=28,
        technology=replace(TECHNOLOGY, tracks_per_mm=tracks),
        **changes,
    )


def test_tracks_that_a_design_could_exceed_are_a_constraint():
    traffic = np.ones((16, 16)) * 0.01
    assert NoC3D(traffic, platform=flat(1e5), objectives=("power",)).constraints == {}
    problem = NoC3D(traffic, platform=flat(100.0), objectives=("power",))
    # 100 wires a mm on tiles of 4 mm.
    assert problem.constraints == {"wire_tracks": 400.0}
    rows = problem.operators()["sampling"]._do(problem, 40, random_state=np.random.default_rng(0))
    G = problem.evaluate(rows, return_as_dictionary=True)["G"][:, 0]
    used = problem.measure(rows, ["wire_tracks"])["wire_tracks"]
    np.testing.assert_allclose(G, used / 400.0 - 1.0)
    assert (G > 0).any()
    worst = problem.decode(rows[G.argmax()]).physical()
    assert worst.wire_tracks == used.max()
    assert worst.wire_tracks_at.startswith("layer 0 between ")
    assert "too many" in str(worst)
    # A stricter limit holds, a looser one is refused, and one that nothing meets, too.
    strict = NoC3D(
        traffic, platform=flat(100.0), constraints={"wire_tracks": 320}, objectives=("energy",)
    )
    assert strict.constraints == {"wire_tracks": 320.0}
    with pytest.raises(ValueError, match="at most 400 wires per tile edge"):
        NoC3D(
            traffic, platform=flat(100.0), constraints={"wire_tracks": 500}, objectives=("energy",)
        )
    with pytest.raises(ValueError, match=r"wire_tracks is at least .* more than the technology"):
        NoC3D(traffic, platform=flat(50.0), objectives=("energy",))


def test_the_crowded_place_is_the_right_one():
    platform = flat(None)
    design = Design.mesh(platform)
    # Four links more between the third and the fourth row: the mesh has 24, the platform 28.
    neighbors = [(a, b) for a, b in design.links.tolist() if b - a in (1, 4)]
    extra = [(8, 13), (9, 12), (9, 14), (10, 13)]
    crowded = Design(design.placement, [*neighbors, *extra], platform).physical()
    assert crowded.wire_tracks_at == "layer 0 between y = 2 and 3"
    assert crowded.wire_tracks == 8 * 256 / 4
    assert crowded.wire_tracks_limit is None


def test_the_area_of_vias_is_a_constraint_where_it_could_be_exceeded():
    small = replace(
        TOWER, stack={"tile_pitch": 3e-4}, technology=replace(TECHNOLOGY, tsv_share=0.3)
    )
    # 64 bits are 128 vias: 12 a side, 0.13 mm: 0.0169 mm2 of 0.09; six tiles of a layer have 0.54.
    assert physical_limits(small) == {"wire_tracks": 120.0}
    limit = replace(
        small, n_vertical_links=6, technology=replace(TECHNOLOGY, tsv_share=0.1, tracks_per_mm=None)
    )
    assert physical_limits(limit) == pytest.approx({"tsv_area": 0.054})
    problem = NoC3D(np.ones((18, 18)) * 0.01, platform=limit, objectives=("power",))
    rows = problem.operators()["sampling"]._do(problem, 30, random_state=np.random.default_rng(0))
    counts = np.stack([
        np.bincount(d.vertical_links[:, 0] // 6, minlength=2)
        for d in (problem.decode(row) for row in rows)
    ])  # fmt: skip
    G = problem.evaluate(rows, return_as_dictionary=True)["G"][:, 0]
    # Three arrays take 0.0507 mm2, four 0.0676.
    np.testing.assert_array_equal(G > 0, counts.max(axis=1) > 3)


# ------------------------------------------------------------------------- links between dies


def test_a_narrow_link_counts_by_what_it_takes():
    traffic = np.zeros((4, 4))
    traffic[0, 1] = 0.2
    narrow = chiplet_package((2, 2), link=DieLink(latency=2.0, energy=0.5, bandwidth=4.0))
    assert narrow.physical.die_rate == 0.25
    problem = NoC3D(traffic, platform=narrow, objectives=("peak_load", "packet_latency"))
    load, latency = problem.evaluate(problem.mesh_row())
    assert load == pytest.approx(0.8)
    # A hop of three cycles, 3 flits that follow after 4 cycles each, of which the head loses one in
    # the next router, and a queue that is at 0.8.
    idle = problem.under(traffic * 1e-6).evaluate(problem.mesh_row())[1]
    assert idle == pytest.approx(3.0 + 11.0, abs=1e-3)
    assert latency > idle + 10.0
    wide = chiplet_package((2, 2), link=DieLink(latency=2.0, energy=0.5, bandwidth=400.0))
    free = NoC3D(traffic, platform=wide, objectives=("peak_load", "packet_latency"))
    load, latency = free.evaluate(free.mesh_row())
    assert load == pytest.approx(0.2)
    assert latency < 7.0


def test_traffic_within_a_die_does_not_wait_for_narrow_links():
    package = chiplet_package(
        (2, 1), routers=(2, 2), link=DieLink(latency=2.0, energy=0.5, bandwidth=4.0), max_length=1.0
    )
    traffic = np.zeros((8, 8))
    inside = [(0, 1), (4, 5)]  # tiles of the first die
    traffic[tuple(np.transpose(inside))] = 0.01
    problem = NoC3D(traffic, platform=package, objectives=("packet_latency",))
    assert problem.evaluate(problem.mesh_row())[0] == pytest.approx(1.0 + 3.0, abs=0.1)
