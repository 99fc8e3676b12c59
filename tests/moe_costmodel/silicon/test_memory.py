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
