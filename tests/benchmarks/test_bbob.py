import numpy as np

from tests.benchmarks.bbob import group_of, names_of, ranks, shares


def test_groups_are_those_of_the_two_functions():
    names = names_of(10, 1)
    groups = [group_of(name) for name in names]
    assert len(names) == 55
    assert groups[0] == "separable"  # sphere and sphere
    assert groups[9] == "separable and weak structure"  # sphere and Gallagher
    assert groups[45] == "multi-modal"  # Rastrigin and Rastrigin
    assert groups[54] == "weak structure"  # Gallagher and Gallagher
    assert len(set(groups)) == 15


def test_shares_are_of_the_best_of_all_algorithms_and_budgets():
    kept = {"p": {"a": {"1000": 0.2, "10000": 0.4}, "b": {"1000": 0.1, "10000": 0.8}}}
    found = shares(kept, ["p"], ["a", "b"])
    np.testing.assert_allclose(found[0], [[0.25, 0.5], [0.125, 1.0]])


def test_a_thousandth_is_no_difference_in_ranks():
    share = np.array([[0.9, 0.9005, 0.95], [0.5, 0.5, 0.4]])
    np.testing.assert_array_equal(ranks(share), [[2, 2, 1], [1, 1, 3]])
