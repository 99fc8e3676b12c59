"""Tests of whose turn it is."""

import pytest

from moela.search.allocation import Turns


def spend(turns, n, gain):
    """Hand out n evaluations, paid by `gain` each; return how many each part got."""
    got = dict.fromkeys(turns.base, 0)
    for _ in range(n):
        part = turns.next()
        turns.asked(part, 1)
        turns.paid(part, 1, gain[part])
        got[part] += 1
    return got


def test_fixed_shares_are_kept():
    turns = Turns({"evolution": 1, "search": 3}, adapt=False)
    got = spend(turns, 400, {"evolution": 1.0, "search": 0.0})
    assert got == {"evolution": 100, "search": 300}


def test_shares_follow_what_pays():
    turns = Turns({"evolution": 1, "search": 1}, adapt=True)
    got = spend(turns, 2000, {"evolution": 1.0, "search": 0.01})
    assert got["evolution"] > 3 * got["search"]
    assert got["search"] > 0
    assert sum(turns.shares.values()) == pytest.approx(1.0)


def test_shares_stay_where_nothing_pays():
    turns = Turns({"evolution": 1, "search": 1}, adapt=True)
    assert spend(turns, 400, {"evolution": 0.0, "search": 0.0}) == {"evolution": 200, "search": 200}


def test_a_part_without_a_share_gets_no_turn():
    turns = Turns({"evolution": 0, "search": 2}, adapt=True)
    assert spend(turns, 10, {"search": 1.0}) == {"search": 10}
