"""Tests of the mating of real-valued designs, and of adaptive operator selection."""

import numpy as np
import pytest
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.optimize import minimize
from pymoo.problems import get_problem

from moela import MOELA
from moela._codes import Codes
from moela.core.decomposition import Subproblems
from moela.core.scaling import Normalization
from moela.search.operator_selection import OperatorSelection
from moela.search.real_mating import DominanceRanked, RealMating, crowding_distances


def test_children_keep_the_bounds_and_reach_them():
    rng = np.random.default_rng(1)
    xl, xu = np.array([-1.0, 0.0, 5.0]), np.array([1.0, 0.5, 5.5])
    base = rng.uniform(xl, xu, (2000, 3))
    children, operator = RealMating().children(base, rng.uniform(xl, xu, (2000, 3, 3)), xl, xu, rng)
    assert ((children >= xl) & (children <= xu)).all()
    assert (children == xl).any(axis=0).all()
    assert (children == xu).any(axis=0).all()
    assert set(operator) == set(range(len(RealMating.OPERATORS)))
    few = np.isin(
        operator, [RealMating.OPERATORS.index("step"), RealMating.OPERATORS.index("copy")]
    )
    changed = (children != base).sum(axis=1)
    # Measured: 1.5 of 3 variables. One always changes, the others with probability 1/6 or 1/3.
    assert changed[few].mean() < 2.0


def test_children_depend_on_the_seed_alone():
    xl, xu = np.zeros(4), np.ones(4)
    base = np.random.default_rng(0).random((10, 4))
    partners = np.random.default_rng(1).random((10, 3, 4))
    frozen = base.copy(), partners.copy()
    one, two = (
        RealMating().children(base, partners, xl, xu, np.random.default_rng(7))[0] for _ in "ab"
    )
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(base, frozen[0])
    np.testing.assert_array_equal(partners, frozen[1])


def test_operators_that_pay_are_selected_and_the_others_keep_a_chance():
    selection = OperatorSelection([0.5, 0.5, 0.5], p_min=0.05)
    for _ in range(500):
        selection.update(np.arange(3), np.array([0.0, 0.8, 0.1]))
    assert selection.probabilities.sum() == pytest.approx(1.0)
    # Limit: 0.05 + 0.85 * 0.8 / 0.9 = 0.81.
    assert selection.probabilities[1] > 0.7
    assert selection.probabilities.min() >= 0.05


def test_children_that_change_one_variable_are_rarer_where_variables_are_many():
    of_one = [RealMating.OPERATORS.index(name) for name in ("step", "copy")]
    shares = [RealMating(n_var=n).selection.probabilities[of_one] for n in (1, 30, 60, 3000)]
    np.testing.assert_array_equal(shares[:2], 0.25)
    assert (shares[2] < 0.2).all()
    assert (shares[3] < 0.01).all()
    assert (shares[3] > 0.0).all()


def test_improvement_is_a_share_of_the_nearest_members_value():
    sub = Subproblems(np.array([[1.0, 0.0], [0.0, 1.0]]), 1, "weighted_sum")
    members = Population.new("X", np.zeros((2, 1)))
    sub.populate_in_order(members, np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0.0, 2.0]))
    normalization = Normalization(2, bounds=([0.0, 0.0], [1.0, 1.0]))
    F = np.array([[0.25, 9.0], [9.0, 0.0], [0.0, 9.0]])
    CV = np.array([0.0, 1.0, 3.0])
    # The first halves the value of a feasible member, the second the violation of the other; the
    # third is infeasible where the member is not.
    got = sub.improvement(F, CV, np.array([0, 1, 0]), normalization)
    np.testing.assert_allclose(got, [0.5, 0.5, 0.0])


class BehindAWall(Problem):
    """The front lies at x = 0, behind an infeasible region."""

    def __init__(self):
        super().__init__(n_var=4, n_obj=2, n_ieq_constr=1, xl=0.0, xu=1.0)

    def _evaluate(self, X, out, *args, **kwargs):
        far = X[:, 1:].sum(axis=1)
        out["F"] = np.column_stack([X[:, 0] + far, 1.0 - X[:, 0] + far])
        out["G"] = 0.2 - np.abs(far - 1.0)[:, None]


def test_evolution_crosses_infeasible_ground():
    result = minimize(BehindAWall(), MOELA(), ("n_eval", 3000), seed=1)
    # The sum is 1 on the front, and at least 3.4 on the other side of the wall.
    assert result.F.sum(axis=1).min() < 1.1
    assert result.algorithm.evolution.relaxed is not None


def test_a_step_finds_a_value_that_no_parent_has():
    """If all parents have the same wrong value of a variable, small steps never leave it."""
    rng = np.random.default_rng(3)
    xl, xu = np.zeros(2), np.ones(2)
    mating = RealMating()
    mating.selection.quality[:] = [1e-4, 1e-4, 1.0, 1e-4]
    base = np.zeros((4000, 2))
    children, operator = mating.children(base, np.zeros((4000, 3, 2)), xl, xu, rng)
    stepped = children[operator == RealMating.OPERATORS.index("step")].max(axis=1)
    # Evenly over the whole range, not only beyond it by chance.
    assert np.histogram(stepped, [0.5, 0.75, 1.0])[0].min() > 0.03 * len(stepped)


def test_crowding_distances_are_those_of_nsga_ii():
    F = np.array([[0.0, 4.0], [1.0, 2.0], [2.0, 1.0], [4.0, 0.0]])
    one_front = np.zeros(4, dtype=int)
    np.testing.assert_allclose(crowding_distances(F, one_front), [np.inf, 1.25, 1.25, np.inf])
    same = crowding_distances(np.ones((3, 2)), one_front[:3])
    np.testing.assert_array_equal(same, [np.inf, 0.0, np.inf])
    assert (crowding_distances(F[:1], one_front[:1]) == np.inf).all()


def test_crowding_is_measured_in_each_front_alone():
    rng = np.random.default_rng(1)
    F, rank = rng.random((40, 3)), rng.integers(0, 4, 40)
    distances = crowding_distances(F, rank)
    for number in range(4):
        front = rank == number
        alone = crowding_distances(F[front], rank[front])
        np.testing.assert_array_equal(distances[front], alone)


def test_survivors_are_feasible_then_non_dominated_then_far_from_each_other():
    X = np.arange(6.0)[:, None]
    F = np.array([[0.0, 4.0], [1.9, 2.1], [2.0, 2.0], [4.0, 0.0], [5.0, 5.0], [-1.0, -1.0]])
    CV = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.5])
    ranked = DominanceRanked(4)
    assert not ranked.usable
    ranked.begin(X, F, CV)
    assert sorted(ranked.X.ravel()) == [0.0, 1.0, 2.0, 3.0]
    assert ranked.usable
    # One that dominates two of them takes their places; a dominated one has the other.
    ranked.add(np.array([[6.0]]), np.array([[1.5, 1.5]]), np.zeros(1))
    assert set(ranked.X.ravel()[:3]) == {0.0, 3.0, 6.0}
    ranked.begin(X[4:], F[4:], CV[4:])
    np.testing.assert_array_equal(ranked.X.ravel(), [4.0, 5.0])
    assert not ranked.usable, "one of them violates a constraint"


def test_better_survivors_are_drawn_more_often():
    ranked = DominanceRanked(10)
    value = np.arange(10.0)
    ranked.begin(value[:, None], np.column_stack([value, value]), np.zeros(10))
    drawn = ranked.draw((4000, 2), np.random.default_rng(1))
    assert drawn.shape == (4000, 2, 1)
    # The expected minimum of two numbers from 0 to 9.
    assert abs(drawn.mean() - 2.85) < 0.1


def test_fewer_survivors_than_members_converge_sooner():
    def least(n_survivors):
        algorithms = [MOELA._tuned(n_survivors=n_survivors) for _ in range(3)]
        zdt6 = get_problem("zdt6")
        runs = [
            minimize(zdt6, algorithm, ("n_eval", 2500), seed=seed)
            for seed, algorithm in enumerate(algorithms)
        ]
        return np.median([run.F[:, 1].min() for run in runs])

    assert least(20) < 0.5 * least(50)


def coded_children(n, n_each_operator=4000):
    """Return children of vectors of a real number, n labels, and a whole number; by operator."""
    rng = np.random.default_rng(3)
    codes = Codes(np.arange(1, n + 1), np.array([n + 1]))
    xl, xu = np.full(n + 2, -0.5), np.full(n + 2, 4.5)
    designs = np.floor(rng.uniform(0, 5, (4 * n_each_operator, 4, n + 2)))
    base, partners = designs[:, 0], designs[:, 1:]
    children, operator = RealMating(codes).children(base, partners, xl, xu, rng)
    return {
        name: (base[operator == i], partners[operator == i], children[operator == i])
        for i, name in enumerate(RealMating.OPERATORS)
    }


def test_labels_are_never_mixed():
    for base, _, children in coded_children(3).values():
        labels = children[:, 1:4]
        assert set(np.unique(labels)) == {0.0, 1.0, 2.0, 3.0, 4.0}
        changed = labels != base[:, 1:4]
        # All other values are equally likely: four differences of 0.25 each.
        shift = ((labels - base[:, 1:4])[changed] % 5).astype(int)
        np.testing.assert_allclose(np.bincount(shift)[1:] / len(shift), 0.25, atol=0.03)


def test_labels_of_a_blend_come_from_either_parent():
    base, partners, children = coded_children(30)["blend"]
    labels, own, other = children[:, 1:31], base[:, 1:31], partners[:, 0, 1:31]
    unlike = own != other
    # Half of them, but for a mutation with probability 1/32, seldom back to one of the parents.
    assert (labels == own)[unlike].mean() == pytest.approx(0.5 * 31 / 32, abs=0.02)
    assert (labels == other)[unlike].mean() == pytest.approx(0.5 * 31 / 32, abs=0.02)


def test_a_step_changes_a_label_to_another_value():
    base, _, children = coded_children(30)["step"]
    # One variable always changes, each of the 31 others with probability 0.5/32.
    changed = (children != base).sum(axis=1)
    assert changed.min() >= 1
    assert changed.mean() == pytest.approx(1.0 + 31 * 0.5 / 32, abs=0.05)


def test_whole_numbers_change_by_at_least_one():
    base, _, children = coded_children(3)["step"]
    old, new = base[:, -1], children[:, -1]
    # Steps of more than half the range may end before a bound. Without steps of 1, 69 % are lost.
    assert np.rint(new[new != old]).min() == 0.0
    assert np.rint(new[new != old]).max() == 4.0
    assert (np.rint(new) != old)[new != old].mean() > 0.95
