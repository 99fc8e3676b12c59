import pytest

torch = pytest.importorskip("torch")

from moe_costmodel.example import load_model, to_transformers  # noqa: E402
from moe_costmodel.latency.steps.measure_rest import (  # noqa: E402
    measure_model,
    measure_rest,
    without_experts,
)
from moe_costmodel.measure.measurements import Measurements  # noqa: E402

TOKENS = torch.arange(12).view(1, 12)


@pytest.fixture(scope="module", params=["example", "transformers"])
def model(request):
    if request.param == "example":
        return load_model()
    pytest.importorskip("transformers")
    return to_transformers(load_model())


def logits(model):
    with torch.no_grad():
        answer = model(TOKENS)
    return answer if isinstance(answer, torch.Tensor) else answer.logits


def test_experts_return_zeros_within_the_context(model):
    plain = logits(model)
    with without_experts(model):
        inside = logits(model)
    assert not torch.allclose(inside, plain)
    assert torch.equal(logits(model), plain)
    # The rest is the model with all choices dropped. Rounding errors of float32 are about 1e-6.
    dropped = load_model()
    with torch.no_grad():
        expected = dropped(TOKENS, gate=lambda layer, weights, ids: (0 * weights, ids))
    assert torch.allclose(inside, expected, atol=1e-5)


def test_the_rest_is_measured(model):
    rest = measure_rest(model, batch_sizes=(1, 3), contexts=(4, 9), prompts=(8, 40), budget_s=0.01)
    assert rest.seconds(2, 8) > 0
    assert rest.per_step > 0
    assert rest.seconds(20, 10, mode="prefill") > 0
    assert not rest.outside(2, 8)
    assert not rest.outside(20, 10, mode="prefill")
    assert "8 to 40 tokens" in rest.outside(400, 10, mode="prefill")[0]
    assert "4 to 9 context" in rest.outside(2, 100)[0]
    with pytest.raises(ValueError, match="'contexts'"):
        measure_rest(model, contexts=(0,))


def test_a_model_is_measured_as_it_runs(tmp_path):
    model = load_model()
    found = measure_model(
        model, batch_sizes=(1, 4), contexts=(8,), prompts=(16,), policies=("lfu",),
        n_devices=(1, 4), budget_s=0.01,
    )  # fmt: skip
    assert "left" in found.measurements.notes[1]
    records = Measurements.load(found.measurements.save(tmp_path / "k.json")).records
    kinds = {"layer", "rule", "buffered", "copy", "step", "whole", "all_to_all"}
    assert {r.kind for r in records} == kinds
    assert found.measurements.hardware.link("device_to_device").bandwidth > 0
    assert {r.shape.n_local for r in records if r.kind == "layer"} == {8, 32}
    for record in records:
        if record.kind == "layer" and record.shape.n_local == 32:
            tokens = record.at["tokens"]
            assert tokens <= sum(record.at["counts"]) <= 4 * tokens
    assert found.shape.k == 4
    assert found.rest.prefill is not None
    # The model is as it was.
    assert not any("compute" in vars(block.mlp) for block in model.model.layers)
    with pytest.raises(ValueError, match="'n_devices'"):
        measure_model(model, n_devices=(33,))


def test_experts_that_are_not_called_with_choices_are_named():
    pytest.importorskip("transformers")
    from tests.moe_costmodel.tiny_models import build

    with pytest.raises(ValueError, match=r"tokens, ids and weights.*Llama4TextExperts"):
        measure_rest(build("llama4"), batch_sizes=(1,), contexts=(4,), prompts=())


def test_a_cache_that_cannot_be_cropped_stays():
    transformers = pytest.importorskip("transformers")
    from tests.moe_costmodel.tiny_models import COMMON

    config = transformers.MiniMaxConfig(
        **COMMON, num_local_experts=4, head_dim=8, block_size=8,
        layer_types=["linear_attention", "full_attention", "linear_attention"],
    )  # fmt: skip
    model = transformers.MiniMaxForCausalLM(config).eval()
    rest = measure_rest(model, batch_sizes=(1, 2), contexts=(4, 9), prompts=(), budget_s=0.01)
    assert rest.seconds(2, 8) > 0
