"""Sums over pairs of items: they are found, they predict, and children descend on them."""

import numpy as np
import pytest

from moela.core.kernels.pairs import changes, totals
from moela.core.scaling import Normalization, scalarize
from moela.learning.pair_sums import PairSums

M = 8
RNG = np.random.default_rng(5)
FLOWS = RNG.integers(0, 50, (3, M, M)).astype(float)  # not symmetric
SITES = RNG.random((M, 2))
COSTS = RNG.random((2, M, M)) * 300.0  # of items at places
DISTANCES = np.linalg.norm(SITES[:, None] - SITES, axis=2)


def costs(places, flows=FLOWS[:2]):
    """Return the flows times the distances, [n, M]."""
    places = places.astype(int)
    apart = DISTANCES[places[:, :, None], places[:, None, :]]
    return np.einsum("mij,nij->nm", flows, apart)


def scattered(places):
    """Return values that look random, and are no sum over pairs, [n, 1]."""
    return (places @ np.sqrt(np.arange(2.0, M + 2.0)) % 1.0)[:, None]


def permutations(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.permuted(np.tile(np.arange(M), (n, 1)), axis=1).astype(float)


def exchanged(places, seed=1):
    """Return places after an exchange of two items in each row."""
    rng, after = np.random.default_rng(seed), places.copy()
    for row in after:
        i, j = rng.choice(len(row), 2, replace=False)
        row[[i, j]] = row[[j, i]]
    return after


def learned(objectives, n=600, seed=3):
    """Return a model that has seen n designs, ten at a time, and exchanges around these."""
    model = PairSums(M, seed)
    for at in range(0, n, 10):
        places = permutations(10, at)
        after = exchanged(places, at)
        model.check(places, after, objectives(after) - objectives(places))
        model.add(places, objectives(places))
    return model


def with_costs(places):
    """Return the flows times the distances, and the costs of items at places, [n, 2]."""
    return costs(places) + assigned(places)


def assigned(places):
    """Return the costs of items at places alone, [n, 2]."""
    return COSTS[:, np.arange(M), places.astype(int)].sum(axis=2).T


def test_sums_and_their_changes_are_those_of_a_plain_formula():
    A = np.stack([FLOWS[0] + FLOWS[0].T, FLOWS[1] + FLOWS[1].T])
    B = np.stack([DISTANCES, 2.0 * DISTANCES])
    before, after = permutations(5), permutations(20, 7).reshape(5, 4, M)
    known = A, B, COSTS, np.zeros(2, dtype=bool)

    def objectives(places):
        return costs(places) * [1.0, 2.0] + assigned(places)

    expected = objectives(before)
    np.testing.assert_allclose(totals(before.astype(np.int64), *known), expected)
    changed = objectives(after.reshape(20, M)).reshape(5, 4, 2) - expected[:, None]
    np.testing.assert_allclose(changes(before, after, *known), changed, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_sums_over_pairs_are_found_and_predict_exactly(seed):
    model = learned(costs, seed=seed)
    assert model.complete
    places, after = permutations(50, 99), exchanged(permutations(50, 99))
    predicted = model.changes_to(places, after[:, None])[:, 0]
    expected = costs(after) - costs(places)
    np.testing.assert_allclose(predicted, expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("objectives", [with_costs, assigned])
def test_costs_of_items_at_places_are_found(objectives, seed):
    n = 600 if objectives is with_costs else 140
    model = learned(objectives, n=n, seed=seed)
    assert model.complete
    before, after = permutations(60, 98), permutations(240, 99).reshape(60, 4, M)
    expected = objectives(after.reshape(240, M)).reshape(60, 4, 2) - objectives(before)[:, None]
    largest = np.abs(expected).max()
    np.testing.assert_allclose(model.changes_to(before, after), expected, atol=2e-3 * largest)
    assert_local_optima(model, objectives, "weighted_sum")


def one_way(flows, near):
    """Return the sums of flows [2, M, M] of items whose places are `near` [M, M], [n, 2]."""

    def objectives(places):
        places = places.astype(int)
        return np.einsum("mij,nij->nm", flows, near[places[:, :, None], places[:, None, :]])

    return objectives


AHEAD = np.arange(M) - np.arange(M)[:, None]


STRUCTURES = {
    "tour": (np.isin(np.abs(AHEAD), [1, M - 1]), False),
    "row": (np.abs(AHEAD) == 1, False),
    "distances": (np.abs(AHEAD), False),
    "ordering": (AHEAD > 0, True),
    "changeovers": (AHEAD == 1, True),
    "one-way tour": ((AHEAD == 1) | (AHEAD == 1 - M), True),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_common_sums_are_found_from_fewer_designs(name):
    near, directed = STRUCTURES[name]
    objectives = one_way(FLOWS[:2], near.astype(float))
    # An ordering has an unknown for each pair, changeovers have two.
    pairs = M * (M - 1) // 2
    n = 2 * pairs if directed and name != "ordering" else pairs
    model = learned(objectives, n=int(1.3 * n) + 40)
    assert model.complete
    assert model.n_fits == 0
    before, after = permutations(60, 98), permutations(240, 99).reshape(60, 4, M)
    expected = objectives(after.reshape(240, M)).reshape(60, 4, 2) - objectives(before)[:, None]
    np.testing.assert_allclose(model.changes_to(before, after), expected, atol=1e-3)
    assert_local_optima(model, objectives, "weighted_sum")


def test_objectives_with_distances_in_common_are_found_together():
    m, rng = 16, np.random.default_rng(5)
    flows, sites = rng.integers(0, 50, (2, m, m)).astype(float), rng.random((m, 2))
    apart = np.linalg.norm(sites[:, None] - sites, axis=2)
    designs, moves = rng.permuted(np.tile(np.arange(m), (2, 540, 1)), axis=2)

    def objectives(places):
        return np.einsum("mij,nij->nm", flows, apart[places[:, :, None], places[:, None, :]])

    found = 0
    for seed in range(12):
        model = PairSums(m, seed)
        model.add(designs.astype(float), objectives(designs))
        assert model.n_fits == 1
        changes_ = objectives(moves) - objectives(designs)
        model.check(designs.astype(float), moves.astype(float), changes_)
        found += model.complete
    assert found >= 10  # 11, and 9 if each is fitted by itself


def test_objectives_with_nothing_in_common_are_found_by_themselves():
    flows = np.stack([FLOWS[0] + FLOWS[0].T, FLOWS[1] + FLOWS[1].T])
    between = RNG.random((2, M, M))
    between = (between + between.transpose(0, 2, 1)) * (1.0 - np.eye(M))

    def objectives(places):
        places = places.astype(int)
        apart = between[:, places[:, :, None], places[:, None, :]]
        return np.einsum("mij,mnij->nm", flows, apart)

    assert learned(objectives).complete


def test_nothing_is_predicted_before_moves_have_confirmed_it():
    model, places = PairSums(M, 0), permutations(400)
    model.add(places, costs(places))
    assert model.n_fits == 1
    assert not model.used.any()
    after = exchanged(places)
    observed = costs(after) - costs(places)
    model.check(places[:19], after[:19], observed[:19])
    assert not model.used.any()
    model.check(places[19:20], after[19:20], observed[19:20])
    assert model.complete


def test_an_objective_that_is_no_such_sum_is_given_up_and_others_are_not():
    def objectives(places):
        return np.concatenate([costs(places), scattered(places)], axis=1)

    model = learned(objectives, n=3000)
    assert model.used.tolist() == [True, True, False]
    assert not model.complete
    fits = model.n_fits
    model.add(permutations(20_000), objectives(permutations(20_000)))
    assert model.n_fits == fits


def test_an_objective_that_never_changes_is_predicted_too():
    model = learned(lambda places: np.column_stack([costs(places), np.full(len(places), 3.0)]))
    assert model.complete
    assert model.changes_to(permutations(4), permutations(8).reshape(4, 2, M))[..., 2].max() == 0.0


def test_a_little_noise_does_no_harm():
    rng = np.random.default_rng(9)

    def noisy(places):
        exact = costs(places)
        return exact + rng.normal(0.0, 0.01 * costs(permutations(500)).std(axis=0), exact.shape)

    model = learned(noisy, n=3000)
    assert model.complete
    fits = model.n_fits
    places = permutations(3000, 4)
    model.add(places, noisy(places))
    assert model.n_fits == fits


def test_a_model_that_is_wrong_from_now_on_is_used_no_more():
    model = learned(costs)
    before, after = permutations(200), exchanged(permutations(200))
    model.check(before, after, costs(before) - costs(after))
    assert not model.used.any()


def assert_local_optima(model, objectives, by):
    normalization, F = Normalization(2), objectives(permutations(100))
    normalization.ideal, normalization.nadir = F.min(axis=0) - 50.0, F.max(axis=0)
    rng = np.random.default_rng(2)
    W = rng.dirichlet([1.0, 1.0], 6)
    start = permutations(6, 12).astype(np.int64)
    found = model.descended(start, W, normalization, by, rng)
    assert (np.sort(found, axis=1) == np.arange(M)).all()
    assert not (found == start).all()
    pairs = np.stack(np.triu_indices(M, 1), axis=1)
    for places, w, first in zip(found, W, start, strict=True):
        around = np.tile(places, (len(pairs), 1))
        rows = np.arange(len(pairs))[:, None]
        around[rows, pairs] = around[rows, pairs[:, ::-1]]

        def value(designs, w=w):
            return scalarize(normalization.scale(objectives(designs)), w, by)

        own = value(places[None])[0]
        assert value(around).min() >= own - 1e-4
        assert own <= value(first[None])[0] + 1e-9


@pytest.mark.parametrize("by", ["product", "chebyshev", "weighted_sum"])
def test_a_descent_ends_where_no_exchange_improves(by):
    assert_local_optima(learned(costs), costs, by)


def test_a_descent_leaves_items_where_they_have_always_been():
    model = PairSums(M, 1)
    for at in range(0, 600, 10):
        places = permutations(10, at)
        first = places.argmin(axis=1)  # item 0 gets place 0
        places[np.arange(10), first], places[:, 0] = places[:, 0], 0
        model.add(places, costs(places))
        after = places.copy()
        after[:, [2, 5]] = after[:, [5, 2]]
        model.check(places, after, costs(after) - costs(places))
    assert model.complete
    normalization = Normalization(2)
    normalization.ideal, normalization.nadir = np.zeros(2), costs(places).max(axis=0)
    found = model.descended(
        places.astype(np.int64), np.full((10, 2), 0.5), normalization, "weighted_sum", RNG
    )
    assert (found[:, 0] == 0).all()
    assert (found != places).any()


def test_a_structure_is_fitted_again_once_items_have_been_at_more_places():
    model = PairSums(M, 1)

    def learn(n, free):
        """Add n designs in which the first items keep their places, but for the last `free`."""
        for at in range(n):
            places = np.tile(np.arange(float(M)), (4, 1))
            places[:, M - free :] = M - free + permutations(4, at)[:, :free].argsort(axis=1)
            after = places.copy()
            after[:, [M - 2, M - 1]] = after[:, [M - 1, M - 2]]
            model.check(places, after, assigned(after) - assigned(places))
            model.add(places, assigned(places))

    learn(40, free=3)
    assert model.complete
    before = permutations(50, 7)
    after = exchanged(before)
    model.check(before, after, assigned(after) - assigned(before))
    assert not model.complete
    learn(60, free=M)
    assert model.complete
    predicted = model.changes_to(before, after[:, None])[:, 0]
    np.testing.assert_allclose(predicted, assigned(after) - assigned(before), atol=1e-3)


@pytest.mark.filterwarnings("error")
def test_designs_without_finite_objectives_prove_nothing():
    rng = np.random.default_rng(1)
    designs = rng.permuted(np.tile(np.arange(12.0), (400, 1)), axis=1)
    objectives = designs[:, :1] * designs[:, 1:2]
    objectives[5] = np.inf
    model = PairSums(12, 0, testable=True)
    model.add(designs[:300], objectives[:300])
    found = model.test_designs().astype(float)
    model.add(found, found[:, :1] * found[:, 1:2])
    assert model._test.pending
    assert not model._failed.any()


# Whether distances are in common, and whether there are costs.
KINDS = {
    "distances in common": (True, False),
    "nothing in common": (False, False),
    "distances in common, and costs": (True, True),
}


def instance(m, seed, kind="distances in common"):
    """Return two objectives of m items by a formula, and a generator of random numbers."""
    rng = np.random.default_rng(seed)
    common, costs = KINDS[kind]
    flows, sites = rng.random((2, m, m)), rng.random((2, m, 2))
    if common:
        sites[1] = sites[0]
    apart = np.linalg.norm(sites[:, :, None] - sites[:, None], axis=3)
    at_places = 0.3 * m * costs * rng.random((2, m, m))

    def found(places):
        at = places.astype(int)
        total = np.einsum("kij,knij->nk", flows, apart[:, at[:, :, None], at[:, None, :]])
        return total + at_places[:, range(m), at].sum(axis=2).T

    return found, rng


def n_until_known(model, evaluated, rng):
    """Return the number of random designs until the model predicts all objectives, or None."""
    n = 0
    while n < 4 * model.n_unknowns:
        places = random_places(10, model.m, rng)
        model.add(places, evaluated(places))
        n += len(places)
        asked = model.test_designs()
        if asked is not None:
            tests = asked.astype(float)
            model.add(tests, evaluated(tests))
            n += len(asked)
        if model.complete:
            return n
    return None


def random_places(n, m, rng):
    return rng.permuted(np.tile(np.arange(float(m)), (n, 1)), axis=1)


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("distances in common", 2.2),
        ("nothing in common", 2.5),
        ("distances in common, and costs", 3.0),
    ],
)
def test_sums_that_a_test_has_shown_are_found_sooner_and_need_no_moves(kind, most):
    m, needed = 12, []
    for seed in range(4):
        evaluated, rng = instance(m, seed, kind)
        model = PairSums(m, seed, testable=True)
        needed.append(n_until_known(model, evaluated, rng))
        places = random_places(50, m, rng)
        after = exchanged(places)
        predicted = model.changes_to(places, after[:, None])[:, 0]
        np.testing.assert_allclose(predicted, evaluated(after) - evaluated(places), atol=1e-3)
    assert np.median(needed) < most * m * (m - 1)
    # Without a test, moves must confirm what is found.
    assert n_until_known(PairSums(m, 0), *instance(m, 0, kind)) is None


def test_a_sum_that_a_test_has_shown_is_used_no_more_if_moves_refute_it():
    evaluated, rng = instance(10, 1)
    model = PairSums(10, 1, testable=True)
    assert n_until_known(model, evaluated, rng) is not None
    before = random_places(50, 10, rng)
    model.check(before, exchanged(before), np.ones((50, 2)))
    assert not model.complete


def test_fits_wait_for_more_designs_if_the_test_is_not_answered():
    evaluated, rng = instance(10, 1)
    model = PairSums(10, 1, testable=True)
    fits = {}
    for n in range(10, 230, 10):
        places = random_places(10, 10, rng)
        model.add(places, evaluated(places))
        model.test_designs()
        fits[n] = model.n_fits + model._n_early
    assert [n for n in fits if fits[n]] == [n for n in fits if n >= 2.2 * 90]


@pytest.mark.parametrize(("m", "n"), [(8, 130), (10, 150), (12, 180), (20, 650)])
def test_the_designs_of_the_test_are_asked_for_once_there_are_enough_others(m, n):
    evaluated, rng = instance(m, 1)
    model = PairSums(m, 1, testable=True)
    for at in range(10, n + 1, 10):
        places = random_places(10, m, rng)
        model.add(places, evaluated(places))
        assert (model.test_designs() is not None) == (at == n)
