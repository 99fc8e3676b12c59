from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.population import Population

from moela.core.archive import Archive
from moela.core.decomposition import (
    Subproblems,
    direction_weights,
    neighborhoods,
    random_weights,
    simplex_weights,
)
from moela.core.scaling import Normalization, better, scalarize


def archive_of(F):
    F = np.asarray(F, dtype=float)
    archive = Archive(F.shape[1])
    archive.add(Population.new("X", np.arange(len(F))[:, None]), F, np.zeros(len(F)))
    return archive


@pytest.mark.parametrize("n_obj", [2, 3, 5, 10])
@pytest.mark.parametrize("n", [1, 7, 50])
def test_weights_are_on_the_simplex(n, n_obj):
    W = simplex_weights(n, n_obj, np.random.default_rng(0))
    assert W.shape == (n, n_obj)
    assert (W > 0).all()
    np.testing.assert_allclose(W.sum(axis=1), 1.0)
    # No weight is 0: corners have 1e-4 in the other objectives, before the sum is scaled to 1.
    np.testing.assert_allclose(W[:n_obj], np.eye(n_obj)[:n], atol=1e-3)


@pytest.mark.parametrize("n_obj", [3, 8])
def test_direction_weights_lead_where_simplex_weights_point(n_obj):
    W = direction_weights(40, n_obj, np.random.default_rng(0))
    directions = simplex_weights(40, n_obj, np.random.default_rng(0))
    np.testing.assert_allclose(W.sum(axis=1), 1.0)
    # Of points on the simplex, the one in its own direction is best for the weights.
    Z = np.maximum(directions, 0.01)
    Z /= Z.sum(axis=1, keepdims=True)
    values = scalarize(Z[None], W[:, None], "chebyshev")
    np.testing.assert_array_equal(values.argmin(axis=1), np.arange(40))


def test_the_sub_problem_of_a_corner_prefers_what_is_better_in_the_other_objectives():
    corner = simplex_weights(1, 2, np.random.default_rng(0))
    sub, normalization = (
        Subproblems(corner, 1, "chebyshev"),
        Normalization(2, bounds=([0.0, 0.0], [1.0, 1.0])),
    )
    pop, rng = Population.new("X", np.arange(2.0)[:, None]), np.random.default_rng(0)
    sub.populate_in_order(pop[:1], np.array([[0.0, 0.9]]), np.zeros(1))
    own, local = np.zeros(1, dtype=int), np.ones(1, dtype=bool)
    sub.replace(pop[1:], np.array([[0.0, 0.2]]), np.zeros(1), own, local, normalization, rng)
    assert sub.F.tolist() == [[0.0, 0.2]]


def test_weights_are_spread_more_evenly_than_random_ones():
    def worst_gap(W):
        probe = random_weights(2000, 3, np.random.default_rng(1))
        return np.linalg.norm(probe[:, None] - W[None], axis=2).min(axis=1).max()

    even = np.median(
        [worst_gap(simplex_weights(60, 3, np.random.default_rng(s))) for s in range(9)]
    )
    rough = np.median(
        [worst_gap(random_weights(60, 3, np.random.default_rng(s))) for s in range(9)]
    )
    # Measured: 0.63.
    assert even < 0.85 * rough


def test_neighborhoods_start_with_oneself_and_are_the_nearest():
    W = random_weights(30, 4, np.random.default_rng(2))
    B = neighborhoods(W, 6)
    distance = np.linalg.norm(W[:, None] - W[None], axis=2)
    assert np.array_equal(B[:, 0], np.arange(30))
    for k in range(30):
        assert set(B[k]) == set(distance[k].argsort()[:6])


@pytest.mark.parametrize("by", ["weighted_sum", "chebyshev", "product"])
@pytest.mark.parametrize("penalty", [1e12, 1e100, 1e308])
@pytest.mark.parametrize("columns", [[0], [-1], [0, 2]])
def test_penalties_do_not_blur_the_pairing_of_other_designs(penalty, columns, by):
    rng = np.random.default_rng(7)
    F, n = rng.random((24, 3)), 24
    normalization = Normalization(3, bounds=([0.0] * 3, [1.0] * 3))
    bad = np.arange(n) % 3 == 0
    F[np.ix_(bad, columns)] = penalty * rng.uniform(0.5, 1.0, (bad.sum(), len(columns)))
    sub = Subproblems(simplex_weights(n, 3, rng), 5, by)
    pop = Population.new("X", np.arange(n)[:, None])
    sub.populate(pop, F, np.zeros(n), normalization, one_to_one=True)
    members = np.array([ind.X[0] for ind in sub.pop])
    assert sorted(members) == list(range(n))
    # No two of the other designs would do better if they changed places.
    others = np.flatnonzero(~bad[members])
    values = normalization.scalarize(sub.F[others][None], sub.W[others][:, None], by)
    own = np.diag(values)
    assert (values + values.T >= own + own[:, None] - 1e-6).all()


class TestNormalization:
    def test_ends_at_the_nadir_of_the_front(self):
        normalization = Normalization(2)
        F = np.array([[0.0, 10.0], [2.0, 0.0], [9.0, 90.0]])
        assert normalization.update(F, archive_of(F))
        assert normalization.scale(F).tolist() == [[0.0, 1.0], [1.0, 0.0], [4.5, 9.0]]
        assert not normalization.update(np.array([[5.0, 5.0]]), archive_of(F)), "nothing has moved"

    def test_ends_at_the_reference_where_there_is_one(self):
        normalization = Normalization(2, ref_point=[10.0, -5.0])
        F = np.array([[0.0, 1.0], [1.0, 0.0]])
        normalization.update(F, archive_of(F))
        assert normalization.nadir.tolist() == [10.0, 1.0], (
            "a reference below the ideal gives no scale"
        )

    def test_keeps_the_best_value_that_has_left_the_archive(self):
        normalization = Normalization(2)
        normalization.update(np.array([[-1.0, 50.0]]), archive_of([[0.0, 5.0], [5.0, 0.0]]))
        normalization.update(np.array([[0.0, 5.0]]), archive_of([[0.0, 5.0], [5.0, 0.0]]))
        assert normalization.ideal.tolist() == [-1.0, 5.0]

    def test_an_archive_of_one_design_still_gives_a_scale(self):
        normalization = Normalization(2)
        F = np.array([[1.0, 1.0], [3.0, 2.0]])
        normalization.update(F, archive_of(F))
        assert normalization.scale(F).tolist() == [[0.0, 0.0], [1.0, 1.0]]


def test_better_is_feasibility_first():
    CV, g = np.array([0.0, 1.0, 0.0, 1.0]), np.array([9.0, 1.0, 1.0, 1.0])
    than_CV, than_g = np.array([1.0, 0.0, 0.0, 1.0]), np.array([1.0, 9.0, 2.0, 1.0])
    assert better(CV, g, than_CV, than_g).tolist() == [True, False, True, False]


class TestSubproblems:
    def members(self, n=6, n_neighbors=3, F=None, CV=None):
        rng = np.random.default_rng(3)
        members = Subproblems(simplex_weights(n, 2, rng), n_neighbors, "chebyshev")
        F = rng.random((n, 2)) if F is None else np.asarray(F, dtype=float)
        CV = np.zeros(len(F)) if CV is None else np.asarray(CV, dtype=float)
        pop = Population.new("X", np.arange(len(F))[:, None])
        normalization = Normalization(2, bounds=([0, 0], [1, 1]))
        members.populate(pop, F, CV, normalization)
        return members, normalization

    def test_populate_gives_each_the_best_for_its_weights(self):
        F = np.random.default_rng(4).random((40, 2))
        members, normalization = self.members(F=F)
        for w, f in zip(members.W, members.F, strict=True):
            values = scalarize(normalization.scale(F), w, "chebyshev")
            assert scalarize(normalization.scale(f), w, "chebyshev") == values.min()

    def test_populate_keeps_diversity_where_nothing_is_feasible(self):
        F = np.random.default_rng(4).random((6, 2))
        members, _ = self.members(F=F, CV=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        assert len({tuple(f) for f in members.F}) == 6

    def test_populate_with_fewer_designs_than_weights(self):
        members, _ = self.members(F=[[0.1, 0.9], [0.9, 0.1]], CV=[1.0, 0.0])
        assert len(members.F) == 6
        assert len({tuple(f) for f in members.F}) == 2

    def test_parents_are_different_and_from_the_neighborhood(self):
        members, _ = self.members(n=12, n_neighbors=4)
        subproblems = np.arange(12).repeat(20)
        parents, local = members.parents(subproblems, 2, 0.7, np.random.default_rng(0))
        assert (parents[:, 0] != parents[:, 1]).all()
        # The probability is 0.7; the standard error of 240 draws is 0.03.
        assert 0.5 < local.mean() < 0.9
        for subproblem, row in zip(subproblems[local], parents[local], strict=True):
            assert set(row) <= set(members.B[subproblem])
        assert any(
            not set(row) <= set(members.B[h]) for h, row in zip(subproblems, parents, strict=True)
        )

    def test_a_child_replaces_at_most_as_many_as_allowed(self):
        for n_max in (1, 2, 6):
            members, normalization = self.members()
            child = Population.new("X", np.array([[99]]))
            F, CV, subproblem = np.array([[0.0, 0.0]]), np.zeros(1), np.array([2])
            everywhere, rng = np.array([False]), np.random.default_rng(0)
            replaced = members.replace(
                child, F, CV, subproblem, everywhere, normalization, rng, n_max
            )
            assert replaced == n_max
            assert (members.F == 0.0).all(axis=1).sum() == n_max
            assert sum(ind.X[0] == 99 for ind in members.pop) == n_max

    def test_an_infeasible_child_replaces_no_feasible_member(self):
        members, normalization = self.members()
        child, F = Population.new("X", np.array([[99]])), np.array([[0.0, 0.0]])
        everywhere, rng = np.array([False]), np.random.default_rng(0)
        assert 0 == members.replace(
            child, F, np.array([0.1]), np.array([0]), everywhere, normalization, rng, 99
        )


def test_a_copy_with_another_ideal_leaves_the_original_as_it_is():
    normalization = Normalization(2, bounds=([0.0, 1.0], [2.0, 3.0]))
    further = normalization.with_ideal_of(np.array([[-1.0, 2.0], [1.0, 1.5]]))
    np.testing.assert_array_equal(further.ideal, [-1.0, 1.0])
    np.testing.assert_array_equal(further.nadir, normalization.nadir)
    np.testing.assert_array_equal(normalization.ideal, [0.0, 1.0])
    np.testing.assert_array_equal(
        normalization.with_ideal_of(np.empty((0, 2))).ideal, normalization.ideal
    )


def test_the_norm_is_between_the_largest_coordinate_and_the_sum():
    rng = np.random.default_rng(3)
    Z, W = rng.random((50, 8)), rng.dirichlet(np.ones(8), 50)
    norm, largest = scalarize(Z, W, "p_norm"), scalarize(Z, W, "chebyshev")
    assert (norm > largest).all()
    assert (norm < scalarize(Z, W, "weighted_sum")).all()
    np.testing.assert_allclose(norm, ((W * Z) ** 8).sum(axis=1) ** 0.125)
    # Where nothing is above the ideal, it is the largest coordinate.
    np.testing.assert_allclose(scalarize(-Z, W, "p_norm"), scalarize(-Z, W, "chebyshev"))


def corners(F, CV=(0.0, 0.0, 0.0)):
    """Return sub-problems of three objectives whose members are at the corners, or should be."""
    sub = Subproblems(np.eye(3), 3, "chebyshev")
    sub._assign(np.arange(3), Population.new("X", np.arange(3)), np.array(F), np.array(CV))
    return sub


def test_the_extent_of_a_front_is_known_where_a_member_is_at_its_corner():
    normalization = Normalization(3)
    normalization.ideal, normalization.nadir = np.zeros(3), np.array([2.0, 200.0, 2.0])
    F = [[1.0, 1.0, 0.0], [0.1, 90.0, 0.1], [0.5, 50.0, 0.6]]
    np.testing.assert_array_equal(corners(F).extent(normalization), [1.0, 90.0, np.inf])
    infeasible = corners(F, [1.0, 0.0, 0.0]).extent(normalization)
    np.testing.assert_array_equal(infeasible, [np.inf, 90.0, np.inf])
    few = Subproblems(np.eye(3)[:2], 2, "chebyshev")
    assert np.isinf(few.extent(normalization)).all()


def test_the_nadir_ends_where_the_front_does():
    F = np.array([[0.0, 1.0], [1.0, 0.0], [-0.0001, 7.0], [9.0, -0.0001]])
    archive, normalization = archive_of(F), Normalization(2)
    normalization.update(F, archive)
    np.testing.assert_array_equal(normalization.nadir, [9.0, 7.0])
    normalization.most = np.array([1.0, np.inf])
    assert normalization.update(F, archive)
    np.testing.assert_array_equal(normalization.nadir, [1.0, 7.0])
    assert np.isinf(normalization.fresh().most).all()
