"""Choosing from a front: knees, pseudo-weights, aspirations, contributions, tables."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from moela import Front, compare, front_of, minimize
from problems import MultiObjectiveKnapsack

with warnings.catch_warnings():
    # pymoo imports a name that scipy has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from pymoo.mcdm.pseudo_weights import PseudoWeights

ELBOW = [[0.0, 1.0], [0.1, 0.4], [0.2, 0.1], [0.6, 0.05], [1.0, 0.0]]


def front(n=40, n_obj=3, seed=1):
    Z = np.abs(np.random.default_rng(seed).normal(size=(n, n_obj)))
    return Front(2.0 - Z / np.linalg.norm(Z, axis=1, keepdims=True))


class Bits:
    """A problem, as far as `explain` needs one, with words for its designs."""

    def describe_differences(self, x, y):
        return [f"bit {j}" for j in np.flatnonzero(x != y).tolist()]


class NamedBits(Bits):
    feature_names = ("ones", "first")

    def features(self, X):
        return np.stack((X.sum(axis=1), X[:, 0]), axis=1).astype(float)


def test_points_are_cleaned_with_their_designs():
    made = Front([[1.0, 2.0], [3.0, 3.0], [2.0, 1.0], [np.nan, 0]], X=["a", "b", "c", "d"])
    assert made.F.tolist() == [[1.0, 2.0], [2.0, 1.0]]
    assert made.X.tolist() == ["a", "c"]


def test_knee_by_hand():
    made = Front(ELBOW)
    # The knee lies 0.7 / sqrt(2) below the line f1 + f2 = 1.
    np.testing.assert_allclose(made.bulges(), np.array([0, 0.5, 0.7, 0.35, 0]) / 2**0.5, atol=1e-12)
    assert made.knees().tolist() == [2]
    assert Front([[1.0, 2.0]]).knees().tolist() == [0]


def test_explanations():
    made = Front(ELBOW, X=np.arange(10.0).reshape(5, 2), names=("mass", "cost"))
    knee = made.knee()
    assert knee == made.by_weights([0.5, 0.5]) == made.by_reference([0.0, 0.0]) == 2
    assert "It is the knee" in made.explain(knee)
    text = made.explain(0)
    assert text.startswith("Design 0 (of 0 to 4 on the front): x0 = 0, x1 = 1")
    assert f"Against the knee (design {knee})" in text
    assert "cost" in text
    with pytest.raises(ValueError, match="from 0 to 4"):
        made.explain(5)


def test_two_knees_in_two_places():
    x = np.linspace(0.0, 1.0, 81)
    # A straight front with two dents, the deeper one at 0.75.
    dents = [
        depth * np.maximum(1.0 - np.abs(x - at) / 0.2, 0.0)
        for at, depth in ((0.25, 0.1), (0.75, 0.15))
    ]
    made = Front(np.column_stack([x, 1.0 - x - sum(dents)]))
    np.testing.assert_allclose(made.F[made.knees(2), 0], [0.75, 0.25])


def test_bulge_in_three_objectives():
    corners = np.eye(3)
    made = Front([*(1.0 - corners).tolist(), [0.2, 0.2, 0.2]])
    assert made.knees().tolist() == [3]
    axes = Front([*corners.tolist(), [0.2, 0.2, 0.2]])
    assert axes.knees().tolist() == [3]


def test_concave_front_has_no_bulge():
    Z = np.abs(np.random.default_rng(2).normal(size=(200, 3)))
    sphere = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    made = Front([*np.eye(3).tolist(), *sphere.tolist()])
    assert made.bulges().max() == pytest.approx(0.0, abs=1e-9)
    # The middle of the sphere lies (sqrt(3) - 1) / sqrt(3) = 0.42 above the plane.
    assert made.bulges().min() < -0.3
    assert len(made.knees()) == 0
    assert made.knee() == made.by_weights([1.0, 1.0, 1.0])
    assert "The front has no knee" in made.explain(made.knee())
    assert f"Against the balanced design (design {made.knee()})" in made.explain(0)
    # An outlier in one objective is no knee.
    outlier = Front([*made.F.tolist(), [-1e-6, 1.6, 0.5]])
    assert outlier.bulges().argmax() != len(outlier) - 1


def test_pseudo_weights_by_hand_and_as_pymoo():
    made = Front(ELBOW)
    weights = made.pseudo_weights()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    np.testing.assert_allclose(weights[2], [0.8 / 1.7, 0.9 / 1.7])
    np.testing.assert_allclose(weights[0], [1.0, 0.0])
    many = front()
    for wanted in ([0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [1 / 3] * 3):
        i, theirs = PseudoWeights(np.array(wanted)).do(many.F, return_pseudo_weights=True)
        assert many.by_weights(wanted) == i
        np.testing.assert_allclose(many.pseudo_weights(), theirs)
    assert many.by_weights([2, 3, 5]) == many.by_weights([0.2, 0.3, 0.5])


def test_aspirations():
    made = Front(ELBOW)
    assert made.by_reference([0.1, 0.4]) == 1
    # A reachable aspiration is exceeded as much as possible in the worse of the objectives.
    assert made.by_reference([0.7, 0.6]) == 2
    assert made.by_reference([0.0, 0.0], n=2).tolist() == [2, 1]
    scaled = Front(np.array(ELBOW) * [1e6, 1.0])
    assert scaled.by_reference([0.1e6, 0.4]) == 1


@pytest.mark.parametrize("n_obj", [2, 3, 4])
def test_contributions_against_brute_force(n_obj):
    from moela.quality.indicators import hypervolume

    made = front(12, n_obj)
    point = np.full(n_obj, 2.05)
    whole = hypervolume(made.F, point)
    expected = [whole - hypervolume(np.delete(made.F, i, axis=0), point) for i in range(len(made))]
    np.testing.assert_allclose(made.contributions(point), expected, atol=1e-12)
    assert (made.contributions() > 0).all()


@pytest.mark.parametrize(("n_obj", "n"), [(4, 60), (6, 30), (8, 20)])
def test_approximate_contributions_are_near_the_exact_ones(n_obj, n):
    from moela.quality.indicators import contributions

    F = front(n, n_obj).F * 10.0 ** np.arange(n_obj)
    point = 2.1 * 10.0 ** np.arange(n_obj)
    exact, near = (contributions(F, point, exact=how) for how in (True, False))
    # The documented error is 0.03 to 0.06 in up to 10 objectives; on these fronts at most 0.018.
    assert np.median(np.abs(near / exact - 1.0)) < 0.05
    assert near.sum() == pytest.approx(exact.sum(), rel=0.05)
    assert near.argmax() == exact.argmax()


def test_contributions_of_points_beyond_the_reference_are_0():
    assert Front([[1.0, 5.0], [2.0, 2.0]]).contributions([4.0, 4.0]).tolist() == [0.0, 4.0]


def test_tables_and_designs():
    problem = MultiObjectiveKnapsack.random(n_items=8)
    X = np.eye(8, dtype=int).astype(bool)
    F = np.column_stack([np.arange(8.0), np.arange(8.0)[::-1]])
    made = Front(F, X, names=["a", "b"], labels=["n"] * 8, problem=problem)
    frame = made.to_frame()
    assert list(frame.columns) == ["algorithm", "a", "b", *(f"x{j}" for j in range(8))]
    assert frame["x3"].tolist() == [False] * 3 + [True] + [False] * 4
    assert str(made.decode(2)) == str(problem.decode(X[2]))


def test_tables_keep_every_column():
    made = Front([[1, 2], [2, 1]], X=[[7, 8], [9, 10]], names=["x0", "cost"])
    assert made.to_frame().columns.tolist() == ["x0", "cost", "x0 (variable)", "x1"]
    assert Front(np.empty((0, 2))).to_frame().columns.tolist() == ["f1", "f2"]


def test_front_of_a_comparison():
    runs = {"A": {1: [[0.0, 2.0]], 2: [[1.0, 1.0]]}, "B": {1: [[2.0, 0.0]], 2: [[3.0, 3.0]]}}
    comparison = compare(runs)
    assert sorted(comparison.front().labels) == ["A", "A", "B"]
    assert len(comparison.front(algorithm="A")) == 2
    assert comparison.front(algorithm="A", seed=2).F.tolist() == [[1.0, 1.0]]
    with pytest.raises(ValueError, match="seed"):
        comparison.front(algorithm="A", seed=9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Front(np.empty((0, 2))).knees(), "no points to choose from. Evaluate more"),
        (lambda: Front(ELBOW).knees(0), "'n'"),
        (lambda: Front(ELBOW).by_weights([1.0]), "weights"),
        (lambda: Front(ELBOW).by_reference([np.nan, 1.0]), "point"),
        (lambda: Front(ELBOW).contributions([1.0]), "ref_point"),
        (lambda: Front(ELBOW).decode(0), "no designs"),
        (lambda: Front(ELBOW, X=[1]), "'X'"),
        (lambda: Front(ELBOW).contributions([np.nan, 1.0]), "finite"),
    ],
)
def test_what_is_wrong_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_problem_explains_designs_in_its_own_words():
    points = [[0.0, 1.0], [0.1, 0.2], [1.0, 0.0]]
    X = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1]])
    text = Front(points, X, problem=Bits()).explain(0)
    assert text.startswith("Design 0 (of 0 to 2 on the front)\n")
    assert "The designs differ in bit 0; bit 1; bit 2; bit 3 and 2 more." in text
    assert front_of(Front(points, X, problem=Bits())).explain(0) == text
    assert not any(words in text for words in ("x0", "apart", "most of the front"))
    named = Front(points, X, problem=NamedBits())
    assert "It differs from most of the front in: first is high, 1 (median 0)" in named.explain(1)
    same = Front(points, np.ones((3, 2), dtype=int), problem=NamedBits()).explain(0)
    assert "The designs differ" not in same
    assert same.endswith("No feature sets it apart from most of the front.")
    assert "Design 0 (of 0 to 2 on the front): x0 = 0, x1 = 0" in Front(points, X).explain(0)


# --------------------------------------------------------------- own signs, names of variables


def maximizing(seed, high=5.0):
    return minimize(
        lambda d: {"gain": 100.0 - d["a"] ** 2, "cost": (d["a"] - 2.0) ** 2 + d["b"]},
        variables={"a": (0.0, high), "b": (0, 3)}, objectives={"gain": "max", "cost": "min"},
        n_eval=24, seed=seed, verbose=False, progress=False,
    )  # fmt: skip


def test_maximized_objectives_have_their_own_sign_and_variables_their_names():
    result = maximizing(1)
    for made in (compare({"a": [result], "b": [maximizing(2)]}).front(algorithm="a"),
                 front_of(result)):  # fmt: skip
        values = result.front.F.tolist()
        assert sorted(made.values.tolist()) == sorted(values)
        np.testing.assert_array_equal(made.F, made.values * [-1.0, 1.0])
        rows = [{k: v for k, v in r.items() if k != "algorithm"} for r in made.table()]
        assert {tuple(row) for row in rows} == {("gain", "cost", "a", "b")}
        assert sorted(map(str, rows)) == sorted(str(c.objectives | c.design) for c in result.front)
        i = made.by_reference([100.0, 4.0])
        assert made.values[i, 0] == max(gain for gain, _ in values)
        assert made.values[i].tolist() == list(
            result.front.by_reference([100.0, 4.0]).objectives.values()
        )
        text = made.explain(made.by_reference([90.0, 0.0]))
        assert "gain 9" in text
        assert "less gain" in text
        assert "more gain" not in text.partition(", for ")[0]
        np.testing.assert_array_equal(
            made.contributions([0.0, 9.0]), Front(made.F).contributions([0.0, 9.0])
        )


def test_a_front_of_maximized_objectives_can_be_compared():
    front = compare({"a": [maximizing(1)]}).front()
    again = compare({"front": front, "other": front})
    assert again.scales[again.problems[0]].signs.tolist() == [-1.0, 1.0]
    assert again.front(algorithm="front").values.tolist() == front.values.tolist()
