"""Memory of one GPU: everything on one, divided by heads and experts, latents copied."""

import pytest

from moe_costmodel import Layout, ModelShape, gpu_memory
from tests.moe_costmodel.models.test_config import DEEPSEEK_V3, GPT_OSS, MIXTRAL


@pytest.mark.parametrize("config", [DEEPSEEK_V3, GPT_OSS, MIXTRAL])
def test_one_gpu_holds_all_weights_and_the_whole_cache(config):
    shape = ModelShape.from_config(config)
    found = gpu_memory(shape, Layout(), 3, 2000)
    assert found.weights == pytest.approx(sum(shape.weight_bytes().values()))
    assert found.cache == pytest.approx(3 * shape.kv_bytes(2000))
    assert found.total == found.weights + found.cache


def test_heads_and_experts_are_divided_as_far_as_they_go():
    shape = ModelShape.from_config(MIXTRAL)
    whole = gpu_memory(shape, Layout(), 1, 1000)
    eight = gpu_memory(shape, Layout(tp=8, moe_ep=8), 1, 1000)
    assert eight.per_sequence == whole.per_sequence / 8
    assert eight.weights == pytest.approx(whole.weights / 8, rel=0.01)
    # Eight heads of keys and values on sixteen GPUs: each head is held twice.
    sixteen = gpu_memory(shape, Layout(tp=16, moe_tp=2, moe_ep=8), 1, 1000)
    assert sixteen.per_sequence == eight.per_sequence
    stages = gpu_memory(shape, Layout(tp=8, moe_ep=8, pp=2), 1, 1000)
    assert stages.per_sequence == eight.per_sequence / 2


def test_tensor_parallelism_copies_latents_and_data_parallelism_spreads_them():
    shape = ModelShape.from_config(DEEPSEEK_V3)
    tensor = gpu_memory(shape, Layout(tp=8, moe_ep=8), 64, 4096)
    data = gpu_memory(shape, Layout(dp=8, moe_ep=8), 8, 4096)
    # Both systems run 64 sequences.
    assert tensor.cache == 8 * data.cache
    assert tensor.weights < data.weights
    most = tensor.most_sequences(141e9)
    assert tensor.weights + most * tensor.per_sequence <= 0.9 * 141e9
    assert gpu_memory(shape, Layout(), 1, 4096).most_sequences(141e9) == 0


def test_the_fullest_pipeline_stage_holds_whole_layers_and_an_end_of_the_model():
    shape = ModelShape.from_config(DEEPSEEK_V3)  # 3 dense layers before 58 with experts
    sizes, experts = shape.weight_bytes(), shape.n_moe_layers
    layer = (sizes["experts"] + sizes["shared"] + sizes["router"]) / experts
    layer += (sizes["attention"] + sizes["norms"]) / shape.n_layers
    cache = gpu_memory(shape, Layout(), 1, 4096).cache / shape.n_layers
    for pp, layers in ((16, 4), (8, 8), (2, 30)):
        stage = gpu_memory(shape, Layout(pp=pp), 1, 4096)
        dense = -(-shape.n_layers // pp) - layers
        more = dense * (sizes["dense"] / 3 + sizes["attention"] / shape.n_layers)
        assert stage.weights == pytest.approx(layers * layer + sizes["head"] + more, rel=1e-3)
        assert stage.cache == pytest.approx((layers + dense) * cache)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Layout(tp=3, moe_tp=3), "tp divides the heads"),
        (Layout(tp=64, moe_tp=64), "tp divides the heads"),
        (Layout(dp=3, moe_tp=3), "moe_tp divides the width of an expert, 14336"),
        (Layout(pp=40), "at most 32 stages"),
        ("tp 1", "a Layout"),
    ],
)
def test_layouts_that_do_not_divide_the_model_are_refused(layout, message):
    shape = ModelShape.from_config(MIXTRAL)
    with pytest.raises(ValueError, match=f"'layout' parameter of gpu_memory .*{message}"):
        gpu_memory(shape, layout, 1, 1000)
