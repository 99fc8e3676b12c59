import pytest

from tests.moe_costmodel.random_traces import random_trace

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from moe_costmodel.buffering.replay import expert_streams, replay  # noqa: E402
from moe_costmodel.example import load_model  # noqa: E402
from moe_costmodel.gating.quality import keep_choices  # noqa: E402
from moe_costmodel.gating.rules import GateRule, apply_rule  # noqa: E402
from moe_costmodel.kernels.experts import Experts  # noqa: E402
from moe_costmodel.placement.placement import Placement  # noqa: E402
from moe_costmodel.plans.apply import PlannedLayer  # noqa: E402
from moe_costmodel.plans.plan import Plan  # noqa: E402
from moe_costmodel.shapes import LayerShape  # noqa: E402
from moe_costmodel.traces.record import edit_routing  # noqa: E402
from moe_costmodel.traces.trace import RoutingTrace  # noqa: E402
from tests.moe_costmodel.tiny_models import COMMON, OTHERS, build, ids  # noqa: E402

WIDTHS = {"mixtral": 24, "olmoe": 24, "qwen2": 8, "qwen3": 8, "deepseek2": 8, "deepseek3": 8}
EXAMPLE = LayerShape(n_experts=32, k=4, d_model=128, d_ffn=40, gated=True)
LAYERS = {"qwen2": (0, 2), "deepseek2": (1, 2), "deepseek3": (1, 2)}


def plan_for(name, **changes):
    layers = LAYERS.get(name, (0, 1, 2))
    settings = {
        "model": name,
        "shape": LayerShape(n_experts=8, k=2, d_model=16, d_ffn=WIDTHS[name], gated=True),
        "mode": "decode",
        "batch_size": 2,
        "placement": Placement([list(range(8))] * len(layers), 1),
        "layers": layers,
    }
    return Plan(**(settings | changes))


def logits(model, tokens):
    with torch.no_grad():
        return model(tokens).logits


@pytest.mark.parametrize("name", WIDTHS)
def test_buffered_experts_compute_what_the_model_does(name):
    model, tokens = build(name), ids(2, 9)
    before = logits(model, tokens)
    n = len(LAYERS.get(name, (0, 1, 2)))
    plan = plan_for(name, capacities=[[3]] * n, policy="lru")
    with plan.apply(model) as applied:
        found = logits(model, tokens)
        # Measured: 2e-7 of the largest logit, in float32.
        assert torch.allclose(found, before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))
        assert all(layer.misses > 0 for layer in applied.layers)
        assert "were copied" in str(applied)
    assert torch.equal(logits(model, tokens), before)
    assert not any(m._forward_hooks for m in model.modules())
    assert not any("forward" in vars(m) for m in model.modules())


@pytest.mark.parametrize(
    ("name", "d_ffn", "gated"), [("hunyuan", 24, True), ("gemma4", 8, True), ("nemotron", 8, False)]
)
def test_buffered_experts_of_other_models_compute_what_they_do(name, d_ffn, gated):
    model, tokens = build(name), ids(2, 9)
    before, layers = logits(model, tokens), tuple(OTHERS[name][3])
    shape = LayerShape(n_experts=8, k=2, d_model=16, d_ffn=d_ffn, gated=gated)
    slots = Placement([list(range(8))] * len(layers), 1)
    plan = plan_for(
        "olmoe", shape=shape, layers=layers, placement=slots, capacities=[[3]] * len(layers)
    )
    with plan.apply(model) as applied:
        found = logits(model, tokens)
        assert all(layer.misses > 0 for layer in applied.layers)
    # Measured: 2e-7 to 8e-7 of the largest logit, in float32.
    assert torch.allclose(found, before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))
    assert torch.equal(logits(model, tokens), before)


def test_thresholds_are_those_of_the_rule():
    model, tokens = build("mixtral"), ids(2, 9)
    gates = (GateRule("skip", 0.7), None, GateRule("top-k", 1))

    def rule(layer, chosen, weights):
        return chosen, weights if gates[layer] is None else apply_rule(weights, gates[layer])

    with edit_routing(model, rule):
        expected = logits(model, tokens)
    plain = logits(model, tokens)
    with plan_for("mixtral", gates=gates).apply(model):
        found = logits(model, tokens)
        # The plan also works if gradients are enabled.
        model(tokens)
    # The tolerance of the test above; thresholds change the logits by 12 % of the largest.
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    assert not torch.allclose(found, plain, rtol=1e-2)


def test_misses_are_those_that_the_deployment_model_replays():
    model = load_model()
    text = torch.randint(0, 256, (6, 12), generator=torch.Generator().manual_seed(3))
    trace = RoutingTrace.record(model, [text])
    rules = (GateRule("skip", 0.4),) * 6
    plan = Plan(
        model="example",
        shape=EXAMPLE,
        mode="prefill",
        batch_size=12,
        placement=Placement([[*range(1, 32, 2), *range(0, 32, 2)]] * 6, 2),
        capacities=[[5, 9]] * 6,
        policy="lfu",
        gates=rules,
    )
    with plan.apply(model) as applied, torch.no_grad():
        for row in text:
            model(row[None])
        found = [buffer.statistics.misses for buffer in applied.layers[0].buffers]
    # The trace was recorded without thresholds, so only the first layer has the same inputs.
    loads = trace.loads(12, "prefill", keep=keep_choices(trace, rules))[:, :1]
    streams = expert_streams(loads, plan.placement.device_of()[0], 2)
    assert found == replay(streams, plan.capacities[:1], "lfu")[:, 0].sum(axis=0).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_experts": 4}, "with experts 8. Got MixtralForCausalLM, with experts 4"),
        ({"width": 32}, "with width 16"),
        ({"layers": 2}, "with MoE layers 3"),
    ],
)
def test_another_model_is_refused(change, message):
    settings = COMMON | {
        "num_local_experts": change.get("n_experts", 8),
        "hidden_size": change.get("width", 16),
        "num_hidden_layers": change.get("layers", 3),
    }
    model = transformers.MixtralForCausalLM(transformers.MixtralConfig(**settings))
    with pytest.raises(ValueError, match=message):
        plan_for("mixtral").apply(model)
    assert not any(m._forward_hooks for m in model.modules())
    with pytest.raises(ValueError, match=r"with MoE layers 3\. Got ExampleModel"):
        plan_for("mixtral").apply(load_model())
    with pytest.raises(ValueError, match="known family"):
        plan_for("mixtral").apply(torch.nn.Linear(2, 2))


def test_tokens_are_dealt_out_to_copies_as_the_deployment_model_does(rng):
    trace = random_trace(rng, n_tokens=48, n_layers=1)
    plan = Plan(
        model="m",
        shape=LayerShape(n_experts=8, k=2, d_model=8, d_ffn=4),
        mode="prefill",
        batch_size=12,
        placement=Placement([[0, 1, 2, 5, 3, 4, 5, 6, 6, 7, 0, 5]], 3),
        capacities=[[3, 3, 3]],
    )
    layer = PlannedLayer(Experts.random(8, 8, 4), plan, 0)
    slots = plan.placement.physical_to_logical[0]
    for step, tokens in enumerate(trace.batches(12, "prefill")):
        chosen = torch.from_numpy(trace.topk_ids[tokens, 0].astype("int64"))
        device = layer.device_of(chosen, torch.ones(chosen.shape))
        for expert in range(8):
            n = int((chosen == expert).sum())
            own = [i for i, e in enumerate(slots) if e == expert]
            expected = [0, 0, 0]
            for rank, slot in enumerate(own):
                place = (rank - step - expert) % len(own)
                expected[slot // 4] += n // len(own) + (place < n % len(own))
            found = [int(((chosen == expert) & (device == d)).sum()) for d in range(3)]
            assert found == expected


def test_a_second_plan_is_refused_and_the_first_stays():
    model, tokens = build("olmoe"), ids(2, 9)
    before = logits(model, tokens)
    outer = plan_for("olmoe", capacities=[[2]] * 3, policy="lru")
    gates = plan_for("olmoe", gates=(GateRule("top-k", 1),) * 3)
    with outer.apply(model) as applied:
        for inner in (outer, gates):
            with pytest.raises(ValueError, match=r"without a plan \(undo\(\) removes another\)"):
                inner.apply(model)
        logits(model, tokens)
        assert all(layer.misses > 0 for layer in applied.layers)
    assert torch.equal(logits(model, tokens), before)
    assert not any("forward" in vars(m) for m in model.modules())
    gates.apply(model).undo()  # the model has no plan any more


def test_a_forward_of_an_experts_module_itself_is_restored():
    model, tokens = build("olmoe"), ids(2, 9)
    module = next(m for m in model.modules() if type(m).__name__ == "OlmoeExperts")
    calls, own = [], module.forward

    def hooked(*args, **settings):
        calls.append(len(args))
        return own(*args, **settings)

    module.forward = hooked  # as accelerate's add_hook_to_module does
    with plan_for("olmoe", capacities=[[2]] * 3).apply(model):
        pass
    assert module.forward is hooked
    logits(model, tokens)
    assert calls


def test_experts_that_cannot_be_planned_stay_and_their_routers_are_gated():
    model, tokens = build("gpt-oss"), ids(2, 9)
    shape = LayerShape(n_experts=8, k=2, d_model=16, d_ffn=24, gated=True)
    gates = (GateRule("top-k", 1),) * 3
    plain = logits(model, tokens)
    with edit_routing(model, lambda _, chosen, w: (chosen, apply_rule(w, gates[0]))):
        expected = logits(model, tokens)
    with plan_for("olmoe", shape=shape, gates=gates).apply(model) as applied:
        assert torch.equal(logits(model, tokens), expected)
        assert "applied to 3 layers" in str(applied)
    assert torch.equal(logits(model, tokens), plain)
    buffered = plan_for("olmoe", shape=shape, capacities=[[2]] * 3)
    words = r"RoutingTrace\.record.* Got GptOssExperts with is_concatenated = False, has_bias"
    with pytest.raises(ValueError, match=words):
        buffered.apply(model)
    assert torch.equal(logits(model, tokens), plain)
