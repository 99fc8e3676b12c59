import json
from dataclasses import replace
from pathlib import Path

import pytest

from moe_costmodel.gating.rules import GateRule
from moe_costmodel.objectives import Predicted
from moe_costmodel.placement.placement import Placement
from moe_costmodel.plans.decision import Decision
from moe_costmodel.plans.plan import Plan
from moe_costmodel.shapes import LayerShape

SHAPE = LayerShape(n_experts=8, k=2, d_model=16, d_ffn=24, gated=True)
SLOTS = [[0, 1, 2, 3, 4, 0, 5, 6, 7, 1], [7, 6, 5, 4, 3, 2, 1, 0, 7, 7]]


def example(**changes):
    settings = {
        "model": "tiny",
        "shape": SHAPE,
        "mode": "decode",
        "batch_size": 4,
        "placement": Placement(SLOTS, 2),
        "capacities": [[3, 5], [2, 4]],
        "policy": "inactive-lfu",
        "gates": (None, GateRule("skip", 0.3, 2)),
        "layers": (1, 3),
        "objectives": {
            "step_p99_s": Predicted(2e-3, 1e-3, 3e-3, 2.5e-3),
            "memory_bytes": Predicted(3 << 30, 3 << 30, 3 << 30),
        },
        "provenance": {"trace": "prose, 1234"},
        "versions": {"moe_costmodel": "0"},
    }
    return Plan(**(settings | changes))


def test_a_plan_of_the_version_before_is_read():
    path = Path(__file__).parent / "data" / "plan_of_0_1.json"  # written by DeploymentModel.plan
    plan = Plan.load(path)
    assert plan.to_dict() == json.loads(path.read_text())
    assert (plan.n_layers, plan.n_devices, plan.n_nodes) == (3, 4, 2)
    assert plan.gates == (GateRule("skip", 0.4), None, None)
    assert plan.capacities.tolist() == [[2, 3, 1, 3], [3, 3, 3, 3], [1, 2, 3, 1]]


def test_decisions_are_equal_by_layer():
    decision = Decision(placement=Placement(SLOTS, 2), gates=GateRule("skip", 0.3), capacities=3)
    turned = [row[4::-1] + row[:4:-1] for row in SLOTS]  # other order, same devices
    same = replace(decision, placement=Placement(turned, 2))
    assert decision == same
    assert hash(decision) == hash(same)
    # The rule that keeps everything is no rule, and a policy without a buffer is none.
    gates = [GateRule("skip", 0.3), GateRule.keep_all()]
    less = replace(decision, gates=gates, capacities=[5, 3])
    again = replace(decision, gates=[gates[0], None], capacities=[[5, 5], [3, 3]], policy="lru")
    assert less.by_layer[0] == again.by_layer[0]
    assert less.by_layer[1] != again.by_layer[1]
    assert less.by_layer[1].gate is None
    assert less.by_layer[1].capacities.tolist() == [3, 3]
    assert less.by_layer[1].slots.tolist() == [3, 4, 5, 6, 7, 0, 1, 2, 7, 7]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "train"}, "'mode' parameter of Plan"),
        ({"policy": "min"}, "'policy' parameter of Plan"),
        ({"capacities": [[3, 6], [2, 4]]}, "from 1 to the 5 slots.*6 at layer 0, device 1"),
        ({"gates": (None,)}, "one per layer, 2"),
        ({"gates": "top-p"}, r"GateRule\('top-p', 0.8\), or a sequence of 2 rules. Got 'top-p'"),
        ({"devices_per_node": 3}, "a divisor of 2 devices"),
        ({"layers": (3, 1)}, "ascending"),
        ({"objectives": {"speed": Predicted(1, 1, 1)}}, "'objectives' parameter"),
        ({"shape": LayerShape(n_experts=9, k=2, d_model=4, d_ffn=4)}, "9 experts"),
    ],
)
def test_a_wrong_part_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        example(**changes)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", "other", "field 'format' must be 'moe-plan/1'"),
        ("batch_size", True, "field 'batch_size' must be an integer from 1"),
        ("n_devices", 3, "field 'n_devices' must be a divisor of the 10 slots"),
        (
            "shape",
            SHAPE.to_dict() | {"n_experts": 10**9},
            "field 'shape.n_experts' must be at most 65536",
        ),
        ("physical_to_logical_map", [SLOTS[0], [*SLOTS[1][:-1], 1.5]], r"_map\[1\]\[9\]'"),
        ("physical_to_logical_map", [SLOTS[0], [*SLOTS[1][:-1], 8]], r"8 at \(1, 9\)"),
        ("physical_to_logical_map", [SLOTS[0], [0] * 10], "none for expert 1 of layer 1"),
        ("capacities", [[3, 5], [2, float("nan")]], r"capacities\[1\]\[1\]"),
        ("gates", [None, {"kind": "skip", "value": 3.0}], r"gates\[1\]"),
        ("objectives", {"step_p99_s": {"value": float("nan"), "low": 0, "high": 1}}, "finite"),
        ("objectives", {"step_p99_s": {"value": 3, "low": 0, "high": 1}}, "its interval"),
        ("layers", ["a", 1], r"field 'layers\[0\]' must be an integer"),
        ("extra", 1, "field 'extra' must be absent"),
    ],
)
def test_a_strangers_file_is_read_with_care(tmp_path, field, value, message):
    content = example().to_dict() | {field: value}
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        Plan.load(path)
    assert str(error.value).startswith(str(path))


def test_a_missing_field_and_no_json_are_named(tmp_path):
    path = tmp_path / "plan.json"
    content = example().to_dict()
    for name in ("gates", "shape", "n_devices"):
        path.write_text(json.dumps({k: v for k, v in content.items() if k != name}))
        with pytest.raises(ValueError, match=f"field '{name}' must be present"):
            Plan.load(path)
    for text in ("no json", "[" * 100_000, "[]", ""):
        path.write_text(text)
        with pytest.raises(ValueError, match=str(path)):
            Plan.load(path)


def test_words():
    plan = example()
    assert "2 replicas per layer" in plan.summary()
    assert "2 to 5 of 5 experts resident (inactive-lfu)" in plan.summary()
    page = plan.explain()
    assert "99th percentile of the time of a step: 2 ms, between 1 ms and 3 ms." in page
    assert "all choices in 1 layer; skip 0.3, at least 2 in 1 layer" in page
    assert "Gate mass is not quality" in page
    assert "trace: prose, 1234" in page
    assert str(plan).count("\n") == 6
    for size, words in ((1, "one sequence decoded at a time"), (8, "8 sequences decoded together")):
        assert f", {words}, with one token" in replace(plan, batch_size=size).explain()
