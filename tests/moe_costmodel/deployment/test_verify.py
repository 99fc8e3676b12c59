import numpy as np
import pytest

from tests.moe_costmodel.machines import SHAPE, hardware, latency, planned
from tests.moe_costmodel.random_traces import random_trace

pytest.importorskip("torch")

from moe_costmodel.buffering.replay import expert_streams, replay
from moe_costmodel.deployment.model import DeploymentModel
from moe_costmodel.deployment.verify import verify, verify_table
from moe_costmodel.gating.quality import keep_choices
from moe_costmodel.gating.rules import GateRule


@pytest.fixture
def trace(rng):
    return random_trace(rng, n_tokens=120, n_layers=3, lengths=[20] * 6)


def test_plans_run_for_real_with_the_misses_that_were_replayed(trace):
    model = DeploymentModel(trace, hardware(), latency(), shape=SHAPE, n_devices=2)
    rules = (GateRule("skip", 0.5), None, GateRule("top-p", 0.8))
    plans = [
        planned(
            model, gates=rules, capacities=[[2, 3], [4, 4], [1, 4]], policy="lfu", batch_size=3
        ),
        planned(model, batch_size=5),
    ]
    found = verify(plans, trace, hardware(), latency(), n_steps=10, repeats=2, clock="cpu")
    buffered, resident = found
    keep = keep_choices(trace, [rule or GateRule.keep_all() for rule in rules])
    streams = expert_streams(trace.loads(3, keep=keep)[:10], np.arange(8) // 4, 2)
    misses = replay(streams, plans[0].capacities, "lfu")[:, [0, 2]]  # the second is resident
    assert buffered.misses == misses.sum()
    assert resident.misses == 0
    for item, plan in zip(found, plans, strict=True):
        assert item.plan is plan
        assert item.layers == (0, 1, 2)
        expected = model.evaluate(plan).moe_seconds[:10]
        assert np.allclose(item.predicted, expected)
        assert (item.measured > 0).all()
        assert item.low < item.predicted.mean() < item.high
    table = verify_table(found)
    assert "median error" in table
    assert "B=3, 2 devices, 1-4/4 lfu, gated" in table


def test_a_large_model_is_run_with_some_of_its_layers(trace):
    model = DeploymentModel(trace, hardware(), latency(), shape=SHAPE)
    plan = planned(model, batch_size=4)
    two = 2 * 8 * SHAPE.expert_bytes
    (found,) = verify([plan], trace, hardware(), latency(), n_steps=4, repeats=1, max_bytes=two)
    assert found.layers == (0, 2)
    layers = model.evaluate(plan).layers
    assert np.array_equal(found.predicted, layers[0].seconds[:4] + layers[2].seconds[:4])
    with pytest.raises(ValueError, match="'max_bytes' parameter"):
        verify([plan], trace, hardware(), latency(), max_bytes=10)


def test_what_cannot_be_verified_is_named(trace, rng):
    plan = planned(DeploymentModel(trace, hardware(), latency(), shape=SHAPE), batch_size=4)
    with pytest.raises(ValueError, match="at least one Plan"):
        verify([], trace, hardware(), latency())
    with pytest.raises(ValueError, match="8 experts"):
        verify([plan], random_trace(rng, n_experts=9), hardware(), latency())
    with pytest.raises(ValueError, match="'clock' parameter"):
        verify([plan], trace, hardware(), latency(), clock="sun")
    with pytest.raises(ValueError, match="'repeats' parameter"):
        verify([plan], trace, hardware(), latency(), repeats=0)
