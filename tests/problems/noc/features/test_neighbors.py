"""Features of neighbors, which are counted from the designs whose neighbors they are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from problems import MoEOnChip
from problems.noc import NoC3D, Platform, chiplet_package
from tests.problems.noc.features.test_features import LARGER, TSV_BUDGET

SMALL = Platform(
    grid=(2, 1, 2),
    pe_types={
        "CPU": {"count": 1, "power": 2.0},
        "LLC": {"count": 2, "power": 1.0},
        "GPU": {"count": 1, "power": 3.0},
    },
    n_planar_links=2,
)
PLATFORMS = {
    "paper": Platform.paper_4x4x4(),
    "larger": LARGER,
    "budget of vertical links": TSV_BUDGET,
    "few ports": dataclasses.replace(Platform.paper_4x4x4(), max_degree=5),
    "package": chiplet_package((5, 4)),
    "fixed placement": dataclasses.replace(Platform.paper_4x4x4(), fixed_placement=True),
    "four tiles": SMALL,
}


def designs(platform, n=6, seed=1):
    rng = np.random.default_rng(seed)
    traffic = rng.exponential(size=(platform.n_tiles, platform.n_tiles))
    problem = NoC3D(traffic, platform=platform, objectives=("mean_hops",))
    return problem, problem.operators()["sampling"]._do(problem, n, random_state=rng), rng


@pytest.mark.parametrize("name", PLATFORMS)
def test_features_of_neighbors_are_those_of_the_designs_to_the_last_bit(name):
    problem, X, rng = designs(PLATFORMS[name])
    near = problem.neighbors_many(X, 12, rng)
    expected = [[problem.features(x)[0] for x in group] for group in near]
    np.testing.assert_array_equal(problem.neighbor_features(X, near), expected)
    # Any legal designs will do, near or not, with their links in any order.
    others = np.concatenate([near, X[::-1][:, None], X[:, None], near[::-1]], axis=1)
    links = slice(problem.platform.n_tiles, None)
    if problem.platform.n_vertical_links is None:
        others[:, ::3, links] = rng.permuted(others[:, ::3, links], axis=-1)
    expected = [[problem.features(x)[0] for x in group] for group in others]
    np.testing.assert_array_equal(problem.neighbor_features(X, others), expected)


def test_features_of_a_chain_of_moves_do_not_depend_on_the_designs_before():
    problem, X, rng = designs(Platform.paper_4x4x4(), n=1)
    chain = [X[0]]
    for _ in range(60):
        chain.append(problem.neighbors(chain[-1], 1, rng)[0])
    chain = np.array(chain)
    alone = np.concatenate([problem.features(x) for x in chain])
    np.testing.assert_array_equal(problem.features(chain), alone)
    np.testing.assert_array_equal(problem.features(chain[::-1]), alone[::-1])
    np.testing.assert_array_equal(problem.features(np.repeat(chain, 2, axis=0))[::2], alone)


BREAKS = {
    "a PE twice": lambda x: x.__setitem__(3, x[4]),
    "no such PE": lambda x: x.__setitem__(3, 64),
    "a negative PE": lambda x: x.__setitem__(3, -1),
    "a link twice": lambda x: x.__setitem__(70, x[71]),
    "no such link": lambda x: x.__setitem__(159, 10_000),
    "a negative link": lambda x: x.__setitem__(64, -1),
}


@pytest.mark.parametrize("rule", BREAKS)
def test_neighbors_that_break_a_rule_are_refused(rule):
    problem, X, rng = designs(Platform.paper_4x4x4())
    near = problem.neighbors_many(X, 4, rng)
    BREAKS[rule](near[2, 1])
    with pytest.raises(ValueError, match="Row 9 of X breaks a rule"):
        problem.neighbor_features(X, near)


def test_links_in_any_order_keep_the_rules():
    problem, X, rng = designs(Platform.paper_4x4x4())
    n = problem.platform.n_tiles
    near = problem.neighbors_many(X, 4, rng)
    expected = problem.neighbor_features(X, near)
    for row in (*X, *near.reshape(-1, problem.n_var)):
        rng.shuffle(row[n : n + problem.platform.n_planar_links])
    np.testing.assert_array_equal(problem.neighbor_features(X, near), expected)
    near[3, 2, 70] = near[3, 2, 90]
    with pytest.raises(ValueError, match="Row 14 of X breaks a rule"):
        problem.neighbor_features(X, near)


def test_experts_on_a_chip_have_them_too():
    problem = MoEOnChip.example()
    rng = np.random.default_rng(2)
    X = problem.operators()["sampling"]._do(problem, 4, random_state=rng)
    near = problem.neighbors_many(X, 5, rng)
    expected = problem.features(near.reshape(20, -1)).reshape(4, 5, -1)
    np.testing.assert_array_equal(problem.neighbor_features(X, near), expected)
