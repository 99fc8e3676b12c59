"""Reasons of advice: what further experts gain, what moving experts costs, and what fits anyway."""

import numpy as np
import pytest

from moe_costmodel import (
    Migration,
    RoutingTrace,
    advise,
    contiguous,
    greedy,
    replicate_and_pack,
)
from moe_costmodel.advice.windows import busiest_loads
from tests.moe_costmodel.random_traces import random_trace


def steps(rng, loads, n, tokens=4000):
    shares = loads / loads.sum(axis=1, keepdims=True)
    return np.stack([[rng.multinomial(tokens, row) for row in shares] for _ in range(n)])


def advised(found, knob):
    return next(item for item in found.recommendations if item.knob == knob)


@pytest.mark.parametrize(
    ("loads", "n_replicas", "adopt"),
    [
        ([9] * 16, 8, False),  # the fewest that devices can share, since none is of use
        ([50, 40, 30, 20, 1, 1, 1, 1], 16, True),
    ],
)
def test_redundant_experts_are_as_many_as_pay(loads, n_replicas, adopt):
    counts = np.tile(np.array(loads) * 1e6, (4, 1))
    found = advise(RoutingTrace.from_counts(counts), devices=[8], max_replicas=2)
    item = advised(found, "redundant experts")
    assert (item.placement.n_replicas, item.adopt) == (n_replicas, adopt)
    assert ("not worth the memory" in item.why) != adopt
    share = n_replicas / len(loads)
    assert item.setting.startswith(f"{n_replicas} redundant experts a layer ({share:.0%} more mem")
    both = [
        busiest_loads(replicate_and_pack(counts[None], 8, n_replicas=n), counts[None])[0]
        for n in (8, 16)
    ]
    assert (both[1] < 0.97 * both[0]) == adopt


def test_the_chance_of_few_tokens_is_no_gain(rng):
    """A router without preferences: each placement is as good as any other."""
    for n_tokens in (3, 8):
        ids = rng.permuted(np.tile(np.arange(16), (n_tokens, 3, 1)), axis=2)[:, :, :2]
        found = advise(RoutingTrace(ids, n_experts=16), devices=[4], max_replicas=1)
        placement = advised(found, "placement")
        assert not placement.adopt
        assert not advised(found, "redundant experts").adopt
        assert placement.gain.low < 0.0 < placement.gain.high
        assert f"has only {n_tokens} steps" in placement.why


def test_intervals_from_few_tokens_hold_the_true_gain(rng):
    held = 0
    for _ in range(20):
        shares = rng.dirichlet(np.full(16, 2.0), 4)
        counts = np.stack([rng.multinomial(12, row) for row in shares])
        item = advised(advise(RoutingTrace.from_counts(counts), devices=[4]), "placement")
        before, after = (
            busiest_loads(placement, shares[None])[0]
            for placement in (contiguous(4, 16, 4), item.placement)
        )
        held += item.gain.low <= 1.0 - after / before <= item.gain.high
    assert held >= 16


@pytest.fixture
def changing(rng):
    """Return loads of steps, whose hot experts are others in the second half."""
    first, second = (rng.gamma(1.0, 1.0, (4, 16)) + 0.01 for _ in range(2))
    return np.concatenate([steps(rng, first, 32), steps(rng, second, 32)])


def test_rearranging_pays_if_it_follows_a_change_at_a_low_cost(changing):
    trace = RoutingTrace.from_counts(changing)

    def rearrangement(migration=None):
        return advised(advise(trace, devices=[4], migration=migration), "rearrangement")

    free = rearrangement()
    assert free.gain.low > 0
    assert not free.adopt
    assert "The cost of moving experts is not given" in free.why
    cheap, dear, dearer = (rearrangement(Migration(size, 1e9, 3600.0)) for size in (1, 1e8, 2e8))
    assert cheap.adopt
    assert cheap.gain.value == pytest.approx(free.gain.value)
    # Twice the bytes stall the server twice as long.
    stall = free.gain.value - dear.gain.value
    assert stall > 0
    assert free.gain.value - dearer.gain.value == pytest.approx(2 * stall)
    ruinous = rearrangement(Migration(1e12, 1e9, 3600.0))
    assert not ruinous.adopt
    assert ruinous.gain.high < 0


def test_a_placement_that_already_fits_is_left_alone(rng):
    counts = steps(rng, rng.gamma(1.0, 1.0, (4, 16)) + 0.01, 48)
    running = greedy(counts[:24], 4)
    found = advised(
        advise(RoutingTrace.from_counts(counts), devices=[4], running=running), "placement"
    )
    assert not found.adopt
    assert "Even on the traffic that it was fitted to it gains nothing." in found.why


def test_buffers_are_scored_on_other_traffic_of_the_same_kind(rng):
    traces = [random_trace(rng, n_tokens=200, n_layers=2, k=2, n_experts=8) for _ in range(2)]
    tokens = RoutingTrace(traces[1].topk_ids, n_experts=8, source="tuesday")
    sums = RoutingTrace.from_counts(np.ones((2, 8)), source="sums")
    found = advise(traces[0], others=[tokens, sums], devices=[1], slots=3)
    # Sums do not tell which experts meet in a step.
    assert set(advised(found, "expert buffer").scored) == {"second half", "tuesday"}


def test_the_gain_of_a_buffer_is_predicted_within_the_first_half(rng):
    """Other traffic in the second half changes the score, but not the prediction."""
    first, second = (
        rng.permuted(np.tile(np.arange(8), (60, 2, 1)), axis=2)[:, :, :2] for _ in "ab"
    )
    first[:, :, 0], first[:, :, 1] = 6, rng.integers(0, 6, (60, 2))
    found = {}
    for name, last in (("same", first), ("other", second)):
        trace = RoutingTrace(
            np.concatenate((first, last)), n_experts=8, sequence_lengths=[30] * 4
        )  # fmt: skip
        advice = advise(trace, devices=[1], slots=3)
        found[name] = advised(advice, "expert buffer")
        assert found[name].gain.value > 0
    assert found["same"].gain == found["other"].gain
    assert found["same"].scored["second half"] > found["other"].scored["second half"] + 0.01
