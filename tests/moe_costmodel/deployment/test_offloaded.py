import numpy as np
import pytest

from moe_costmodel import (
    Admission,
    DeploymentModel,
    GateRule,
    MissCost,
    OffloadRule,
    Placement,
    Plan,
    offload_curves,
)
from moe_costmodel.buffering.replay import expert_streams
from moe_costmodel.gating.quality import keep_choices
from tests.moe_costmodel.machines import SHAPE, hardware, latency
from tests.moe_costmodel.random_traces import random_trace

COST = MissCost(1.0, per_miss=3e-5, per_upload=8e-5, hidden=6e-5)
RULES = [
    OffloadRule("lru"),
    OffloadRule("decay", Admission(after=2), half_life=8.0, start_weight=3.0),
    OffloadRule("fifo", in_place=False),
    OffloadRule(admission=Admission(per_step=0), precision=0.8, recall=0.5),
]
START = np.arange(24.0).reshape(3, 8) % 5


def made(n_sequences, length):
    return random_trace(
        np.random.default_rng(1), n_tokens=n_sequences * length, n_layers=3,
        lengths=[length] * n_sequences,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trace():
    return made(8, 40)


def model_of(trace, n_devices=1, **settings):
    return DeploymentModel(
        trace, hardware(), latency(), shape=SHAPE, n_devices=n_devices,
        **({"miss_cost": COST} | settings),
    )  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("batch_size", [1, 8])  # few experts are active, or many
@pytest.mark.parametrize("gate", [None, GateRule("top-k", 1)])
def test_steps_take_what_the_replay_says_longer(trace, rule, batch_size, gate):
    windows = trace.split()
    model = model_of(windows)
    batch_size = min(batch_size, model.max_batch_size)
    settings = {"batch_size": batch_size, "gates": gate}
    whole = model.evaluate(model.decision(**settings))
    decision = model.decision(**settings, capacities=3, offload=rule, start=START)
    found = model.evaluate(decision)
    expected = []
    for window in windows:
        keep = None if gate is None else keep_choices(window, [gate] * 3)
        streams = expert_streams(window.loads(batch_size, keep=keep), [0] * 8, 1)
        added = 0.0
        for i, (stream,) in enumerate(streams):
            curve = offload_curves(
                [stream], [3], policies=[rule.policy], admissions=[rule.admission],
                start=START[i : i + 1], half_life=rule.half_life, start_weight=rule.start_weight,
                per_step=True,
            )[rule.policy]  # fmt: skip
            steps = curve.step_misses[:, 0, 0, 0], curve.step_uploads[:, 0, 0, 0]
            added = added + rule.seconds(*steps, COST, COST.hidden / 3)
        expected.append(added)
    # Charges are kept as float32.
    assert found.moe_seconds - whole.moe_seconds == pytest.approx(
        np.concatenate(expected), rel=1e-5, abs=1e-9
    )
    assert found.waiting_seconds == pytest.approx(np.concatenate(expected), rel=1e-5, abs=1e-9)
    assert found["memory_bytes"] < whole["memory_bytes"]


def test_plans_carry_the_rule_and_can_be_checked(trace, tmp_path):
    model = model_of(trace.split())
    plan = model.plan(model.decision(capacities=3, offload=RULES[1], start=START))
    assert plan.offload == RULES[1]
    assert "per_miss 30 us" in plan.provenance["misses"]
    back = Plan.load(plan.save(tmp_path / "plan.json"))
    assert model.evaluate(back)["step_mean_s"] == model.evaluate(plan)["step_mean_s"]
    check = back.check(made(4, 20), deployment=model)
    assert "step_p99_s" in str(check)


def test_what_is_missing_is_named(trace):
    model = model_of(trace, miss_cost=None)
    decision = model.decision(capacities=3, offload=RULES[0])
    with pytest.raises(ValueError, match="miss_cost"):
        model.evaluate(decision)
    replicas = Placement([[*range(8), 0, 1]] * 3, 2)
    model = model_of(trace, 2)
    with pytest.raises(ValueError, match="without replicas"):
        model.evaluate(model.decision(placement=replicas, capacities=3, offload=RULES[0]))


def test_a_plan_with_a_rule_runs_here(trace):
    pytest.importorskip("torch")
    from moe_costmodel.deployment.verify import verify
    from moe_costmodel.hardware import Hardware

    model = model_of(trace)
    plan = model.plan(model.decision(capacities=3, offload=RULES[1], start=START))
    here = Hardware.here(threads=1)
    with pytest.raises(ValueError, match="a MissCost"):
        verify([plan], trace, here, latency())
    (found,) = verify([plan], trace, here, latency(), n_steps=4, repeats=1, miss_cost=COST)
    assert found.measured.mean() > 0
    streams = expert_streams(trace.loads(1)[:4], [0] * 8, 1)
    misses = 0
    for i, (stream,) in enumerate(streams):
        curve = offload_curves(
            [stream], [3], policies=["decay"], admissions=[RULES[1].admission],
            start=START[i : i + 1], half_life=8.0, start_weight=3.0,
        )["decay"]  # fmt: skip
        misses += int(curve.misses.sum())
    assert found.misses == misses
