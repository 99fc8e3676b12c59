"""Third differences tell sums over pairs from other objectives; their designs break no rule."""

import numpy as np
import pytest

from moela.learning.sums.differences import LEAST_ITEMS, combined, may_be_sums

M, N = 12, 600
RNG = np.random.default_rng(3)
DESIGNS = RNG.permuted(np.tile(np.arange(M), (N, 1)), axis=1)
FLOWS, DISTANCES = RNG.random((2, M, M))
COSTS, TIMES, DUE = RNG.random((M, M)), RNG.random((M, 4)), RNG.random(M) * M / 2


def pairs(places):
    """Return flows times distances, neither of them symmetric, and costs of places, [n]."""
    apart = DISTANCES[places[:, :, None], places[:, None, :]]
    return np.einsum("ij,nij->n", FLOWS, apart) + COSTS[np.arange(M), places].sum(axis=1)


def tour(places):
    order = places.argsort(axis=1)
    return DISTANCES[order, np.roll(order, -1, axis=1)].sum(axis=1)


def finished(places):
    """Return when each job is ready on four machines in a row, [n, M], in order of the places."""
    order, ready = places.argsort(axis=1), np.zeros((len(places), 4))
    ends = []
    for at in range(M):
        for machine in range(4):
            before = ready[:, max(machine - 1, 0)]
            start = np.maximum(ready[:, machine], before if machine else 0.0)
            ready[:, machine] = start + TIMES[order[:, at], machine]
        ends.append(ready[:, -1].copy())
    return order, np.stack(ends, axis=1)


def makespan(places):
    return finished(places)[1][:, -1]


def tardiness(places):
    order, ends = finished(places)
    return np.maximum(0.0, ends - DUE[order]).sum(axis=1)


def longest(places):
    return (FLOWS * DISTANCES[places[:, :, None], places[:, None, :]]).max(axis=(1, 2))


def share_of_possible_sums(objective):
    variance = objective(DESIGNS).var(keepdims=True)
    groups = [combined(DESIGNS, np.random.default_rng(seed)) for seed in range(30)]
    return np.mean([may_be_sums(objective(found)[:, None], variance) for found in groups])


@pytest.mark.parametrize("objective", [pairs, tour])
def test_sums_over_pairs_are_never_refuted(objective):
    assert share_of_possible_sums(objective) == 1.0


# The longest of all distances is the same in many designs.
@pytest.mark.parametrize(("objective", "most"), [(makespan, 0.0), (tardiness, 0.0), (longest, 0.1)])
def test_other_objectives_are_refuted(objective, most):
    assert share_of_possible_sums(objective) <= most


def test_objectives_are_judged_one_by_one_and_rounding_is_no_proof():
    found = combined(DESIGNS, np.random.default_rng(0))
    F, all_F = (
        np.stack([np.round(pairs(p), 3), makespan(p), np.ones(len(p))], axis=1)
        for p in (found, DESIGNS)
    )
    assert may_be_sums(F, all_F.var(axis=0)).tolist() == [True, False, True]


def test_designs_are_all_combinations_and_none_was_evaluated():
    found = combined(DESIGNS, np.random.default_rng(1))
    assert found.shape == (16, M)
    assert (np.sort(found, axis=1) == np.arange(M)).all()
    both = np.concatenate([found, DESIGNS])
    assert len(np.unique(both, axis=0)) == 16 + len(np.unique(DESIGNS, axis=0))
    # Each item has two places, and each group of three items changes in half of the designs.
    assert [len(set(column)) for column in found.T] == [2] * M
    moved = found != found[0]
    assert (moved.sum(axis=0) == 8).all()
    assert len(np.unique(moved, axis=1).T) == 4


@pytest.mark.parametrize("seed", range(5))
def test_designs_keep_rules_that_all_designs_keep(seed):
    first_before_second = DESIGNS[DESIGNS[:, 0] < DESIGNS[:, 1]]
    not_side_by_side = first_before_second[
        first_before_second[:, 3] + 1 != first_before_second[:, 2]
    ]
    found = combined(not_side_by_side, np.random.default_rng(seed))
    assert (found[:, 0] < found[:, 1]).all()
    assert (found[:, 3] + 1 != found[:, 2]).all()


def test_there_are_no_designs_if_all_of_them_are_unusual():
    shifts = (np.arange(M) + np.arange(M)[:, None]) % M
    assert combined(shifts, np.random.default_rng(0)) is None
    assert LEAST_ITEMS <= M
