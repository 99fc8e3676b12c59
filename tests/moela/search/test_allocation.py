"""Tests of the allocation of evaluations."""

import pytest
from pymoo.core.problem import Problem

from moela.search.allocation import Allocation, allocation_for


def spend(allocation, n, gain):
    """Hand out n evaluations, paid by `gain` each; return how many each part got."""
    got = dict.fromkeys(allocation.base, 0)
    for _ in range(n):
        part = allocation.in_turn()[0]
        allocation.charge(part, 1)
        allocation.reward(part, 1, gain[part])
        got[part] += 1
    return got


def test_fixed_shares_are_kept():
    allocation = Allocation({"evolution": 1, "search": 3}, adapt=False)
    got = spend(allocation, 400, {"evolution": 1.0, "search": 0.0})
    assert got == {"evolution": 100, "search": 300}


def test_other_shares_are_kept_once_objectives_are_known():
    known = []
    base, other = {"evolution": 1, "search": 3}, {"evolution": 4, "search": 1}
    allocation = Allocation(base, adapt=False, base_if_known=other, known=lambda: bool(known))
    assert spend(allocation, 400, dict.fromkeys(base, 1.0)) == {"evolution": 100, "search": 300}
    known.append(True)
    assert allocation.base == {"evolution": 0.8, "search": 0.2}
    assert spend(allocation, 400, dict.fromkeys(base, 1.0)) == {"evolution": 320, "search": 80}


def test_shares_follow_the_gains():
    allocation = Allocation({"evolution": 1, "search": 1}, adapt=True)
    got = spend(allocation, 2000, {"evolution": 1.0, "search": 0.01})
    # Measured: 12 times; 19 times at the limits of both factors.
    assert got["evolution"] > 3 * got["search"]
    assert got["search"] > 0
    assert sum(allocation.shares.values()) == pytest.approx(1.0)


def test_shares_stay_without_gains():
    allocation = Allocation({"evolution": 1, "search": 1}, adapt=True)
    assert spend(allocation, 400, {"evolution": 0.0, "search": 0.0}) == {
        "evolution": 200,
        "search": 200,
    }


def test_a_part_without_a_share_gets_no_evaluations():
    allocation = Allocation({"evolution": 0, "search": 2}, adapt=True)
    assert spend(allocation, 10, {"search": 1.0}) == {"search": 10}


def test_adaptive_shares_begin_with_those_of_the_problem():
    problem = Problem(n_var=2, n_obj=2)
    problem.search_shares = {"evolution": 3, "pareto": 1}
    assert allocation_for(problem, None).shares == {"evolution": 0.75, "pareto": 0.25}
    assert allocation_for(problem, {"search": 1}).shares == {"search": 1.0}
    for wrong in ({"mutation": 1}, {"search": "much"}, {"search": 0}, {"search": float("nan")}, 3):
        problem.search_shares = wrong
        with pytest.raises(ValueError, match="'search_shares' parameter of Problem must be a pos"):
            allocation_for(problem, None)
