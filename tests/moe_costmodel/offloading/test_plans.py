import numpy as np
import pytest

from moe_costmodel import (
    Admission,
    ExpertStream,
    MissCost,
    RoutingTrace,
    headroom,
    least_seconds,
    offload_curves,
    plan_offload,
)
from moe_costmodel.offloading.planner import layer_streams, opening_step, uses_of
from moela.cli import main
from tests.moe_costmodel.random_traces import random_trace

COST = MissCost(1e-3, 1e-3, 3e-3)


def test_the_published_cost():
    cost = MissCost.published()
    seconds = cost.step_seconds([0, 10, 10], [0, 0, 5])
    assert seconds * 1e3 == pytest.approx([4.18, 4.65, 5.36])


def test_a_fit_finds_the_constants(rng):
    misses, uploads = rng.integers(0, 60, 40), np.arange(40) % 30
    true = MissCost(4e-3, 5e-5, 1.4e-4, hidden=10 * 1.4e-4)
    found = MissCost.fit(misses, uploads, true.step_seconds(misses, uploads))
    assert found.per_upload == pytest.approx(true.per_upload, rel=1e-6)
    # Where uploads are hidden, the threshold is known to one upload.
    assert found.hidden == pytest.approx(true.hidden, abs=1.4e-4)
    plain = MissCost(4e-3, 5e-5, 1.4e-4)
    found = MissCost.fit(misses, uploads, plain.step_seconds(misses, uploads))
    assert found.hidden == 0
    assert found.per_miss == pytest.approx(plain.per_miss, rel=1e-6)


def test_bad_costs_are_named():
    with pytest.raises(ValueError, match="'per_miss'"):
        MissCost(1.0, -1.0, 0.0)
    with pytest.raises(ValueError, match="'seconds'"):
        MissCost.fit([1, 2, 3, 4], [0, 0, 0, 0], [1, 2])
    for settings in ({"after": 0}, {"after": 65}, {"margin": -1.0}, {"per_step": -1.0}):
        with pytest.raises(ValueError, match=f"'{next(iter(settings))}'"):
            Admission(**settings)


def test_no_replay_beats_the_bound(rng):
    trace = random_trace(rng, n_tokens=150, n_layers=3, k=2, n_experts=8)
    streams = layer_streams(trace)
    rules = [Admission(), Admission(after=3), Admission(per_step=0)]
    for slots in (1, 3, 6):
        bound = least_seconds(streams, 3 * slots, COST)
        curves = offload_curves(streams, [slots], admissions=rules, start=uses_of(streams))
        for curve in curves.values():
            misses, uploads = curve.misses.sum((0, 1)), curve.uploads.sum((0, 1))
            assert (COST.step_seconds(misses / 150, uploads / 150) >= bound - 1e-12).all()


def test_the_bound_of_a_trace_that_changes_once():
    # Two experts take turns for ten steps each; one slot, an upload costs three misses.
    ids = np.repeat([0, 1], 10)
    stream = ExpertStream(ids, np.arange(21), 2)
    # The best plan uploads once; the dual of its integer programme lies a little below.
    assert 1.1e-3 < least_seconds([stream], 1, COST) <= 1e-3 + 3e-3 / 20
    assert least_seconds([stream], 2, COST) == pytest.approx(1e-3)


def test_a_guard_opens_on_drift_only():
    quiet = np.full(1000, 30)
    drifted = np.where(np.arange(1000) < 300, 30, 50)
    accesses = np.full(1000, 100)
    assert opening_step(quiet, accesses, 0.3, 1.1, 1) == 1000
    # 17 misses a step above 33, until 32 tokens' worth of 30.
    assert opening_step(drifted, accesses, 0.3, 1.1, 1) == 300 + 32 * 30 // 17


def test_a_plan_is_no_worse_than_a_static_list_on_its_own_traffic():
    trace = RoutingTrace.example()
    cost = MissCost(0.0, 1e-3, 3e-3)
    plan = plan_offload(trace.head(), slots=6 * 16, cost=cost)
    static = headroom(trace, slots=16, cost=cost).rows["static list"].seconds
    assert int(plan.slots.sum()) == 96
    assert [len(row) for row in plan.residents()] == plan.slots.tolist()
    # One hundredth: the halves of this small trace differ.
    assert plan.seconds(trace.tail(), cost) <= 1.01 * static
    with pytest.raises(ValueError, match="'slots'"):
        plan_offload(trace, slots=5, cost=cost)


def test_headroom_command(tmp_path, capsys):
    picture = tmp_path / "h.png"
    assert main(["moe", "headroom", "--slots", "16", "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    for words in ("static list", "perfect prefetch", "bound for every plan", "build it"):
        assert words in printed
    assert picture.stat().st_size > 10_000


def test_headroom_needs_steps(rng):
    trace = RoutingTrace.from_counts(rng.integers(1, 9, (1, 2, 8)))
    with pytest.raises(ValueError, match="sum over steps"):
        headroom(trace, slots=4)
    with pytest.raises(ValueError, match="'top_k'"):
        headroom(trace, slots=4, top_k=8)
    with pytest.raises(ValueError, match="'slots'"):
        headroom(RoutingTrace.example(), slots=33)


def test_headroom_of_sums_is_that_of_independent_tokens(rng):
    # Tokens that choose independently, one expert each: 400 in single steps, and their sum.
    ids = rng.choice(6, size=(400, 2, 1), p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05])
    tokens = RoutingTrace(ids, n_experts=6)
    total = RoutingTrace.from_counts(tokens.loads()[0])
    found = headroom(total, slots=2, top_k=1, cost=COST)
    uses = uses_of(layer_streams(tokens))
    expected = 2.0 - np.sort(uses, axis=1)[:, -2:].sum()
    assert found.rows["static list"].misses == pytest.approx(expected)
    assert found.plan is None
    assert [len(row) for row in found.residents] == [2, 2]
    assert "record each token" in str(found)
    pair = headroom(total, slots=2, top_k=1, cost=COST, batch_size=8).rows["none resident"]
    assert pair.misses == pytest.approx((1.0 - (1.0 - uses) ** 8).sum())
