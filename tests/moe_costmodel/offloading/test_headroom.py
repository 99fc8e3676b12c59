"""Headroom: the verdict on traffic whose best rule is known, and what cannot be compared."""

import re

import numpy as np
import pytest

from moe_costmodel import MissCost, RoutingTrace, headroom

COST = MissCost(1e-3, 1e-3, 3e-3)


def trace_of(ids, source="trace", n_experts=8):
    """Return a trace of one expert a token in each of two layers."""
    return RoutingTrace(np.stack([ids, ids], axis=1)[:, :, None], n_experts=n_experts,
                        source=source)  # fmt: skip


def in_turns(rng, n_runs=40, length=25):
    """Return experts that stay for a while, each as often as any other."""
    return np.repeat(np.concatenate([rng.permutation(8) for _ in range(n_runs // 8)]), length)


def percent(text):
    return [float(word) / 100 for word in re.findall(r"([\d.]+)%", text)]


def test_traffic_of_other_experts_is_worth_a_policy(rng):
    monday = trace_of(rng.integers(0, 2, 400), "monday")
    tuesday = trace_of(rng.integers(2, 4, 400), "tuesday")
    found = headroom(monday, slots=2, against=tuesday, cost=COST)
    rows = {name: row.seconds for name, row in found.rows.items()}
    # The experts of Monday are of no use: a miss in each of two layers.
    assert rows["static list"] == pytest.approx(1e-3 + 2 * 1e-3)
    # Four uploads in 400 steps are enough.
    assert 1e-3 <= rows["bound for every plan"] <= 1e-3 + 4 * 3e-3 / 400
    assert rows["bound for every plan"] <= rows["plan"] < rows["static list"]
    verdict = found.verdict()
    assert verdict.startswith("Build it")
    saved, most = percent(verdict)
    known = ("plan", *(name for name in rows if name.startswith(("LRU", "LFU"))))
    least = min(rows[name] for name in known)
    assert saved == pytest.approx(1 - least / rows["static list"], abs=0.006)
    assert most == pytest.approx(1 - rows["bound for every plan"] / rows["static list"], abs=0.006)
    assert saved <= most
    assert "plan: " in str(found)


def test_recency_follows_traffic_that_stays_for_a_while(rng):
    found = headroom(trace_of(in_turns(rng)), slots=2, cost=COST)
    rows = {name: row.seconds for name, row in found.rows.items()}
    # A static list of 2 of 8 experts misses three quarters, in each of two layers.
    assert rows["static list"] == pytest.approx(1e-3 + 2 * 0.75 * 1e-3, rel=0.05)
    # A miss and an upload at each turn, in 25 steps; at times the next one is resident already.
    turn = 2 * (1e-3 + 3e-3) / 25
    assert 1e-3 + 0.5 * turn < rows["LRU, every miss uploaded"] <= 1e-3 + 1.01 * turn
    assert rows["MIN, knows what is evicted best"] <= rows["LRU, every miss uploaded"]
    assert rows["bound for every plan"] <= min(rows.values()) + 1e-12
    # Such a rule is worth building, although no plan of counted uses follows the turns.
    assert rows["LRU, every miss uploaded"] < rows["plan"]
    verdict = found.verdict()
    assert re.match('Build it: "L[RF]U, every miss uploaded" takes', verdict)
    best = min(rows[f"{name}, every miss uploaded"] for name in ("LRU", "LFU"))
    assert percent(verdict)[0] == pytest.approx(1 - best / rows["static list"], abs=0.006)


def test_memory_that_holds_all_experts_leaves_nothing_to_save(rng):
    for slots in (8, 7):
        found = headroom(trace_of(rng.integers(0, 8, 400)), slots=slots, cost=COST)
        assert "-0.0%" not in found.verdict()
    full = headroom(trace_of(rng.integers(0, 8, 400)), slots=8, cost=COST)
    assert full.verdict() == (
        "Don't build it: all experts are in fast memory, so that no step misses one."
    )


def test_tokens_that_choose_independently_are_best_served_by_a_list(rng):
    shares = np.array([0.3, 0.25, 0.15, 0.1, 0.08, 0.06, 0.04, 0.02])
    ids = rng.choice(8, 2000, p=shares)
    found = headroom(trace_of(ids), slots=2, cost=MissCost(1e-4, 1e-3, 1.5e-3))
    assert found.rows["static list"].misses == pytest.approx(2 * 0.45, rel=0.1)
    # Whoever knew the future would keep other experts at times. Nobody does, and following the
    # latest choices costs more than it brings.
    assert found.rows["LRU, every miss uploaded"].seconds > found.rows["static list"].seconds
    verdict = found.verdict()
    assert verdict.startswith("Don't build it: a static list is as good as it gets")
    best, most = percent(verdict)
    assert best < 0.05 <= most
    bound = found.rows["bound for every plan"].seconds
    assert most == pytest.approx(1 - bound / found.rows["static list"].seconds, abs=0.006)


def test_half_of_the_experts_fit_by_default_and_more_never_takes_longer(rng):
    found = headroom(trace_of(in_turns(rng)), cost=COST)
    assert found.slots == 4
    for name in ("static list", "MIN, knows what is evicted best", "bound for every plan"):
        assert (np.diff(found.curves[name]) <= 1e-12).all(), name
    assert (np.diff(found.shares) > 0).all()
    quarter = headroom(trace_of(in_turns(rng)), share=0.25, cost=COST)
    assert quarter.slots == 2


def test_other_traffic_is_scored_and_must_be_of_the_same_model(rng):
    monday = trace_of(rng.integers(0, 2, 200), "monday")
    tuesday = trace_of(rng.integers(2, 4, 200), "tuesday")
    found = headroom(monday, slots=2, against=tuesday, cost=COST)
    assert found.source == "monday, scored on tuesday"
    # The experts of Monday are of no use on Tuesday.
    assert found.rows["static list"].misses == found.rows["none resident"].misses == 2
    with pytest.raises(ValueError, match=r"'against'.*2 layers of 8 experts.*tuesday of 2 layers"):
        headroom(monday, slots=2, against=trace_of(tuesday.topk_ids[:, 0, 0], "tuesday", 16))
    total = RoutingTrace.from_counts(np.ones((2, 8)), source="sums")
    with pytest.raises(ValueError, match=r"'against'.*a sum, as the trace is.*monday, of tokens"):
        headroom(total, slots=2, against=monday, top_k=1)
    for name, settings in (("share", {"share": 1.0}), ("slots", {"slots": 0})):
        with pytest.raises(ValueError, match=f"'{name}' parameter of headroom"):
            headroom(monday, **settings)
