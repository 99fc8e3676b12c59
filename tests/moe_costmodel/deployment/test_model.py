from copy import copy
from dataclasses import replace

import numpy as np
import pytest

from moe_costmodel.buffering.replay import expert_streams, replay
from moe_costmodel.deployment.model import DeploymentModel
from moe_costmodel.gating.quality import gate_mass, keep_choices
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.latency.rule_cost import RuleCost
from moe_costmodel.latency.steps.memory import MemoryModel
from moe_costmodel.latency.steps.rest_of_model import RestOfModel
from moe_costmodel.latency.steps.step import StepModel
from moe_costmodel.placement.heuristics import contiguous, greedy, replicate_and_pack
from moe_costmodel.placement.placement import Placement, avg_max_load, cross_node_traffic
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.trace import RoutingTrace
from tests.moe_costmodel.machines import evaluated, hardware, latency, planned
from tests.moe_costmodel.random_traces import random_trace

SHAPE = LayerShape(n_experts=8, k=2, d_model=64, d_ffn=48, gated=True)
REST = RestOfModel(per_step=1e-4, per_token=1e-6, per_token_context=1e-8)
RULES = (GateRule("skip", 0.6), None, GateRule("top-p", 0.7))


@pytest.fixture
def windows(rng):
    return [
        random_trace(rng, n_tokens=n, n_layers=3, lengths=lengths)
        for n, lengths in ((60, [10, 25, 5, 13, 7]), (40, [8, 8, 8, 8, 8]))
    ]


def model_of(windows, *, links=("slow_to_fast", "device_to_device", "node_to_node"), **settings):
    settings = {"shape": SHAPE, "n_devices": 2, "rest": REST} | settings
    buffered = settings.pop("buffered", False)
    return DeploymentModel(windows, hardware(links=links), latency(buffered=buffered), **settings)


def full_replay(model, trace, rules, capacities, policy, placement, batch):
    """Return the seconds of every step from the published parts, without a cache."""
    rules = [rule or GateRule.keep_all() for rule in rules]
    keep = keep_choices(trace, rules)
    loads = trace.loads(batch, model.mode, keep=keep)
    n_local = placement.n_slots // model.n_devices
    slots = placement.physical_to_logical.reshape(-1, model.n_devices, n_local)
    slots = np.sort(slots, axis=2).reshape(len(slots), -1)  # experts run in ascending order
    tokens = np.zeros((*loads.shape[:2], slots.shape[1]), dtype=int)
    for layer, row in enumerate(slots):
        for expert in range(SHAPE.n_experts):
            own = np.flatnonzero(row == expert)
            for step in range(len(loads)):
                n = loads[step, layer, expert]
                for rank, slot in enumerate(own):
                    more = (rank - step - expert) % len(own) < n % len(own)
                    tokens[step, layer, slot] = n // len(own) + more
    device_of = np.arange(slots.shape[1]) // n_local
    steps = StepModel(
        latency=model.latency,
        shape=replace(SHAPE, n_local=n_local),
        hardware=model.hardware,
        rest=REST,
    )
    total = np.zeros(len(loads))
    for layer in range(len(slots)):
        counts = tokens[:, layer].reshape(len(loads), model.n_devices, n_local)
        misses = None
        if (capacities[layer] < n_local).any():
            streams = expert_streams(tokens[:, layer : layer + 1], device_of, model.n_devices)
            misses = replay(streams, capacities[layer : layer + 1], policy)[:, 0]
        total += steps.layer_seconds(counts, misses, capacities[layer])
    position = np.concatenate([np.arange(1, n + 1) for n in trace.sequence_lengths])
    context = np.array([position[b].mean() for b in trace.batches(batch, model.mode)])
    return total + REST.seconds(batch, context)


@pytest.mark.parametrize("mode", ["decode", "prefill"])
@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("policy", ["paper", "fifo", "lru", "lfu", "inactive-lfu"])
@pytest.mark.parametrize("batch", [1, 4])  # few experts are active, and most
def test_steps_equal_a_full_replay_to_the_bit(windows, rng, mode, buffered, policy, batch):
    model = model_of(windows, mode=mode, buffered=buffered)
    loads = windows[0].loads(4)
    for placement in (greedy(loads, 2), replicate_and_pack(loads, 2, n_replicas=4)):
        n_local = placement.n_slots // 2
        capacities = rng.integers(1, n_local + 1, size=(3, 2))
        capacities[1] = n_local
        found = evaluated(
            model,
            gates=RULES,
            capacities=capacities,
            policy=policy,
            placement=placement,
            batch_size=batch,
        )
        again = evaluated(
            model,
            gates=RULES,
            capacities=capacities,
            policy=policy,
            placement=placement,
            batch_size=batch,
        )
        expected = [
            full_replay(model, trace, RULES, capacities, policy, placement, batch)
            for trace in windows
        ]
        assert np.array_equal(found.step_seconds, np.concatenate(expected))
        assert np.array_equal(again.step_seconds, found.step_seconds)
        assert found.bounds.tolist() == np.cumsum([0, *(len(e) for e in expected)]).tolist()
        seconds = [e.sum() for e in expected]
        rate = np.mean([batch * len(e) / s for e, s in zip(expected, seconds, strict=True)])
        assert found["tokens_per_s"] == pytest.approx(rate, rel=1e-12)
        worst = max(np.quantile(e, 0.99, method="inverted_cdf") for e in expected)
        assert found.worst("step_p99_s") == worst


def test_the_interval_of_one_window_spans_its_halves(windows):
    model = model_of(windows[0])
    decision = model.decision(gates=RULES, capacities=3, policy="lfu", batch_size=2)
    found, whole = model.predict(decision), model.evaluate(decision)
    assert model.halves is not None
    halves = model.halves.evaluate(decision)
    for name in ("avg_max_load", "quality_loss", "step_p99_s"):
        assert found[name].value == whole[name]
        assert found[name].low <= halves.values[name].min() < halves.values[name].max()
        assert halves.values[name].max() <= found[name].high
    # Several windows are not cut, nor is a trace whose halves cannot fill the batch.
    assert model_of(windows).halves is None
    large = model.decision(batch_size=4)
    assert (
        model.predict(large)["avg_max_load"].low == evaluated(model, batch_size=4)["avg_max_load"]
    )


def test_one_changed_layer_costs_one_layer(windows):
    model = model_of(windows)
    capacities = np.full((3, 2), 3)
    evaluated(model, gates=RULES, capacities=capacities, batch_size=4)
    before = model.layers_computed
    assert before == 3
    capacities[1, 0] = 2
    found = evaluated(model, gates=RULES, capacities=capacities, batch_size=4)
    assert model.layers_computed == 4
    fresh = evaluated(model_of(windows), gates=RULES, capacities=capacities, batch_size=4)
    assert np.array_equal(found.step_seconds, fresh.step_seconds)
    # The order of the slots of a device has no effect.
    shuffled = np.tile([3, 1, 2, 0, 4, 5, 7, 6], (3, 1))
    evaluated(model, gates=RULES, capacities=capacities, placement=shuffled, batch_size=4)
    assert model.layers_computed == 4


def test_counted_objectives_are_those_of_the_parts(windows):
    model = model_of(windows[:1], n_devices=4, n_nodes=2)
    loads = windows[0].loads(4)
    placement = replicate_and_pack(loads, 4, n_replicas=4)
    found = evaluated(model, placement=placement, batch_size=4)
    single = contiguous(3, 8, 4)
    alone = evaluated(model, placement=single, batch_size=4)
    assert alone["avg_max_load"] == pytest.approx(avg_max_load(single, loads).mean())
    per_token = cross_node_traffic(windows[0], placement, 2).sum() * 2 * SHAPE.d_model * 4
    assert found["cross_node_bytes"] == pytest.approx(per_token)
    assert found["replica_bytes"] == 3 * SHAPE.expert_bytes
    assert found["expert_bytes"] == 3 * 3 * SHAPE.expert_bytes
    assert found["quality_loss"] == 0
    assert found["miss_mean_s"] == 0
    found = evaluated(model, gates=GateRule("skip", 0.6), placement=placement, batch_size=4)
    mass = gate_mass(windows[0], GateRule("skip", 0.6))
    assert found["quality_loss"] == pytest.approx(1 - mass.mass.mean())
    assert model.mean_experts(GateRule("skip", 0.6)) == pytest.approx(mass.experts.mean())


def test_the_largest_share_of_a_device_counts_whole_tokens(windows):
    """Two copies on two devices cannot halve the one token that an expert has in a step."""
    model = model_of(windows[:1], n_devices=2)
    everywhere = Placement(np.tile(np.arange(8), (3, 2)), 2)
    found = evaluated(model, placement=everywhere, batch_size=1)
    loads = windows[0].loads(1)
    assert loads.max() == 1
    devices = np.zeros((2, *loads.shape[:2]))
    for step, layer, expert in np.argwhere(loads):
        devices[(step + expert) % 2, step, layer] += 1
    shares = devices.max(axis=0) / loads.sum(axis=2)
    assert found["avg_max_load"] == pytest.approx(shares.mean())
    assert found["avg_max_load"] > avg_max_load(everywhere, loads).mean() == 0.5


def test_memory_grows_with_batch_and_context(windows):
    memory = MemoryModel(
        shape=SHAPE, n_moe_layers=3, rest_parameters=1000, n_attention_layers=4, kv_width=32
    )
    model = model_of(windows, memory=memory, max_context=100)
    small, large = evaluated(model, batch_size=1), evaluated(model, batch_size=4)
    kv = 3 * 100 * 4 * 32 * 2 / 2
    assert large["memory_bytes"] - small["memory_bytes"] >= kv
    tight = evaluated(model, capacities=1, batch_size=4)
    assert tight["memory_bytes"] < large["memory_bytes"]
    assert tight["expert_bytes"] == 3 * SHAPE.expert_bytes
    assert tight["miss_mean_s"] > 0
    assert tight["step_mean_s"] > large["step_mean_s"]


def test_measured_quality_is_used_and_named(windows):
    model = model_of(windows, quality=lambda gates: 0.25 * sum(g is not None for g in gates))
    found = evaluated(model, gates=RULES, batch_size=2)
    assert (found["quality_loss"], found.quality_kind) == (0.5, "measured loss")
    assert evaluated(model_of(windows), gates=RULES, batch_size=2).quality_kind == "gate mass lost"


def test_plans_carry_intervals_and_provenance(windows, tmp_path):
    model = model_of(windows)
    plan = planned(model, gates=RULES, capacities=2, policy="lru", batch_size=4)
    found = evaluated(model, gates=RULES, capacities=2, policy="lru", batch_size=4)
    for name, predicted in plan.objectives.items():
        assert predicted.value == found[name]
        assert predicted.low <= predicted.value <= predicted.high
    wide = plan.objectives["step_p99_s"]
    assert wide.low < min(found.values["step_p99_s"])
    assert wide.high > max(found.values["step_p99_s"])
    assert "trace 1" in plan.provenance
    path = plan.save(tmp_path / "plan.json")
    assert plan.load(path) == plan
    again = model.evaluate(plan)
    assert np.array_equal(again.step_seconds, found.step_seconds)
    with pytest.raises(ValueError, match="of mode prefill"):
        model_of(windows, mode="prefill").evaluate(plan)


def test_what_was_not_measured_is_named_and_widens_the_interval(windows, tmp_path):
    measured = RestOfModel.from_times([1, 4, 1, 4], [2, 2, 9, 9], [1e-4, 2e-4, 1.1e-4, 2.4e-4])
    known = {"rest": measured, "n_devices": 1, "shape": replace(SHAPE, d_ffn=64)}
    model = model_of(windows, **known)
    inside = planned(model, batch_size=4)
    assert inside.outside == ()
    assert "extrapolated" not in inside.explain() + str(inside)
    far = planned(model_of(windows, context=100.0, **known), batch_size=4)
    assert "2 to 9 context" in far.outside[0]
    for text in (far.explain(), str(far), far.summary()):
        assert "extrapolated" in text
    for name in ("step_mean_s", "tokens_per_s"):
        near, wide = inside.objectives[name], far.objectives[name]
        assert wide.high / wide.low > near.high / near.low
    assert far.load(far.save(tmp_path / "far.json")).outside == far.outside
    prompts = planned(model_of(windows, mode="prefill", **known), batch_size=4)
    assert "in decode only" in prompts.outside[0]
    gated = planned(model, gates=RULES, batch_size=4)
    assert "gate rule was not measured" in gated.outside[0]


def test_applying_a_rule_is_charged(windows):
    model = model_of(windows, n_devices=1)
    plain = evaluated(model, batch_size=4)
    dropping_nothing = (GateRule("top-k", 2), None, None)
    before = evaluated(model, gates=dropping_nothing, batch_size=4)
    assert np.array_equal(before.step_seconds, plain.step_seconds)
    charged = copy(model.latency)
    charged.rule_cost = RuleCost(per_step=1e-3, per_choice=1e-5)
    model = DeploymentModel(windows, hardware(), charged, shape=SHAPE, n_devices=1, rest=REST)
    after = evaluated(model, gates=dropping_nothing, batch_size=4)
    assert after.step_seconds - plain.step_seconds == pytest.approx(1e-3 + 8e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_devices": 9}, "at most the 8 experts"),
        ({"n_devices": 4, "n_nodes": 3}, "a divisor of 4 devices"),
        ({"links": ("slow_to_fast",)}, "'device_to_device'"),
        ({"n_devices": 4, "n_nodes": 2, "links": ("device_to_device",)}, "'node_to_node'"),
        ({"mode": "train"}, "'mode' parameter"),
        ({"context": float("nan")}, "'context' parameter"),
        ({"kernel": "foo"}, "'kernel' parameter"),
        ({"shape": LayerShape(n_experts=16, k=2, d_model=4, d_ffn=4)}, "16 experts"),
    ],
)
def test_a_wrong_setting_is_named_before_the_run(windows, settings, message):
    with pytest.raises(ValueError, match=message):
        model_of(windows, **settings)


def test_traces_that_cannot_be_used_are_named(windows):
    bare = RoutingTrace(windows[0].topk_ids, n_experts=8, sequence_lengths=[30, 30])
    model = model_of(bare)
    evaluated(model, capacities=2, batch_size=2)
    evaluated(model, gates=GateRule.keep_all(), capacities=2, batch_size=2)
    with pytest.raises(ValueError, match="field 'topk_weights' is needed"):
        evaluated(model, gates=GateRule("top-k", 1), capacities=2, batch_size=2)
    with pytest.raises(ValueError, match="at least one RoutingTrace"):
        model_of([])
    assert model_of(windows).max_batch_size == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capacities": 5}, "from 1 to the 4 slots"),
        ({"policy": "mru"}, "'policy' parameter"),
        ({"gates": [None]}, "one per layer, 3"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"placement": np.zeros((3, 8), int)}, "of experts 8"),
        ({"placement": Placement(np.tile(np.arange(8), (3, 1)), 4)}, "of devices 2"),
    ],
)
def test_a_wrong_choice_is_named(windows, changes, message):
    with pytest.raises(ValueError, match=message):
        evaluated(model_of(windows), **{"batch_size": 2, **changes})
