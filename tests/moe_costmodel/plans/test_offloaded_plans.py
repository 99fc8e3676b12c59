import json
from dataclasses import replace

import numpy as np
import pytest

from moe_costmodel import (
    Admission,
    LayerShape,
    OffloadRule,
    Placement,
    Plan,
    RoutingTrace,
    expert_streams,
    offload_curves,
)

SHAPE = LayerShape(n_experts=32, k=4, d_model=128, d_ffn=40, gated=True)
START = np.arange(6 * 32, dtype=float).reshape(6, 32) % 7 / 10
GATED = OffloadRule("decay", Admission(after=2, per_step=1), half_life=64.0)


def planned(**changes):
    settings = {
        "model": "example",
        "shape": SHAPE,
        "mode": "prefill",
        "batch_size": 12,
        "placement": Placement([list(range(32))] * 6, 1),
        "capacities": 12,
        "offload": GATED,
        "start": START,
    }
    return Plan(**(settings | changes))


@pytest.mark.parametrize(
    "rule",
    [
        GATED,
        OffloadRule(admission=Admission(per_step=0), precision=0.8, recall=0.4),
        OffloadRule("least-stale", Admission(opens=3), in_place=False),
        OffloadRule("lfu", Admission(margin=3.0), start_weight=30.0),
    ],
)
def test_a_saved_plan_comes_back_whole(rule, tmp_path):
    plan = planned(offload=rule)
    path = plan.save(tmp_path / "plan.json")
    json.loads(path.read_text(), parse_constant=pytest.fail)  # JSON has no infinity
    back = Plan.load(path)
    assert back == plan
    assert back.offload == rule
    assert np.array_equal(back.start, START)
    assert hash(back) == hash(plan)
    assert back.policy == rule.policy


def test_rules_and_first_contents_are_part_of_a_layer():
    plan = planned(capacities=[12, 32, 12, 12, 12, 12])
    assert plan.by_layer[1].offload is None
    assert plan.by_layer[0].offload == GATED
    assert np.array_equal(plan.by_layer[2].start, START[2])
    assert plan != planned()
    assert replace(plan, start=START + 1.0).by_layer[0] != plan.by_layer[0]
    plain = planned(offload=None, start=None, policy="lru")
    assert "offload" not in plain.to_dict()
    assert plain.by_layer[0] != replace(plain, offload=OffloadRule("lru")).by_layer[0]


def test_words():
    plan = planned()
    assert "upload at the 2nd miss" in plan.summary()
    assert "computes the others where their weights lie" in plan.explain()
    static = planned(offload=OffloadRule(admission=Admission(per_step=0)))
    assert "the first contents stay" in static.explain()
    copied = planned(offload=OffloadRule("lru", in_place=False, precision=0.9, recall=0.5))
    assert "copies the others in" in copied.explain()
    assert "prefetches 50% of the misses" in copied.explain()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offload": "lru"}, "'offload'"),
        ({"offload": OffloadRule("min")}, "the future"),
        ({"start": START[:3]}, r"of shape \(6, 32\)"),
        ({"offload": None, "policy": "lru"}, "None without an 'offload'"),
        ({"offload": OffloadRule(admission=Admission(per_step=0)), "start": None}, "stay empty"),
    ],
)
def test_a_wrong_part_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        planned(**changes)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("offload", {"policy": "newest"}, "offload.policy"),
        ("offload", {"policy": "lfu", "admission": {"after": 0}}, "offload.admission.after"),
        ("policy", "paper", "field 'policy' must be 'decay', that of 'offload'"),
        ("start", [[1.0]], "start"),
    ],
)
def test_a_strangers_file_is_read_with_care(tmp_path, field, value, message):
    content = planned().to_dict() | {field: value}
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        Plan.load(path)


def test_flags_of_engines(tmp_path):
    plan = planned(offload=OffloadRule("lru"), start=None)
    llama = plan.to_llamacpp()
    assert llama.flags == ("--n-cpu-moe", "6", "--moe-expert-cache", "12")
    assert not any("evicts" in note for note in llama.notes)
    sglang = plan.to_sglang(tmp_path / "a.json")
    assert sglang.flags[-3:] == ("--enable-paged-experts", "--paged-experts-num-resident", "12")
    assert any("copies a missing expert" in note for note in sglang.notes)
    uneven = planned(capacities=[4, 8, 12, 16, 20, 13])
    sglang = uneven.to_sglang(tmp_path / "b.json")
    assert sglang.flags[-1] == "12"  # 73 slots of 6 layers
    notes = "\n".join(sglang.notes)
    for words in ("the plan: decay", "uploads every miss", "instead of 4 to 20"):
        assert words in notes
    kt = planned().to_ktransformers()
    assert any("uploads nothing" in note for note in kt.notes)
    static = planned(offload=OffloadRule(admission=Admission(per_step=0)))
    assert static.to_ktransformers().notes == ()


@pytest.mark.parametrize("n_devices", [1, 2])
def test_an_applied_plan_computes_the_same_and_misses_as_replayed(n_devices, tmp_path):
    torch = pytest.importorskip("torch")
    from moe_costmodel.example import load_model
    from moe_costmodel.kernels import Experts

    model = load_model()
    text = torch.randint(0, 256, (8, 12), generator=torch.Generator().manual_seed(3))
    trace = RoutingTrace.record(model, [text])
    slots = [[*range(1, 32, 2), *range(0, 32, 2)]] * 6
    plan = planned(placement=Placement(slots, n_devices), capacities=12 // n_devices)

    def slow(layer, experts):
        return Experts.map_file(experts.save(tmp_path / f"{layer}.safetensors"))

    with torch.no_grad():
        before = [model(row[None]) for row in text]
        with plan.apply(model, slow=slow) as applied:
            for row, expected in zip(text, before, strict=True):
                # Float32 sums in another order: measured 1e-6 of the largest logit, about 20.
                assert torch.allclose(model(row[None]), expected, atol=1e-3)
    assert "computed in slow memory" in str(applied)
    streams = expert_streams(trace.loads(12, "prefill"), plan.placement.device_of(), n_devices)
    misses = uploads = 0
    for i, row in enumerate(streams):
        for device, stream in enumerate(row):
            own = np.flatnonzero(plan.placement.device_of()[i] == device)
            curve = offload_curves(
                [stream], [12 // n_devices], policies=["decay"], admissions=[GATED.admission],
                start=START[i : i + 1, own], half_life=64.0,
            )["decay"]  # fmt: skip
            misses += int(curve.misses.sum())
            uploads += int(curve.uploads.sum())
    assert sum(layer.misses for layer in applied.layers) == misses
    assert sum(layer.uploads for layer in applied.layers) == uploads > 0
