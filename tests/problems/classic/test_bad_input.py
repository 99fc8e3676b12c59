"""Errors for bad arrays, designs and files name the place, the expected and the given value."""

from __future__ import annotations

import json

import numpy as np
import pytest

from problems.classic import KnownFront, MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP
from problems.classic.designs import Assignment, BitString, Packing

QAP = (
    "facilities = 3 objectives = 2\n0 1 2\n1 0 3\n2 3 0\n\n"
    "0 4 5\n4 0 6\n5 6 0\n\n0 1 1\n1 0 1\n1 1 0\n"
)
KNAPSACK = "3 2\n11\n4 1 2\n5 3 4\n6 5 6\n2\n6 8\n8 6\n"
MNK = (
    "c made by hand\np rMNK 0.5 2 2 1\np links\n0 0\n1 1\n1 1\n0 0\np tables\n"
    + "0.1 0.2\n0.3 0.4\n0.5 0.6\n0.7 0.8\n" * 2
)


def read(cls, tmp_path, text, name="x.dat"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return cls.from_file(path)


def test_the_good_files_read(tmp_path):
    assert read(MultiObjectiveQAP, tmp_path, QAP).n_obj == 2
    assert read(MultiObjectiveKnapsack, tmp_path, KNAPSACK).pareto_front().tolist() == [
        [-8.0, -6.0],
        [-6.0, -8.0],
    ]
    mnk = read(MNKLandscape, tmp_path, MNK)
    # A bit is the lowest one of its own index: x = 10 reads entry 1 of bit 0 and entry 2 of bit 1.
    np.testing.assert_allclose(mnk.evaluate(np.array([1, 0])), [-0.4, -0.5])
    assert mnk.rho == 0.5


FILES = {MultiObjectiveQAP: QAP, MultiObjectiveKnapsack: KNAPSACK, MNKLandscape: MNK}
BAD_FILES = [
    (MultiObjectiveQAP, QAP, "", "must be an instance. Got an empty file"),
    (MultiObjectiveQAP, "facilities = 3", "places = 3", "line 1' must be a header such as .* Got"),
    (MultiObjectiveQAP, "facilities = 3", "facilities = 1", "line 1' must be at least 2 facilit"),
    (MultiObjectiveQAP, "1 0 3", "1 0", "line 3' must be row 2 of 3 of the distance matrix: 3 num"),
    (MultiObjectiveQAP, "1 0 3", "1 x 3", "line 3, entry 2' must be row 2 .* a number. Got 'x'"),
    (MultiObjectiveQAP, "4 0 6", "4 0 -6", "line 7, entry 3' .*flow matrix 1 of 2.*Got '-6'"),
    (
        MultiObjectiveQAP,
        "1 1 0\n",
        "",
        "line 11' must be followed by row 3 of 3 of flow .* the end",
    ),
    (
        MultiObjectiveKnapsack,
        "3 2\n11",
        "3 2 1\n10",
        "line 1' must be the numbers of items and obj",
    ),
    (MultiObjectiveKnapsack, "3 2\n11", "3 2\n1e400", "line 2, entry 1' must be the capacity: a w"),
    (MultiObjectiveKnapsack, "5 3 4", "5 3.5 4", "line 4, entry 2' must be weight .* item 2 of 3"),
    (MultiObjectiveKnapsack, "8 6\n", "", "line 7' must be followed by 2 values of point 2 .* end"),
    (
        MultiObjectiveKnapsack,
        "8 6\n",
        "8 60\n",
        "line 8' .*none over the total .9, 12.. Got .8, 60",
    ),
    (MultiObjectiveKnapsack, "8 6\n", "6 7\n", "'point 2 of the front' must be one of 2 different"),
    (
        MNKLandscape,
        "p rMNK 0.5 2 2 1",
        "p NK 2 2",
        "line 2' must be a line 'p rMNK rho M N K'. Got",
    ),
    (MNKLandscape, "p rMNK 0.5", "p rMNK 2", "line 2, entry 3' must be rho: .* from -1 to 1"),
    (
        MNKLandscape,
        "2 2 1\np links",
        "2 2 2\np links",
        "line 2' .*K from 0 to N - 1.*M=2, N=2, K=2",
    ),
    (MNKLandscape, "1 1\n1 1", "1 1\n2 1", "line 6, entry 1' must be link 0 of bit 1 .*Got '2'"),
    (
        MNKLandscape,
        "0.5 0.6",
        "0.5 1.6",
        "line 11, entry 2' must be table entry 2 of bit 0 .*'1.6'",
    ),
]


@pytest.mark.parametrize(("cls", "old", "new", "message"), BAD_FILES)
def test_bad_files(tmp_path, cls, old, new, message):
    assert old in FILES[cls]
    with pytest.raises(ValueError, match=message) as caught:
        read(cls, tmp_path, FILES[cls].replace(old, new))
    assert "x.dat" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3 34", "x.PO: field 'line 1' must be 3 locations from 1 to 3, then 2 .*: 5"),
        ("1 2 2 64 12", "line 1' must be a permutation of 1 to 3. Got 1 2 2 instead"),
        ("1 2 3 64 13", "line 1' must be the costs 64 12 that the instance gives"),
        ("1 2 3 64 12\n3 2 1 56 12", "must be mutually non-dominated points. Got 2 of which only"),
    ],
)
def test_bad_pareto_files(tmp_path, text, message):
    (tmp_path / "x.PO").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read(MultiObjectiveQAP, tmp_path, QAP)


@pytest.mark.parametrize("cls", [MultiObjectiveQAP, MultiObjectiveKnapsack, MNKLandscape])
def test_missing_and_binary_files(cls, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.dat"):
        cls.from_file(tmp_path / "none.dat")
    (tmp_path / "b.dat").write_bytes(b"\x93NUMPY\xff\xfe")
    with pytest.raises(ValueError, match=r"b.dat: must be text in UTF-8"):
        cls.from_file(tmp_path / "b.dat")


I3 = np.ones((3, 3))
ARRAYS = [
    (MultiObjectiveQAP, {"distance": np.ones((3, 2)), "flow": [I3]}, "'distance'.*square.*3, 2"),
    (
        MultiObjectiveQAP,
        {"distance": I3, "flow": I3},
        r"'flow'.*shape \[n, 3, 3\]. Got \(3, 3",
    ),
    (
        MultiObjectiveQAP,
        {"distance": I3 * np.nan, "flow": [I3]},
        r"'distance'.*entry \(0, 0\).*nan",
    ),
    (
        MultiObjectiveKnapsack,
        {"weights": [1.5], "values": [[1]], "capacity": 1},
        "'weights'.*whole.*1.5",
    ),
    (
        MultiObjectiveKnapsack,
        {"weights": [1], "values": [[1]], "capacity": -1},
        "'capacity'.*Got -1",
    ),
    (MNKLandscape, {"links": [[[5]]], "tables": [[[0, 1]]]}, "'links'.*0..0. Got 5"),
    (MNKLandscape, {"links": [[[0]]], "tables": [[[0]]]}, r"'tables'.*shape \[1, 1, 2\]"),
]


@pytest.mark.parametrize(("cls", "settings", "message"), ARRAYS)
def test_bad_arrays(cls, settings, message):
    with pytest.raises(ValueError, match=message):
        cls(**settings)


@pytest.mark.parametrize("F", [np.zeros((3, 1)), np.zeros((0, 2)), np.full((2, 2), np.inf)])
def test_a_known_front_must_fit(F):
    with pytest.raises(ValueError, match=r"'known_front' .* shape \[n, 2\]"):
        MultiObjectiveKnapsack(
            weights=[1], values=[[1, 1]], capacity=1, known_front=KnownFront(F, "a paper")
        )


def test_illegal_designs_are_refused(problem):
    X = np.zeros((2, problem.n_var), dtype=int)
    X[1] = 7 if problem.n_var > 7 else problem.n_var
    message = "must be a permutation" if isinstance(problem, MultiObjectiveQAP) else "0 and 1 only"
    with pytest.raises(ValueError, match=message):
        problem.evaluate(X)
    for bad in (X + 0.5, X * np.nan):
        with pytest.raises(ValueError, match=r"whole numbers|0 and 1 only"):
            problem.evaluate(bad)


@pytest.mark.parametrize(
    ("cls", "text"),
    [
        (MultiObjectiveQAP, "facilities = 99999999 objectives = 9\n0 1\n"),
        (MultiObjectiveKnapsack, "9999999999 99\n5\n1 2\n"),
        (MNKLandscape, "p rMNK 0 99 999999999 20\np links\n0 1\n"),
    ],
)
def test_a_header_alone_claims_no_memory(cls, text, tmp_path):
    with pytest.raises(ValueError, match=r"line \d.* must be .*(numbers. Got 2|at most 256 MiB)"):
        read(cls, tmp_path, text)


DESIGNS = [
    Assignment(instance="i", version="v", locations=(2, 0, 1), costs=(1.0, 2.5)),
    Packing(
        instance="i", version="v", n_items=4, items=(0, 3), weight=7, capacity=9, values=(1.0, 2.0)
    ),
    BitString(instance="i", version="v", bits=(0, 1, 1), fitness=(0.25, 0.5)),
]


@pytest.mark.parametrize(
    ("design", "field", "value", "message"),
    [
        *((design, "format", "other", "'format' must be '.*'. Got 'other'") for design in DESIGNS),
        *((design, "more", 1, "'more' must be one of .* Got a field that") for design in DESIGNS),
        *((design, "instance", 3, "field 'instance' must be a text. Got 3") for design in DESIGNS),
        (DESIGNS[0], "locations", [0, 0, 1], "permutation"),
        (DESIGNS[0], "costs", [1.0, None], "field 'costs.1.' must be a finite number"),
        (DESIGNS[0], "locations", [0, True, 2], "field 'locations.1.' must be an integer .* True"),
        (DESIGNS[1], "items", [3, 0], "ascending"),
        (DESIGNS[1], "n_items", 10**9, "field 'n_items' must be an integer from 1 to 268435456"),
        (DESIGNS[1], "weight", 1.5, "field 'weight' must be an integer of 64 bits. Got 1.5"),
        (DESIGNS[2], "bits", [0, 2, 1], "of 0 and 1"),
    ],
)
def test_bad_design_files(design, field, value, message, tmp_path):
    path = tmp_path / "d.json"
    design.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(ValueError, match=message) as caught:
        type(design).load(path)
    assert "d.json" in str(caught.value)


def test_neighbors_of_no_permutation_are_refused():
    problem = MultiObjectiveQAP.random(n_facilities=5, seed=1)
    X = np.array([[0, 1, 2, 3, 4], [0, 0, 1, 2, 3]])
    with pytest.raises(ValueError, match=r"a permutation of 0..4. Got \[0, 0, 1, 2, 3\] in row 1"):
        problem.neighbors_many(X, 2, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"whole numbers only. Got \[0.5, .* in row 0"):
        problem.neighbors_many(X + 0.5, 2, np.random.default_rng(0))
