"""Memory of layers that tensor parallelism does not divide evenly, and types of states."""

import pytest

from moe_costmodel import Attention, Block, Layout, ModelShape, gpu_memory
from tests.moe_costmodel.models.test_newer_families import NEMOTRON

D = 64


def shape(attention, name="toy"):
    block = Block(n_layers=1, attention=attention, d_ffn=32)
    return ModelShape(name=name, d_model=D, vocabulary=48, blocks=(block,), tied=True)


def held(attention, tp):
    """Return the weights of one layer's attention on one of `tp` GPUs."""
    memory = gpu_memory(shape(attention), Layout(tp=tp, moe_tp=tp), 1, 16)
    others = 48 * D / tp + D + 3 * D * 32 / tp
    return memory.weights / 2 - others


def mamba(groups):
    return Attention(
        kind="mamba", n_heads=16, n_kv_heads=groups, head_dim=8, v_head_dim=4, conv_kernel=4,
        extra=(16 * 4 + 2 * groups * 8) * 4,
    )  # fmt: skip


@pytest.mark.parametrize(("groups", "tp", "on_each"), [(1, 1, 1), (1, 8, 1), (2, 8, 1), (8, 4, 2)])
def test_groups_of_mamba_2_are_copied_to_the_gpus_that_need_them(groups, tp, on_each):
    """As in vLLM's MambaMixer2: with fewer groups than GPUs, each has one."""
    attention = mamba(groups)
    channels = 16 * 4 / tp + 2 * on_each * 8
    inputs = D * (channels + 16 * 4 / tp + 16 / tp)
    assert held(attention, tp) == inputs + 16 * 4 / tp * D + channels * 4
    memory = gpu_memory(shape(attention), Layout(tp=tp, moe_tp=tp), 3, 100)
    state = 4 * 16 * 4 * 8 / tp + 2 * 3 * channels
    assert memory.per_sequence == state
    assert memory.cache == 3 * state


def test_products_of_keys_and_values_are_copied_with_their_heads():
    attention = Attention(n_heads=8, n_kv_heads=2, head_dim=16, v_head_dim=4)
    assert held(attention, 2) == (D * (8 * 16 + 2 * 20) + 8 * 4 * D) / 2
    assert held(attention, 4) == D * (8 * 16 / 4 + 20) + 8 * 4 * D / 4


def test_an_indexer_of_latent_attention_is_on_each_gpu():
    """As in vLLM, which makes its products `ReplicatedLinear`."""
    sizes = {"kind": "mla", "n_heads": 8, "n_kv_heads": 8, "head_dim": 16, "q_rank": 24}
    plain = Attention(kv_rank=32, rope_dim=8, **sizes)
    indexed = Attention(kv_rank=32, rope_dim=8, index_heads=4, index_dim=16, index_topk=8, **sizes)
    for tp in (1, 4):
        index = 24 * 4 * 16 + D * (16 + 4)
        assert held(indexed, tp) - held(plain, tp) == index


def test_states_are_kept_in_the_type_that_the_engine_is_told():
    model = shape(mamba(2))
    whole = gpu_memory(model, Layout(), 1, 16)
    half = gpu_memory(model, Layout(), 1, 16, state_dtype="bfloat16")
    assert whole.cache - half.cache == 2 * 16 * 4 * 8
    assert half.weights == whole.weights
    assert model.with_state("float16").kv_bytes(16) == half.cache
    with pytest.raises(ValueError, match=r"'state_dtype'.*float32.*int8"):
        gpu_memory(model, Layout(), 1, 16, state_dtype="int8")


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ({}, "float32"),
        ({"mamba_ssm_cache_dtype": "auto"}, "float32"),
        ({"mamba_ssm_dtype": "bfloat16"}, "bfloat16"),  # of SGLang
        ({"mamba_ssm_cache_dtype": "float16"}, "float16"),  # of vLLM
    ],
)
def test_a_config_names_the_type_of_its_states(added, expected):
    blocks = ModelShape.from_config(NEMOTRON | added).blocks
    mixers = [block.attention for block in blocks if block.attention.kind == "mamba"]
    assert {mixer.state_dtype for mixer in mixers} == {expected}
    with pytest.raises(ValueError, match=r"'mamba_ssm_dtype' must be one of float32.*fp8"):
        ModelShape.from_config(NEMOTRON | {"mamba_ssm_dtype": "fp8"})
