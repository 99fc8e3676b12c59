import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from problems.noc import Design, NoC3D, PEType, Platform


def test_decode_and_encode_are_inverse(problem, rows):
    for x in rows:
        design = problem.decode(x)
        np.testing.assert_array_equal(design.placement, x[:64])
        np.testing.assert_array_equal(problem.encode(design), x)
        np.testing.assert_array_equal(problem.decode(x[None]).links, design.links)


def test_a_design_from_arrays_in_any_order_is_one_design(problem, rows):
    design = problem.decode(rows[6])
    rng = np.random.default_rng(0)
    links = rng.permutation(design.links)
    links[::2] = links[::2, ::-1]
    again = Design(design.placement.tolist(), links.tolist())
    assert again == design
    assert hash(again) == hash(design)
    np.testing.assert_array_equal(problem.encode(again), rows[6])
    assert again != problem.decode(rows[5])
    assert again != "design"
    assert design.all_links().shape == (144, 2)


def test_the_mesh_prints_its_layers():
    text = str(Design.mesh())
    lines = text.splitlines()
    assert lines[0] == (
        "Design(4x4x4, 96 planar links): 96 of length 1 (rounded up); 3 to 6 links per router"
    )
    assert lines[1] == "layer 0, 24 planar links"
    assert lines[2].split() == ["LLC8", "GPU24", "GPU25", "LLC9"]
    assert lines[3].split() == ["GPU26", "CPU0", "CPU1", "GPU27"]
    assert len(lines) == 1 + 4 * 5


def broken(name):
    """Return placement and links that break one rule, and the message that must follow."""
    mesh = Design.mesh()
    placement, links = mesh.placement.copy(), mesh.links.copy()
    if name == "PE twice":
        placement[9] = placement[8]
        return placement, links, r"each PE once. Got PE \d+ on tiles \[8, 9\] and no tile for PEs"
    if name == "LLC inside":
        placement[[0, 21]] = placement[[21, 0]]
        return placement, links, r"each LLC on a tile allowed for it \(.*\). Got LLC 8 on tile 21"
    if name == "link twice":
        links[5] = links[4][::-1]
        a, b = links[4]
        return placement, links, rf"each link once. Got \({a}, {b}\) 2 times"
    if name == "too few links":
        return placement, links[:95], r"96 planar links. Got 95"
    if name == "between layers":
        links[7] = (3, 19)
        return placement, links, r"two different tiles of one layer. Got \(3, 19\) as link 7"
    if name == "degree":
        # Tile 17 has 3 planar and 2 vertical links; 4 more, taken from the top layer, are too many.
        links[-4:] = [(17, 19), (17, 27), (17, 30), (17, 31)]
        return placement, links, r"at most 8 links, .* Got 9 at tile 17"
    # The corner stack loses all of its planar links.
    stack = {0, 16, 32, 48}
    kept = [p for p in links.tolist() if not stack & set(p)]
    spare = [(a, b) for a, b in ((5, 10), (21, 26), (37, 42), (53, 58), (6, 9), (22, 25), (38, 41))]
    spare.append((54, 57))
    return placement, np.array(kept + spare), r"connect all tiles. Got 2 unconnected parts"


RULES = (
    "PE twice",
    "LLC inside",
    "link twice",
    "too few links",
    "between layers",
    "degree",
    "unconnected",
)


@pytest.mark.parametrize("rule", RULES)
def test_a_broken_rule_is_named_with_its_place(tmp_path, rule):
    placement, links, message = broken(rule)
    with pytest.raises(ValueError, match=message):
        Design(placement, links)
    path = tmp_path / "design.json"
    data = Design.mesh().to_dict() | {"placement": placement.tolist(), "links": links.tolist()}
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=message) as error:
        Design.load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", r"A design must be a JSON object. Got \[\]"),
        ('{"format": "other"}', "Got 'other'"),
        (
            '{"format": "moela-noc-design-1", "links": []}',
            "the fields 'placement', 'platform'",
        ),
        (
            '{"format": "moela-noc-design-1", "links": [], "placement": [], "platform": [null]}',
            r"The 'platform' of a design must be a JSON object. Got \[None\]",
        ),
        ("[" * 100_000, "file.json"),
    ],
)
def test_a_wrong_design_file_is_named(assert_file_rejected, text, message):
    assert_file_rejected(Design.load, text, message)


def test_a_design_of_another_platform_is_not_encoded(problem):
    chip = Platform(
        grid=(2, 2, 2), pe_types=(PEType(name="A", count=8, power=1),), n_planar_links=5
    )
    with pytest.raises(ValueError, match=r"Design of the problem's platform. Got Design\(2x2x2"):
        problem.encode(Design.mesh(chip))
    with pytest.raises(ValueError, match=r"'design' parameter of encode"):
        problem.encode("mesh")


def test_a_design_draws_every_layer(problem, rows, tmp_path):
    design = problem.decode(rows[6])
    figure = design.plot()
    assert isinstance(figure, Figure)
    titles = [ax.get_title() for ax in figure.axes]
    counts = np.bincount(design.links[:, 0] // 16)
    assert titles[:3] == [f"layer {k}: {counts[k]} links" for k in range(3)]
    assert titles[3] == f"layer 3: {counts[3]} links (heat sink)"
    assert sum(len(ax.texts) for ax in figure.axes) == 64
    colored = design.plot(problem.link_loads(problem.encode(design)))
    assert len(colored.axes) == 5
    colored.savefig(tmp_path / "design.png", dpi=40)
    assert (tmp_path / "design.png").stat().st_size > 1000
    with pytest.raises(ValueError, match=r"144 finite numbers, one per link. Got 'shape \(3,\)'"):
        design.plot([1, 2, 3])
    with pytest.raises(ValueError, match=r"one per link. Got 'nan at index 7'"):
        design.plot(np.where(np.arange(144) == 7, np.nan, 1.0))


def test_tiles_are_colored_by_temperature(problem, rows):
    design = problem.decode(rows[6])
    degrees = design.temperatures()
    assert degrees.shape == (64,)
    measured = problem.measure(rows[6:7], ["temperature"])["temperature"][0]
    assert degrees.max() == measured
    # The top layer is next to the sink, so its tiles are the coolest of their stacks.
    assert (np.diff(degrees.reshape(4, 16), axis=0) < 0).all()

    def faces(figure):
        return [patch.get_facecolor() for patch in figure.axes[0].patches]

    plain, hot = design.plot(), design.plot(temperature=True)
    assert len(hot.axes) == len(plain.axes) + 1
    assert faces(hot) != faces(plain)
    with pytest.raises(ValueError, match=r"64 finite numbers, one per tile. Got 'shape \(2,\)'"):
        design.plot(temperature=[1, 2])


def test_traffic_is_drawn_by_type_for_each_application(problem):
    figure = NoC3D([problem.traffic, problem.traffic * 2]).plot_traffic(["one", "twice"])
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[0].startswith("one: 1.1 in all")
    assert titles[1].startswith("twice: 2.2 in all")
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["CPU", "LLC", "GPU"]
    # What a PE sends to itself never enters the network.
    ones = NoC3D(np.ones((64, 64))).plot_traffic()
    assert ones.axes[0].get_title() == "application 0: 4.03e+03 in all, 100 % of pairs"


def test_two_designs_differ_in_pes_and_links_whatever_the_order_of_the_row(problem, rows):
    row = problem.canonical(rows[3])
    design = problem.decode(row)
    other_order = np.concatenate((row[:64], row[:63:-1]))
    assert problem.describe_differences(row, other_order) == []
    swapped, tiles = row.copy(), np.flatnonzero(np.isin(design.placement, (3, 40)))
    swapped[tiles] = swapped[tiles[::-1]]
    a, b = (int(np.flatnonzero(design.placement == pe)[0]) for pe in (3, 40))
    assert problem.describe_differences(swapped, row) == [
        f"PE 3 (CPU) at tile {b} instead of {a}",
        f"PE 40 (GPU) at tile {a} instead of {b}",
    ]
    near = problem.neighbors(row, 40, np.random.default_rng(0))
    moved = next(x for x in near if (x[:64] == row[:64]).all())
    # Many slots of the row differ, since its links are ascending.
    new, old = (set(map(tuple, problem.decode(x).links.tolist())) for x in (moved, row))
    ((a, b),), ((c, d),) = new - old, old - new
    assert problem.describe_differences(moved, row) == [f"link {a}-{b} instead of {c}-{d}"]
    far = problem.describe_differences(rows[5], row)
    assert re.fullmatch(r"the tiles of \d+ of 64 PEs", far[0])
    assert re.fullmatch(r"\d+ of 96 links", far[1])
