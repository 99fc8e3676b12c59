import json
from dataclasses import replace

import numpy as np
import pytest

from moe_costmodel.deployment.model import DeploymentModel
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.objectives import quantity
from moe_costmodel.offloading.rule import Admission, OffloadRule
from moe_costmodel.placement.heuristics import replicate_and_pack
from moe_costmodel.placement.placement import Placement
from moe_costmodel.plans.export_flags import best_single_capacity, best_single_rule
from moe_costmodel.plans.plan import Plan
from moe_costmodel.plans.ungated import plan_notes
from moe_costmodel.shapes import LayerShape
from tests.moe_costmodel.machines import evaluated, hardware, latency, planned
from tests.moe_costmodel.random_traces import random_trace

SHAPE = LayerShape(n_experts=8, k=2, d_model=64, d_ffn=48, gated=True)


@pytest.fixture
def trace(rng):
    return random_trace(rng, n_tokens=120, n_layers=3, lengths=[20] * 6)


def model_of(trace, **settings):
    return DeploymentModel(trace, hardware(), latency(), **({"shape": SHAPE} | settings))


def on_four(trace):
    placement = replicate_and_pack(trace.loads(4), 4, n_replicas=4)
    return planned(
        model_of(trace, n_devices=4),
        gates=(GateRule("skip", 0.4), None, None),
        capacities=2,
        policy="lru",
        placement=placement,
        batch_size=4,
    )


def test_sglang_reads_the_placement_back(trace, tmp_path):
    plan = on_four(trace)
    export = plan.to_sglang(tmp_path / "experts.json")
    content = json.loads((tmp_path / "experts.json").read_text())
    assert list(content) == ["physical_to_logical_map"]
    back = Placement(content["physical_to_logical_map"], 4)
    assert np.array_equal(back.on_device(), plan.placement.on_device())
    assert export.flags[:2] == ("--init-expert-location", str(tmp_path / "experts.json"))
    assert export.flags[-2:] == ("--ep-num-redundant-experts", "4")
    assert any("keeps every placed expert" in note for note in export.notes)
    assert any("thresholds are not exported" in note for note in export.notes)
    assert str(export).count("\n") == len(export.notes)


def test_a_command_without_the_plans_thresholds_states_its_own_times(trace, tmp_path):
    model, plan = model_of(trace, n_devices=4), on_four(trace)
    ungated = model.evaluate(replace(plan, gates=(None,) * 3))
    times = [quantity(costs["step_mean_s"], "s") for costs in (ungated, model.evaluate(plan))]
    export = plan.export("vllm", tmp_path, model="m", evaluate=model.evaluate)
    assert any(f"mean time of a step {times[0]} instead of {times[1]}" in n for n in export.notes)
    limits = {"step_mean_s": 0.9 * ungated["step_mean_s"], "step_p99_s": 1e9}
    (_, missed) = plan_notes(plan, model.evaluate, limits)
    limit = quantity(limits["step_mean_s"], "s")
    assert f"the limit of {limit} is missed: mean time of a step {times[0]}" in missed
    kept = replace(plan, gates=(None,) * 3)
    assert plan_notes(kept, model.evaluate, limits) == []


def test_sglang_has_a_row_for_dense_layers_too(trace, tmp_path):
    plan = on_four(trace)
    later = Plan(
        model="m",
        shape=SHAPE,
        mode="decode",
        batch_size=4,
        placement=plan.placement,
        layers=(1, 2, 4),
    )
    export = later.to_sglang(tmp_path / "e.json")
    rows = json.loads((tmp_path / "e.json").read_text())["physical_to_logical_map"]
    assert len(rows) == 5
    assert [rows[1], rows[2], rows[4]] == plan.placement.physical_to_logical.tolist()
    Placement(rows, 4)  # every row is complete
    assert "2 layers below 4 are not in the plan" in export.notes[-1]


def test_tensorrt_llm_reads_the_placement_back(trace, tmp_path):
    yaml = pytest.importorskip("yaml")
    plan = on_four(trace)
    export = plan.to_tensorrt_llm(tmp_path / "eplb.yaml")
    content = yaml.safe_load((tmp_path / "eplb.yaml").read_text())
    assert content["num_slots"] == 12
    assert content["layer_updates_per_iter"] == 0
    rows = content["initial_global_assignments"]
    assert list(rows) == [0, 1, 2]
    assert list(rows.values()) == plan.placement.physical_to_logical.tolist()
    assert export.flags == ("--tp_size", "4", "--ep_size", "4")


def test_vllm_gets_a_proposal_that_says_so(trace, tmp_path):
    plan = on_four(trace)
    export = plan.to_vllm(tmp_path / "map.json")
    content = json.loads((tmp_path / "map.json").read_text())
    assert content["status"].startswith("proposal")
    assert content["physical_to_logical_map"] == plan.placement.physical_to_logical.tolist()
    assert "proposal" in export.engine
    assert json.loads(export.flags[-1]) == {"num_redundant_experts": 4}
    assert "no released vLLM reads" in export.notes[0]


def test_one_capacity_is_the_best_that_fits_not_the_mean(trace):
    model = model_of(trace)
    plan = planned(model, capacities=[2, 6, 7], policy="lfu", batch_size=3)
    single, notes = best_single_capacity(plan, model.evaluate)
    chosen = int(single.capacities[0, 0])
    budget = plan.objectives["memory_bytes"].value
    steps = {c: evaluated(model, capacities=c, policy="lfu", batch_size=3) for c in range(1, 9)}
    fitting = {c: e for c, e in steps.items() if e["memory_bytes"] <= budget}
    assert chosen == min(fitting, key=lambda c: fitting[c]["step_mean_s"])
    assert f"one capacity for all layers: {chosen} of 8 experts instead of 2 to 7" in notes[0]
    export = plan.to_ktransformers(evaluate=model.evaluate)
    assert export.flags == ("--kt-num-gpu-experts", str(chosen))
    assert "on the CPU" in export.notes[1]
    uniform = planned(model, capacities=3, policy="lfu", batch_size=3)
    assert best_single_capacity(uniform) == (uniform, [])


def test_a_callback_can_choose_and_one_is_needed(trace, tmp_path):
    plan = planned(model_of(trace), capacities=[2, 6, 7], policy="lfu", batch_size=3)
    loaded = Plan.load(plan.save(tmp_path / "p.json"))
    needed = (
        "'evaluate' parameter of {} must be given to choose the fastest, since the engine takes "
    )
    capacity = needed + "one capacity for all layers, and the plan's layers differ"
    with pytest.raises(ValueError, match=capacity.format("Plan.to_ktransformers")):
        loaded.to_ktransformers()
    gated = planned(model_of(trace), gates=(GateRule("skip", 0.8), None, None), batch_size=3)
    rule = needed + "one rule of kind skip for all layers, and the plan has others"
    with pytest.raises(ValueError, match=rule.format("Plan.to_llamacpp")):
        gated.to_llamacpp()

    def evaluate(candidate):
        kept = candidate.capacities
        return {
            "step_mean_s": abs(float(kept.mean()) - 3.9),
            "memory_bytes": 1.0 if (kept < 7).all() else 9.0,
            "quality_loss": 0.0,
        }

    assert loaded.to_ktransformers(evaluate=evaluate).flags[1] == "4"


def test_one_threshold_loses_no_more_than_the_plan(trace):
    model = model_of(trace)
    gates = (GateRule("skip", 0.8), None, GateRule("top-p", 0.6))
    plan = planned(model, gates=gates, batch_size=3)
    single, notes = best_single_rule(plan, evaluate=model.evaluate)
    found, own = model.evaluate(single), model.evaluate(plan)
    assert found["quality_loss"] <= own["quality_loss"]
    assert len(set(single.gates)) == 1
    rule = single.gates[0]
    worse = GateRule("skip", rule.value + 0.04)
    more = evaluated(model, gates=worse, batch_size=3)
    assert more["quality_loss"] > own["quality_loss"]
    assert "one threshold for all layers" in notes[0]
    export = plan.to_llamacpp(evaluate=model.evaluate)
    assert export.flags == ("-ser", f"1,{rule.value:g}")
    assert any("fork" in note for note in export.notes)


def test_llamacpp_keeps_whole_layers(trace):
    plan = planned(model_of(trace), capacities=[4, 4, 7], policy="lfu", batch_size=3)
    export = plan.to_llamacpp()
    assert export.flags == ("--n-cpu-moe", "2")  # 15 of 24 slots are one whole layer
    assert "1 of 3 on the GPU" in export.notes[0]
    assert planned(model_of(trace), batch_size=3).to_llamacpp().flags == ()
    # llama.cpp counts the dense layers, too, that come before and between those with experts.
    later = replace(plan, layers=(1, 4, 5))
    assert later.to_llamacpp().flags == ("--n-cpu-moe", "5")
    kept = replace(later, offload=OffloadRule("lru", Admission()), policy="lru")
    kept = replace(kept, capacities=np.full((3, 1), 4))
    assert kept.to_llamacpp().flags[:2] == ("--n-cpu-moe", "6")


def test_engines_of_one_device_refuse_several(trace):
    plan = on_four(trace)
    with pytest.raises(ValueError, match=r"KTransformers needs a plan on one device.*4 devices"):
        plan.to_ktransformers()
    with pytest.raises(ValueError, match=r"llama\.cpp needs a plan on one device.*4 devices"):
        plan.to_llamacpp()
