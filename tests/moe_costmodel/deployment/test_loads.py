"""Deployments on traces of loads, and in steps that no trace fills."""

import numpy as np
import pytest

from moe_costmodel import (
    DeploymentModel,
    GateRule,
    LayerShape,
    RestOfModel,
    RoutingTrace,
    avg_max_load,
)
from moe_costmodel.placement.heuristics import contiguous
from tests.moe_costmodel.machines import evaluated, hardware, latency, planned
from tests.moe_costmodel.random_traces import random_trace

SHAPE = LayerShape(n_experts=8, k=2, d_model=64, d_ffn=48, gated=True)
LINKS = ("slow_to_fast", "device_to_device", "node_to_node")


@pytest.fixture
def tokens(rng):
    return random_trace(rng, n_tokens=400, n_layers=3, lengths=[40] * 10)


def model_of(traces, **settings):
    settings = {"shape": SHAPE, "n_devices": 2} | settings
    return DeploymentModel(traces, hardware(links=LINKS), latency(), **settings)


def test_recorded_steps_of_loads_give_what_their_tokens_give(tokens):
    loads = RoutingTrace.from_counts(tokens.loads(5))
    settings = {"batch_size": 5}
    true, drawn = (evaluated(model_of(trace), **settings) for trace in (tokens, loads))
    assert np.array_equal(true.step_seconds, drawn.step_seconds)
    assert drawn.outside == true.outside
    assert drawn.spread == 1.0


def test_any_batch_size_is_drawn_and_said(tokens):
    window = RoutingTrace.from_counts(tokens.loads(), source="window")
    model = model_of(window)
    for batch_size in (1, 16, 300):
        plan = planned(model, batch_size=batch_size)
        note = "as if their tokens were independent"
        assert note in plan.outside[-1]
        for text in (str(plan), plan.explain(), str(evaluated(model, batch_size=batch_size))):
            assert note in text
        assert "times are extrapolated" in plan.summary()
        share = plan.objectives["avg_max_load"]
        assert share.low < share.value < share.high <= 1.0
    again = planned(model_of(window), batch_size=300)
    assert again == plan
    other = planned(model_of(window, random_state=1), batch_size=300)
    assert other.objectives["avg_max_load"] != plan.objectives["avg_max_load"]
    exact = avg_max_load(contiguous(3, 8, 2), window.loads()).mean()
    # Steps of 300 tokens vary, so their busiest device has a little more than that of the window.
    assert exact < plan.objectives["avg_max_load"].value < exact + 0.04


def test_drawn_steps_widen_intervals(tokens):
    def width(model, name, batch_size):
        found = planned(model, batch_size=batch_size).objectives[name]
        return found.high / found.low

    recorded = model_of([RoutingTrace.from_counts(tokens.loads(5))] * 2)
    single = model_of([RoutingTrace.from_counts(tokens.loads())] * 2)
    for name in ("step_mean_s", "tokens_per_s", "avg_max_load"):
        # The same recorded steps; several of them together; and steps of independent tokens.
        widths = width(recorded, name, 5), width(recorded, name, 10), width(single, name, 10)
        assert widths[0] < widths[1] < widths[2]


def test_a_plan_on_tokens_is_checked_on_loads_and_the_other_way(tokens):
    loads = RoutingTrace.from_counts(tokens.loads(5), source="loads")
    rest = RestOfModel(per_step=1e-4, per_token=1e-6, per_token_context=1e-8)
    on_tokens = model_of(tokens, rest=rest)
    plan = planned(on_tokens, batch_size=8)
    found = plan.check(loads, deployment=on_tokens)
    assert found.evaluation["step_mean_s"] == pytest.approx(
        plan.objectives["step_mean_s"].value, rel=0.05
    )
    assert "composed of steps of 5" in str(found)
    on_loads = model_of(loads, rest=rest, context=20.5)
    back = on_loads.check(planned(on_loads, batch_size=8), tokens)
    assert back.holds


def test_larger_batches_than_sequences_repeat_them(tokens):
    model = model_of(tokens)
    assert model.max_batch_size == 10
    plan = planned(model, batch_size=64, gates=GateRule("top-k", 1), capacities=2)
    assert "has 10 sequences, so steps of 64 repeat them" in str(plan)
    share = plan.objectives["avg_max_load"]
    assert share.low < share.value < share.high
    assert planned(model, batch_size=10).objectives["avg_max_load"].low > 0
    prefill = planned(model_of(tokens, mode="prefill"), batch_size=1000)
    assert "has 400 tokens, so steps of 1000 repeat them" in str(prefill)


def test_what_needs_tokens_is_refused(tokens):
    model = model_of(RoutingTrace.from_counts(tokens.loads()))
    with pytest.raises(ValueError, match=r"keeps all experts resident.*per_token"):
        evaluated(model, batch_size=4, capacities=2)
    with pytest.raises(ValueError, match=r"topk_weights.*Record a trace"):
        evaluated(model, batch_size=4, gates=GateRule("top-k", 1))
    with pytest.raises(ValueError, match=r"'context'.*do not tell how long"):
        model_of(model.traces, rest=RestOfModel(per_step=1e-4))
    with pytest.raises(ValueError, match="all of loads, or all with the choices"):
        model_of([tokens, *model.traces])
    few = LayerShape(n_experts=8, k=8, d_model=64, d_ffn=48, gated=True)
    with pytest.raises(ValueError, match=r"'k' parameter.*at most"):
        evaluated(model_of(model.traces, shape=few), batch_size=4)


def test_traffic_between_nodes_counts_choices_as_independent(tokens):
    settings = {"n_devices": 2, "n_nodes": 2}
    true, drawn = (
        evaluated(model_of(trace, **settings), batch_size=8)["cross_node_bytes"]
        for trace in (tokens, RoutingTrace.from_counts(tokens.loads()))
    )
    # The choices of the random traces are independent but for being different.
    assert drawn == pytest.approx(true, rel=0.15)
