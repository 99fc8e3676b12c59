import numpy as np
import pytest

from problems.noc import (
    NoC3D,
    OverloadWarning,
    PEType,
    Platform,
    load_traffic,
    synthetic_traffic,
)
from problems.noc.chip.traffic import APPLICATIONS


def write(path, rows):
    path.write_text("\n".join(" ".join(map(str, row)) for row in rows) + "\n")
    return path


@pytest.fixture
def rows():
    return [[(i * 64 + j) % 97 for j in range(64)] for i in range(64)]


def test_a_file_is_read_and_scaled(tmp_path, rows):
    path = write(tmp_path / "a.csv", rows)
    np.testing.assert_array_equal(load_traffic(path), np.array(rows) / 2e8)
    np.testing.assert_array_equal(load_traffic(path, scale=1), rows)
    comma = tmp_path / "b.csv"
    comma.write_text("\n\n".join(", ".join(f"{v:.1e}" for v in row) for row in rows))
    np.testing.assert_array_equal(load_traffic(comma, scale=1), rows)


@pytest.mark.parametrize(
    ("i", "j", "word"),
    [(3, 5, "many"), (0, 63, "-4"), (63, 0, "nan"), (9, 9, "inf"), (1, 1, "1e999")],
)
def test_a_wrong_entry_is_named(tmp_path, rows, i, j, word):
    rows[i][j] = word
    path = write(tmp_path / "a.csv", rows)
    words = rf"row {i + 1}, column {j + 1}' must .* Got '{word}'"
    with pytest.raises(ValueError, match=words) as error:
        NoC3D.from_traffic(path)
    assert str(path) in str(error.value)


def test_a_missing_row_is_named(tmp_path, rows):
    path = write(tmp_path / "a.csv", rows[:40] + rows[41:])
    with pytest.raises(ValueError, match=r"must be a table of 64 rows, .* Got 63") as error:
        load_traffic(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("header", "index", "place"),
    [
        ([f"PE{j}" for j in range(64)], None, "row 1, column 1"),
        (None, "PE{}", "row 1, column 1"),
        (["", *range(64)], "{}", "row 1, column 1"),
    ],
)
def test_titles_of_rows_and_columns_are_named(tmp_path, rows, header, index, place):
    table = [[*([] if index is None else [index.format(i)]), *row] for i, row in enumerate(rows)]
    table = table if header is None else [list(header), *table]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in table))
    words = rf"'{place}' must be .* Got .*put # before a row of titles, and leave out a column"
    with pytest.raises(ValueError, match=words):
        load_traffic(path)


def test_a_header_that_begins_with_a_number_sign_is_skipped(tmp_path, rows):
    path = write(tmp_path / "a.csv", [["#", *range(64)], *rows])
    np.testing.assert_array_equal(load_traffic(path, scale=1), rows)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00\x01", b"PK\x03\x04\x00\x00 \xf0"])
def test_a_file_of_something_else_is_named(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.csv"):
        load_traffic(path)


def test_a_file_without_traffic_between_pes_is_named(tmp_path):
    path = write(tmp_path / "a.csv", np.eye(64, dtype=int).tolist())
    with pytest.raises(ValueError, match=r"some traffic between two PEs. Got none"):
        load_traffic(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[:63], r"64 rows and 64 columns, .* Got shape \(63, 64\)"),
        (lambda t: np.where(np.arange(64) == 3, np.nan, t), "row 1, column 4: .* Got nan"),
        (lambda t: t * 1e200, "largest number between 1e-100 and 1e100.* Got 1e\\+200"),
        (lambda t: t * 0, "some traffic"),
        (lambda t: np.ma.masked_equal(t, 1.0), "no masked entries"),
    ],
)
def test_a_wrong_array_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        NoC3D(change(np.ones((64, 64))))


def shares(traffic):
    """Return per cent of CPU-LLC, GPU-LLC, GPU-GPU and CPU-CPU traffic, both directions."""
    cpu, llc, gpu = slice(0, 8), slice(8, 24), slice(24, 64)
    blocks = ((cpu, llc), (gpu, llc), (gpu, gpu), (cpu, cpu))
    parts = [traffic[a, b].sum() + (traffic[b, a].sum() if a != b else 0.0) for a, b in blocks]
    return np.array(parts) / traffic.sum() * 100


@pytest.mark.parametrize("application", sorted(APPLICATIONS))
def test_synthetic_traffic_has_the_shares_and_total_of_its_application(application):
    *wanted, total = APPLICATIONS[application]
    assert sum(wanted) == pytest.approx(100)
    traffic = synthetic_traffic(application, Platform.paper_4x4x4(), np.random.default_rng(2))
    # Counts of flits are rounded. Measured: 1.5e-4 per cent, and 2e-6 of the total.
    np.testing.assert_allclose(shares(traffic), wanted, atol=1e-3)
    assert traffic.sum() * 2e8 == pytest.approx(total, rel=1e-5)
    assert np.diag(traffic).sum() == 0
    # PEs of a class differ, as they do in traces. Measured: by a factor of 2.26 or more.
    heavy = np.sort(traffic[8:24].sum(axis=1))
    assert heavy[-1] > 1.5 * heavy[0]


@pytest.mark.parametrize("app", ["bfs", "bp", "gau", "hotspot", "pf"])
def test_the_shares_are_those_of_real_traffic(noc_data, app):
    traffic = load_traffic(noc_data / f"{app}_traffic.csv")
    *wanted, total = APPLICATIONS[app]
    # The table has two or three digits. Measured: 0.053 per cent, and 3.5 % of the total.
    np.testing.assert_allclose(shares(traffic), wanted, atol=0.1)
    assert traffic.sum() * 2e8 == pytest.approx(total, rel=0.05)


def test_examples_follow_their_seed():
    a, b, c = (NoC3D.example("nw", seed=s).traffic for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    with pytest.raises(
        ValueError,
        match=r"'application' parameter of synthetic_traffic must be one of .* Got 'doom'",
    ):
        NoC3D.example("doom")


def test_synthetic_traffic_leaves_out_absent_types():
    kinds = (PEType(name="CPU", count=4, power=1), PEType(name="LLC", count=4, power=1))
    chip = Platform(grid=(2, 2, 2), pe_types=kinds, n_planar_links=8)
    traffic = synthetic_traffic("bfs", chip, np.random.default_rng(0))
    assert traffic.sum() * 2e8 == pytest.approx(2.2e8, rel=1e-6)
    lonely = Platform(
        grid=(2, 2, 2), pe_types=(PEType(name="DSP", count=8, power=1),), n_planar_links=8
    )
    with pytest.raises(ValueError, match=r"types CPU, LLC and GPU .* Got \['DSP'\]"):
        synthetic_traffic("bfs", lonely, np.random.default_rng(0))


def overloaded():
    traffic = np.full((64, 64), 1e-4)
    traffic[3, 7], traffic[4, 7] = 1.2, 0.6
    return traffic


@pytest.mark.parametrize("separator", [",", "\t", " "])
def test_a_list_of_senders_and_receivers_is_read_as_a_table(tmp_path, separator):
    rng = np.random.default_rng(1)
    table = np.where(rng.random((64, 64)) < 0.3, rng.random((64, 64)), 0.0)
    lines = ["# sender, receiver, flits"]
    for i, j in np.argwhere(table):
        halves = [table[i, j] / 2] * 2  # of one pair
        lines += [separator.join([str(i), str(j), str(amount)]) for amount in halves]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(lines))
    assert load_traffic(path, scale=2.0) == pytest.approx(table / 2, rel=1e-15)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0,64,1", "row 3, column 2' must be a PE from 0 to 63.* Got 64"),
        ("0.5,1,1", "row 3, column 1' must be a PE from 0 to 63.* Got 0.5"),
        ("0,1", "row 3' must be 3 numbers, as in the rows before.* Got 2"),
        ("0,1,-1", "row 3, column 3' must be a finite number >= 0"),
    ],
)
def test_a_wrong_row_of_a_list_is_named(tmp_path, row, words):
    path = tmp_path / "list.csv"
    path.write_text(f"0,1,2\n3,4,5\n{row}\n")
    with pytest.raises(ValueError, match=words):
        load_traffic(path)


def test_flits_per_cycle_with_the_default_scale_are_pointed_out(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("0,1,0.2\n3,4,0.5\n")
    with pytest.warns(UserWarning, match=r"2.5e-09 flits per cycle.* pass scale=1;"):
        NoC3D.from_traffic(path)
    NoC3D.from_traffic(path, scale=1.0)
    NoC3D.from_traffic(path, scale=1e8)  # as the user says


def test_traffic_that_no_design_can_carry_is_named(tmp_path):
    path = tmp_path / "app.csv"
    np.savetxt(path, overloaded())
    with pytest.warns(OverloadWarning, match=r"app\.csv: PE 7 receives 1\.81 flits"):
        NoC3D.from_traffic(path, scale=1.0)
    with pytest.warns(OverloadWarning, match="PE 7 receives"):
        NoC3D(overloaded(), objectives=("packet_latency", "energy"))


def test_objectives_without_a_capacity_take_any_unit():
    NoC3D(overloaded())


def test_limit_of_the_ports_names_the_pe():
    with pytest.raises(ValueError, match=r"PE 7 receives 1\.806 flits/cycle in every design"):
        NoC3D(overloaded(), constraints={"port_load": 1.0})


def test_port_load_counts_both_ways():
    problem = NoC3D(overloaded(), objectives=("mean",))
    value = problem.measure(problem.mesh_row(), ["port_load"])["port_load"]
    np.testing.assert_allclose(value, 1.8 + 61e-4)
