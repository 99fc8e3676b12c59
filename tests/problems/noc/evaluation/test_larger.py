"""Chips other than the paper's: presets, TSV budgets, and conformance of their problems."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from moela.testing import PROBLEM_CHECKS
from problems.noc import Design, NoC3D, PEType, Platform

BUDGET = Platform(
    grid=(3, 3, 3),
    pe_types=(
        PEType(name="CPU", count=5, power=1.0),
        PEType(name="LLC", count=6, power=1.5, allowed_tiles=range(3, 27)),
        PEType(name="GPU", count=16, power=6.0),
    ),
    n_planar_links=30,
    n_vertical_links=7,
    max_degree=5,
)
# Made when first tested, since making one may compile kernels.
PROBLEMS = {
    "TSV budget": lambda: NoC3D.example("bfs", platform=BUDGET),
    "constraints": lambda: NoC3D.example(
        "bfs", platform=BUDGET, objectives=("latency", "energy", "temperature"),
        constraints={"temperature": 90.0, "peak_load": 0.12},
    ),
    "two applications": lambda: NoC3D(
        [NoC3D.example(name, platform=BUDGET).traffic for name in ("bfs", "gau")],
        platform=BUDGET, objectives=("edp", "packet_latency", "wire_length"), aggregate="worst",
    ),
    "8x8": lambda: NoC3D.example("hotspot", platform=Platform.mesh_8x8(), objectives=3),
}  # fmt: skip


@cache
def made(name):
    return PROBLEMS[name]()


@pytest.mark.parametrize("check", PROBLEM_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", PROBLEMS)
def test_conformance(name, check):
    check(made(name))


@pytest.mark.parametrize(
    ("name", "grid", "counts", "links"),
    [
        ("4x4x4", (4, 4, 4), (8, 16, 40), 144),
        ("8x8", (8, 8, 1), (8, 16, 40), 112),
        ("8x8x4", (8, 8, 4), (32, 64, 160), 640),
        ("10x10x10", (10, 10, 10), (125, 250, 625), 2700),
    ],
)
def test_presets_are_meshes_of_their_size(tmp_path, name, grid, counts, links):
    chip = Platform.preset(name)
    assert chip.grid == grid
    assert tuple(kind.count for kind in chip.pe_types) == counts
    assert chip.n_links == links
    placement, chosen = chip.mesh
    lengths = chip.candidate_lengths[chosen]
    np.testing.assert_array_equal(lengths, 1.0)
    assert (np.bincount(chip.pe_type[placement]) == counts).all()
    chip.save(tmp_path / "chip.json")
    assert Platform.load(tmp_path / "chip.json") == chip
    problem = NoC3D.example("bfs", platform=chip, objectives=("mean", "edp"))
    rng = np.random.default_rng(0)
    X = problem.operators()["sampling"]._do(problem, 3, random_state=rng)
    problem.check(X)
    assert np.isfinite(problem.evaluate(X)).all()
    near = problem.neighbors(X[2], 2, rng)
    problem.check(near)
    assert (problem.evaluate(problem.mesh_row()) == problem.ref_point).all()


def test_named_presets():
    assert Platform.mesh_8x8() == Platform.preset("8x8")
    assert Platform.stack_8x8x4() == Platform.preset("8x8x4")
    assert Platform.cube_10x10x10() == Platform.preset("10x10x10")
    with pytest.raises(ValueError, match=r"'name' parameter of preset .* Got '9x9'"):
        Platform.preset("9x9")


def test_designs_keep_to_the_tsv_budget(rules):
    problem = made("TSV budget")
    assert problem.n_var == 27 + 30 + 7
    assert BUDGET.n_links == 37
    assert len(BUDGET.candidates) == 3 * 36 + 18
    operators, rng = problem.operators(), np.random.default_rng(1)
    X = operators["sampling"]._do(problem, 60, random_state=rng)
    C = operators["crossover"]._do(problem, np.stack((X[:30], X[30:])), random_state=rng)
    M = operators["mutation"]._do(problem, C.reshape(-1, 64), random_state=rng)
    near = problem.neighbors_many(M, 6, rng).reshape(-1, 64)
    every = np.concatenate((X, M, near))
    problem.check(every)
    np.testing.assert_array_equal(every, problem.canonical(every))
    vertical = every[:, 57:]
    assert (vertical >= problem.platform.n_planar_candidates).all()
    # The sites are part of the design: nearly every site is used, and sets differ.
    assert len(np.unique(vertical)) == 18
    # Of 840 designs. A fixed choice would give one set, and one choice per sample would give 60.
    assert len(np.unique(vertical, axis=0)) > 20
    for x in every[::40]:
        design = problem.decode(x)
        assert len(design.vertical_links) == 7
        assert {b - a for a, b in design.vertical_links.tolist()} == {9}
        assert rules(with_fixed(design), x[:27].tolist(), design.planar_links.tolist()) == []
        np.testing.assert_array_equal(problem.encode(design), x)
        assert Design.from_dict(design.to_dict()) == design


def with_fixed(design):
    """Return the platform on which the vertical links of a design are fixed."""
    vertical = design.vertical_links.tolist()
    return replace(design.platform, n_vertical_links=None, vertical_links=vertical)


def test_a_budget_gives_the_same_numbers_as_the_same_links_fixed():
    problem = made("TSV budget")
    rng = np.random.default_rng(5)
    X = problem.operators()["sampling"]._do(problem, 6, random_state=rng)
    for x in X:
        design = problem.decode(x)
        fixed = with_fixed(design)
        same = NoC3D(problem.traffic, platform=fixed)
        row = same.encode(Design(design.placement, design.planar_links, fixed))
        # The same sums in another order of the links.
        np.testing.assert_allclose(same.evaluate(row), problem.evaluate(x), rtol=1e-12)
        a = dict(zip(problem.feature_names, problem.features(x[None])[0], strict=True))
        b = dict(zip(same.feature_names, same.features(row[None])[0], strict=True))
        assert a == pytest.approx(b, rel=1e-9)


def test_the_reference_of_a_budget_spreads_whole_pillars():
    chip = replace(Platform.paper_4x4x4(), n_vertical_links=12)
    design = Design.mesh(chip)
    stacks, counts = np.unique(design.vertical_links[:, 0] % 16, return_counts=True)
    assert counts.tolist() == [3, 3, 3, 3]
    x, y = stacks % 4, stacks // 4
    apart = np.abs(x[:, None] - x) + np.abs(y[:, None] - y)
    assert apart[np.triu_indices(4, 1)].min() >= 2
    assert replace(chip, n_vertical_links=48) == Platform.paper_4x4x4()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_vertical_links": 1}, "'n_vertical_links' .* an integer from 2 to 18. Got 1 instead"),
        ({"n_planar_links": 8}, "26 chosen links or more"),
        ({"max_degree": 2}, "54 ports left for chosen links, which need 74"),
        ({"stack": {"color": 3}}, "platform's stack must have no field 'color'"),
        (
            {"stack": {"tile_pitch": 0}},
            "'tile_pitch' .* of ThermalStack .* from 1e-30 to 1e.30. Got 0",
        ),
        (
            {"frequency": 0},
            "'frequency' parameter of Platform must be .* from 1e-50",
        ),
        (
            {"pe_types": {"CPU": 3}},
            r"'pe_types\[0\]' parameter of Platform must be a PEType, or an object.* Got 3",
        ),
    ],
)
def test_a_contradiction_is_named(changes, message):
    data = BUDGET.to_dict() | changes
    with pytest.raises(ValueError, match=message):
        Platform.from_dict(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda links: links[:-1], "37 links, 30 planar and 7 vertical. Got 36"),
        (lambda links: [*links[:-1].tolist(), [0, 1]], "each link once|Got 6 vertical ones"),
        (
            lambda links: [*links[:-1].tolist(), [0, 18]],
            r"or a pair of vertical_links. Got \(0, 18\)",
        ),
    ],
)
def test_a_design_off_its_budget_is_named(change, message):
    mesh = Design.mesh(BUDGET)
    with pytest.raises(ValueError, match=message):
        Design(mesh.placement, change(mesh.links), BUDGET)


def test_rows_that_mix_planar_and_vertical_columns_are_named():
    problem = made("TSV budget")
    x = problem.mesh_row()
    x[60] = 3
    with pytest.raises(ValueError, match=r"indices from 108 to 125 .* Got 3 in column 60"):
        problem.evaluate(x)
