"""Input of unusual types, tables and numbers gives a result or a clear error."""

from __future__ import annotations

import comparison_cases as cases
import numpy as np
import pytest

from moela import Front, compare
from moela.comparison.read.dispatch import read
from moela.quality.anytime import GrowingFront
from moela.quality.indicators import beyond, extent, hypervolume

A = [[0.0, 4.0], [2.0, 2.0], [4.0, 0.0]]


# ------------------------------------------------------------------------------------------- types


def test_fronts_are_compared_with_names_and_designs():
    front = Front(A, X=[[1], [2], [3]], names=["cost", "delay"])
    comparison = compare({"A": front, "B": [[5.0, 5.0]]})
    assert comparison.scales["problem"].names == ("cost", "delay")
    assert comparison.front(algorithm="A").X.tolist() == [[1], [2], [3]]
    again = compare({"all": comparison.front()})
    assert again.runs[0].F.tolist() == A


def test_data_frames_are_tables(tmp_path):
    pandas = pytest.importorskip("pandas")
    plain = compare({"A": pandas.DataFrame({"cost": [0, 1], "delay": [1, 0], "x0": [7, 8]})})
    assert plain.scales["problem"].names == ("cost", "delay")
    assert plain.runs[0].X.tolist() == [[7.0], [8.0]]
    # Missing cells of pandas are failed evaluations.
    missing = pandas.DataFrame({"cost": pandas.array([0, None], dtype="Int64"), "delay": [1, 0]})
    assert compare({"A": missing}).runs[0].F.tolist() == [[0.0, 1.0]]
    # A front can be read from its own output, in memory and in a file.
    front = compare({"A": A, "B": [[1.0, 1.0]]}).front()
    front.to_frame().to_csv(tmp_path / "front.csv", index=False)
    for source in (front.to_frame(), tmp_path / "front.csv"):
        read_again = {o.algorithm: o.F.tolist() for o in read(source)}
        assert read_again == {"A": [A[0], A[2]], "B": [[1.0, 1.0]]}


# ------------------------------------------------------------------------------------------- files


def read_text(tmp_path, text):
    path = tmp_path / "points.csv"
    path.write_text(text, encoding="utf-8")
    return read(path)


def test_columns_say_whose_the_points_are(tmp_path):
    text = "problem,algorithm,seed,cost,delay\nP,a,1,1,2\nP,a,2,2,1\nQ,b,1,3,4\nP,a,1,2,1\n"
    found = {(o.problem, o.algorithm, o.seed): o.F.tolist() for o in read_text(tmp_path, text)}
    assert found == {
        ("P", "a", 1): [[1.0, 2.0], [2.0, 1.0]],
        ("P", "a", 2): [[2.0, 1.0]],
        ("Q", "b", 1): [[3.0, 4.0]],
    }


@pytest.mark.parametrize(
    "text",
    [
        "\ufefff1,f2\r\n1,2\r\n2,1\r\n",  # as Excel writes it
        "f1;f2\n1,0;2,0\n2,0;1,0\n",  # where the decimal sign is a comma
        ",f1,f2\n0,1,2\n1,2,1\n",  # with pandas' index
        "Unnamed: 0,cost,delay\n0,1,2\n1,2,1\n",
        "f1,f2\n1,2\n,0\n2,1\n",  # an evaluation that failed
    ],
)
def test_tables_as_other_programs_write_them(tmp_path, text):
    (outcome,) = read_text(tmp_path, text)
    assert outcome.F.tolist() == [[1.0, 2.0], [2.0, 1.0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cost,delay\n1,2\n3,x\n", "field 'line 3, column \"delay\"' must be a number. Got 'x'"),
        ("f1,f1\n1,2\n", "field 'heading, \"f1\"' must be one column of this name. Got two"),
        ("seed,a,b\n1.5,1,2\n", "field 'line 2, column \"seed\"' must be an integer. Got '1.5'"),
        (
            "algorithm,a\nA,1\n",
            "field 'heading' must be 2 to 255 columns .* Got 1 of 2 columns",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path, text, words):
    with pytest.raises(ValueError, match=words) as caught:
        read_text(tmp_path, text)
    assert "points.csv" in str(caught.value)


def test_numpy_files(tmp_path):
    np.save(tmp_path / "one.npy", np.array(A))
    np.save(tmp_path / "more.npy", np.stack([A, A, A]))
    assert [o.algorithm for o in read([tmp_path / "one.npy", tmp_path / "more.npy"])] == [
        "one", "more", "more", "more",
    ]  # fmt: skip
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"object\.npy"):
        read(tmp_path / "object.npy")


# ----------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: compare({"A": np.array([[1 + 2j, 2.0]])}), "numbers"),
        (lambda: compare({"A": [[1e308, 2.0]]}), "between -1e"),
        (lambda: compare({"A": A}, [np.inf, 1]), "finite"),
        (lambda: compare({"A": A}, problems=3), "'problems'"),
    ],
)
def test_what_is_wrong_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("power", [-290, -8, 8, 290])
def test_indicators_do_not_depend_on_units(power):
    rng = np.random.default_rng(3)
    runs = {name: cases.sphere(20, 3, rng, r) for name, r in (("A", 1.0), ("B", 1.1))}
    plain = compare(runs).table()
    units = 10.0 ** np.array([power, 0.0, -power / 2])
    scaled = compare({name: F * units for name, F in runs.items()}).table()
    for a, b in zip(plain, scaled, strict=True):
        for name in ("hypervolume", "igd_plus", "epsilon", "r2"):
            # Scaling by powers of ten rounds in the last digit of float64, 1e-16.
            assert a[name] == pytest.approx(b[name], rel=1e-9)


def test_mirrored_fronts_are_ties_to_the_last_digit():
    F = cases.sphere(50, 2, np.random.default_rng(4))
    comparison = compare({"A": F, "mirrored": F[:, ::-1]})
    for indicator in comparison.indicators:
        assert all(row["best"] for row in comparison.summary(indicator)), indicator


def test_extent_and_reference_by_hand():
    F = [[1.0, 5.0, 0.0], [3.0, 5.0, 0.0]]
    assert extent(F).tolist() == [2.0, 5.0, 1.0]
    np.testing.assert_allclose(beyond(F), [3.2, 5.5, 0.1])
    # An extent within rounding errors counts as none.
    assert extent([[1.0, 1e6], [0.0, 1e6 + 1e-9]]).tolist() == [1.0, 1e6 + 1e-9]


def test_growing_front_by_brute_force():
    rng = np.random.default_rng(5)
    F = rng.random((120, 3))
    F[::9] = np.nan
    point = np.full(3, 0.8)
    volumes = np.array([hypervolume(F[:n], point) for n in range(121)])
    at = [120, 3, 50, 50, 0, 999]
    np.testing.assert_allclose(GrowingFront(F, point).volumes(at), volumes[[120, 3, 50, 50, 0, -1]])
    for share in (1e-9, 0.3, 0.9, 1.0):
        target = share * volumes[-1]
        first = float(np.flatnonzero(volumes >= target * (1 - 1e-12))[0])
        growing = GrowingFront(F, point)
        assert growing.first(target) == first
        growing.volumes([60, 10])
        assert growing.first(target) == first
    assert GrowingFront(F, point).first(1.1 * volumes[-1]) == np.inf
    assert GrowingFront(F[:0], point).first(0.1) == np.inf
