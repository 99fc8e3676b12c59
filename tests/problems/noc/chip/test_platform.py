import copy
import json
import pickle

import numpy as np
import pytest

from problems.noc import NoC3D, PEType, Platform

CPU = PEType(name="CPU", count=4, power=1.0)
GPU = PEType(name="GPU", count=4, power=6.0)
INTERIOR = {21, 22, 25, 26, 37, 38, 41, 42}


def platform(**changes):
    """Return a 2 x 2 x 2 chip with some settings changed."""
    settings = {"grid": (2, 2, 2), "pe_types": (CPU, GPU), "n_planar_links": 6}
    return Platform(**(settings | changes))


def test_the_chip_of_the_paper():
    chip = Platform.paper_4x4x4()
    assert chip.grid == (4, 4, 4)
    assert [(kind.name, kind.count) for kind in chip.pe_types] == [
        ("CPU", 8),
        ("LLC", 16),
        ("GPU", 40),
    ]
    assert (chip.n_links, chip.n_planar_links, len(chip.vertical_links)) == (144, 96, 48)
    assert chip.max_degree == 8
    assert set(range(64)) - set(chip.pe_types[1].allowed_tiles) == INTERIOR
    assert chip.power[:8].tolist() == [1.5] + [1.0] * 7
    assert set(chip.power[8:24]) == {1.5}
    assert set(chip.power[24:]) == {6.0}
    assert len(chip.candidates) == 4 * 16 * 15 / 2
    assert chip.position(21) == (1, 1, 1)


def test_the_mesh_of_the_paper():
    placement, links = Platform.paper_4x4x4().mesh
    pairs = Platform.paper_4x4x4().candidates[links]
    assert {tuple(p) for p in pairs.tolist()} == {
        (t, t + step)
        for t in range(64)
        for step, last in ((1, t % 4 == 3), (4, t // 4 % 4 == 3))
        if not last
    }
    for layer in placement.reshape(4, 16):
        assert set(layer[[5, 6]]) <= set(range(8))
        assert set(layer[[0, 3, 12, 15]]) <= set(range(8, 24))
        gpus = np.delete(layer, [0, 3, 5, 6, 12, 15])
        assert (np.diff(gpus) == 1).all()
        assert gpus.min() >= 24


def test_routing_costs_and_energies_of_the_paper():
    chip = Platform.paper_4x4x4()
    tables = chip.tables
    at = {pair: i for i, pair in enumerate(map(tuple, chip.candidates.tolist()))}
    # Lengths 1, 2, sqrt(2), 5 ** .5, 3 * 2 ** .5, 3.
    for pair, whole in (
        ((0, 1), 1),
        ((0, 2), 2),
        ((0, 5), 2),
        ((1, 8), 3),
        ((48, 63), 5),
        ((3, 15), 3),
    ):
        assert tables.link_cost[at[pair]] == 5 + whole
        assert tables.link_energy[at[pair]] == pytest.approx(1e-3 * 7.44 * 4.57 * whole, rel=1e-15)
    assert (tables.link_cost[480:] == 6).all()
    assert (tables.link_energy[480:] == 1e-3 * 0.22 * 128).all()
    assert tables.router_energy == 1e-3 * 2.25 * 4.57


def test_a_platform_survives_json_pickle_and_copies(tmp_path):
    for chip in (
        Platform.paper_4x4x4(),
        platform(vertical_links=[(0, 4), (7, 3)], max_length=1.0, sink="bottom"),
        platform(mesh_placement=[7, 6, 5, 4, 3, 2, 1, 0]),
    ):
        chip.save(tmp_path / "chip.json")
        assert Platform.load(tmp_path / "chip.json") == chip
        assert Platform.from_dict(json.loads(json.dumps(chip.to_dict()))) == chip
        assert pickle.loads(pickle.dumps(chip)) == chip
        assert copy.deepcopy(chip) == chip
        assert hash(copy.deepcopy(chip)) == hash(chip)
    assert platform() != platform(max_degree=7)


def test_a_reference_design_is_made_up_where_none_is_given():
    cache = PEType(name="LLC", count=4, power=1.0, allowed_tiles=[4, 5, 6, 7])
    chip = platform(pe_types=(cache, GPU))
    placement, links = chip.mesh
    assert sorted(placement[4:]) == [0, 1, 2, 3]
    assert sorted(placement[:4]) == [4, 5, 6, 7]
    assert len(links) == 6
    # More links than grid neighbors: the shortest others come on top.
    full = platform(n_planar_links=9).mesh[1]
    lengths = platform().candidate_lengths[full]
    assert sorted(np.round(lengths, 3).tolist()) == [1.0] * 8 + [1.414]


def test_a_2d_chip_and_a_single_pillar_work():
    flat = Platform(
        grid=(3, 3, 1), pe_types=(PEType(name="A", count=9, power=1),), n_planar_links=8
    )
    pillar = Platform(
        grid=(1, 1, 4), pe_types=(PEType(name="A", count=4, power=1),), n_planar_links=0
    )
    for chip in (flat, pillar):
        n = chip.n_tiles
        problem = NoC3D(np.ones((n, n)), platform=chip, objectives=("mean", "deviation", "energy"))
        assert np.isfinite(problem.ref_point).all()
        rng = np.random.default_rng(0)
        X = problem.operators()["sampling"]._do(problem, 5, random_state=rng)
        assert np.isfinite(problem.features(X)).all()
        assert problem.neighbors(X[0], 3, rng).shape == (3, problem.n_var)
    assert flat.mesh[1].size == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": (2, 2)}, r"'grid' parameter .* three integers .* Got \(2, 2\)"),
        ({"grid": (1, 1, 1)}, "two to 60000 tiles"),
        ({"grid": (2, 2, 3)}, r"be 12 PEs in all.* Got {'CPU': 4, 'GPU': 4}"),
        ({"pe_types": "CPU"}, "'pe_types' parameter .* sequence of PEType"),
        ({"pe_types": (CPU, CPU)}, "of different names"),
        (
            {"n_planar_links": 2},
            "8 tiles, 2 planar and 4 vertical links, .* joining the 4 pieces .* takes 3 planar",
        ),
        ({"n_planar_links": 13}, "13 planar .* only 12 pairs of tiles"),
        ({"max_degree": 2}, "max_degree 2, .* routers have 8 ports left .* which need 12"),
        ({"max_length": 0.5}, "'max_length' .* a finite number of at least 1. Got 0.5"),
        ({"vertical_links": []}, "no set of planar links joins all tiles"),
        ({"vertical_links": [(0, 5)]}, r"one above the other .* Got \(0, 5\)"),
        ({"vertical_links": [(0, 4), (4, 0)]}, "free of repetitions"),
        (
            {"router_stages": 0, "vertical_delay": 0},
            "every hop take from 1 to 5535 cycles. Got hops of 0",
        ),
        ({"router_stages": 9000}, "from 1 to 5535 cycles. Got hops of 9001 to 9002"),
        ({"planar_delay": 1e40}, "'planar_delay' .* below 60000 cycles"),
        ({"planar_delay": -1}, "'planar_delay' .* Got -1"),
        ({"sink": "left"}, "one of 'top', 'bottom'. Got 'left'"),
        ({"mesh_placement": [0] * 8}, "'mesh_placement' .* every PE id from 0 to 7 once"),
    ],
)
def test_a_wrong_setting_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        platform(**changes)


def test_a_degree_cap_that_leaves_no_connection_is_named():
    # Four tiles in a row of pitch 1, links to neighbors only, one link each.
    kinds = (PEType(name="A", count=4, power=1),)
    with pytest.raises(ValueError, match=r"max_degree 1, max_length 1.0"):
        Platform(grid=(4, 1, 1), pe_types=kinds, n_planar_links=2, max_degree=1, max_length=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "'count' parameter of PEType GPU .* an integer from 1 to 60000. Got 0"),
        ({"power": -1.0}, "'power' parameter of PEType GPU .* Got -1.0"),
        ({"power": [1.0, 2.0]}, "one number for all or one for each of 4 PEs. Got"),
        ({"allowed_tiles": [-1, 2, 3, 4]}, "'allowed_tiles' .* Got -1"),
    ],
)
def test_a_wrong_type_of_pe_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        PEType(**({"name": "GPU", "count": 4, "power": 6.0} | changes))


def test_types_that_do_not_fit_their_tiles_are_named():
    def kinds(first, second):
        return (
            PEType(name="CPU", count=4, power=1, allowed_tiles=first),
            PEType(name="GPU", count=4, power=1, allowed_tiles=second),
        )

    with pytest.raises(ValueError, match=r"PEType CPU must be tiles below 8. Got 9"):
        platform(pe_types=kinds([1, 2, 3, 9], None))
    with pytest.raises(
        ValueError, match=r"PEType CPU must be at least as many tiles as PEs, 4. Got"
    ):
        platform(pe_types=kinds([1, 2, 3], None))
    with pytest.raises(ValueError, match=r"leave a tile for every PE. Got no place for 1 of 8"):
        platform(pe_types=kinds([0, 1, 2, 3], [3, 4, 5, 6]))
    with pytest.raises(ValueError, match=r"'mesh_placement' .* Got 'CPU 0 on tile 0'"):
        platform(pe_types=kinds([4, 5, 6, 7], None), mesh_placement=range(8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "file.json: "),
        ('{"grid": [2, 2, 2], "n_planar_links": 6}', "must have the field 'pe_types'. Got none"),
        (
            '{"grid": [2, 2, 2], "n_planar_links": 6, "pe_types": [], "color": 1}',
            "must have no field 'color'. Remove it",
        ),
        ('{"grid": [2, 2, 2], "n_planar_links": 6, "pe_types": [{"name": "A"}]}', "'pe_types'"),
    ],
)
def test_a_wrong_platform_file_is_named(assert_file_rejected, text, message):
    assert_file_rejected(Platform.load, text, message)


def test_the_slowest_hops_that_are_allowed_do_not_overflow():
    kinds = tuple(PEType(name=name, count=1, power=1.0) for name in ("CPU", "GPU", "LLC"))
    chip = Platform(grid=(3, 1, 1), pe_types=kinds, n_planar_links=2, router_stages=5533)
    traffic = np.zeros((3, 3))
    traffic[0, 2] = 1.0
    # Between the ends there is no direct link: two hops, of which each takes 5534 cycles.
    assert NoC3D(traffic, platform=chip).ref_point[2] == 2 * 5534
    assert PEType(name="A", count=3, power=np.ones(3)) == PEType(name="A", count=3, power=1)
