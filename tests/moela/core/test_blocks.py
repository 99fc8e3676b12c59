from __future__ import annotations

import numpy as np
import pytest

from moela.core.kernels.blocks import Blocks


def front_of(n, n_obj, seed=0):
    """Return mutually non-dominated points on a sphere, of different scales."""
    X = np.abs(np.random.default_rng(seed).normal(size=(n, n_obj)))
    return (1.0 - X / np.linalg.norm(X, axis=1, keepdims=True)) * 10.0 ** np.arange(n_obj)


def bounds_hold(blocks):
    """Check that blocks hold each point once, with exact bounds."""
    members = [blocks.members(np.array([b])) for b in range(len(blocks.low))]
    assert sorted(np.concatenate(members)) == list(range(len(blocks)))
    for low, high, points in zip(blocks.low, blocks.high, members, strict=True):
        np.testing.assert_array_equal(low, blocks.F[points].min(axis=0))
        np.testing.assert_array_equal(high, blocks.F[points].max(axis=0))


@pytest.mark.parametrize("n_obj", [2, 3, 6])
def test_many_points_that_improve_leave_the_non_dominated_ones(n_obj):
    rng = np.random.default_rng(n_obj)
    # Points that come ever closer to the front, so that blocks empty and split.
    F = front_of(3000, n_obj) + np.linspace(0.1, 0.0, 3000)[:, None] ** 2 * rng.random((3000, 1))
    blocks, kept = Blocks(n_obj), []
    for start in range(0, len(F), 7):
        for change in blocks.add(F[start : start + 7]):
            if change >= 0:
                kept[change] = kept[-1]
                kept.pop()
            else:
                kept.append(start - 1 - change)
    np.testing.assert_array_equal(F[kept], blocks.F)
    dominated = np.array([((f >= F).all(axis=1) & (f > F).any(axis=1)).any() for f in F])
    assert sorted(kept) == np.flatnonzero(~dominated).tolist()
    assert len(blocks) > 300, "too few points for several blocks"
    bounds_hold(blocks)


@pytest.mark.parametrize("n_obj", [2, 4])
def test_nearest_points_are_those_of_all(n_obj):
    blocks = Blocks(n_obj)
    blocks.add(front_of(700, n_obj))
    weights = 10.0 ** -np.arange(n_obj)
    base = np.array([0, 5, 350, 699])
    found = blocks.nearest(base, weights, 20)
    Z = blocks.F * weights
    for i, near in zip(base, found, strict=True):
        distance = np.linalg.norm(Z - Z[i], axis=1)
        assert near[0] == i
        np.testing.assert_allclose(distance[near], np.sort(distance)[:20])
