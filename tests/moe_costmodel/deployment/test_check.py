from dataclasses import replace

import numpy as np
import pytest

from moe_costmodel.deployment.model import DeploymentModel
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.latency.steps.rest_of_model import RestOfModel
from moe_costmodel.placement.heuristics import greedy, replicate_and_pack
from moe_costmodel.placement.placement import migration_bytes
from moe_costmodel.plans.plan import Plan
from moe_costmodel.shapes import LayerShape
from tests.moe_costmodel.machines import LARGER, evaluated, hardware, latency, planned
from tests.moe_costmodel.random_traces import random_trace


def model_of(trace, n_devices=2, **settings):
    return DeploymentModel(
        trace, hardware(), latency(), shape=LARGER, n_devices=n_devices, **settings
    )


def advice_of(check, knob):
    return next(item for item in check.advice if item.knob == knob)


def test_every_objective_is_evaluated_anew(traces):
    model = model_of(traces[0])
    plan = planned(
        model,
        gates=GateRule("skip", 0.5),
        capacities=3,
        policy="lfu",
        placement=greedy(traces[0].loads(4), 2),
        batch_size=4,
    )
    check = plan.check(traces[1], deployment=model)
    fresh = model_of(traces[1]).evaluate(plan)
    assert {row.name for row in check.objectives} == set(plan.objectives)
    for row in check.objectives:
        assert row.new == fresh[row.name]
        assert row.old == plan.objectives[row.name]
        if row.old.value:
            assert row.ratio == pytest.approx(row.new / row.old.value)
        else:
            assert np.isnan(row.ratio)
    assert np.allclose(check.drift, traces[0].drift(traces[1]))
    same = plan.check(traces[0], deployment=model)
    assert same.holds
    assert all(row.inside for row in same.objectives)
    text = str(check)
    assert "step_p99_s" in text
    assert "buffer: " in text


def test_a_switch_charges_what_must_arrive(traces):
    model = model_of(traces[0])
    now = planned(model, batch_size=4)
    placement = greedy(traces[0].loads(4), 2)
    plan = planned(model, placement=placement, batch_size=4)
    switch = plan.check(traces[1], deployment=model, running=now).switch
    moved = migration_bytes(now.placement, placement, LARGER.expert_bytes).sum()
    assert switch.n_bytes == moved > 0
    arriving = (placement.on_device() > 0) & (now.placement.on_device() == 0)
    busiest = arriving.sum(axis=(0, 1)).max() * LARGER.expert_bytes
    assert switch.seconds == pytest.approx(2e-5 + busiest / 2e9)
    fresh = model_of(traces[1])
    saved = evaluated(fresh, batch_size=4)["step_mean_s"] - fresh.evaluate(plan)["step_mean_s"]
    # The tolerance is for a saving that is a small difference of large step times.
    assert switch.saved_per_step == pytest.approx(saved, rel=1e-3)
    assert plan.check(traces[1], deployment=model, running=plan).switch.seconds == 0
    if saved > 0:
        assert switch.steps_to_pay == pytest.approx(switch.seconds / saved, rel=1e-3)
    else:
        assert "never pays" in str(plan.check(traces[1], deployment=model, running=now))


def test_a_buffer_that_thrashes_is_named(traces):
    model = model_of(traces[0], n_devices=1)
    tight = planned(model, capacities=1, policy="fifo", batch_size=4).check(
        traces[1], deployment=model
    )
    found = advice_of(tight, "buffer")
    assert not found.keep
    assert "thrashes" in found.why
    # The buffer saves memory but slows steps down, which pays only if the experts would not fit.
    roomy = planned(model, capacities=7, policy="lfu", batch_size=4)
    found = advice_of(roomy.check(traces[1], deployment=model), "buffer")
    assert not found.keep
    assert "all experts fit" in found.why
    needed = int(evaluated(model, batch_size=4)["memory_bytes"])
    model.hardware = replace(model.hardware, memory_bytes=needed - 1)
    assert advice_of(roomy.check(traces[1], deployment=model), "buffer").keep
    # Only the layer that thrashes is named.
    mixed = planned(model, capacities=[1, 8, 8], policy="fifo", batch_size=4).check(
        traces[1], deployment=model
    )
    assert advice_of(mixed, "buffer").layers == (0,)


def test_replicas_that_cost_more_than_they_give_are_named(traces):
    model = model_of(traces[0])
    loads = traces[0].loads(4)
    plan = planned(model, placement=replicate_and_pack(loads, 2, n_replicas=6), batch_size=4)
    found = advice_of(plan.check(traces[1], deployment=model), "replicas")
    assert "75% more expert memory" in found.why
    assert not found.keep


def test_a_gate_that_saves_no_time_is_named(traces):
    model = model_of(traces[0], n_devices=1)
    plan = planned(model, gates=(GateRule("skip", 0.9), None, None), batch_size=4)
    found = advice_of(plan.check(traces[1], deployment=model), "thresholds")
    assert found.keep
    model = model_of(traces[0], n_devices=1, rest=RestOfModel(per_step=1.0))
    plan = planned(model, gates=(GateRule("skip", 0.9), None, None), batch_size=4)
    found = advice_of(plan.check(traces[1], deployment=model), "thresholds")
    assert not found.keep
    assert "quality for no time" in found.why


def test_a_plan_of_another_model_is_refused(traces, tmp_path):
    model = model_of(traces[0])
    plan = planned(model, batch_size=4)
    loaded = Plan.load(plan.save(tmp_path / "plan.json"))
    check = loaded.check(traces[1], deployment=model)
    assert check.objectives == model.check(plan, traces[1]).objectives
    with pytest.raises(ValueError, match="of devices 4"):
        loaded.check(traces[1], deployment=model_of(traces[0], n_devices=4))
    with pytest.raises(ValueError, match="8 experts"):
        model.check(plan, random_trace(np.random.default_rng(0), n_experts=9, n_layers=3))
    other = Plan(
        model="other",
        shape=LayerShape(n_experts=8, k=2, d_model=32, d_ffn=48, gated=True),
        mode="decode",
        batch_size=4,
        placement=plan.placement,
    )
    with pytest.raises(ValueError, match="'running' parameter"):
        plan.check(traces[1], deployment=model, running=other)
